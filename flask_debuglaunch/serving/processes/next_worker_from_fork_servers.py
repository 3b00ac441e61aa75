"""Which process becomes the next worker where there is fork: a fork of one of the fork servers,
which are started and replaced here, else a new interpreter."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from flask_debuglaunch.debuggers.join_debug_session import DebugSession
from flask_debuglaunch.launcher_notes import LauncherNotes
from flask_debuglaunch.plan import Plan, seconds_worth_keeping
from flask_debuglaunch.serving.app.environ_for_app import environ_of_worker
from flask_debuglaunch.serving.ipc_protocol import (
    AppImport,
    CannotPreload,
    LeftOutPackage,
    Preload,
    Preloadable,
    SpoiledForkServer,
    UnlikeChange,
)
from flask_debuglaunch.serving.preloading.preloaded_modules import merged_imports
from flask_debuglaunch.serving.preloading.replayed_changes import UnsteadyChanges
from flask_debuglaunch.serving.processes.project_module_fork_servers import ProjectModuleServers
from flask_debuglaunch.serving.processes.spawn_interpreter import own_command
from flask_debuglaunch.serving.processes.worker_and_fork_server_handles import (
    AwaitedWorker,
    ForkedWorker,
    ForkServerHandle,
    NewInterpreterWorker,
    NoMoreProcesses,
    WorkerProcess,
    start_fork_server,
    start_interpreter,
    start_interpreter_at_channel,
)
from flask_debuglaunch.serving.watching.file_signature import Signature, signature
from flask_debuglaunch.terminal_messages import say

MAX_LEFT_OUT_PACKAGES = 20
"""So many packages may spoil a fork server, one after the other, before it is given up."""

MAX_LOST_FORK_SERVERS = 3
"""So many in a row may end while they preload: a machine that is short of memory will have some
again, but a package that always ends its process would slow down each reload."""

PATIENCE_FACTOR, PATIENCE_SECONDS = 3, 30.0
"""A worker waits for a fork server for so many times what the app's own imports took, and so long
beyond: a machine under load is never too slow for it, and one that hangs keeps nobody waiting."""


NOT_READY_YET = "The packages are not imported ahead yet: this reload starts a new interpreter"
NO_FORK_SERVER_NOW = "The packages are not imported ahead now, the next reload tries again"


@dataclass(frozen=True)
class ForkServerOrder:
    """What the next fork server is to be."""

    preload: Preload
    environ: Mapping[str, str]
    listener: socket.socket
    import_seconds: float
    """What the imports took in the workers."""

    @property
    def patience(self) -> float:
        return PATIENCE_FACTOR * self.import_seconds + PATIENCE_SECONDS


class WorkerStarter:
    """Keeps a fork server, the one that comes next until it is ready, and one that can only become
    a worker itself.

    A process that is started here waits for its task.
    """

    def __init__(self, plan: Plan, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        # As they are now: neither the app nor a debugger shall change what a worker starts with.
        self._environ = dict(os.environ)
        self._plan = plan
        self._command = own_command(under_debugger=plan.connection.value == "present")
        self._ready_server: ForkServerHandle | None = None
        self._coming_server: ForkServerHandle | None = None
        self._spare_server: ForkServerHandle | None = None
        """One that can't fork, but has everything, and can become the next worker."""
        self._server_order: ForkServerOrder | None = None
        self._given_up_preload: Preload | None = None
        self._unsteady_changes = UnsteadyChanges()
        self._lost_in_a_row = 0
        """How many fork servers with this order, in a row, have ended while they preloaded."""
        self._left_out_packages: dict[str, tuple[LeftOutPackage, Signature | None]] = {}
        """Packages that spoil a fork server, each with its file's signature."""
        self._imports_of_left_out: dict[str, tuple[str, ...]] = {}
        """What modules of these packages import of others."""
        self._awaiting_workers: dict[AwaitedWorker, socket.socket] = {}
        """Each with its listener."""
        self._notes = LauncherNotes()
        self._module_servers = ProjectModuleServers(selector, self._notes)

    def start(self, listener: socket.socket) -> WorkerProcess:
        """A process on its way to become a worker. Raises OSError if there can be none."""
        self._module_servers.pause()
        if self._spare_server is not None:
            if self._spare_server.has_current_packages():
                worker = AwaitedWorker()  # the spare stays if there is no room for one
                spare_server = self._take_spare_server()
                with contextlib.suppress(OSError):  # somebody has killed it
                    return _started_worker(worker, spare_server.become_worker)
                spare_server.close()
            else:
                self._drop_spare_server()
        if self._ready_server is not None:
            if self._ready_server.has_current_packages():
                module_server = self._module_servers.usable_server(self._ready_server)
                for fork_server in filter(None, (module_server, self._ready_server)):
                    worker = AwaitedWorker()  # no server is to blame if there is no room for one
                    try:
                        return _started_worker(worker, fork_server.fork)
                    except NoMoreProcesses:  # nor is there one for a new interpreter
                        raise
                    except OSError:  # somebody has killed it, or it hangs
                        continue
            # An installed package was changed: what it does may be another thing now.
            self._left_out_packages.clear()
            self._imports_of_left_out.clear()
            self._retire_server(self._ready_server)
            self._ready_server = None
            if self._coming_server is None:
                self._start_without_left_out()
        if self._coming_server is not None:
            if not _is_overdue(self._coming_server):  # it has had a start already
                worker = AwaitedWorker()
                self._awaiting_workers[worker] = listener
                return worker
            say(NOT_READY_YET)
        environ = environ_of_worker(self._plan, self._environ)
        return start_interpreter(self._command, environ, listener)

    @property
    def deadline(self) -> float | None:
        """When workers have waited for too long (time.monotonic()); None if none waits."""
        if self._coming_server is None or not self._awaiting_workers:
            return None
        return self._coming_server.ready_by

    def be_late(self) -> None:
        """The deadline has passed: they begin without what they have waited for."""
        say(NOT_READY_YET)
        self._start_awaiting_workers()

    def follow(self, plan: Plan) -> None:
        """The configuration has changed: what is there has old variables in its environment."""
        self._plan = plan
        self._server_order = self._given_up_preload = None
        self.forget_modules()
        self._retire_all_servers()

    def learn(
        self,
        preloadable: Preloadable,
        plan: Plan,
        session: DebugSession | None,
        listener: socket.socket,
    ) -> None:
        """Have a fork server start with what the app has imported, for the next worker."""
        if not plan.preload.value:
            return
        self._module_servers.learn(preloadable, seconds_worth_keeping(plan))
        self._learn_packages(preloadable, plan, session, listener)
        self._start_module_server()

    def wants_to_know_modules(self, plan: Plan) -> bool:
        """Is the next worker to look on at the project's modules?"""
        return seconds_worth_keeping(plan) is not None and not self._module_servers.knows

    def forget_modules(self, files: frozenset[str] = frozenset()) -> None:
        """Those of these files must run in each worker; all do other things than was seen if there
        are none."""
        self._module_servers.forget(files)

    def _start_module_server(self) -> None:
        if self._ready_server is not None and self._coming_server is None:
            self._module_servers.start_or_resume(self._ready_server, self._left_out_packages)

    def _learn_packages(
        self,
        preloadable: Preloadable,
        plan: Plan,
        session: DebugSession | None,
        listener: socket.socket,
    ) -> None:
        if preloadable.unsafe is not None:
            self._give_up_forking(preloadable.unsafe)
            return
        if preloadable.unlike is not None:
            self._learn_unlike(preloadable.unlike)
            return
        app_imports, import_seconds = preloadable.imports, preloadable.import_seconds
        if preloadable.was_forked and self._server_order is not None:
            self._unsteady_changes.note_fit()
            preloaded_imports = self._server_order.preload.imports
            app_imports = merged_imports(preloaded_imports, app_imports)
            import_seconds += self._server_order.import_seconds
        app_imports = self._with_imports_of_left_out(app_imports)
        app_imports = tuple(map(self._unsteady_changes.levelled, app_imports))
        unsteady = self._unsteady_changes.names
        preload = Preload(app_imports, self._still_left_out(), plan, session, unsteady)
        is_known = self._server_order is not None and preload == self._server_order.preload
        hangs = self._coming_server is not None and _is_overdue(self._coming_server)
        has_server = is_known and self._has_server_for(preload) and not hangs
        if has_server or preload == self._given_up_preload:
            return
        if not preloadable.was_forked:  # the one at hand has something else than a new interpreter
            self._use_present_servers_no_more()
        if not is_known:
            self._lost_in_a_row = 0
        self._server_order = ForkServerOrder(preload, self._environ, listener, import_seconds)
        self._start_coming_server()

    def _learn_unlike(self, unlike: UnlikeChange) -> None:
        """The worker is started anew. It then tells of its imports as it makes them now."""
        if unlike.name in self._unsteady_changes.names:
            self._give_up_forking(unlike.reason)
            return
        self._unsteady_changes.note_unlike(unlike.name)
        self._use_present_servers_no_more()

    def _use_present_servers_no_more(self) -> None:
        self._retire_server(self._ready_server)
        self._ready_server = None
        self._drop_spare_server()

    def _has_server_for(self, preload: Preload) -> bool:
        """Is there a fork server for that, or one on its way? It may have been killed, or there was
        no room for it."""
        return any(
            server is not None and server.preload == preload for server in self._fork_servers
        )

    @property
    def _fork_servers(self) -> tuple[ForkServerHandle | None, ...]:
        return self._ready_server, self._coming_server, self._spare_server

    def ended(self, process: WorkerProcess) -> None:
        """A worker that was started here has ended."""
        if not isinstance(process, AwaitedWorker):
            return
        if process in self._awaiting_workers:  # it was not worth waiting for
            del self._awaiting_workers[process]
            self._retire_server(self._coming_server)
            self._coming_server = None
        if isinstance(process.process, ForkedWorker):
            fork_server = process.process.fork_server
            is_needed = fork_server in (self._ready_server, self._coming_server)
            if not is_needed and not self._module_servers.is_current(fork_server):
                fork_server.close()

    def close(self) -> None:
        self._module_servers.close()
        self._notes.close()
        for fork_server in self._fork_servers:
            if fork_server is not None:
                fork_server.close()

    def _still_left_out(self) -> dict[str, frozenset[str]]:
        """Those whose file has not changed since."""
        for name, (left_out, signature_then) in [*self._left_out_packages.items()]:
            if _package_signature(left_out) != signature_then:
                del self._left_out_packages[name]
        return {
            name: left_out.changed_state for name, (left_out, _) in self._left_out_packages.items()
        }

    def _with_imports_of_left_out(self, imports: Iterable[AppImport]) -> tuple[AppImport, ...]:
        """What left-out packages import comes in their places."""
        imports_to_preload: dict[str, AppImport] = {}
        for app_import in imports:
            self._add_import_to_preload(app_import, imports_to_preload)
        return tuple(imports_to_preload.values())

    def _add_import_to_preload(
        self, app_import: AppImport, imports_to_preload: dict[str, AppImport]
    ) -> None:
        if app_import.module not in imports_to_preload:
            imports_to_preload[app_import.module] = app_import
            for module in self._imports_of_left_out.get(app_import.module, ()):
                self._add_import_to_preload(replace(app_import, module=module), imports_to_preload)

    def _start_without_left_out(self) -> None:
        """With what is known by now of the packages that must be left out."""
        if self._server_order is not None:
            preload = replace(
                self._server_order.preload,
                imports=self._with_imports_of_left_out(self._server_order.preload.imports),
                left_out_packages=self._still_left_out(),
            )
            self._server_order = replace(self._server_order, preload=preload)
            self._start_coming_server()

    def _start_coming_server(self) -> None:
        assert self._server_order is not None
        self._retire_server(self._coming_server)
        order, self._coming_server = self._server_order, None
        try:
            self._coming_server = start_fork_server(
                self._command, order.environ, order.listener, order.preload, order.patience
            )
        except OSError as error:  # there may be room for one when the next worker is there
            self._notes.say_once(f"{NO_FORK_SERVER_NOW}: {error}")
            self._start_awaiting_workers()
            return
        on_message = partial(self._fork_server_said, self._coming_server)
        self._selector.register(self._coming_server.channel, selectors.EVENT_READ, on_message)

    def _retire_server(self, fork_server: ForkServerHandle | None) -> None:
        """Start no more workers from it."""
        if fork_server is not None:
            self._selector.unregister(fork_server.channel)
            fork_server.retire()

    def _take_spare_server(self) -> ForkServerHandle:
        assert self._spare_server is not None
        spare_server, self._spare_server = self._spare_server, None
        self._selector.unregister(spare_server.channel)
        return spare_server

    def _drop_spare_server(self) -> None:
        if self._spare_server is not None:
            self._take_spare_server().close()

    def _retire_all_servers(self) -> None:
        self._module_servers.drop_server()
        self._drop_spare_server()
        for fork_server in (self._ready_server, self._coming_server):
            self._retire_server(fork_server)
        self._ready_server = self._coming_server = None
        self._start_awaiting_workers()

    def _fork_server_said(self, fork_server: ForkServerHandle) -> None:
        # In the meantime somebody may have waited for this very message (how a worker ended).
        if not fork_server.channel.has_message():
            return
        fork_server.receive_message()
        if fork_server is self._coming_server:
            self._coming_server_said(fork_server)
        elif fork_server is self._spare_server:  # somebody has killed it
            self._drop_spare_server()
        elif fork_server.is_gone:
            self._retire_server(fork_server)
            self._ready_server = None

    def _coming_server_said(self, coming_server: ForkServerHandle) -> None:
        if coming_server.is_ready_to_fork:
            self._lost_in_a_row = 0
            self._retire_server(self._ready_server)
            self._ready_server, self._coming_server = coming_server, None
            if coming_server.first_not_preloaded is not None:
                text = "{} and what follows, because the app changes {} before"
                self._say_not_kept(text, *coming_server.first_not_preloaded)
            if self._awaiting_workers:  # what they import is learned first
                self._start_awaiting_workers()
            else:
                self._start_module_server()
        elif (
            isinstance(coming_server.why_not_fork, SpoiledForkServer)
            and len(self._left_out_packages) < MAX_LEFT_OUT_PACKAGES
        ):
            self._leave_out_packages(coming_server, coming_server.why_not_fork)
        elif isinstance(coming_server.why_not_fork, CannotPreload):
            self._give_up_forking(coming_server.why_not_fork.reason)
        elif coming_server.is_gone:
            self._lose_coming_server(coming_server)

    def _lose_coming_server(self, coming_server: ForkServerHandle) -> None:
        """It has ended before it was ready, maybe for want of memory. The next worker tells again
        what it imports: then another one begins."""
        self._lost_in_a_row += 1
        ended = "the process that was to have the packages ready has ended"
        if self._lost_in_a_row >= MAX_LOST_FORK_SERVERS:
            self._give_up_forking(f"{ended}, {self._lost_in_a_row} times in a row")
            return
        self._retire_server(coming_server)
        self._coming_server = None
        self._notes.say_once(f"{NO_FORK_SERVER_NOW}: {ended}")
        self._start_awaiting_workers()

    def _leave_out_packages(
        self, coming_server: ForkServerHandle, spoiled: SpoiledForkServer
    ) -> None:
        text = "{}, because it {}. Import it in the functions that use it"
        for left_out in spoiled.left_out_packages:
            self._say_not_kept(text, left_out.package, left_out.reason)
            self._left_out_packages[left_out.package] = (left_out, _package_signature(left_out))
        self._imports_of_left_out |= spoiled.imports_of_left_out
        self._coming_server = None
        if spoiled.has_all:
            self._drop_spare_server()
            self._spare_server = coming_server
        else:
            self._retire_server(coming_server)
        if self._awaiting_workers:
            # The next one would keep them from the processor; what they import is learned first.
            self._start_awaiting_workers()
        else:
            self._start_without_left_out()

    def _start_awaiting_workers(self) -> None:
        """With what there is for them, or in new interpreters."""
        awaiting_workers, self._awaiting_workers = self._awaiting_workers, {}
        for worker, listener in awaiting_workers.items():
            try:
                worker.begin(self._start_for_awaiting(worker, listener))
            except OSError:  # the supervisor notices that its channel closes
                worker.kill()

    def _start_for_awaiting(
        self, worker: AwaitedWorker, listener: socket.socket
    ) -> Callable[[socket.socket], ForkedWorker | NewInterpreterWorker]:
        if self._spare_server is not None:
            return self._take_spare_server().become_worker
        if self._ready_server is not None:
            return self._ready_server.fork
        return partial(self._start_new_interpreter, listener, worker)

    def _start_new_interpreter(
        self, listener: socket.socket, worker: AwaitedWorker, worker_end: socket.socket
    ) -> NewInterpreterWorker:
        environ = environ_of_worker(self._plan, self._environ)
        process = start_interpreter_at_channel(self._command, environ, listener, worker_end)
        return NewInterpreterWorker(process, worker.channel)

    def _give_up_forking(self, reason: str) -> None:
        """For as long as the app imports the same."""
        if self._server_order is not None:
            self._given_up_preload = self._server_order.preload
        self._retire_all_servers()
        self._notes.say_once(f"Each reload starts a new interpreter: {reason}")

    def _say_not_kept(self, text: str, *details: str) -> None:
        self._notes.say_once(f"Not kept imported between reloads: {text.format(*details)}")


def _started_worker(
    worker: AwaitedWorker, start: Callable[[socket.socket], ForkedWorker | NewInterpreterWorker]
) -> AwaitedWorker:
    try:
        worker.begin(start)
    except OSError:
        worker.kill()
        worker.channel.close()
        raise
    return worker


def _is_overdue(fork_server: ForkServerHandle) -> bool:
    return time.monotonic() >= fork_server.ready_by


def _package_signature(left_out: LeftOutPackage) -> Signature | None:
    return signature(left_out.package_file) if left_out.package_file else None

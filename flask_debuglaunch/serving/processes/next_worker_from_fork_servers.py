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

from flask_debuglaunch.debuggers.join_debug_session import Session
from flask_debuglaunch.launcher_notes import LauncherNotes
from flask_debuglaunch.plan import Plan, seconds_worth_keeping
from flask_debuglaunch.serving.app.environ_for_app import environ_of_worker
from flask_debuglaunch.serving.ipc_protocol import (
    Import,
    LeftOut,
    Preload,
    Preloadable,
    Spoiled,
    Unsafe,
)
from flask_debuglaunch.serving.processes.project_module_fork_servers import ModuleServers
from flask_debuglaunch.serving.processes.spawn_interpreter import own_command
from flask_debuglaunch.serving.processes.worker_and_fork_server_handles import (
    AwaitedWorker,
    ForkedWorker,
    ForkServerHandle,
    FreshWorker,
    NoMoreProcesses,
    WorkerProcess,
    start_fork_server,
    start_fresh,
    start_fresh_with,
)
from flask_debuglaunch.serving.watching.file_signature import Signature, signature
from flask_debuglaunch.terminal_messages import say

MAX_LEFT_OUT = 20
"""So many packages may spoil a fork server, one after the other, before it is given up."""

MAX_LOST = 3
"""So many in a row may end while they preload: a machine that is short of memory will have some
again, but a package that always ends its process would slow down each reload."""

PATIENCE_FACTOR, PATIENCE_SECONDS = 3, 30.0
"""A worker waits for a fork server for so many times what the app's own imports took, and so long
beyond: a machine under load is never too slow for it, and one that hangs keeps nobody waiting."""


NOT_READY_YET = "The packages are not imported ahead yet: this reload starts a new interpreter"
NO_ROOM = "The packages are not imported ahead now, the next reload tries again"


@dataclass(frozen=True)
class Order:
    """What the next fork server is to be."""

    preload: Preload
    environ: Mapping[str, str]
    listener: socket.socket
    seconds: float
    """What the imports took in the workers."""

    @property
    def patience(self) -> float:
        return PATIENCE_FACTOR * self.seconds + PATIENCE_SECONDS


class WorkerStarter:
    """Keeps a fork server, and the one that comes next until it is ready.

    A process that is started here waits for its task.
    """

    def __init__(self, plan: Plan, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        # As they are now: neither the app nor a debugger shall change what a worker starts with.
        self._environ = dict(os.environ)
        self._plan = plan
        self._command = own_command(under_debugger=plan.connection.value == "present")
        self._ready: ForkServerHandle | None = None
        self._coming: ForkServerHandle | None = None
        self._spare: ForkServerHandle | None = None
        """One that can't fork, but has everything, and can become the next worker."""
        self._order: Order | None = None
        self._given_up: Preload | None = None
        self._lost = 0
        """How many fork servers with this order, in a row, have ended while they preloaded."""
        self._left_out: dict[str, tuple[LeftOut, Signature | None]] = {}
        """Packages that spoil a fork server, each with its file's signature."""
        self._instead: dict[str, tuple[str, ...]] = {}
        """What modules of these packages import of others."""
        self._awaiting: dict[AwaitedWorker, socket.socket] = {}
        """With the listener of each."""
        self._notes = LauncherNotes()
        self._modules = ModuleServers(selector, self._notes)

    def start(self, listener: socket.socket) -> WorkerProcess:
        """A process on its way to become a worker. Raises OSError if there can be none."""
        self._modules.pause()
        if self._spare is not None:
            if self._spare.is_fresh():
                worker = AwaitedWorker()  # the spare stays if there is no room for one
                spare = self._take_spare()
                with contextlib.suppress(OSError):  # somebody has killed it
                    return _begun(worker, spare.become_worker)
                spare.close()
            else:
                self._drop_spare()
        if self._ready is not None:
            if self._ready.is_fresh():
                for server in filter(None, (self._modules.usable(self._ready), self._ready)):
                    worker = AwaitedWorker()  # no server is to blame if there is no room for one
                    try:
                        return _begun(worker, server.fork)
                    except NoMoreProcesses:  # nor is there one for a new interpreter
                        raise
                    except OSError:  # somebody has killed it, or it hangs
                        continue
            # An installed package was changed: what it does may be another thing now.
            self._left_out.clear()
            self._instead.clear()
            self._retire(self._ready)
            self._ready = None
            if self._coming is None:
                self._start_again()
        if self._coming is not None:
            if not _is_overdue(self._coming):  # it has had a start already
                worker = AwaitedWorker()
                self._awaiting[worker] = listener
                return worker
            say(NOT_READY_YET)
        return start_fresh(self._command, environ_of_worker(self._plan, self._environ), listener)

    @property
    def deadline(self) -> float | None:
        """When workers have waited for too long (time.monotonic()); None if none waits."""
        return self._coming.due if self._coming is not None and self._awaiting else None

    def be_late(self) -> None:
        """The deadline has passed: they begin without what they have waited for."""
        say(NOT_READY_YET)
        self._begin_awaiting()

    def follow(self, plan: Plan) -> None:
        """The configuration has changed: what is there has old variables in its environment."""
        self._plan = plan
        self._order = self._given_up = None
        self.forget_modules()
        self._retire_all()

    def learn(
        self, learned: Preloadable, plan: Plan, session: Session | None, listener: socket.socket
    ) -> None:
        """Have a fork server start with what the app has imported, for the next worker."""
        if not plan.preload.value:
            return
        self._modules.learn(learned, seconds_worth_keeping(plan))
        self._learn_packages(learned, plan, session, listener)
        self._begin_modules()

    def wants_to_know_modules(self, plan: Plan) -> bool:
        """Is the next worker to look on at the project's modules?"""
        return seconds_worth_keeping(plan) is not None and not self._modules.knows

    def forget_modules(self, files: frozenset[str] = frozenset()) -> None:
        """Those of these files must run in each worker; all do other things than was seen if there
        are none."""
        self._modules.forget(files)

    def _begin_modules(self) -> None:
        if self._ready is not None and self._coming is None:
            self._modules.begin(self._ready, self._left_out)

    def _learn_packages(
        self, learned: Preloadable, plan: Plan, session: Session | None, listener: socket.socket
    ) -> None:
        if learned.unsafe is not None:
            self._give_up(learned.unsafe)
            return
        wanted, seconds = learned.imports, learned.seconds
        if learned.was_forked and self._order is not None:
            known = self._order.preload.imports
            names = {one.module for one in known}
            wanted = (*known, *(one for one in wanted if one.module not in names))
            seconds += self._order.seconds
        left_out = self._still_left_out()
        preload = Preload(self._with_those_of_left_out(wanted), left_out, plan, session)
        is_known = self._order is not None and preload == self._order.preload
        hangs = self._coming is not None and _is_overdue(self._coming)
        if preload == self._given_up or (is_known and self._has(preload) and not hangs):
            return
        if not learned.was_forked:  # the one at hand has something else than a new interpreter
            self._retire(self._ready)
            self._ready = None
            self._drop_spare()
        if not is_known:
            self._lost = 0
        self._order = Order(preload, self._environ, listener, seconds)
        self._begin_next()

    def _has(self, preload: Preload) -> bool:
        """Is there a fork server for that, or one on its way? It may have been killed, or there was
        no room for it."""
        return any(one is not None and one.preload == preload for one in self._fork_servers)

    @property
    def _fork_servers(self) -> tuple[ForkServerHandle | None, ...]:
        return self._ready, self._coming, self._spare

    def ended(self, process: WorkerProcess) -> None:
        """A worker that was started here has ended."""
        if not isinstance(process, AwaitedWorker):
            return
        if process in self._awaiting:  # it was not worth waiting for
            del self._awaiting[process]
            self._retire(self._coming)
            self._coming = None
        if isinstance(process.process, ForkedWorker):
            fork_server = process.process.fork_server
            if fork_server not in (self._ready, self._coming) and not self._modules.has(
                fork_server
            ):
                fork_server.close()

    def close(self) -> None:
        self._modules.close()
        self._notes.close()
        for fork_server in self._fork_servers:
            if fork_server is not None:
                fork_server.close()

    def _still_left_out(self) -> dict[str, frozenset[str]]:
        """Those whose file has not changed since."""
        for package, (spoiled, was) in [*self._left_out.items()]:
            if _signature(spoiled) != was:
                del self._left_out[package]
        return {package: spoiled.changes for package, (spoiled, _) in self._left_out.items()}

    def _with_those_of_left_out(self, imports: Iterable[Import]) -> tuple[Import, ...]:
        """What left-out packages import comes in their places."""
        found: dict[str, Import] = {}
        for one in imports:
            self._unfold(one, found)
        return tuple(found.values())

    def _unfold(self, one: Import, found: dict[str, Import]) -> None:
        if one.module not in found:
            found[one.module] = one
            for module in self._instead.get(one.module, ()):
                self._unfold(replace(one, module=module), found)

    def _start_again(self) -> None:
        """With what is known by now of the packages that must be left out."""
        if self._order is not None:
            left_out = self._still_left_out()
            imports = self._with_those_of_left_out(self._order.preload.imports)
            preload = replace(self._order.preload, imports=imports, left_out=left_out)
            self._order = replace(self._order, preload=preload)
            self._begin_next()

    def _begin_next(self) -> None:
        assert self._order is not None
        self._retire(self._coming)
        order, self._coming = self._order, None
        try:
            self._coming = start_fork_server(
                self._command, order.environ, order.listener, order.preload, order.patience
            )
        except OSError as error:  # there may be room for one when the next worker is there
            self._notes.say_once(f"{NO_ROOM}: {error}")
            self._begin_awaiting()
            return
        heard = partial(self._fork_server_said, self._coming)
        self._selector.register(self._coming.channel, selectors.EVENT_READ, heard)

    def _retire(self, fork_server: ForkServerHandle | None) -> None:
        """Start no more workers from it."""
        if fork_server is not None:
            self._selector.unregister(fork_server.channel)
            fork_server.retire()

    def _take_spare(self) -> ForkServerHandle:
        assert self._spare is not None
        spare, self._spare = self._spare, None
        self._selector.unregister(spare.channel)
        return spare

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._take_spare().close()

    def _retire_all(self) -> None:
        self._modules.drop()
        self._drop_spare()
        for fork_server in (self._ready, self._coming):
            self._retire(fork_server)
        self._ready = self._coming = None
        self._begin_awaiting()

    def _fork_server_said(self, fork_server: ForkServerHandle) -> None:
        # In the meantime somebody may have waited for this very message (how a worker ended).
        if not fork_server.channel.has_message():
            return
        fork_server.hear()
        if fork_server is self._coming:
            self._next_said(fork_server)
        elif fork_server is self._spare:  # somebody has killed it
            self._drop_spare()
        elif fork_server.is_gone:
            self._retire(fork_server)
            self._ready = None

    def _next_said(self, coming: ForkServerHandle) -> None:
        if coming.is_ready:
            self._lost = 0
            self._retire(self._ready)
            self._ready, self._coming = coming, None
            if coming.rest is not None:
                self._tell("{} and what follows, because the app changes {} before", *coming.rest)
            if self._awaiting:  # what they import is learned first
                self._begin_awaiting()
            else:
                self._begin_modules()
        elif isinstance(coming.spoiled, Spoiled) and len(self._left_out) < MAX_LEFT_OUT:
            self._leave_out(coming, coming.spoiled)
        elif isinstance(coming.spoiled, Unsafe):
            self._give_up(coming.spoiled.reason)
        elif coming.is_gone:
            self._lose(coming)

    def _lose(self, coming: ForkServerHandle) -> None:
        """It has ended before it was ready, maybe for want of memory. The next worker tells again
        what it imports: then another one begins."""
        self._lost += 1
        ended = "the process that was to have the packages ready has ended"
        if self._lost >= MAX_LOST:
            self._give_up(f"{ended}, {self._lost} times in a row")
            return
        self._retire(coming)
        self._coming = None
        self._notes.say_once(f"{NO_ROOM}: {ended}")
        self._begin_awaiting()

    def _leave_out(self, coming: ForkServerHandle, spoiled: Spoiled) -> None:
        told = "{}, because it {}. Import it in the functions that use it"
        for one in spoiled.left_out:
            self._tell(told, one.package, one.reason)
            self._left_out[one.package] = (one, _signature(one))
        self._instead |= spoiled.instead
        self._coming = None
        if spoiled.has_all:
            self._drop_spare()
            self._spare = coming
        else:
            self._retire(coming)
        if self._awaiting:  # the next one would keep them from the processor; what they import is
            self._begin_awaiting()  # learned first
        else:
            self._start_again()

    def _begin_awaiting(self) -> None:
        """With what there is for them, or in new interpreters."""
        awaiting, self._awaiting = self._awaiting, {}
        for worker, listener in awaiting.items():
            try:
                worker.begin(self._way_to_begin(worker, listener))
            except OSError:  # the supervisor notices that its channel closes
                worker.kill()

    def _way_to_begin(
        self, worker: AwaitedWorker, listener: socket.socket
    ) -> Callable[[socket.socket], ForkedWorker | FreshWorker]:
        if self._spare is not None:
            return self._take_spare().become_worker
        return self._ready.fork if self._ready else partial(self._fresh, listener, worker)

    def _fresh(
        self, listener: socket.socket, worker: AwaitedWorker, end: socket.socket
    ) -> FreshWorker:
        environ = environ_of_worker(self._plan, self._environ)
        process = start_fresh_with(self._command, environ, listener, end)
        return FreshWorker(process, worker.channel)

    def _give_up(self, reason: str) -> None:
        """For as long as the app imports the same."""
        self._given_up = self._order.preload if self._order else None
        self._retire_all()
        self._notes.say_once(f"Each reload starts a new interpreter: {reason}")

    def _tell(self, text: str, *details: str) -> None:
        self._notes.say_once(f"Not kept imported between reloads: {text.format(*details)}")


def _begun(
    worker: AwaitedWorker, start: Callable[[socket.socket], ForkedWorker | FreshWorker]
) -> AwaitedWorker:
    try:
        worker.begin(start)
    except OSError:
        worker.kill()
        worker.channel.close()
        raise
    return worker


def _is_overdue(fork_server: ForkServerHandle) -> bool:
    return time.monotonic() >= fork_server.due


def _signature(spoiled: LeftOut) -> Signature | None:
    return signature(spoiled.file) if spoiled.file else None

"""Where a process can't be forked: one that has the installed packages imported already waits to
become the next worker, and is started when the one before it serves.

Nothing is shared with any other process, so packages may do what they like while they are imported.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import selectors
import signal
import socket
import subprocess
import sys
from dataclasses import replace

from flask_debuglaunch.debuggers import join_debug_session
from flask_debuglaunch.debuggers.join_debug_session import Session
from flask_debuglaunch.debuggers.subprocess_debugging import children_left_alone
from flask_debuglaunch.launcher_notes import LauncherNotes
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.app_finder import find_target, make_importable
from flask_debuglaunch.serving.app.environ_for_app import environ_of_worker, set_for_app
from flask_debuglaunch.serving.app.server_calls_in_app import let_run_simple_serve
from flask_debuglaunch.serving.ipc_protocol import (
    Channel,
    Import,
    Misfit,
    Preloadable,
    Preloaded,
    Prepare,
    Unsafe,
)
from flask_debuglaunch.serving.preloading.preloaded_modules import PreloadedModules
from flask_debuglaunch.serving.preloading.state_snapshots import look
from flask_debuglaunch.serving.processes.silenced_output import silenced_output
from flask_debuglaunch.serving.processes.spawn_interpreter import Inheritance, own_command, spawn
from flask_debuglaunch.serving.processes.worker_and_fork_server_handles import (
    FreshWorker,
    WorkerProcess,
    start_fresh,
)
from flask_debuglaunch.serving.watching.file_signature import Signature, changed_since, signatures
from flask_debuglaunch.serving.watching.files_used_by_app import (
    ImportsSeen,
    files_and_folders_of_imports,
)

# In the process that waits


def wait_for_task(prepare: Prepare, inherited: Inheritance) -> Inheritance:
    """Import ahead what the app will import, then wait; returns with the task. The task may come
    while the imports are under way."""
    # Ctrl-C is for the supervisor, and for the worker once it is one.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    environ = dict(os.environ)
    modules = _import_ahead(prepare)
    if modules is None:
        inherited.channel.tell(Unsafe("an installed package imports a file of the project"))
    else:
        inherited.channel.tell(Preloaded(files_and_folders_of_imports(), None))
    task = inherited.channel.receive()
    if task is None or modules is None:
        inherited.channel.tell(Misfit())
        os._exit(0)
    signal.signal(signal.SIGINT, interrupt)
    importlib.invalidate_caches()
    return replace(inherited, task=task, preloaded=modules, environ=environ)


def _import_ahead(prepare: Prepare) -> PreloadedModules | None:
    """None if that has imported a file of the project, which the next save may change."""
    set_for_app(prepare.plan, supervised=True)
    let_run_simple_serve()
    make_importable(find_target(prepare.plan).path)
    seen, brought = ImportsSeen(0), {}
    seen.new_files()
    with silenced_output():
        if prepare.session is not None:
            join_debug_session.preload(prepare.session)
        importlib.import_module("flask_debuglaunch.serving.worker_main")
        begun = look()
        for one in prepare.imports:
            if not one.by_us and set(one.changes) != set(look().changes_since(begun)):
                break  # the app changes something before
            before = set(sys.modules)
            # What fails here fails, or not, in the worker, where the app can handle it.
            with contextlib.suppress(Exception):
                importlib.import_module(one.module)
            brought[one.module] = frozenset(sys.modules) - before
        changes = look().changes_since(begun)
    return None if seen.new_files() else PreloadedModules(brought, changes)


# In the supervisor


class WaitingProcess:
    """The process as the supervisor sees it."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel) -> None:
        self.worker = FreshWorker(process, channel)
        self._files: dict[str, Signature | None] = {}
        self.why_not: str | None = None
        """Why it can't become a worker."""

    @property
    def channel(self) -> Channel:
        return self.worker.channel

    def hear(self) -> None:
        """Take in the next message."""
        match self.channel.receive():
            case Preloaded(files):
                self._files = signatures(files)
            case Unsafe(reason):
                self.why_not = reason
            case _:
                self.why_not = "the process that was to have the packages ready has ended"

    def is_fresh(self) -> bool:
        """Are the packages still what they were when it imported them?"""
        return not changed_since(self._files)


class WaitingWorkers:
    """As WorkerStarter, for platforms without fork: keeps one process that waits."""

    def __init__(self, plan: Plan, selector: selectors.BaseSelector) -> None:
        self._plan, self._selector = plan, selector
        # As they are now: neither the app nor a debugger shall change what a worker starts with.
        self._environ = dict(os.environ)
        self._command = own_command(under_debugger=plan.connection.value == "present")
        self._waiting: WaitingProcess | None = None
        self._imports: tuple[Import, ...] = ()
        self._notes = LauncherNotes()

    def start(self, listener: socket.socket) -> WorkerProcess:
        """A process on its way to become a worker. Raises OSError if there can be none."""
        waiting = self._waiting
        if waiting is not None and waiting.is_fresh():
            self._forget()
            return waiting.worker
        self._discard()
        return start_fresh(self._command, environ_of_worker(self._plan, self._environ), listener)

    def follow(self, plan: Plan) -> None:
        """The configuration has changed: who waits has old variables in its environment."""
        self._plan = plan
        self._imports = ()
        self._discard()

    def learn(
        self, learned: Preloadable, plan: Plan, session: Session | None, listener: socket.socket
    ) -> None:
        """Have a process import ahead what the app has imported, to become the next worker."""
        if not plan.preload.value:
            return
        self._discard()
        if learned.unsafe is not None:
            self._tell(learned.unsafe)
            return
        known = self._imports if learned.was_forked else ()
        names = {one.module for one in known}
        self._imports = (*known, *(one for one in learned.imports if one.module not in names))
        try:
            with children_left_alone():
                process, channel = spawn(self._command, self._environ, listener)
        except OSError as error:
            self._tell(f"none can be started ahead: {error}")
            return
        channel.tell(Prepare(self._imports, plan, session))
        self._waiting = WaitingProcess(process, channel)
        self._selector.register(channel, selectors.EVENT_READ, self._waiting_said)

    def wants_to_know_modules(self, plan: Plan) -> bool:
        """Never: the modules of the project are imported after the save."""
        return False

    def forget_modules(self, files: frozenset[str] = frozenset()) -> None:
        """None are known."""

    deadline: float | None = None
    """Who waits may take its time: a task can be given to it at any moment."""

    def be_late(self) -> None:
        """There is no deadline to miss."""

    def ended(self, process: WorkerProcess) -> None:
        """A worker that was started here has ended."""

    def close(self) -> None:
        self._discard()
        self._notes.close()

    def _waiting_said(self) -> None:
        assert self._waiting is not None
        self._waiting.hear()
        if self._waiting.why_not is not None:
            self._tell(self._waiting.why_not)
            self._discard()

    def _forget(self) -> None:
        if self._waiting is not None:
            self._selector.unregister(self._waiting.channel)
            self._waiting = None

    def _discard(self) -> None:
        waiting = self._waiting
        self._forget()
        if waiting is not None:
            waiting.channel.close()
            waiting.worker.kill()
            waiting.worker.exit_status()

    def _tell(self, reason: str) -> None:
        self._notes.say_once(f"Each reload starts a new interpreter: {reason}")

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
from flask_debuglaunch.debuggers.join_debug_session import DebugSession
from flask_debuglaunch.debuggers.subprocess_debugging import children_left_alone
from flask_debuglaunch.launcher_notes import LauncherNotes
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.app_finder import find_target, make_importable
from flask_debuglaunch.serving.app.environ_for_app import environ_of_worker, set_for_app
from flask_debuglaunch.serving.app.server_calls_in_app import let_run_simple_serve
from flask_debuglaunch.serving.ipc_protocol import (
    AppImport,
    CannotPreload,
    Channel,
    Misfit,
    Preloadable,
    Preloaded,
    Prepare,
)
from flask_debuglaunch.serving.preloading.preloaded_modules import (
    PreloadedModules,
    merged_imports,
)
from flask_debuglaunch.serving.preloading.replayed_changes import (
    ReplayedAppState,
    UnsteadyChanges,
)
from flask_debuglaunch.serving.processes.silenced_output import silenced_output
from flask_debuglaunch.serving.processes.spawn_interpreter import Inheritance, own_command, spawn
from flask_debuglaunch.serving.processes.worker_and_fork_server_handles import (
    NewInterpreterWorker,
    WorkerProcess,
    start_interpreter,
)
from flask_debuglaunch.serving.watching.file_signature import Signature, changed_since, signatures
from flask_debuglaunch.serving.watching.files_used_by_app import (
    ImportedFiles,
    files_and_folders_of_imports,
)

# In the process that waits


def wait_for_task(prepare: Prepare, inherited: Inheritance) -> Inheritance:
    """Import ahead what the app will import, then wait; returns with the task. The task may come
    while the imports are under way."""
    # Ctrl-C is for the supervisor, and for the worker once it is one.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    environ = dict(os.environ)
    preloaded_modules = _import_ahead(prepare)
    if preloaded_modules is None:
        inherited.channel.tell(CannotPreload("an installed package imports a file of the project"))
    else:
        inherited.channel.tell(Preloaded(files_and_folders_of_imports(), None))
    task = inherited.channel.receive()
    if task is None or preloaded_modules is None:
        inherited.channel.tell(Misfit())
        os._exit(0)
    signal.signal(signal.SIGINT, interrupt)
    importlib.invalidate_caches()
    return replace(inherited, task=task, preloaded=preloaded_modules, environ=environ)


def _import_ahead(prepare: Prepare) -> PreloadedModules | None:
    """None if that has imported a file of the project, which the next save may change."""
    set_for_app(prepare.plan, supervised=True)
    let_run_simple_serve()
    make_importable(find_target(prepare.plan).path)
    imported_files, modules_brought = ImportedFiles(0), {}
    imported_files.new_project_files()
    with silenced_output():
        if prepare.session is not None:
            join_debug_session.preload(prepare.session)
        importlib.import_module("flask_debuglaunch.serving.worker_main")
        app_state = ReplayedAppState(unsteady=prepare.unsteady)
        for app_import in prepare.imports:
            if not app_import.is_by_launcher and app_state.replay(app_import.changes):
                break  # the app changes something before
            modules_before = set(sys.modules)
            # What fails here fails, or not, in the worker, where the app can handle it.
            with app_state.importing(app_import.module), contextlib.suppress(Exception):
                importlib.import_module(app_import.module)
            modules_brought[app_import.module] = frozenset(sys.modules) - modules_before
        app_state.undo()
    if imported_files.new_project_files():
        return None
    return PreloadedModules(
        modules_brought,
        app_state.changes_of_packages,
        app_state.changes_of_app(),
        app_state.warnings_filters,
    )


# In the supervisor


class WaitingWorker:
    """The process that waits, as the supervisor sees it."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel) -> None:
        self.worker = NewInterpreterWorker(process, channel)
        self._package_signatures: dict[str, Signature | None] = {}
        self.why_not_ready: str | None = None
        """Why it can't become a worker."""

    @property
    def channel(self) -> Channel:
        return self.worker.channel

    def receive_message(self) -> None:
        """Take in the next message."""
        match self.channel.receive():
            case Preloaded(package_files):
                self._package_signatures = signatures(package_files)
            case CannotPreload(reason):
                self.why_not_ready = reason
            case _:
                self.why_not_ready = "the process that was to have the packages ready has ended"

    def has_current_packages(self) -> bool:
        """Are the packages still what they were when it imported them?"""
        return not changed_since(self._package_signatures)


class WaitingWorkerStarter:
    """As WorkerStarter, for platforms without fork: keeps one process that waits."""

    def __init__(self, plan: Plan, selector: selectors.BaseSelector) -> None:
        self._plan, self._selector = plan, selector
        # As they are now: neither the app nor a debugger shall change what a worker starts with.
        self._environ = dict(os.environ)
        self._command = own_command(under_debugger=plan.connection.value == "present")
        self._waiting_worker: WaitingWorker | None = None
        self._imports_ahead: tuple[AppImport, ...] = ()
        self._unsteady_changes = UnsteadyChanges()
        self._notes = LauncherNotes()

    def start(self, listener: socket.socket) -> WorkerProcess:
        """A process on its way to become a worker. Raises OSError if there can be none."""
        waiting_worker = self._waiting_worker
        if waiting_worker is not None and waiting_worker.has_current_packages():
            self._forget_waiting_worker()
            return waiting_worker.worker
        self._end_waiting_worker()
        return start_interpreter(
            self._command, environ_of_worker(self._plan, self._environ), listener
        )

    def follow(self, plan: Plan) -> None:
        """The configuration has changed: who waits has old variables in its environment."""
        self._plan = plan
        self._imports_ahead = ()
        self._end_waiting_worker()

    def learn(
        self,
        preloadable: Preloadable,
        plan: Plan,
        session: DebugSession | None,
        listener: socket.socket,
    ) -> None:
        """Have a process import ahead what the app has imported, to become the next worker."""
        if not plan.preload.value:
            return
        self._end_waiting_worker()
        if preloadable.unsafe is not None:
            self._say_new_interpreter(preloadable.unsafe)
            return
        if preloadable.unlike is not None:  # what it tells next are its imports as they are now
            self._unsteady_changes.note_unlike(preloadable.unlike.name)
            return
        if preloadable.was_forked:
            self._unsteady_changes.note_fit()
        imports_before = self._imports_ahead if preloadable.was_forked else ()
        imports_ahead = merged_imports(imports_before, preloadable.imports)
        self._imports_ahead = tuple(map(self._unsteady_changes.levelled, imports_ahead))
        try:
            with children_left_alone():
                process, channel = spawn(self._command, self._environ, listener)
        except OSError as error:
            self._say_new_interpreter(f"none can be started ahead: {error}")
            return
        unsteady = self._unsteady_changes.names
        channel.tell(Prepare(self._imports_ahead, plan, session, unsteady))
        self._waiting_worker = WaitingWorker(process, channel)
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
        self._end_waiting_worker()
        self._notes.close()

    def _waiting_said(self) -> None:
        assert self._waiting_worker is not None
        self._waiting_worker.receive_message()
        if self._waiting_worker.why_not_ready is not None:
            self._say_new_interpreter(self._waiting_worker.why_not_ready)
            self._end_waiting_worker()

    def _forget_waiting_worker(self) -> None:
        if self._waiting_worker is not None:
            self._selector.unregister(self._waiting_worker.channel)
            self._waiting_worker = None

    def _end_waiting_worker(self) -> None:
        waiting_worker = self._waiting_worker
        self._forget_waiting_worker()
        if waiting_worker is not None:
            waiting_worker.channel.close()
            waiting_worker.worker.kill()
            waiting_worker.worker.exit_status()

    def _say_new_interpreter(self, reason: str) -> None:
        self._notes.say_once(f"Each reload starts a new interpreter: {reason}")

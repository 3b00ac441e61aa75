"""One life of a worker: attach the debugger, import the app, serve it, and make room for the next.

The main thread does all of that. Another one obeys the supervisor meanwhile, and ends the process
with it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from select import select  # the originals: an app may patch the modules (gevent)
from time import sleep
from typing import TYPE_CHECKING, NoReturn

from flask_debuglaunch.debuggers import join_debug_session, pydevd_internals
from flask_debuglaunch.debuggers.subprocess_debugging import ChildStops
from flask_debuglaunch.debuggers.terminal_debuggers import prompting_at
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.native_threads import is_main_thread
from flask_debuglaunch.serving.app.app_import import failing_app, import_app, print_error, take_over
from flask_debuglaunch.serving.app.compatibility_warnings import (
    is_patched_for_greenlets,
    warn_of_incompatibilities,
)
from flask_debuglaunch.serving.app.files_written_by_app import report_written_files
from flask_debuglaunch.serving.app.middleware import with_middleware
from flask_debuglaunch.serving.attach_debugger import (
    asks_ide,
    attach_worker,
    debugger_of,
    session_to_join,
)
from flask_debuglaunch.serving.ipc_protocol import (
    Attached,
    Attaching,
    Channel,
    CleanedUp,
    Failed,
    Go,
    IdeLeft,
    Leaving,
    ModulesUnfit,
    Preloadable,
    Ready,
    Resumed,
    Retire,
    Stopped,
    Task,
    Watch,
    Writes,
)
from flask_debuglaunch.serving.preloading.import_code_analysis import lines_run_on_import
from flask_debuglaunch.serving.preloading.preloaded_modules import (
    HiddenModules,
    ImportRecorder,
    installed_imports,
    project_files_of,
)
from flask_debuglaunch.serving.preloading.project_module_recorder import ModuleRecorder
from flask_debuglaunch.serving.processes.fork_safety import why_not_fork
from flask_debuglaunch.serving.processes.ports_and_locks import holds_what_next_may_need
from flask_debuglaunch.serving.processes.spawn_interpreter import Inheritance, start_afresh
from flask_debuglaunch.serving.server.http_server import AppServer, make_server
from flask_debuglaunch.serving.server.tls_certificate import ssl_context_of
from flask_debuglaunch.serving.watching.files_used_by_app import (
    ImportedFiles,
    files_of_error,
    template_folders,
)
from flask_debuglaunch.terminal_messages import say

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

EXIT_SECONDS = 2.0
"""How long atexit functions and the app's own threads may take."""

STAY_SECONDS = 2.0
"""How long one that has cleaned up stays for the IDE's sake."""
STAY_POLL_SECONDS = 0.01

LEAVE_SECONDS = 5.0
"""How long the supervisor may take to end a worker that the IDE's Stop button is to end."""

THREAD_START_SECONDS = 1.0
STOP_POLL_SECONDS = 0.02
REPORT_SECONDS = 0.05
"""So long the first requests have the interpreter for themselves."""


# The main thread


@dataclass(frozen=True)
class LoadedApp:
    """The app that is to be served."""

    app: WSGIApplication
    was_given: bool = False
    """The user's own program has made it."""
    failed: bool = False
    """It stands in for one that could not be imported."""
    mended_by: frozenset[str] = frozenset()
    """The files of which one has to change, or to come, before it can be."""


def serve_as_worker(task: Task, inherited: Inheritance, app: WSGIApplication | None) -> int:
    """Serve the app until the supervisor sends Retire; returns the exit status."""
    channel, import_began = inherited.channel, time.time()
    control_thread = ControlThread(task, channel)
    import_recorder = _new_import_recorder(task, inherited)
    module_recorder = _new_module_recorder(task, inherited, app)
    _close_in_children(inherited)
    report_written_files(lambda path: channel.tell(Writes(path)))
    try:
        _attach_debugger(task, channel, inherited.preloaded.hidden_modules)
        if task.session is not None:
            control_thread.child_stops.follow()
        if app is None:
            loaded_app = _import_or_serve_error(task, import_recorder, module_recorder)
        else:
            loaded_app = _take_given_app(task, app)
        if task.is_first_worker:
            warn_of_incompatibilities(loaded_app.app, task.plan)
        with import_recorder.making_server():
            app_server = _make_app_server(task, inherited, loaded_app.app)
    except LaunchError as error:
        channel.tell(Failed(str(error), error.exit_status))
        return error.exit_status
    except FirstImportFailed:
        channel.tell(Failed(None, 2))
        return 2
    reports = _reports_to_supervisor(
        channel, app_server, loaded_app, import_recorder, module_recorder, import_began
    )
    control_thread.serve_with(app_server, reports)
    channel.tell(Ready(loaded_app.failed))
    if is_patched_for_greenlets():
        _leave_interrupts_to_supervisor()
    is_drained = _serve_until_drained(app_server, control_thread)
    own_sockets = (inherited.listener, control_thread.child_stops)
    lets_next_start = is_drained and not holds_what_next_may_need(*own_sockets)
    if lets_next_start:
        channel.tell(Leaving())
    _run_exit_functions(control_thread)
    if lets_next_start:
        channel.tell(CleanedUp())
        if task.session is not None and task.session.is_debugpy:
            _stay_for_ide(control_thread)
    if is_drained:
        _await_reports(control_thread)
    os._exit(0)


def _await_reports(control_thread: ControlThread) -> None:
    """Who saves as soon as we serve has us end before we have told what the next worker could have
    ready; so would the next one, and each reload would start a new interpreter."""
    deadline = time.monotonic() + EXIT_SECONDS
    while not control_thread.has_made_reports and time.monotonic() < deadline:
        sleep(STAY_POLL_SECONDS)


def _stay_for_ide(control_thread: ControlThread) -> None:
    """Keep our session in the IDE until the next worker has its own: VS Code selects that one if
    ours was selected. If ours ends first, it selects the supervisor's, where its Pause does nothing
    and its Debug Console knows nothing of the app."""
    control_thread.allow_exit(STAY_SECONDS)
    while not control_thread.may_leave_ide:
        sleep(STAY_POLL_SECONDS)


def _new_import_recorder(task: Task, inherited: Inheritance) -> ImportRecorder:
    def start_new_interpreter(module: str, deed: str, *, change: str | None = None) -> NoReturn:
        reason = f"the app now {deed} before it imports {module}"
        start_afresh(task, inherited, reason, change)

    return ImportRecorder(inherited.preloaded, start_new_interpreter)


def _make_room_for_breakpoints(hidden_modules: HiddenModules, channel: Channel) -> None:
    """A breakpoint is never hit in a module that has run already. Where there is such a one, this
    worker ends before it has done anything, and the supervisor starts another one without it."""
    for breakpoint_file, breakpoint_lines in pydevd_internals.breakpoint_lines().items():
        module = hidden_modules.module_of(breakpoint_file)
        if module is not None and breakpoint_lines & lines_run_on_import(Path(breakpoint_file)):
            say(f"Imported anew at each reload: {module}, because it has a breakpoint there")
            channel.tell(ModulesUnfit(frozenset({breakpoint_file})))
            os.kill(os.getpid(), signal.SIGKILL)


def _new_module_recorder(
    task: Task, inherited: Inheritance, app: WSGIApplication | None
) -> ModuleRecorder | None:
    """Where the next worker could have modules of the project ready, and this one has none."""
    if (
        not task.look_at_project_modules
        or inherited.preloaded.hidden_modules is not None
        or app is not None
    ):
        return None
    return ModuleRecorder(inherited.preloaded.changes)


def _attach_debugger(task: Task, channel: Channel, hidden_modules: HiddenModules | None) -> None:
    session = session_to_join(task)
    if session is not None:
        join_debug_session.preload(session)  # which takes our time, not the IDE's
    if asks_ide(task):
        channel.tell(Attaching())
    attach_worker(task)
    if hidden_modules is not None:
        _make_room_for_breakpoints(hidden_modules, channel)
    debugger = debugger_of(task.plan)
    if session is not None:
        debugger.when_ide_leaves(lambda: _ide_left(channel, ends_run=session.is_launch))
    presence = debugger.presence()
    channel.tell(Attached(by_ide=presence is not None and presence.attached))


def _ide_left(channel: Channel, ends_run: bool) -> None:
    channel.tell(IdeLeft(ends_run))
    if ends_run:  # the supervisor kills us: no stopped thread shall go on meanwhile
        sleep(LEAVE_SECONDS)


def _close_in_children(inherited: Inheritance) -> None:
    """What the app forks (multiprocessing) must not hold the port, nor be taken for us."""

    def close_sockets_in_child() -> None:
        inherited.listener.close()
        inherited.channel.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=close_sockets_in_child)


def _take_given_app(task: Task, app: WSGIApplication) -> LoadedApp:
    take_over(app, task.plan, supervised=True)
    return LoadedApp(app, was_given=True)


class FirstImportFailed(Exception):
    pass


def _import_or_serve_error(
    task: Task, import_recorder: ImportRecorder, module_recorder: ModuleRecorder | None
) -> LoadedApp:
    try:
        app = import_app(
            task.plan,
            supervised=True,
            first=task.is_first_worker,
            recorder=_both_recorders(import_recorder, module_recorder),
            when_imported=import_recorder.app_is_imported,
        )
    except Exception as error:
        if not task.serve_errors and isinstance(error, LaunchError):
            raise
        print_error(error)
        if not task.serve_errors:
            raise FirstImportFailed from None
        return LoadedApp(failing_app(error), failed=True, mended_by=files_of_error(error))
    return LoadedApp(app)


@contextlib.contextmanager
def _both_recorders(
    import_recorder: ImportRecorder, module_recorder: ModuleRecorder | None
) -> Iterator[None]:
    with import_recorder, module_recorder or contextlib.nullcontext():
        yield


def _make_app_server(task: Task, inherited: Inheritance, app: WSGIApplication) -> AppServer:
    tls = ssl_context_of(task.plan, task.certificate)
    threads = task.plan.settings.with_threads.value
    return make_server(inherited.listener, with_middleware(app, task.plan), tls, threads=threads)


def _reports_to_supervisor(
    channel: Channel,
    server: AppServer,
    loaded_app: LoadedApp,
    import_recorder: ImportRecorder,
    module_recorder: ModuleRecorder | None,
    since: float,
) -> list[Callable[[], None]]:
    """What the supervisor is told: what the next worker could have ready, and what to watch."""

    def tell_preloadable() -> None:
        channel.tell(_preloadable(loaded_app, import_recorder, module_recorder, since))

    def tell_watched() -> None:
        imported_files = ImportedFiles(since)
        folders = _folders_to_watch(loaded_app.app)
        _tell_watch(channel, imported_files.watch_for_new_imports(folders, loaded_app.mended_by))
        server.after_request = lambda: _tell_watch(channel, imported_files.watch_for_new_imports())

    # The first one first, for to have it ready takes long.
    return [tell_watched] if loaded_app.failed else [tell_preloadable, tell_watched]


def _preloadable(
    loaded_app: LoadedApp,
    import_recorder: ImportRecorder,
    module_recorder: ModuleRecorder | None,
    since: float,
) -> Preloadable:
    preloadable = Preloadable(
        tuple(installed_imports(import_recorder.imports)),
        import_recorder.was_forked,
        why_not_fork(was_given=loaded_app.was_given),
        import_recorder.seconds,
        project_files_of(import_recorder.imports),
    )
    if module_recorder is None:
        return preloadable
    return replace(
        preloadable,
        module_runs=module_recorder.runs(),
        project_seconds=module_recorder.seconds,
        since=since,
    )


def _folders_to_watch(app: WSGIApplication) -> frozenset[str]:
    try:
        return template_folders(app)
    except Exception as error:  # a loader of the app's own
        say(f"No template restarts the app: its loader has raised {type(error).__name__}: {error}")
        return frozenset()


def _tell_watch(channel: Channel, watch: Watch | None) -> None:
    if watch is not None:
        channel.tell(watch)


def _serve_until_drained(server: AppServer, control_thread: ControlThread) -> bool:
    """Returns whether everything that was asked has been answered."""
    try:
        server.serve()
    except KeyboardInterrupt:  # Ctrl-C reaches the whole process group; the supervisor ends us too
        return False
    return server.drain(
        control_thread.drain_seconds, is_held=lambda: control_thread.stopped_at() is not None
    )


def _leave_interrupts_to_supervisor() -> None:
    """Ctrl-C reaches the whole process group, and the supervisor ends us. gevent's hub, which it
    would interrupt, prints a traceback of it, and of what is half done then."""
    if is_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Not SIG_IGN, which programs that the app starts would inherit.
        signal.signal(signal.SIGINT, lambda number, frame: None)


def _run_exit_functions(control_thread: ControlThread) -> None:
    """What an interpreter does at its end, less what only takes time: a debugger's exit wait
    (0.55 s) and the taking down of every module.

    The same two steps as in multiprocessing's own children (multiprocessing.process._bootstrap).
    """
    control_thread.allow_exit(EXIT_SECONDS)
    join_debug_session.leave()
    threading._shutdown()  # type: ignore[attr-defined]  # joins the app's own threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
                stream.flush()


# The thread that obeys the supervisor


class ControlThread:
    """What the supervisor has ordered so far.

    Hidden from the debugger: it has to act also while every other thread is suspended.
    """

    def __init__(self, task: Task, channel: Channel) -> None:
        self._app_server: AppServer | None = None
        self._pending_reports: Sequence[Callable[[], None]] = ()
        self._report_at = 0.0
        self.has_made_reports = False
        self.drain_seconds = 0.0
        self.may_leave_ide = False
        """Need we not stay for the IDE once we have cleaned up?"""
        self._plan = task.plan
        self._channel = channel
        self._is_retiring = False
        self._exit_deadline: float | None = None
        self._reported_stop: str | None = None
        self.child_stops = ChildStops()
        has_begun = threading.Event()

        def control_worker() -> None:
            has_begun.set()
            self._control_worker()

        debugger_of(task.plan).start_hidden_thread(control_worker)
        # Else a module of the project might be taken for the one that has started it.
        has_begun.wait(THREAD_START_SECONDS)

    def serve_with(self, app_server: AppServer, reports: Sequence[Callable[[], None]]) -> None:
        """From now on there is a server to stop; the reports are made, one after the other, when
        its first requests have had their chance."""
        self._report_at = time.monotonic() + REPORT_SECONDS
        # Before the server: that is what the thread looks at first.
        self._pending_reports = reports
        self._app_server = app_server

    def stopped_at(self) -> str | None:
        """Where a thread is stopped: in the IDE's debugger, here or in a child of the app, or at a
        prompt in the terminal."""
        # The debugger is not kept: the app may start one later.
        stopped_here = debugger_of(self._plan).stopped_at() or prompting_at()
        return stopped_here or self.child_stops.stopped_at()

    def allow_exit(self, seconds: float) -> None:
        """From now on: end after these seconds, whatever holds the interpreter."""
        self._exit_deadline = time.monotonic() + seconds

    def _control_worker(self) -> None:
        while True:
            message_sources: list[Channel | ChildStops] = [self._channel, self.child_stops]
            readable_sources = select(message_sources, [], [], self._select_timeout())[0]
            if self.child_stops in readable_sources:
                self.child_stops.hear()
            if self._channel in readable_sources:
                self._obey_supervisor(self._channel.receive())
            elif self._app_server is not None and time.monotonic() >= self._report_at:
                self._make_pending_reports()
            if self._is_retiring:
                self._report_stops()

    def _select_timeout(self) -> float | None:
        if self._is_retiring:
            return STOP_POLL_SECONDS
        return REPORT_SECONDS if self._app_server is None or self._pending_reports else None

    def _make_pending_reports(self) -> None:
        """They look at objects of the app's, which may raise anything; this thread must live on."""
        pending_reports, self._pending_reports = self._pending_reports, ()
        for make_report in pending_reports:
            try:
                make_report()
            except Exception as error:
                say(f"What the app is made from is not all known: {type(error).__name__}: {error}")
        self.has_made_reports = True

    def _obey_supervisor(self, message: object) -> None:
        if message is None:  # whatever has killed the supervisor: leave no orphan, no port
            os._exit(1)
        if isinstance(message, Go):
            self.may_leave_ide = True
        if isinstance(message, Retire):
            self.drain_seconds = message.drain_seconds
            self._is_retiring = True
            if self._app_server is not None:
                # Also while a thread is stopped: under load a breakpoint would be hit for ever.
                self._app_server.stop()
                # Whoever saves so soon has the next worker started by it.
                self._make_pending_reports()

    def _report_stops(self) -> None:
        """While retiring: say when a stopped thread holds it up."""
        stopped_at = self.stopped_at()
        if stopped_at != self._reported_stop:
            self._reported_stop = stopped_at
            self._channel.tell(Stopped(stopped_at) if stopped_at else Resumed())
        is_overdue = self._exit_deadline is not None and time.monotonic() > self._exit_deadline
        # Without a server the app is still being imported, from files that have changed again.
        if stopped_at is None and (self._app_server is None or is_overdue):
            os._exit(0)
        if stopped_at is None and self._app_server is not None:
            self._app_server.cut_off()

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
    own_files,
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


def work(task: Task, inherited: Inheritance, app: WSGIApplication | None) -> int:
    """Serve the app until the supervisor sends Retire; returns the exit status."""
    channel, began = inherited.channel, time.time()
    orders, recorder = ControlThread(task, channel), _recorder(task, inherited)
    modules = _module_recorder(task, inherited, app)
    _keep_from_children(inherited)
    report_written_files(lambda path: channel.tell(Writes(path)))
    try:
        _attach(task, channel, inherited.preloaded.hidden)
        if task.session is not None:
            orders.child_stops.follow()
        loaded = _imported(task, recorder, modules) if app is None else _given(task, app)
        if task.is_first_worker:
            warn_of_incompatibilities(loaded.app, task.plan)
        with recorder.making_server():
            server = _server(task, inherited, loaded.app)
    except LaunchError as error:
        channel.tell(Failed(str(error), error.exit_status))
        return error.exit_status
    except _FirstImportFailed:
        channel.tell(Failed(None, 2))
        return 2
    orders.serve_with(server, _reports(channel, server, loaded, recorder, modules, began))
    channel.tell(Ready(loaded.failed))
    if is_patched_for_greenlets():
        _leave_interrupts_to_supervisor()
    is_drained = _serve(server, orders)
    makes_room = is_drained and not holds_what_next_may_need(inherited.listener, orders.child_stops)
    if makes_room:
        channel.tell(Leaving())
    _clean_up(orders)
    if makes_room:
        channel.tell(CleanedUp())
        if task.session is not None and task.session.is_debugpy:
            _stay_for_ide(orders)
    if is_drained:
        _await_reports(orders)
    os._exit(0)


def _await_reports(orders: ControlThread) -> None:
    """Who saves as soon as we serve has us end before we have told what the next worker could have
    ready; so would the next one, and each reload would start a new interpreter."""
    deadline = time.monotonic() + EXIT_SECONDS
    while not orders.has_reported and time.monotonic() < deadline:
        sleep(STAY_POLL_SECONDS)


def _stay_for_ide(orders: ControlThread) -> None:
    """Keep our session in the IDE until the next worker has its own: VS Code selects that one if
    ours was selected. If ours ends first, it selects the supervisor's, where its Pause does nothing
    and its Debug Console knows nothing of the app."""
    orders.allow_exit(STAY_SECONDS)
    while not orders.may_go:
        sleep(STAY_POLL_SECONDS)


def _recorder(task: Task, inherited: Inheritance) -> ImportRecorder:
    def begin_again(module: str, what: str) -> NoReturn:
        start_afresh(task, inherited, f"the app now changes {what} before it imports {module}")

    return ImportRecorder(inherited.preloaded, begin_again)


def _make_room_for_breakpoints(hidden: HiddenModules, channel: Channel) -> None:
    """A breakpoint is never hit in a module that has run already. Where there is such a one, this
    worker ends before it has done anything, and the supervisor starts another one without it."""
    for file, lines in pydevd_internals.breakpoint_lines().items():
        module = hidden.module_of(file)
        if module is not None and lines & lines_run_on_import(Path(file)):
            say(f"Imported anew at each reload: {module}, because it has a breakpoint there")
            channel.tell(ModulesUnfit(frozenset({file})))
            os.kill(os.getpid(), signal.SIGKILL)


def _module_recorder(
    task: Task, inherited: Inheritance, app: WSGIApplication | None
) -> ModuleRecorder | None:
    """Where the next worker could have modules of the project ready, and this one has none."""
    if (
        not task.look_at_project_modules
        or inherited.preloaded.hidden is not None
        or app is not None
    ):
        return None
    return ModuleRecorder(inherited.preloaded.changes)


def _attach(task: Task, channel: Channel, hidden: HiddenModules | None) -> None:
    session = session_to_join(task)
    if session is not None:
        join_debug_session.preload(session)  # which takes our time, not the IDE's
    if asks_ide(task):
        channel.tell(Attaching())
    attach_worker(task)
    if hidden is not None:
        _make_room_for_breakpoints(hidden, channel)
    debugger = debugger_of(task.plan)
    if session is not None:
        debugger.when_ide_leaves(lambda: _ide_left(channel, ends_run=session.is_launch))
    presence = debugger.presence()
    channel.tell(Attached(by_ide=presence is not None and presence.attached))


def _ide_left(channel: Channel, ends_run: bool) -> None:
    channel.tell(IdeLeft(ends_run))
    if ends_run:  # the supervisor kills us: no stopped thread shall go on meanwhile
        sleep(LEAVE_SECONDS)


def _keep_from_children(inherited: Inheritance) -> None:
    """What the app forks (multiprocessing) must not hold the port, nor be taken for us."""

    def let_go() -> None:
        inherited.listener.close()
        inherited.channel.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=let_go)


def _given(task: Task, app: WSGIApplication) -> LoadedApp:
    take_over(app, task.plan, supervised=True)
    return LoadedApp(app, was_given=True)


class _FirstImportFailed(Exception):
    pass


def _imported(task: Task, recorder: ImportRecorder, modules: ModuleRecorder | None) -> LoadedApp:
    try:
        app = import_app(
            task.plan,
            supervised=True,
            first=task.is_first_worker,
            recorder=_both(recorder, modules),
            when_imported=recorder.app_is_imported,
        )
    except Exception as error:
        if not task.serve_errors and isinstance(error, LaunchError):
            raise
        print_error(error)
        if not task.serve_errors:
            raise _FirstImportFailed from None
        return LoadedApp(failing_app(error), failed=True, mended_by=files_of_error(error))
    return LoadedApp(app)


@contextlib.contextmanager
def _both(recorder: ImportRecorder, modules: ModuleRecorder | None) -> Iterator[None]:
    with recorder, modules or contextlib.nullcontext():
        yield


def _server(task: Task, inherited: Inheritance, app: WSGIApplication) -> AppServer:
    tls = ssl_context_of(task.plan, task.certificate)
    threads = task.plan.settings.with_threads.value
    return make_server(inherited.listener, with_middleware(app, task.plan), tls, threads=threads)


def _reports(
    channel: Channel,
    server: AppServer,
    loaded: LoadedApp,
    recorder: ImportRecorder,
    modules: ModuleRecorder | None,
    since: float,
) -> list[Callable[[], None]]:
    """What the supervisor is told: what the next worker could have ready, and what to watch."""

    def tell_preloadable() -> None:
        channel.tell(_preloadable(loaded, recorder, modules, since))

    def tell_watched() -> None:
        imported_files = ImportedFiles(since)
        _send(
            channel,
            imported_files.watch_for_new_imports(_folders_to_watch(loaded.app), loaded.mended_by),
        )
        server.after_request = lambda: _send(channel, imported_files.watch_for_new_imports())

    # The first one first, for to have it ready takes long.
    return [tell_watched] if loaded.failed else [tell_preloadable, tell_watched]


def _preloadable(
    loaded: LoadedApp,
    import_recorder: ImportRecorder,
    module_recorder: ModuleRecorder | None,
    since: float,
) -> Preloadable:
    preloadable = Preloadable(
        tuple(installed_imports(import_recorder.imports)),
        import_recorder.was_forked,
        why_not_fork(was_given=loaded.was_given),
        import_recorder.seconds,
        own_files(import_recorder.imports),
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


def _send(channel: Channel, news: Watch | None) -> None:
    if news is not None:
        channel.tell(news)


def _serve(server: AppServer, orders: ControlThread) -> bool:
    """Returns whether everything that was asked has been answered."""
    try:
        server.serve()
    except KeyboardInterrupt:  # Ctrl-C reaches the whole process group; the supervisor ends us too
        return False
    return server.drain(orders.drain_seconds, held=lambda: orders.stopped_at() is not None)


def _leave_interrupts_to_supervisor() -> None:
    """Ctrl-C reaches the whole process group, and the supervisor ends us. gevent's hub, which it
    would interrupt, prints a traceback of it, and of what is half done then."""
    if is_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Not SIG_IGN, which programs that the app starts would inherit.
        signal.signal(signal.SIGINT, lambda number, frame: None)


def _clean_up(orders: ControlThread) -> None:
    """What an interpreter does at its end, less what only takes time: a debugger's exit wait
    (0.55 s) and the taking down of every module.

    The same two steps as in multiprocessing's own children (multiprocessing.process._bootstrap).
    """
    orders.allow_exit(EXIT_SECONDS)
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
        self._server: AppServer | None = None
        self._reports: Sequence[Callable[[], None]] = ()
        self._report_at = 0.0
        self.has_reported = False
        self.drain_seconds = 0.0
        self.may_go = False
        """Need we not stay for the IDE once we have cleaned up?"""
        self._plan = task.plan
        self._channel = channel
        self._retiring = False
        self._exit_by: float | None = None
        self._reported: str | None = None
        self.child_stops = ChildStops()
        debugger_of(task.plan).start_hidden_thread(self._listen)

    def serve_with(self, server: AppServer, reports: Sequence[Callable[[], None]]) -> None:
        """From now on there is a server to stop; the reports are made, one after the other, when
        its first requests have had their chance."""
        self._report_at = time.monotonic() + REPORT_SECONDS
        self._reports = reports  # before the server: that is what the thread looks at first
        self._server = server

    def stopped_at(self) -> str | None:
        """Where a thread is stopped: in the IDE's debugger, here or in a child of the app, or at a
        prompt in the terminal."""
        # The debugger is not kept: the app may start one later.
        here = debugger_of(self._plan).stopped_at() or prompting_at()
        return here or self.child_stops.stopped_at()

    def allow_exit(self, seconds: float) -> None:
        """From now on: end after these seconds, whatever holds the interpreter."""
        self._exit_by = time.monotonic() + seconds

    def _listen(self) -> None:
        while True:
            sources: list[Channel | ChildStops] = [self._channel, self.child_stops]
            readable = select(sources, [], [], self._patience())[0]
            if self.child_stops in readable:
                self.child_stops.hear()
            if self._channel in readable:
                self._obey(self._channel.receive())
            elif self._server is not None and time.monotonic() >= self._report_at:
                self._make_reports()
            if self._retiring:
                self._look_on()

    def _patience(self) -> float | None:
        if self._retiring:
            return STOP_POLL_SECONDS
        return REPORT_SECONDS if self._server is None or self._reports else None

    def _make_reports(self) -> None:
        """They look at objects of the app's, which may raise anything; this thread must live on."""
        reports, self._reports = self._reports, ()
        for report in reports:
            try:
                report()
            except Exception as error:
                say(f"What the app is made from is not all known: {type(error).__name__}: {error}")
        self.has_reported = True

    def _obey(self, message: object) -> None:
        if message is None:  # whatever has killed the supervisor: leave no orphan, no port
            os._exit(1)
        if isinstance(message, Go):
            self.may_go = True
        if isinstance(message, Retire):
            self.drain_seconds = message.drain_seconds
            self._retiring = True
            if self._server is not None:
                # Also while a thread is stopped: under load a breakpoint would be hit for ever.
                self._server.stop()
                self._make_reports()  # whoever saves so soon has the next worker started by it

    def _look_on(self) -> None:
        """While retiring: say when a stopped thread holds it up."""
        where = self.stopped_at()
        if where != self._reported:
            self._reported = where
            self._channel.tell(Stopped(where) if where else Resumed())
        is_overdue = self._exit_by is not None and time.monotonic() > self._exit_by
        # Without a server the app is still being imported, from files that have changed again.
        if where is None and (self._server is None or is_overdue):
            os._exit(0)
        if where is None and self._server is not None:
            self._server.cut_off()

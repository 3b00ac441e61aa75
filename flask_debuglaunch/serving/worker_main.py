"""One life of a worker: attach the debugger, import the app, serve it, and make room for the next.

The main thread does all of that; another one obeys the supervisor meanwhile (control_thread.py).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep  # the original: an app may patch the module (gevent)
from typing import TYPE_CHECKING, NoReturn

from flask_debuglaunch.debuggers import join_debug_session, pydevd_internals
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.main_thread import is_main_thread
from flask_debuglaunch.serving.app.app_finder import failing_app
from flask_debuglaunch.serving.app.app_import import import_app, print_error, take_over
from flask_debuglaunch.serving.app.hidden_modules import HiddenModules
from flask_debuglaunch.serving.app.import_time_source import lines_run_on_import
from flask_debuglaunch.serving.app.imported_files import (
    ImportsSeen,
    files_of_error,
    template_folders,
)
from flask_debuglaunch.serving.app.middleware import (
    around,
    is_patched_for_greenlets,
    warn_of_conflicts,
)
from flask_debuglaunch.serving.app.module_recorder import ModuleRecorder
from flask_debuglaunch.serving.app.preloadable_modules import (
    ImportRecorder,
    installed_imports,
    own_files,
    why_not_fork,
)
from flask_debuglaunch.serving.attach_debugger import (
    asks_ide,
    attach_worker,
    debugger_of,
    session_to_join,
)
from flask_debuglaunch.serving.control_thread import ControlThread
from flask_debuglaunch.serving.ipc_messages import (
    Attached,
    Attaching,
    CleanedUp,
    Failed,
    IdeLeft,
    Leaving,
    ModulesUnfit,
    Preloadable,
    Ready,
    Task,
    Watch,
    Writes,
)
from flask_debuglaunch.serving.processes.exec_new_interpreter import start_afresh
from flask_debuglaunch.serving.processes.ipc_channel import Channel
from flask_debuglaunch.serving.processes.ports_and_locks import holds_what_next_may_need
from flask_debuglaunch.serving.processes.socket_inheritance import Inheritance
from flask_debuglaunch.serving.server.http_server import AppServer, make_server
from flask_debuglaunch.serving.server.tls import ssl_context_of
from flask_debuglaunch.serving.watching.files_written_by_app import tell_of_writes
from flask_debuglaunch.terminal import say

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

EXIT_SECONDS = 2.0
"""How long atexit functions and the app's own threads may take."""

STAY_SECONDS = 2.0
"""How long one that has cleaned up stays for the IDE's sake."""
STAY_POLL_SECONDS = 0.01

LEAVE_SECONDS = 5.0
"""How long the supervisor may take to end a worker that the IDE's Stop button is to end."""


@dataclass(frozen=True)
class Loaded:
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
    tell_of_writes(lambda path: channel.tell(Writes(path)))
    try:
        _attach(task, channel, inherited.preloaded.hidden)
        if task.session is not None:
            orders.child_stops.follow()
        loaded = _imported(task, recorder, modules) if app is None else _given(task, app)
        if task.is_first:
            warn_of_conflicts(loaded.app, task.plan)
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
    for file, lines in pydevd_internals.breakpoints().items():
        module = hidden.module_of(file)
        if module is not None and lines & lines_run_on_import(Path(file)):
            say(f"Imported anew at each reload: {module}, because it has a breakpoint there")
            channel.tell(ModulesUnfit(frozenset({file})))
            os.kill(os.getpid(), signal.SIGKILL)


def _module_recorder(
    task: Task, inherited: Inheritance, app: WSGIApplication | None
) -> ModuleRecorder | None:
    """Where the next worker could have modules of the project ready, and this one has none."""
    if not task.look_at_modules or inherited.preloaded.hidden is not None or app is not None:
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
        time.sleep(LEAVE_SECONDS)


def _keep_from_children(inherited: Inheritance) -> None:
    """What the app forks (multiprocessing) must not hold the port, nor be taken for us."""

    def let_go() -> None:
        inherited.listener.close()
        inherited.channel.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=let_go)


def _given(task: Task, app: WSGIApplication) -> Loaded:
    take_over(app, task.plan, supervised=True)
    return Loaded(app, was_given=True)


class _FirstImportFailed(Exception):
    pass


def _imported(task: Task, recorder: ImportRecorder, modules: ModuleRecorder | None) -> Loaded:
    try:
        app = import_app(
            task.plan,
            supervised=True,
            first=task.is_first,
            recorder=_both(recorder, modules),
            when_imported=recorder.app_is_imported,
        )
    except Exception as error:
        if not task.serve_errors and isinstance(error, LaunchError):
            raise
        print_error(error)
        if not task.serve_errors:
            raise _FirstImportFailed from None
        return Loaded(failing_app(error), failed=True, mended_by=files_of_error(error))
    return Loaded(app)


@contextlib.contextmanager
def _both(recorder: ImportRecorder, modules: ModuleRecorder | None) -> Iterator[None]:
    with recorder, modules or contextlib.nullcontext():
        yield


def _server(task: Task, inherited: Inheritance, app: WSGIApplication) -> AppServer:
    tls = ssl_context_of(task.plan, task.certificate)
    threads = task.plan.settings.with_threads.value
    return make_server(inherited.listener, around(app, task.plan), tls, threads=threads)


def _reports(
    channel: Channel,
    server: AppServer,
    loaded: Loaded,
    recorder: ImportRecorder,
    modules: ModuleRecorder | None,
    since: float,
) -> list[Callable[[], None]]:
    """What the supervisor is told: what the next worker could have ready, and what to watch."""

    def tell_preloadable() -> None:
        channel.tell(_preloadable(loaded, recorder, modules, since))

    def tell_watched() -> None:
        seen = ImportsSeen(since)
        _send(channel, seen.news(_folders_to_watch(loaded.app), loaded.mended_by))
        server.after_request = lambda: _send(channel, seen.news())

    # The first one first, for to have it ready takes long.
    return [tell_watched] if loaded.failed else [tell_preloadable, tell_watched]


def _preloadable(
    loaded: Loaded, recorder: ImportRecorder, modules: ModuleRecorder | None, since: float
) -> Preloadable:
    unsafe = why_not_fork(was_given=loaded.was_given)
    imports = tuple(installed_imports(recorder.imports))
    files = own_files(recorder.imports)
    preloadable = Preloadable(imports, recorder.was_forked, unsafe, recorder.seconds, files)
    if modules is None:
        return preloadable
    seconds = modules.seconds
    return replace(preloadable, modules=modules.runs(), own_seconds=seconds, since=since)


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

"""What we read and change of pydevd by its private names: none of it has a public counterpart.

The names hold for debugpy 1.8, pydevd 3.5 and pydevd-pycharm 263;
tests/debuggers/test_pydevd_internals.py fails when a new release changes one. Where a name is
missing, what it is for does not happen, and the debugger works as it does without us.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep  # the originals: an app may patch the module (gevent)
from types import FrameType, ModuleType, TracebackType
from typing import Any
from weakref import WeakSet

from flask_debuglaunch.debuggers.debugger_interface import PathMappings, place_of
from flask_debuglaunch.native_threads import native_thread_ids

OUR_FOLDER = str(Path(__file__).parents[1]) + os.sep
"""No one wants to step into this code."""

CMD_THREAD_SUSPEND = 105
"""The stop reason of a thread that was only suspended along with the one that stopped."""

# Where pydevd looks each function up when it is called.
CHANGE_A_THREADS_STATE = (
    ("_pydevd_bundle.pydevd_thread_lifecycle", "internal_run_thread"),
    ("_pydevd_bundle.pydevd_api", "internal_step_in_thread"),
    ("_pydevd_bundle.pydevd_api", "internal_smart_step_into"),
)

# Where pydevd looks suspend_all_threads(py_db, except_thread) up when a thread stops, and when an
# expression that had to let the others run has been evaluated.
SUSPENDING_MODULES = ("pydevd", "_pydevd_bundle.pydevd_vars")

_stopped: deque[tuple[BaseException, TracebackType | None]] = deque(maxlen=8)
"""The latest errors that the debugger has stopped at, each with its innermost traceback entry."""

_shown_frames: list[FrameType] = []
"""Frames of libraries that are to be shown now."""

_let_go: WeakSet[Any] = WeakSet()
"""The debugger, while nobody but its adapter has attached to it."""

_alone: WeakSet[threading.Thread] = WeakSet()
"""Threads whose stops suspend no other."""


def live_debugger() -> Any | None:
    """The debugger object that traces this process; None where pydevd was merely imported."""
    return _call(_constants(), "get_global_debugger")


def flavour_of(debugger: object) -> str:
    """Which of the family it is: its name as in DEBUG_WITH."""
    if protocol() in ("json", "http_json"):
        return "debugpy"
    is_pydevd = hasattr(debugger, "do_stop_on_unhandled_exception")
    return "pydevd" if is_pydevd else "pydevd-pycharm"


def protocol() -> str | None:
    """How the debugger talks with the IDE; None for pydevd-pycharm, which has one way only."""
    found: str | None = _call(_constants(), "get_protocol")
    return found


def is_attached(debugger: Any) -> bool:
    """Is an IDE at the other end, and has it set its breakpoints?"""
    if flavour_of(debugger) == "debugpy":
        return bool(debugger.is_attached()) and debugger not in _let_go
    return bool(debugger.ready_to_run and debugger.writer)


def breakpoints() -> dict[str, frozenset[int]]:
    """The lines of the breakpoints, by the paths of their files, as far as the IDE has told."""
    by_file = getattr(live_debugger(), "breakpoints", None) or {}
    return {str(file): frozenset(lines) for file, lines in by_file.items()}


def follows_children() -> bool:
    """Does the debugger go along into child processes?"""
    setup = getattr(getattr(_pydevd(), "SetupHolder", None), "setup", None) or {}
    return bool(setup.get("multiprocess") or setup.get("multiproc"))


def takes_parent() -> bool:
    """Does the debugger tell the IDE which process is the parent of this one?"""
    return hasattr(_constants(), "ARGUMENT_PPID")


def debugger_folders() -> tuple[str, ...]:
    """Where the debugger of this process was imported from, links resolved, each with a separator
    at its end. Not the folder around debugpy: a project may hold a copy of it."""
    files = [getattr(sys.modules.get(name), "__file__", None) for name in ("debugpy", "pydevd")]
    return tuple(_real_folder_of(file) for file in files if file)


@functools.cache
def _real_folder_of(file: str) -> str:
    return os.path.dirname(os.path.realpath(file)) + os.sep


def map_paths(mappings: PathMappings) -> None:
    """The IDE's folders and ours. Needs pydevd to be imported."""
    _call(sys.modules.get("pydevd_file_utils"), "setup_client_server_paths", list(mappings))


# Errors


def stop_once() -> None:
    """From now on, let the debugger stop once for an error.

    With the box "raised" or "user unhandled" ticked it stops again in each frame, or on each way
    out of the person's own code, that the error passes.
    """
    debugger = live_debugger()
    wait = getattr(debugger, "do_wait_suspend", None)
    if debugger is None or wait is None or hasattr(wait, "is_ours"):
        return

    def do_wait_suspend(
        thread: Any, frame: Any, event: str, arg: Any, *more: Any, **named: Any
    ) -> Any:
        if event == "exception":
            _stopped.append((arg[1], _innermost(arg[2])))
        return wait(thread, frame, event, arg, *more, **named)

    vars(do_wait_suspend)["is_ours"] = True
    debugger.do_wait_suspend = do_wait_suspend
    exclude = getattr(debugger, "exclude_exception_by_filter", None)
    if exclude is not None:  # pydevd-pycharm stops where an error is raised, and not again
        debugger.exclude_exception_by_filter = lambda box, trace: (
            _was_stopped_at(trace) or exclude(box, trace)
        )


def let_exit() -> None:
    """Take no SystemExit for an error, unless the IDE asks for it ("breakOnSystemExit").

    By itself debugpy stops at a status other than 0, and pydevd at each.
    """
    debugger = live_debugger()
    ignore = getattr(debugger, "ignore_system_exit_code", None)
    if debugger is not None and ignore is not None:
        debugger.ignore_system_exit_code = lambda error: (
            getattr(debugger, "_break_on_system_exit", None) is None or ignore(error)
        )


def let_libraries_be_shown() -> None:
    """From now on, show frames of libraries that "just my code" hides while we ask for them.

    pydevd-pycharm hides none.
    """
    debugger = live_debugger()
    hides, excludes = (
        getattr(debugger, name, None)
        for name in ("apply_files_filter", "exclude_exception_by_filter")
    )
    if debugger is None or hides is None or excludes is None or hasattr(hides, "is_ours"):
        return

    def apply_files_filter(frame: FrameType, *how: Any) -> bool:
        return frame not in _shown_frames and bool(hides(frame, *how))

    def exclude_exception_by_filter(box: Any, trace: TracebackType | None) -> bool:
        is_shown = trace is not None and trace.tb_frame in _shown_frames
        return not is_shown and bool(excludes(box, trace))

    vars(apply_files_filter)["is_ours"] = True
    debugger.apply_files_filter = apply_files_filter
    debugger.exclude_exception_by_filter = exclude_exception_by_filter


@contextlib.contextmanager
def visible(error: BaseException) -> Iterator[None]:
    """While this lasts, a stop at the error has frames to show, were they all of libraries.

    An error that never went through the person's own code (a view that returns None) would stop
    with an empty stack, or not at all, and the 500 would come without a word.
    """
    debugger = live_debugger()
    frames: list[FrameType] = []
    if hasattr(debugger, "exclude_exception_by_filter") and not _shows_unhandled(debugger, error):
        frames = [
            entry.tb_frame
            for entry in _entries(error.__traceback__)
            if not entry.tb_frame.f_code.co_filename.startswith(OUR_FOLDER)
        ]
    _shown_frames.extend(frames)
    try:
        yield
    finally:
        for frame in frames:
            _shown_frames.remove(frame)


def _was_stopped_at(trace: TracebackType) -> bool:
    """Does the traceback belong to an error that the debugger has stopped at?

    While an error travels, entries are put in front; the innermost one stays the same object. But
    Jinja gives an error a new traceback that tells of the template.
    """
    innermost = _innermost(trace)
    return any(innermost in (entry, _innermost(one.__traceback__)) for one, entry in _stopped)


def asks_for(debugger: Any, error: BaseException) -> bool:
    """Does the IDE ask for stops at unhandled errors like this one?"""
    return bool(_box_for(error, debugger.break_on_uncaught_exceptions))


def has_stopped_for(error: BaseException) -> bool:
    return any(one is error for one, _ in _stopped)


def forget(error: BaseException) -> None:
    """Stop again should the same object be raised once more."""
    for stopped in [one for one in _stopped if one[0] is error]:
        with contextlib.suppress(ValueError):  # pushed out by newer ones meanwhile
            _stopped.remove(stopped)


def _shows_unhandled(debugger: Any, error: BaseException) -> bool:
    """Would a stop at the unhandled error find a frame that the IDE does not filter out?"""
    box = _box_for(error, debugger.break_on_uncaught_exceptions)
    return any(
        not debugger.exclude_exception_by_filter(box, trace)
        for trace in _entries(error.__traceback__)
    )


def _box_for(error: BaseException, boxes: Any) -> Any | None:
    breakpoints = sys.modules.get("_pydevd_bundle.pydevd_breakpoints")
    return _call(breakpoints, "get_exception_breakpoint", type(error), boxes) if boxes else None


def _innermost(trace: TracebackType | None) -> TracebackType | None:
    return next(reversed([*_entries(trace)]), None)


def _entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def silence(is_silent: Callable[[], bool]) -> None:
    """Keep pydevd-pycharm from printing the errors of those threads in which this is true.

    It prints each error it stops at, by a function that it has kept from the start.
    """
    breakpoints: Any = sys.modules.get("_pydevd_bundle.pydevd_breakpoints")
    hook = getattr(breakpoints, "original_excepthook", None)
    if hook is None or hasattr(hook, "silences"):
        return

    def excepthook(*excinfo: Any) -> None:
        if not is_silent():
            hook(*excinfo)

    vars(excepthook)["silences"] = True
    breakpoints.original_excepthook = excepthook


def hide_frames(folder: str) -> None:
    """Have the debugger pass over the code in this folder: never shown, stepped into or traced.

    pydevd-pycharm has no such setting.
    """
    debugger = live_debugger()
    setting = getattr(debugger, "dont_trace_external_files", None)
    api = getattr(sys.modules.get("_pydevd_bundle.pydevd_api"), "PyDevdAPI", None)
    if setting and api:
        starts, ends = getattr(setting, "start_patterns", ()), getattr(setting, "end_patterns", ())
        if folder not in starts:
            api().set_dont_trace_start_end_patterns(debugger, (*starts, folder), ends)


# Threads


def hide_thread(thread: threading.Thread) -> None:
    """The marks of pydevd's own threads. They work also before pydevd is imported."""
    marked: Any = thread
    marked.pydev_do_not_trace = True
    marked.is_pydev_daemon_thread = True


def lives_with_gevent() -> bool:
    """Has pydevd been told to (its GEVENT_SUPPORT)? Then it uses a `threading` of its own: it looks
    for no marks in the app's, and hides none of the threads there."""
    return os.environ.get("GEVENT_SUPPORT", "").lower() in ("yes", "true", "1")


def hide_unlisted_threads() -> None:
    """Hide those threads of ours that the app's `threading` does not know. Once attached, pydevd
    has them in its own as dummies, or will have them when it meets them."""
    own: Any = getattr(sys.modules.get("_pydev_bundle._pydev_saved_modules"), "threading", None)
    for identifier in native_thread_ids if own else ():
        thread = own._active.get(identifier) or own.Thread(daemon=True)
        hide_thread(thread)
        own._active[identifier] = thread


def stopped_at() -> str | None:
    """Where a thread is stopped, as "shop/views.py:12", first the one that stopped the others."""
    if live_debugger() is None:
        return None
    waits = [wait for wait in map(_wait_of, sys._current_frames().values()) if wait]
    waits.sort(key=lambda wait: wait.get("stop_reason") == CMD_THREAD_SUSPEND)
    return next(map(_place_of, waits), None)


def _wait_of(frame: FrameType | None) -> dict[str, Any] | None:
    """The variables of the function that keeps a stopped thread waiting."""
    while frame is not None:
        if frame.f_code.co_name == "do_wait_suspend":
            return frame.f_locals
        frame = frame.f_back
    return None


def _place_of(wait: dict[str, Any]) -> str:
    frame = wait["frame"]
    file, line = frame.f_code.co_filename, frame.f_lineno
    if wait["event"] == "exception" and isinstance(wait["arg"], tuple):
        # Of the frames the error went through, one may stand elsewhere by now.
        lines = [one.tb_lineno for one in _entries(wait["arg"][2]) if one.tb_frame is frame]
        line = lines[-1] if lines else line
    return place_of(file, line)


def suspend_alone(thread: threading.Thread) -> None:
    """From now on, have no stop of this thread suspend any other: the server goes on while a kept
    error is shown.

    debugpy suspends all threads along with the one that stops. On Python 3.12 and later that takes
    effect as soon as the thread that accepts requests has the next one: nobody would be answered
    until Continue. So here is looked at who it is that suspends the others: a thread of the
    launcher's that only shows an error leaves them running, each time that it stops; every other
    stop (a breakpoint, also one hit meanwhile) suspends all, as always.

    The IDE is told that all threads are stopped, as of every stop, so Continue has all go on.

    Tried with debugpy 1.8.0 to 1.8.22 on Python 3.10 to 3.15.
    """
    _alone.add(thread)


def is_suspended_alone(thread: threading.Thread) -> bool:
    return thread in _alone


def let_threads_stop_alone() -> None:
    """Have pydevd ask who suspends the others. Needs pydevd to be imported."""
    for name in SUSPENDING_MODULES:
        module: Any = sys.modules.get(name)
        suspend_all = getattr(module, "suspend_all_threads", None)
        if suspend_all is not None and not hasattr(suspend_all, "__wrapped__"):
            module.suspend_all_threads = _unless_alone(suspend_all)


def _unless_alone(suspend_all: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(suspend_all)
    def suspend_all_threads(py_db: Any, except_thread: Any) -> None:
        if except_thread not in _alone:
            suspend_all(py_db, except_thread)

    return suspend_all_threads


def wake_at_once() -> None:
    """From now on every change of a thread's state wakes all that wait for one: a suspended thread
    goes on as soon as the IDE says so.

    pydevd 3.5 (debugpy 1.8.22 too) changes the state of a suspended thread and then wakes another
    one: _update_stepping_info in pydevd_additional_thread_info uses the name of its argument for
    its loops as well. The right thread looks again after up to 0.2 s: at every step, and at every
    Continue, from about the second request on.
    """
    if "_pydevd_bundle.pydevd_thread_lifecycle" not in sys.modules:
        return  # another pydevd, or none
    for module_name, name in CHANGE_A_THREADS_STATE:
        module = importlib.import_module(module_name)
        function = getattr(module, name, None)
        if function is not None and not hasattr(function, "__wrapped__"):
            setattr(module, name, _then_waking_all(function))


def _then_waking_all(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def changing(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        for event in list(getattr(live_debugger(), "_thread_events", {}).values()):
            event.set()
        return result

    return changing


# The connection to the IDE


def wake_when_told_to_run() -> None:
    """Have the thread that waits for the IDE's breakpoints go on when it has them all. By itself it
    looks in fixed steps. Needs pydevd to be imported."""
    api: Any = getattr(sys.modules.get("_pydevd_bundle.pydevd_api"), "PyDevdAPI", None)
    original = getattr(api, "run", None)
    if original is None:
        return

    def run(self: Any, debugger: Any) -> Any:
        result = original(self, debugger)
        waking = getattr(debugger, "_py_db_command_thread_event", None)
        if waking is not None:
            waking.set()
        return result

    api.run = run


def notice_being_let_go() -> None:
    """debugpy's adapter lets a process go that no IDE is there for: it attaches, and leaves at once
    (servers.Connection, "unblocking"). In between no IDE is attached. IDEs say more than the
    number of the process. Needs pydevd to be imported."""
    processor = _json_processor()
    original = getattr(processor, "on_attach_request", None)
    if original is None:
        return

    def on_attach_request(self: Any, debugger: Any, request: Any) -> Any:
        said = getattr(request.arguments, "kwargs", None)
        if said is not None and said.keys() <= {"subProcessId"}:
            _let_go.add(debugger)
        else:
            _let_go.discard(debugger)
        return original(self, debugger, request)

    processor.on_attach_request = on_attach_request


def _json_processor() -> Any:
    """What answers the requests of debugpy's adapter."""
    module = sys.modules.get("_pydevd_bundle.pydevd_process_net_command_json")
    return getattr(module, "PyDevJsonCommandProcessor", None)


def tell_of_leave(tell: Callable[[], None]) -> None:
    """Call this when the IDE asks to be disconnected from this process alone, as debugpy's adapter
    does for its Stop button; afterwards stopped threads go on.

    A process that no IDE is there for is let go by a request that says nothing of the program's
    end.
    """
    processor = _json_processor()
    original = getattr(processor, "on_disconnect_request", None)
    if original is None:
        return

    def on_disconnect_request(self: Any, debugger: Any, request: Any) -> Any:
        if request.arguments.terminateDebuggee is False:
            tell()
        return original(self, debugger, request)

    processor.on_disconnect_request = on_disconnect_request


def wait_until_gone(seconds: float) -> bool:
    """Wait until a debugger that has lost its IDE is out of the way; returns whether it is.

    It takes its leave in a thread of its own, for a second or more. Until it has, settrace() makes
    no new connection: it takes the old debugger for attached.
    """
    deadline = monotonic() + seconds
    while live_debugger() is not None:
        if monotonic() > deadline:
            return False
        sleep(0.02)
    return True


class _StartClient:
    """Takes the place of pydevd's own, which opens the connection to the IDE."""

    def __init__(self, original: Callable[[str, int], Any]) -> None:
        self.original = original
        self.connected: Any | None = None

    def __call__(self, host: str, port: int) -> Any:
        connection, self.connected = self.connected, None
        connection = connection or self.original(host, port)
        send_at_once(connection)
        return connection


def hand_over(connection: object) -> None:
    """Have the next connection that pydevd makes be this one."""
    no_delay()
    pydevd: Any = _pydevd()
    if hasattr(pydevd, "connected") and live_debugger() is None:
        pydevd.connected = False  # pydevd-pycharm does not notice that an earlier IDE has left
    start_client = getattr(pydevd, "start_client", None)
    if isinstance(start_client, _StartClient):
        start_client.connected = connection


def no_delay() -> None:
    """Set TCP_NODELAY on the live connection to the IDE, and on those that are made later.

    pydevd writes each message in two pieces; the second would wait about 40 ms for the delayed
    acknowledgement of the first.
    """
    pydevd = _pydevd()
    original = getattr(pydevd, "start_client", None)
    if pydevd and original and not isinstance(original, _StartClient):
        pydevd.start_client = _StartClient(original)
    writer = getattr(live_debugger(), "writer", None)
    send_at_once(getattr(writer, "sock", None))


def peer_of(debugger: object) -> tuple[str, int] | None:
    """Where the debugger is connected to; None if it is not."""
    connection = getattr(getattr(debugger, "writer", None), "sock", None)
    try:
        return connection.getpeername()[:2] if connection is not None else None
    except OSError:  # the other side has hung up
        return None


def send_at_once(connection: Any) -> None:
    import socket

    if isinstance(connection, socket.socket):
        with contextlib.suppress(OSError):  # closed meanwhile
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def keep_log_off_the_ide() -> None:
    """Have pydevd write its own log to the program's stderr alone, not through the redirection.

    It logs while it holds locks that every thread needs to stop or to go on. A thread may be
    stopped in the middle of a write to the redirected stderr (Werkzeug's line for each request),
    with the redirection's lock held: then the two would wait for each other for ever.
    """
    log = sys.modules.get("_pydev_bundle.pydev_log")
    _call(log, "initialize_debug_stream")  # else it takes what stderr is at its first line
    settings: Any = getattr(log, "_LoggingGlobals", None)
    while redirected := getattr(getattr(settings, "_debug_stream", None), "_redirect_to", None):
        settings._debug_stream = redirected[0]


def _constants() -> ModuleType | None:
    return sys.modules.get("_pydevd_bundle.pydevd_constants")


def _pydevd() -> Any | None:
    # Run as a program, pydevd puts itself under this name as well.
    return sys.modules.get("pydevd")


def _call(module: object, function: str, *arguments: object) -> Any:
    """Call the module's function; None where the module or the function is not there."""
    found = getattr(module, function, None)
    return found(*arguments) if found is not None else None

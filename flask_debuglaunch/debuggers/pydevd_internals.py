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

_errors_stopped_at: deque[tuple[BaseException, TracebackType | None]] = deque(maxlen=8)
"""The latest errors that the debugger has stopped at, each with its innermost traceback entry."""

_shown_frames: list[FrameType] = []
"""Frames of libraries that are to be shown now."""

_unblocked_by_adapter: WeakSet[Any] = WeakSet()
"""The debugger, while nobody but its adapter has attached to it."""

_threads_that_stop_alone: WeakSet[threading.Thread] = WeakSet()
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
    ide_protocol: str | None = _call(_constants(), "get_protocol")
    return ide_protocol


def is_attached(debugger: Any) -> bool:
    """Is an IDE at the other end, and has it set its breakpoints?"""
    if flavour_of(debugger) == "debugpy":
        return bool(debugger.is_attached()) and debugger not in _unblocked_by_adapter
    return bool(debugger.ready_to_run and debugger.writer)


def breakpoint_lines() -> dict[str, frozenset[int]]:
    """The lines of the breakpoints, by the paths of their files, as far as the IDE has told."""
    breakpoints_by_file = getattr(live_debugger(), "breakpoints", None) or {}
    return {str(file): frozenset(lines) for file, lines in breakpoints_by_file.items()}


def follows_children() -> bool:
    """Does the debugger go along into child processes?"""
    setup = getattr(getattr(_pydevd(), "SetupHolder", None), "setup", None) or {}
    return bool(setup.get("multiprocess") or setup.get("multiproc"))


def tells_ide_of_parent() -> bool:
    """Does the debugger tell the IDE which process is the parent of this one?"""
    return hasattr(_constants(), "ARGUMENT_PPID")


def debugger_folders() -> tuple[str, ...]:
    """Where the debugger of this process was imported from, links resolved, each with a separator
    at its end. Not the folder around debugpy: a project may hold a copy of it."""
    debugger_modules = [sys.modules.get(name) for name in ("debugpy", "pydevd")]
    files = [getattr(module, "__file__", None) for module in debugger_modules]
    return tuple(_real_folder_of(file) for file in files if file)


@functools.cache
def _real_folder_of(file: str) -> str:
    return os.path.dirname(os.path.realpath(file)) + os.sep


def map_paths(mappings: PathMappings) -> None:
    """The IDE's folders and ours. Needs pydevd to be imported."""
    _call(sys.modules.get("pydevd_file_utils"), "setup_client_server_paths", list(mappings))


# Errors


def stop_once_for_an_error() -> None:
    """From now on, let the debugger stop once for an error.

    With the box "raised" or "user unhandled" ticked it stops again in each frame, or on each way
    out of the person's own code, that the error passes.
    """
    debugger = live_debugger()
    wait_suspend = getattr(debugger, "do_wait_suspend", None)
    if debugger is None or wait_suspend is None or hasattr(wait_suspend, "is_ours"):
        return

    def do_wait_suspend(
        thread: Any, frame: Any, event: str, arg: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if event == "exception":
            _errors_stopped_at.append((arg[1], _innermost_entry(arg[2])))
        return wait_suspend(thread, frame, event, arg, *args, **kwargs)

    vars(do_wait_suspend)["is_ours"] = True
    debugger.do_wait_suspend = do_wait_suspend
    exclude_exception = getattr(debugger, "exclude_exception_by_filter", None)
    # pydevd-pycharm, which has none, stops where an error is raised, and not again.
    if exclude_exception is not None:
        debugger.exclude_exception_by_filter = lambda exception_breakpoint, trace: (
            _was_stopped_at(trace) or exclude_exception(exception_breakpoint, trace)
        )


def ignore_system_exit() -> None:
    """Take no SystemExit for an error, unless the IDE asks for it ("breakOnSystemExit").

    By itself debugpy stops at a status other than 0, and pydevd at each.
    """
    debugger = live_debugger()
    ignore_exit_code = getattr(debugger, "ignore_system_exit_code", None)
    if debugger is not None and ignore_exit_code is not None:
        debugger.ignore_system_exit_code = lambda error: (
            getattr(debugger, "_break_on_system_exit", None) is None or ignore_exit_code(error)
        )


def let_libraries_be_shown() -> None:
    """From now on, show frames of libraries that "just my code" hides while we ask for them.

    pydevd-pycharm hides none.
    """
    debugger = live_debugger()
    files_filter, exceptions_filter = (
        getattr(debugger, name, None)
        for name in ("apply_files_filter", "exclude_exception_by_filter")
    )
    if debugger is None or files_filter is None or exceptions_filter is None:
        return
    if hasattr(files_filter, "is_ours"):
        return

    def apply_files_filter(frame: FrameType, *args: Any) -> bool:
        return frame not in _shown_frames and bool(files_filter(frame, *args))

    def exclude_exception_by_filter(exception_breakpoint: Any, trace: TracebackType | None) -> bool:
        is_shown = trace is not None and trace.tb_frame in _shown_frames
        return not is_shown and bool(exceptions_filter(exception_breakpoint, trace))

    vars(apply_files_filter)["is_ours"] = True
    debugger.apply_files_filter = apply_files_filter
    debugger.exclude_exception_by_filter = exclude_exception_by_filter


@contextlib.contextmanager
def frames_shown(error: BaseException) -> Iterator[None]:
    """While this lasts, a stop at the error has frames to show, were they all of libraries.

    An error that never went through the person's own code (a view that returns None) would stop
    with an empty stack, or not at all, and the 500 would come without a word.
    """
    debugger = live_debugger()
    frames: list[FrameType] = []
    if hasattr(debugger, "exclude_exception_by_filter") and not _shows_unhandled(debugger, error):
        frames = [
            entry.tb_frame
            for entry in _traceback_entries(error.__traceback__)
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
    innermost = _innermost_entry(trace)
    return any(
        innermost in (entry, _innermost_entry(error.__traceback__))
        for error, entry in _errors_stopped_at
    )


def ide_asks_for_stop(debugger: Any, error: BaseException) -> bool:
    """Does the IDE ask for stops at unhandled errors like this one?"""
    return bool(_exception_breakpoint_for(error, debugger))


def has_stopped_for(error: BaseException) -> bool:
    return any(stopped_at is error for stopped_at, _ in _errors_stopped_at)


def forget_stop(error: BaseException) -> None:
    """Stop again should the same object be raised once more."""
    for stop in [stop for stop in _errors_stopped_at if stop[0] is error]:
        with contextlib.suppress(ValueError):  # pushed out by newer ones meanwhile
            _errors_stopped_at.remove(stop)


def _shows_unhandled(debugger: Any, error: BaseException) -> bool:
    """Would a stop at the unhandled error find a frame that the IDE does not filter out?"""
    exception_breakpoint = _exception_breakpoint_for(error, debugger)
    return any(
        not debugger.exclude_exception_by_filter(exception_breakpoint, trace)
        for trace in _traceback_entries(error.__traceback__)
    )


def _exception_breakpoint_for(error: BaseException, debugger: Any) -> Any | None:
    exception_breakpoints = debugger.break_on_uncaught_exceptions
    if not exception_breakpoints:
        return None
    breakpoints_module = sys.modules.get("_pydevd_bundle.pydevd_breakpoints")
    return _call(breakpoints_module, "get_exception_breakpoint", type(error), exception_breakpoints)


def _innermost_entry(trace: TracebackType | None) -> TracebackType | None:
    return next(reversed([*_traceback_entries(trace)]), None)


def _traceback_entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def keep_errors_unprinted(is_silent: Callable[[], bool]) -> None:
    """Keep pydevd-pycharm from printing the errors of those threads in which this is true.

    It prints each error it stops at, by a function that it has kept from the start.
    """
    breakpoints_module: Any = sys.modules.get("_pydevd_bundle.pydevd_breakpoints")
    printing_hook = getattr(breakpoints_module, "original_excepthook", None)
    if printing_hook is None or hasattr(printing_hook, "silences"):
        return

    def excepthook(*excinfo: Any) -> None:
        if not is_silent():
            printing_hook(*excinfo)

    vars(excepthook)["silences"] = True
    breakpoints_module.original_excepthook = excepthook


def hide_frames(folder: str) -> None:
    """Have the debugger pass over the code in this folder: never shown, stepped into or traced.

    pydevd-pycharm has no such setting.
    """
    debugger = live_debugger()
    is_external = getattr(debugger, "dont_trace_external_files", None)
    api = getattr(sys.modules.get("_pydevd_bundle.pydevd_api"), "PyDevdAPI", None)
    if is_external and api:
        start_patterns = getattr(is_external, "start_patterns", ())
        end_patterns = getattr(is_external, "end_patterns", ())
        if folder not in start_patterns:
            start_patterns = (*start_patterns, folder)
            api().set_dont_trace_start_end_patterns(debugger, start_patterns, end_patterns)


# Threads


def hide_thread(thread: threading.Thread) -> None:
    """The marks of pydevd's own threads. They work also before pydevd is imported."""
    pydevd_thread: Any = thread
    pydevd_thread.pydev_do_not_trace = True
    pydevd_thread.is_pydev_daemon_thread = True


def lives_with_gevent() -> bool:
    """Has pydevd been told to (its GEVENT_SUPPORT)? Then it uses a `threading` of its own: it looks
    for no marks in the app's, and hides none of the threads there."""
    return os.environ.get("GEVENT_SUPPORT", "").lower() in ("yes", "true", "1")


def hide_unlisted_threads() -> None:
    """Hide those threads of ours that the app's `threading` does not know. Once attached, pydevd
    has them in its own as dummies, or will have them when it meets them."""
    saved_modules = sys.modules.get("_pydev_bundle._pydev_saved_modules")
    pydevds_threading: Any = getattr(saved_modules, "threading", None)
    for thread_id in native_thread_ids if pydevds_threading else ():
        active_threads = pydevds_threading._active
        thread = active_threads.get(thread_id) or pydevds_threading.Thread(daemon=True)
        hide_thread(thread)
        active_threads[thread_id] = thread


def stopped_at() -> str | None:
    """Where a thread is stopped, as "shop/views.py:12", first the one that stopped the others."""
    if live_debugger() is None:
        return None
    frames = sys._current_frames().values()
    suspensions = [variables for variables in map(_suspension_of, frames) if variables]
    suspensions.sort(key=lambda variables: variables.get("stop_reason") == CMD_THREAD_SUSPEND)
    return next(map(_place_of_stop, suspensions), None)


def _suspension_of(frame: FrameType | None) -> dict[str, Any] | None:
    """The variables of the function that keeps a stopped thread waiting."""
    while frame is not None:
        if frame.f_code.co_name == "do_wait_suspend":
            return frame.f_locals
        frame = frame.f_back
    return None


def _place_of_stop(suspension: dict[str, Any]) -> str:
    frame = suspension["frame"]
    file, line = frame.f_code.co_filename, frame.f_lineno
    if suspension["event"] == "exception" and isinstance(suspension["arg"], tuple):
        # Of the frames the error went through, one may stand elsewhere by now.
        entries = _traceback_entries(suspension["arg"][2])
        raised_lines = [entry.tb_lineno for entry in entries if entry.tb_frame is frame]
        line = raised_lines[-1] if raised_lines else line
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
    _threads_that_stop_alone.add(thread)


def is_suspended_alone(thread: threading.Thread) -> bool:
    return thread in _threads_that_stop_alone


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
        if except_thread not in _threads_that_stop_alone:
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
            setattr(module, name, _then_waking_all_threads(function))


def _then_waking_all_threads(change_state: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(change_state)
    def change_state_and_wake(*args: Any, **kwargs: Any) -> Any:
        result = change_state(*args, **kwargs)
        for thread_event in list(getattr(live_debugger(), "_thread_events", {}).values()):
            thread_event.set()
        return result

    return change_state_and_wake


# The connection to the IDE


def wake_when_told_to_run() -> None:
    """Have the thread that waits for the IDE's breakpoints go on when it has them all. By itself it
    looks in fixed steps. Needs pydevd to be imported."""
    pydevd_api: Any = getattr(sys.modules.get("_pydevd_bundle.pydevd_api"), "PyDevdAPI", None)
    original_run = getattr(pydevd_api, "run", None)
    if original_run is None:
        return

    def run(self: Any, debugger: Any) -> Any:
        result = original_run(self, debugger)
        command_thread_event = getattr(debugger, "_py_db_command_thread_event", None)
        if command_thread_event is not None:
            command_thread_event.set()
        return result

    pydevd_api.run = run


def notice_being_let_go() -> None:
    """debugpy's adapter lets a process go that no IDE is there for: it attaches, and leaves at once
    (servers.Connection, "unblocking"). In between no IDE is attached. IDEs say more than the
    number of the process. Needs pydevd to be imported."""
    processor = _json_processor()
    original_on_attach = getattr(processor, "on_attach_request", None)
    if original_on_attach is None:
        return

    def on_attach_request(self: Any, debugger: Any, request: Any) -> Any:
        arguments = getattr(request.arguments, "kwargs", None)
        if arguments is not None and arguments.keys() <= {"subProcessId"}:
            _unblocked_by_adapter.add(debugger)
        else:
            _unblocked_by_adapter.discard(debugger)
        return original_on_attach(self, debugger, request)

    processor.on_attach_request = on_attach_request


def _json_processor() -> Any:
    """What answers the requests of debugpy's adapter."""
    module = sys.modules.get("_pydevd_bundle.pydevd_process_net_command_json")
    return getattr(module, "PyDevJsonCommandProcessor", None)


def call_when_ide_disconnects(callback: Callable[[], None]) -> None:
    """Call this when the IDE asks to be disconnected from this process alone, as debugpy's adapter
    does for its Stop button; afterwards stopped threads go on.

    A process that no IDE is there for is let go by a request that says nothing of the program's
    end.
    """
    processor = _json_processor()
    original_on_disconnect = getattr(processor, "on_disconnect_request", None)
    if original_on_disconnect is None:
        return

    def on_disconnect_request(self: Any, debugger: Any, request: Any) -> Any:
        if request.arguments.terminateDebuggee is False:
            callback()
        return original_on_disconnect(self, debugger, request)

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

    def __init__(self, pydevds_start_client: Callable[[str, int], Any]) -> None:
        self.pydevds_start_client = pydevds_start_client
        self.handed_over: Any | None = None

    def __call__(self, host: str, port: int) -> Any:
        connection, self.handed_over = self.handed_over, None
        connection = connection or self.pydevds_start_client(host, port)
        send_at_once(connection)
        return connection


def hand_over(connection: object) -> None:
    """Have the next connection that pydevd makes be this one."""
    set_tcp_nodelay()
    pydevd: Any = _pydevd()
    if hasattr(pydevd, "connected") and live_debugger() is None:
        pydevd.connected = False  # pydevd-pycharm does not notice that an earlier IDE has left
    start_client = getattr(pydevd, "start_client", None)
    if isinstance(start_client, _StartClient):
        start_client.handed_over = connection


def set_tcp_nodelay() -> None:
    """Set TCP_NODELAY on the live connection to the IDE, and on those that are made later.

    pydevd writes each message in two pieces; the second would wait about 40 ms for the delayed
    acknowledgement of the first.
    """
    pydevd = _pydevd()
    start_client = getattr(pydevd, "start_client", None)
    if pydevd and start_client and not isinstance(start_client, _StartClient):
        pydevd.start_client = _StartClient(start_client)
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
    pydev_log = sys.modules.get("_pydev_bundle.pydev_log")
    _call(pydev_log, "initialize_debug_stream")  # else it takes what stderr is at its first line
    log_settings: Any = getattr(pydev_log, "_LoggingGlobals", None)
    while streams := getattr(getattr(log_settings, "_debug_stream", None), "_redirect_to", None):
        log_settings._debug_stream = streams[0]


def _constants() -> ModuleType | None:
    return sys.modules.get("_pydevd_bundle.pydevd_constants")


def _pydevd() -> Any | None:
    # Run as a program, pydevd puts itself under this name as well.
    return sys.modules.get("pydevd")


def _call(module: object, function_name: str, *arguments: object) -> Any:
    """Call the module's function; None where the module or the function is not there."""
    function = getattr(module, function_name, None)
    return function(*arguments) if function is not None else None

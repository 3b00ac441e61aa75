"""Every private name of pydevd's that we use: none of it has a public counterpart.

The names hold for debugpy 1.8, pydevd 3.5 and pydevd-pycharm 263;
tests/debuggers/test_pydevd_internals.py fails when a new release changes one. Where a name is
missing, what it is for does not happen, and the debugger works as it does without us.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from flask_debuglaunch.debuggers.protocol import PathMappings

CMD_THREAD_SUSPEND = 105
"""The stop reason of a thread that was only suspended along with the one that stopped."""


def live_debugger() -> Any | None:
    """The debugger object that traces this process; None where pydevd was merely imported."""
    return _call(_constants(), "get_global_debugger")


def flavour_of(debugger: object) -> str:
    """Which of the family it is: its name as in DEBUG_WITH."""
    if _call(_constants(), "get_protocol") in ("json", "http_json"):
        return "debugpy"
    is_pydevd = hasattr(debugger, "do_stop_on_unhandled_exception")
    return "pydevd" if is_pydevd else "pydevd-pycharm"


def is_attached(debugger: Any) -> bool:
    """Is an IDE at the other end, and has it set its breakpoints?"""
    if flavour_of(debugger) == "debugpy":
        return bool(debugger.is_attached())
    return bool(debugger.ready_to_run and debugger.writer)


def follows_children() -> bool:
    """Does the debugger go along into child processes?"""
    setup = getattr(getattr(_pydevd(), "SetupHolder", None), "setup", None) or {}
    return bool(setup.get("multiprocess") or setup.get("multiproc"))


def map_paths(mappings: PathMappings) -> None:
    """The IDE's folders and ours. Needs pydevd to be imported."""
    _call(sys.modules.get("pydevd_file_utils"), "setup_client_server_paths", list(mappings))


# Threads


def hide_thread(thread: threading.Thread) -> None:
    """The marks of pydevd's own threads. They work also before pydevd is imported."""
    marked: Any = thread
    marked.pydev_do_not_trace = True
    marked.is_pydev_daemon_thread = True


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
        line = _raising_line(wait["arg"][2], frame) or line
    relative = os.path.relpath(file)
    return f"{file if relative.startswith(os.pardir) else relative}:{line}"


def _raising_line(traceback: Any, frame: FrameType) -> int | None:
    """The line of the frame that the exception went through; afterwards it may stand elsewhere."""
    line = None
    while traceback is not None:
        if traceback.tb_frame is frame:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


# The connection to the IDE


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
    start_client = getattr(_pydevd(), "start_client", None)
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


def send_at_once(connection: Any) -> None:
    import contextlib
    import socket

    if isinstance(connection, socket.socket):
        with contextlib.suppress(OSError):  # closed meanwhile
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _constants() -> ModuleType | None:
    return sys.modules.get("_pydevd_bundle.pydevd_constants")


def _pydevd() -> Any | None:
    # Run as a program, pydevd puts itself under this name as well.
    return sys.modules.get("pydevd")


def _call(module: object, function: str, *arguments: object) -> Any:
    """Call the module's function; None where the module or the function is not there."""
    found = getattr(module, function, None)
    return found(*arguments) if found is not None else None

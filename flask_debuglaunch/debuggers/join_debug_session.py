"""Let a worker take part in the debug session of its supervisor.

A worker is told where the supervisor's debugger is connected, and connects there itself, whether it
was forked or is a fresh interpreter; to the IDE it is a child of the supervisor. pydevd's own way,
to follow children by changing their command lines, is kept out: it can't follow a fork that was
made elsewhere, and starts the debugger before we can set TCP_NODELAY.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from flask_debuglaunch.debuggers import pydevd_internals as internals
from flask_debuglaunch.errors import DebuggerUnavailable

DEBUGPY_LIBRARY = "debugpy.server.api"


@dataclass(frozen=True)
class DebugSession:
    """Where a supervisor's debugger is connected, and what it takes to connect there too."""

    library: str
    """What is to be imported before pydevd can be."""
    folder: str
    """Where from: IDEs bring their own copies along, which are not on a worker's sys.path."""
    protocol: str | None
    """None: pydevd-pycharm has only one."""
    host: str
    port: int
    access_token: str | None
    client_access_token: str | None
    parent: int
    """The supervisor's process, which the IDE knows."""
    is_launch: bool = False
    """Has the IDE started the supervisor? Then its Stop button is to end everything."""

    @property
    def is_debugpy(self) -> bool:
        return self.library == DEBUGPY_LIBRARY


def session_of_this_process() -> DebugSession | None:
    """The session that the debugger of this process is in; None where it has lost its IDE."""
    pydevd: Any = sys.modules.get("pydevd")
    debugger: Any = internals.live_debugger()
    connected_to = internals.peer_of(debugger)
    if connected_to is None:
        return None
    host, port = connected_to
    authentication = getattr(debugger, "authentication", None)
    is_debugpy = internals.flavour_of(debugger) == "debugpy"
    library_path = sys.modules["debugpy"].__path__[0] if is_debugpy else pydevd.__file__
    return DebugSession(
        library=DEBUGPY_LIBRARY if is_debugpy else "pydevd",
        folder=os.path.dirname(os.path.abspath(library_path)),
        protocol=internals.protocol(),
        host=host,
        port=port,
        access_token=getattr(authentication, "access_token", None),
        client_access_token=getattr(authentication, "client_access_token", None),
        parent=os.getpid(),
        is_launch=_is_launched_by_ide(),
    )


def _is_launched_by_ide() -> bool:
    """debugpy's launcher alone gives it the adapter's token on the command line. What starts the
    program otherwise (`python -m debugpy --listen`) is for an IDE that attaches."""
    cli_options = getattr(sys.modules.get("debugpy.server.cli"), "options", None)
    return getattr(cli_options, "adapter_access_token", None) is not None


def preload(session: DebugSession) -> None:
    """Import what `join` needs; starts nothing."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    # In front for that long, as when the debugger was started.
    sys.path.insert(0, session.folder)
    importlib.import_module(session.library)
    importlib.import_module("pydevd")
    sys.path.remove(session.folder)
    if session.library == "pydevd" and session.folder not in sys.path:
        sys.path.append(session.folder)  # it imports more of its own modules later


def join(session: DebugSession) -> None:
    """Connect to the session; returns when the IDE has set its breakpoints.

    Where no IDE is attached, debugpy's adapter lets us go on at once. Raises DebuggerUnavailable
    where nobody listens there any more.
    """
    preload(session)
    internals.notice_being_let_go()
    internals.wake_when_told_to_run()
    internals.hand_over(_connection_to(session))
    if session.protocol is not None:
        pydevd_defaults: Any = importlib.import_module("_pydevd_bundle.pydevd_defaults")
        pydevd_defaults.PydevdCustomization.DEFAULT_PROTOCOL = session.protocol
    pydevd: Any = sys.modules["pydevd"]
    with _without_sleeping(pydevd):
        pydevd.settrace(
            session.host,
            port=session.port,
            suspend=False,
            patch_multiprocessing=True,
            **_settrace_arguments(pydevd.settrace, session),
        )


def _connection_to(session: DebugSession) -> object:
    import socket

    try:
        return socket.create_connection((session.host, session.port))
    except OSError as error:
        raise DebuggerUnavailable(
            f"the debug session has ended ({session.host}:{session.port}: {error.strerror})"
        ) from error


def _settrace_arguments(settrace: Callable[..., None], session: DebugSession) -> dict[str, Any]:
    """Those that pydevd-pycharm does not have, as far as this settrace() has them."""
    session_arguments: dict[str, Any] = {
        "access_token": session.access_token,
        "client_access_token": session.client_access_token,
        "notify_stdin": False,
        "ppid": session.parent,
        # Stepping must not land in our own frames, also where we are not installed.
        "dont_trace_start_patterns": (internals.OUR_FOLDER,),
    }
    parameters = inspect.signature(settrace).parameters
    arguments = {name: value for name, value in session_arguments.items() if name in parameters}
    if "ppid" not in parameters and internals.tells_ide_of_parent():
        arguments["__setup_holder__"] = _setup_with_parent(session)
    return arguments


def _setup_with_parent(session: DebugSession) -> dict[str, Any]:
    """What settrace would set up by itself, and the parent: debugpy before 1.8.15 takes it from a
    command line only. By the fork server as our parent the IDE would not know us."""
    return {
        "client": session.host,
        "server": False,
        "port": session.port,
        "multiprocess": True,
        "skip-notify-stdin": True,
        "ppid": session.parent,
    }


@contextlib.contextmanager
def _without_sleeping(pydevd: Any) -> Iterator[None]:
    """After connecting pydevd sleeps 0.1 s, "to give threads time to start" that it waits for in
    other ways as well: most of what a reload under the debugger would take."""
    time_module = getattr(pydevd, "time", None)
    pydevd.time = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    try:
        yield
    finally:
        pydevd.time = time_module


def leave() -> None:
    """Before the end of a worker: keep pydevd from holding it up, and from leaving sooner.

    When the main thread ends, and again at exit, it takes half a second to take its leave of the
    IDE, which the closed connection tells as much. And it ends the session when no thread is left,
    while atexit functions may still run: threading's end takes the main thread for ended.
    """
    debugger = internals.live_debugger()
    if debugger is not None:
        threading.Thread(target=threading.Event().wait, name="leaving", daemon=True).start()
    check_alive_thread = getattr(debugger, "check_alive_thread", None)
    if check_alive_thread is not None:
        check_alive_thread.join(0.5)
    stoptrace = getattr(sys.modules.get("pydevd"), "stoptrace", None)
    if stoptrace is not None:
        atexit.unregister(stoptrace)

"""A program that starts a debugger by itself: debugpy.listen(), debugpy.connect(), settrace().

Such calls are left in apps from before they had a launcher. Beside the launcher's own debugger they
are not done. Without one they are, and what each worker of a reload would stumble over is mended:
the debug port that the worker before it still holds, an adapter that outlives its process, an IDE
that has gone meanwhile. Each is told, with its place.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

from flask_debuglaunch.debuggers import pydevd_internals as internals
from flask_debuglaunch.debuggers.debugger_interface import Endpoint, place_of
from flask_debuglaunch.debuggers.debugpy_debugger import Debugpy
from flask_debuglaunch.debuggers.ide_debug_server import IdeServer, dial
from flask_debuglaunch.debuggers.pydevd_debugger import Pydevd
from flask_debuglaunch.errors import DebuggerUnavailable

PORT_SECONDS = 5.0
"""How long the worker before may take to give its debug port free."""
ANY_PYDEVD_SERVER = IdeServer(
    "debug server of PyDev or PyCharm", re.compile(rb"50\d\t"), Pydevd.ide_server.start
)


def take_debugger_calls_in_hand(tell: Callable[[str], None]) -> None:
    """From now on, in this process: take such calls in hand; tell says a line to the person."""
    mending = _Mending(tell)
    for name, mend in (("debugpy.server.api", mending.api), ("pydevd", mending.pydevd)):
        if name in sys.modules:
            mend(sys.modules[name])
        else:
            sys.meta_path.insert(0, _AfterImport(name, mend))


@dataclass(frozen=True)
class _Mending:
    tell: Callable[[str], None]

    def api(self, api: Any) -> None:
        if not (hasattr(api, "listen") and hasattr(api, "connect")):
            return  # too old, or broken: there is nothing that the program could call
        listen, connect = api.listen, api.connect

        def listening(address: Any, *more: Any, **named: Any) -> Any:
            place = _place_of_caller()
            if place is None:
                return listen(address, *more, **named)
            endpoint = _endpoint(address)
            if not self._is_another(place, "debugpy.listen()"):
                self._start(place, "debugpy.listen()", lambda: _listen_when_free(endpoint))
            return endpoint.host, endpoint.port

        def connecting(address: Any, *more: Any, **named: Any) -> Any:
            place = _place_of_caller()
            if place is None:
                return connect(address, *more, **named)
            if not self._is_another(place, "debugpy.connect()"):
                endpoint = _endpoint(address)
                self._start(place, "debugpy.connect()", lambda: Debugpy().connect(endpoint))
            return None

        vars(listening).update(vars(listen))  # `called`, which debugpy keeps there
        api.listen, api.connect = listening, connecting

    def pydevd(self, pydevd: Any) -> None:
        if not hasattr(pydevd, "settrace"):
            return
        settrace = pydevd.settrace

        signature = inspect.signature(settrace)

        def tracing(*args: Any, **named: Any) -> Any:
            place = _place_of_caller()
            if place is None:
                return settrace(*args, **named)
            if "stop_at_frame" in signature.parameters:  # not at this one
                named.setdefault("stop_at_frame", sys._getframe(1))
            if internals.live_debugger() is not None:
                # It connects to nothing then, and stops, as a breakpoint would.
                return settrace(*args, **named)
            given = signature.bind(*args, **named).arguments
            endpoint = Endpoint(given.get("host") or "127.0.0.1", given.get("port", 5678))

            def connect() -> None:
                internals.hand_over(dial(ANY_PYDEVD_SERVER, endpoint, 0))
                settrace(*args, **named)

            return self._start(place, "pydevd.settrace()", connect)

        pydevd.settrace = tracing
        pycharms = sys.modules.get("pydevd_pycharm")
        if pycharms is not None:
            vars(pycharms)["settrace"] = tracing

    def _is_another(self, place: str, call: str) -> bool:
        if internals.live_debugger() is None:
            return False
        self.tell(f"{place}: {call} is ignored, the launcher has the debugger attached. Remove it")
        return True

    def _start(self, place: str, call: str, start: Callable[[], None]) -> None:
        try:
            start()
        except DebuggerUnavailable as error:
            self.tell(f"{place}: {call}: {error}. The app is served without it")
            return
        self.tell(
            f"{place}: {call} is the app's own, so the IDE's session ends at each reload. Remove"
            " it, and give DEBUG_WITH and DEBUG_PORT: then one session lasts"
        )


def _listen_when_free(endpoint: Endpoint) -> None:
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        try:
            Debugpy().listen(endpoint, when_lost=lambda: None)
        except DebuggerUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _endpoint(address: Any) -> Endpoint:
    """debugpy takes a port, or a host and a port."""
    host, port = ("127.0.0.1", address) if isinstance(address, int) else address
    return Endpoint(host, port)


def _place_of_caller() -> str | None:
    """Where the program calls, as "shop/views.py:12"; None if the call is a debugger's or ours."""
    frame: FrameType | None = sys._getframe(2)
    file = frame.f_code.co_filename if frame else ""
    while frame and _is_debugpys_api(file):
        frame = frame.f_back
        file = frame.f_code.co_filename if frame else ""
    if frame is None or file.startswith((internals.OUR_FOLDER, *internals.debugger_folders())):
        return None
    return place_of(file, frame.f_lineno)


def _is_debugpys_api(file: str) -> bool:
    """Does debugpy.listen() go through it to debugpy.server.api.listen()?"""
    return os.path.basename(file) == "public_api.py" and file.startswith(
        internals.debugger_folders()
    )


class _AfterImport(MetaPathFinder):
    """Runs a function on a module as soon as that has been imported."""

    def __init__(self, name: str, function: Callable[[ModuleType], None]) -> None:
        self._name, self._function = name, function

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                return self._with_function(spec)
        return None

    def _with_function(self, spec: ModuleSpec) -> ModuleSpec:
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self._function(module)

        loader.exec_module = exec_module
        return spec

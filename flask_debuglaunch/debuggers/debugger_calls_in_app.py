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
from flask_debuglaunch.debuggers.ide_debug_server import IdeDebugServer, dial
from flask_debuglaunch.debuggers.pydevd_debugger import Pydevd
from flask_debuglaunch.errors import DebuggerUnavailable

PORT_SECONDS = 5.0
"""How long the worker before may take to give its debug port free."""
ANY_PYDEVD_SERVER = IdeDebugServer(
    "debug server of PyDev or PyCharm", re.compile(rb"50\d\t"), Pydevd.ide_server.how_to_start
)


def take_debugger_calls_in_hand(say_line: Callable[[str], None]) -> None:
    """From now on, in this process: take such calls in hand; say_line tells the person of them."""
    patches = _DebuggerPatches(say_line)
    for module_name, patch in (
        ("debugpy.server.api", patches.patch_debugpy),
        ("pydevd", patches.patch_settrace),
    ):
        if module_name in sys.modules:
            patch(sys.modules[module_name])
        else:
            sys.meta_path.insert(0, _PatchAfterImport(module_name, patch))


@dataclass(frozen=True)
class _DebuggerPatches:
    say_line: Callable[[str], None]

    def patch_debugpy(self, debugpy_api: Any) -> None:
        if not (hasattr(debugpy_api, "listen") and hasattr(debugpy_api, "connect")):
            return  # too old, or broken: there is nothing that the program could call
        debugpy_listen, debugpy_connect = debugpy_api.listen, debugpy_api.connect

        def listen(address: Any, *args: Any, **kwargs: Any) -> Any:
            place = _place_of_caller()
            if place is None:
                return debugpy_listen(address, *args, **kwargs)
            endpoint = _endpoint(address)
            if not self._is_beside_launchers(place, "debugpy.listen()"):
                self._start_apps_own(
                    place, "debugpy.listen()", lambda: _listen_when_port_is_free(endpoint)
                )
            return endpoint.host, endpoint.port

        def connect(address: Any, *args: Any, **kwargs: Any) -> Any:
            place = _place_of_caller()
            if place is None:
                return debugpy_connect(address, *args, **kwargs)
            if not self._is_beside_launchers(place, "debugpy.connect()"):
                endpoint = _endpoint(address)
                self._start_apps_own(
                    place, "debugpy.connect()", lambda: Debugpy().connect(endpoint)
                )
            return None

        vars(listen).update(vars(debugpy_listen))  # `called`, which debugpy keeps there
        debugpy_api.listen, debugpy_api.connect = listen, connect

    def patch_settrace(self, pydevd: Any) -> None:
        if not hasattr(pydevd, "settrace"):
            return
        pydevd_settrace = pydevd.settrace
        signature = inspect.signature(pydevd_settrace)

        def settrace(*args: Any, **kwargs: Any) -> Any:
            place = _place_of_caller()
            if place is None:
                return pydevd_settrace(*args, **kwargs)
            if "stop_at_frame" in signature.parameters:  # not at this one
                kwargs.setdefault("stop_at_frame", sys._getframe(1))
            if internals.live_debugger() is not None:
                # It connects to nothing then, and stops, as a breakpoint would.
                return pydevd_settrace(*args, **kwargs)
            arguments = signature.bind(*args, **kwargs).arguments
            endpoint = Endpoint(arguments.get("host") or "127.0.0.1", arguments.get("port", 5678))

            def connect() -> None:
                internals.hand_over(dial(ANY_PYDEVD_SERVER, endpoint, 0))
                pydevd_settrace(*args, **kwargs)

            return self._start_apps_own(place, "pydevd.settrace()", connect)

        pydevd.settrace = settrace
        pydevd_pycharm = sys.modules.get("pydevd_pycharm")
        if pydevd_pycharm is not None:
            vars(pydevd_pycharm)["settrace"] = settrace

    def _is_beside_launchers(self, place: str, call: str) -> bool:
        if internals.live_debugger() is None:
            return False
        self.say_line(
            f"{place}: {call} is ignored, the launcher has the debugger attached. Remove it"
        )
        return True

    def _start_apps_own(self, place: str, call: str, start_debugger: Callable[[], None]) -> None:
        try:
            start_debugger()
        except DebuggerUnavailable as error:
            self.say_line(f"{place}: {call}: {error}. The app is served without it")
            return
        self.say_line(
            f"{place}: {call} is the app's own, so the IDE's session ends at each reload. Remove"
            " it, and give DEBUG_WITH and DEBUG_PORT: then one session lasts"
        )


def _listen_when_port_is_free(endpoint: Endpoint) -> None:
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


class _PatchAfterImport(MetaPathFinder):
    """Patches a module as soon as that has been imported."""

    def __init__(self, module_name: str, patch: Callable[[ModuleType], None]) -> None:
        self._module_name, self._patch = module_name, patch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module_name:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                return self._spec_with_patch(spec)
        return None

    def _spec_with_patch(self, spec: ModuleSpec) -> ModuleSpec:
        loader: Any = spec.loader
        loaders_exec_module = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            loaders_exec_module(module)
            self._patch(module)

        loader.exec_module = exec_module
        return spec

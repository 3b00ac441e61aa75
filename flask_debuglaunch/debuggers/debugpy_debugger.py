"""debugpy: VS Code's debugger, and that of every editor that speaks its protocol.

https://github.com/microsoft/debugpy/wiki/API-Reference
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flask_debuglaunch.debuggers import pydevd_internals as internals
from flask_debuglaunch.debuggers.debugger_interface import Endpoint, Presence
from flask_debuglaunch.debuggers.ide_connection import IdeServer
from flask_debuglaunch.debuggers.join_debug_session import children_left_alone
from flask_debuglaunch.debuggers.pydevd_base import PydevdBase
from flask_debuglaunch.errors import DebuggerUnavailable
from flask_debuglaunch.port_owner import owner_of_port

if TYPE_CHECKING:
    from flask_debuglaunch.debuggers.debugpy_lifeline import Lifeline

ADAPTER_SITE = Path(__file__).with_name("debugpy_adapter_site")


class Debugpy(PydevdBase):
    name = "debugpy"
    ides = ("vscode", "cursor", "windsurf", "vscodium", "zed", "neovim")
    flags = ("DEBUG_WITH_VSCODE",)
    connections = ("listen", "connect")
    has_one_connection = True
    package = "debugpy"
    module = "debugpy"
    library = "debugpy.server.api"  # `import debugpy` puts it off
    ide_server = IdeServer(
        "debug server of a debugpy client",
        re.compile(rb'Content-Length: .*"request"', re.DOTALL),
        'Start its attach configuration with "listen" first',
    )

    def presence(self) -> Presence | None:
        presence = super().presence()
        if presence is not None and _is_listened_by_program():
            # Each worker would do it again, and find the port taken.
            return replace(presence, follows_children=False)
        return presence

    def listen(self, endpoint: Endpoint, when_lost: Callable[[], None]) -> None:
        self._import()
        import debugpy

        # Here, because its cryptography is a tenth of a light command's start.
        from flask_debuglaunch.debuggers.debugpy_lifeline import Lifeline

        internals.no_delay()
        lifeline = Lifeline()
        with self._refused_if_too_old():
            debugpy.configure(pythonEnv=_adapter_environment(endpoint, lifeline))
        # It says so itself once it has; an adapter that it has lost since is no reason to refuse.
        sys.modules["debugpy.server.api"].listen.called = False
        try:
            with children_left_alone():
                debugpy.listen((endpoint.host, endpoint.port))
        except (RuntimeError, OSError) as error:
            lifeline.close()
            owner = owner_of_port(endpoint.port)
            why = f"{owner} listens there. End that" if owner else f"{error}. End what uses it"
            raise DebuggerUnavailable(
                f"debugpy can't listen on {endpoint}: {why}, or set DEBUG_PORT to a free port"
            ) from error
        self.start_hidden_thread(lambda: lifeline.watch(when_lost))

    def wait_for_client(self, seconds: float) -> bool:
        import time

        import debugpy

        # Not a timer that cancels wait_for_client(): pydevd may lose an answer over its thread.
        deadline = time.monotonic() + seconds
        while not debugpy.is_client_connected():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        debugpy.wait_for_client()  # until its breakpoints are set
        return True

    def _attach(self, endpoint: Endpoint) -> None:
        import debugpy

        debugpy.connect((endpoint.host, endpoint.port))

    def _stop_on(self, error: BaseException) -> None:
        import debugpy

        if not hasattr(debugpy, "trigger_exception_handler"):  # before 1.8.22
            super()._stop_on(error)
            return
        debugpy.trigger_exception_handler((type(error), error, error.__traceback__))


def _is_listened_by_program() -> bool:
    """Has the program's own code called debugpy.listen(), rather than `python -m debugpy`?"""
    api = sys.modules.get("debugpy.server.api")
    # Not listen.called, which debugpy has since 1.8.15 only.
    has_adapter = getattr(api, "_adapter_process", None) is not None
    return has_adapter and "debugpy.server.cli" not in sys.modules


def _adapter_environment(endpoint: Endpoint, lifeline: Lifeline) -> dict[str, str]:
    """The environment of the adapter process that listen() starts: ours, our sitecustomize and its
    lifeline, and the file that it is to write its address into.

    It is the adapter's alone: the app's environment stays as it is.
    """
    inherited = os.environ.get("PYTHONPATH")
    paths = [str(ADAPTER_SITE), *([inherited] if inherited else [])]
    announced = {"DEBUGPY_ADAPTER_ENDPOINTS": str(endpoint.announced_in)}
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        **lifeline.environment(),
        **(announced if endpoint.announced_in else {}),
    }

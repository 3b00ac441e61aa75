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
from flask_debuglaunch.debuggers.ide_debug_server import IdeDebugServer
from flask_debuglaunch.debuggers.pydevd_base import PydevdBase
from flask_debuglaunch.debuggers.subprocess_debugging import children_left_alone
from flask_debuglaunch.errors import DebuggerUnavailable
from flask_debuglaunch.procfs import owner_of_port

if TYPE_CHECKING:
    import socket

ADAPTER_SITE = Path(__file__).with_name("debugpy_adapter_site")
LIFELINE_VARIABLE = "FLASK_DEBUGLAUNCH_LIFELINE"
"""Tells the adapter where to connect to, and the token by which we know it."""
HANDSHAKE_SECONDS = 30.0


class Debugpy(PydevdBase):
    name = "debugpy"
    ides = ("vscode", "cursor", "windsurf", "vscodium", "zed", "neovim")
    flags = ("DEBUG_WITH_VSCODE",)
    connections = ("listen", "connect")
    has_one_connection = True
    package = "debugpy"
    module = "debugpy"
    library = "debugpy.server.api"  # `import debugpy` puts it off
    ide_server = IdeDebugServer(
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
        self._import_library()
        import debugpy

        internals.set_tcp_nodelay()
        lifeline = AdapterLifeline()
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
            obstacle = f"{owner} listens there. End that" if owner else f"{error}. End what uses it"
            raise DebuggerUnavailable(
                f"debugpy can't listen on {endpoint}: {obstacle}, or set DEBUG_PORT to a free port"
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

    def _stop_post_mortem(self, error: BaseException) -> None:
        import debugpy

        if not hasattr(debugpy, "trigger_exception_handler"):  # before 1.8.22
            super()._stop_post_mortem(error)
            return
        debugpy.trigger_exception_handler((type(error), error, error.__traceback__))


def _is_listened_by_program() -> bool:
    """Has the program's own code called debugpy.listen(), rather than `python -m debugpy`?"""
    debugpy_api = sys.modules.get("debugpy.server.api")
    # Not listen.called, which debugpy has since 1.8.15 only.
    has_adapter = getattr(debugpy_api, "_adapter_process", None) is not None
    return has_adapter and "debugpy.server.cli" not in sys.modules


def _adapter_environment(endpoint: Endpoint, lifeline: AdapterLifeline) -> dict[str, str]:
    """The environment of the adapter process that listen() starts: ours, our sitecustomize and its
    lifeline, and the file that it is to write its address into.

    It is the adapter's alone: the app's environment stays as it is.
    """
    inherited_path = os.environ.get("PYTHONPATH")
    python_path = [str(ADAPTER_SITE), *([inherited_path] if inherited_path else [])]
    endpoint_file = {"DEBUGPY_ADAPTER_ENDPOINTS": str(endpoint.announced_in)}
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(python_path),
        **lifeline.environment(),
        **(endpoint_file if endpoint.announced_in else {}),
    }


class AdapterLifeline:
    """A connection between this process and debugpy's adapter, by which each notices the other's
    end: it closes when a process ends, in whatever way. The adapter's part is in
    debugpy_adapter_site/sitecustomize.py.

    The adapter is the process that holds the debug port. By itself it outlives us as long as it
    takes some client for its own (a browser that asked the port for a page is enough), and nothing
    tells us when it has been killed.
    """

    def __init__(self) -> None:
        # Here: the cryptography of secrets is a tenth of a light command's start.
        import secrets
        import socket

        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(HANDSHAKE_SECONDS)
        self._token = secrets.token_hex(16)
        self._connection: socket.socket | None = None
        if hasattr(os, "register_at_fork"):  # a child of ours must not keep the adapter alive
            os.register_at_fork(after_in_child=self.close)

    def environment(self) -> dict[str, str]:
        """What the adapter is to be started with."""
        return {LIFELINE_VARIABLE: f"{self._listener.getsockname()[1]}:{self._token}"}

    def watch(self, when_adapter_ended: Callable[[], None]) -> None:
        """Wait for the adapter's end; to be run in a thread of its own."""
        try:
            connection = self._connection = self._accept_adapter()
            while connection.recv(1):
                pass
        except OSError:  # closed by us, reset, or the adapter has never got as far as this
            pass
        when_adapter_ended()

    def close(self) -> None:
        """Let go: the adapter ends."""
        self._listener.close()
        if self._connection is not None:
            self._connection.close()

    def _accept_adapter(self) -> socket.socket:
        with self._listener:
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(HANDSHAKE_SECONDS)
                if connection.recv(len(self._token)).decode(errors="replace") == self._token:
                    connection.settimeout(None)
                    return connection
                connection.close()  # some other program of this machine

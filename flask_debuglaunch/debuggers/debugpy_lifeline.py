"""A connection between this process and debugpy's adapter, by which each notices the other's end.

The adapter is the process that holds the debug port. By itself it outlives us as long as it takes
some client for its own (a browser that asked the port for a page is enough), and nothing tells us
when it has been killed. The other end is in debugpy_adapter_site/sitecustomize.py.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable

VARIABLE = "FLASK_DEBUGLAUNCH_LIFELINE"
"""Tells the adapter where to connect to, and the word by which we know it."""
HANDSHAKE_SECONDS = 30.0


class Lifeline:
    """Our end. The connection closes when this process ends, in whatever way."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(HANDSHAKE_SECONDS)
        self._word = secrets.token_hex(16)
        self._connection: socket.socket | None = None
        if hasattr(os, "register_at_fork"):  # a child of ours must not keep the adapter alive
            os.register_at_fork(after_in_child=self.close)

    def environment(self) -> dict[str, str]:
        """What the adapter is to be started with."""
        return {VARIABLE: f"{self._listener.getsockname()[1]}:{self._word}"}

    def watch(self, when_ended: Callable[[], None]) -> None:
        """Wait for the adapter's end; to be run in a thread of its own."""
        try:
            connection = self._connection = self._accept()
            while connection.recv(1):
                pass
        except OSError:  # closed by us, reset, or the adapter has never got as far as this
            pass
        when_ended()

    def close(self) -> None:
        """Let go: the adapter ends."""
        self._listener.close()
        if self._connection is not None:
            self._connection.close()

    def _accept(self) -> socket.socket:
        with self._listener:
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(HANDSHAKE_SECONDS)
                if connection.recv(len(self._word)).decode(errors="replace") == self._word:
                    connection.settimeout(None)
                    return connection
                connection.close()  # some other program of this machine

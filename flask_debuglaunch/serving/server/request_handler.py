"""Werkzeug's request handler, which tells what a connection is busy with."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from werkzeug.serving import WSGIRequestHandler

if TYPE_CHECKING:
    from flask_debuglaunch.serving.server.http_server import AppServer


class Connection:
    """One connection, from its acceptance to its end."""

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.is_app_at_work = False
        """Does the app work on an answer of which nothing has been sent? Not while the client has
        yet to send something (the TLS handshake, the rest of the request), nor when the answer has
        begun, or the connection is a websocket: it may go on for ever."""

    @contextmanager
    def waiting_for_client(self) -> Iterator[None]:
        before, self.is_app_at_work = self.is_app_at_work, False
        try:
            yield
        finally:
            self.is_app_at_work = before


class RequestHandler(WSGIRequestHandler):
    """Keeps the server's `Connection` of its socket up to date."""

    def setup(self) -> None:
        super().setup()
        server = cast("AppServer", self.server)
        self._connection = server.connection_of(self.connection)
        raw = cast("io.BufferedReader", self.rfile).detach()
        self.rfile = io.BufferedReader(_FromClient(raw, self._connection))

    def run_wsgi(self) -> None:
        self._connection.is_app_at_work = "Upgrade" not in self.headers
        super().run_wsgi()

    def send_response(self, *args: Any, **kwargs: Any) -> None:
        self._connection.is_app_at_work = False
        super().send_response(*args, **kwargs)


class _FromClient(io.RawIOBase):
    """What a client sends."""

    def __init__(self, raw: io.RawIOBase, connection: Connection) -> None:
        self._raw, self._connection = raw, connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        with self._connection.waiting_for_client():
            return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()

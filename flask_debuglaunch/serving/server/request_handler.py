"""Werkzeug's request handler, which tells what a connection is busy with."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from select import select  # the original: an app may patch the module (gevent)
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from werkzeug.serving import WSGIRequestHandler

if TYPE_CHECKING:
    from flask_debuglaunch.serving.server.http_server import AppServer


class Connection:
    """One connection, from its acceptance to its end."""

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.has_end = True
        """Not if it is a websocket, or the answer has begun and nobody knows its length: that may
        go on for ever."""
        self._waits_to: Literal["read", "write"] | None = None

    @contextmanager
    def waiting_to(self, what: Literal["read", "write"]) -> Iterator[None]:
        """Inside, it is the client's turn."""
        self._waits_to = what
        try:
            yield
        finally:
            self._waits_to = None

    def is_awaited(self) -> bool:
        """Is there an answer that will come? Not while the client has yet to send something (the
        TLS handshake, the rest of the request), or to take it. A busy machine may keep its thread
        from noticing for long that the client has done so."""
        return self.has_end and (self._waits_to is None or self._is_clients_turn_over())

    def _is_clients_turn_over(self) -> bool:
        reads, writes = ([self.socket], []) if self._waits_to == "read" else ([], [self.socket])
        try:
            return any(select(reads, writes, [], 0))
        except (OSError, ValueError):  # closed just now
            return False


class RequestHandler(WSGIRequestHandler):
    """Keeps the server's `Connection` of its socket up to date."""

    _has_length = False

    def setup(self) -> None:
        super().setup()
        server = cast("AppServer", self.server)
        self._connection = server.connection_of(self.connection)
        raw = cast("io.BufferedReader", self.rfile).detach()
        self.rfile = io.BufferedReader(_FromClient(raw, self._connection))
        self.wfile = _ToClient(cast("BinaryIO", self.wfile), self._connection)

    def run_wsgi(self) -> None:
        self._connection.has_end = "Upgrade" not in self.headers
        super().run_wsgi()

    def send_header(self, keyword: str, value: str) -> None:
        if keyword.lower() == "content-length":
            self._has_length = True
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        super().end_headers()  # sends them, with which an answer without a length may be whole
        self._connection.has_end = self._connection.has_end and self._has_length


class _FromClient(io.RawIOBase):
    """What a client sends."""

    def __init__(self, raw: io.RawIOBase, connection: Connection) -> None:
        self._raw, self._connection = raw, connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        with self._connection.waiting_to("read"):
            return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _ToClient(io.BufferedIOBase):
    """What a client takes."""

    def __init__(self, raw: BinaryIO, connection: Connection) -> None:
        self._raw, self._connection = raw, connection

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        with self._connection.waiting_to("write"):
            return self._raw.write(content)

"""Werkzeug's server on a socket that is already there, which stops at once and can drain: it knows
what each connection is busy with.
"""

from __future__ import annotations

import io
import math
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from select import select  # the original: an app may patch the module (gevent)
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, WSGIRequestHandler

from flask_debuglaunch.serving.self_pipe import SelfPipe

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

CUT_OFF_AFTER_SECONDS = 0.1
"""How long a reload waits for connections of which no answer will come: time enough for the rest of
a request."""
LONGEST_DRAIN_STEP_SECONDS = 0.5
"""What a step may count for: one that took longer did so because nothing ran."""
DRAIN_STEP_SECONDS = 0.02


def make_server(
    listener: socket.socket,
    app: WSGIApplication,
    ssl_context: ssl.SSLContext | None,
    *,
    threads: bool,
) -> AppServer:
    """A server for the app on the bound socket, which stays open when the server is closed."""
    server_class = ThreadedAppServer if threads else AppServer
    return server_class(listener, app, ssl_context)


class AppServer(BaseWSGIServer):
    """Serves until its `stop` is called, from any thread, and knows the requests under way."""

    def __init__(
        self, listener: socket.socket, app: WSGIApplication, ssl_context: ssl.SSLContext | None
    ) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(
            host, port, app, RequestHandler, ssl_context=ssl_context, fd=listener.fileno()
        )
        if hasattr(os, "register_at_fork"):  # its socket is a copy of the listener
            os.register_at_fork(after_in_child=self.socket.close)
        if ssl_context is not None:
            # The handshake happens at the first read, in the request's own thread: a client that
            # never sends a word must not keep the others from being accepted.
            vars(self.socket)["do_handshake_on_connect"] = False
        self.after_request: Callable[[], None] = lambda: None
        self._open_connections: dict[socket.socket, Connection] = {}
        self._connections_changed = threading.Condition()
        self._stop_accepting = SelfPipe()
        self._cut_off_at = math.inf

    def serve(self) -> None:
        """Accept requests until stop() is called."""
        # Not serve_forever(): it looks for an order to stop twice a second only.
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.register(self._stop_accepting, selectors.EVENT_READ)
            while all(key.fileobj is not self._stop_accepting for key, _ in selector.select()):
                # As serve_forever(): handle_request() makes a selector for each request. If another
                # process has taken the connection, it returns.
                self._handle_request_noblock()  # type: ignore[attr-defined]
        self.socket.close()

    def stop(self) -> None:
        """Accept no more: what comes now waits in the socket for the next worker."""
        self._cut_off_at = time.monotonic() + CUT_OFF_AFTER_SECONDS
        self._stop_accepting.set()

    def close(self) -> None:
        """When it no longer serves, and nobody will stop it."""
        self.server_close()
        self._stop_accepting.close()

    def drain(self, seconds: float, is_held: Callable[[], bool]) -> bool:
        """Wait until the app has answered what it is working on, and CUT_OFF_AFTER_SECONDS for the
        other connections: streams, websockets, requests that have not wholly come.

        Returns False if some connections are open still. It lasts, and the time does not run, while
        `is_held`: a thread is stopped in the debugger, be it one that answers no request.
        """
        waited_seconds, last_look = 0.0, time.monotonic()
        while True:
            is_held_now = is_held()
            now = time.monotonic()
            # A suspended machine may wake up with the thread resumed: that time did not run.
            step = min(now - last_look, LONGEST_DRAIN_STEP_SECONDS)
            waited_seconds, last_look = 0.0 if is_held_now else waited_seconds + step, now
            with self._connections_changed:
                connections = self._open_connections
                is_awaited = any(connection.is_awaited() for connection in connections.values())
                limit = seconds if is_awaited else CUT_OFF_AFTER_SECONDS
                if not is_held_now and (not connections or waited_seconds > limit):
                    return not connections
                self._connections_changed.wait(DRAIN_STEP_SECONDS)

    def cut_off(self) -> None:
        """To be called again and again after stop(), by a thread that serves no request: end what
        keeps `serve` from returning, if it is a connection that need not be waited for."""
        if time.monotonic() < self._cut_off_at:
            return
        with self._connections_changed:
            connections = self._open_connections.values()
            idle_connections = [
                connection for connection in connections if not connection.is_awaited()
            ]
        for connection in idle_connections:
            with suppress(OSError):  # it has just ended
                # Not TLS' own, which talks.
                socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)

    def connection_of(self, request: socket.socket) -> Connection:
        return self._open_connections[request]

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = super().get_request()
        request.setblocking(True)  # BSD and macOS hand on what the listening socket is set to
        return request, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_changed:
            self._open_connections[request] = Connection(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.after_request()
        with self._connections_changed:
            self._open_connections.pop(request, None)
            self._connections_changed.notify_all()


class ThreadedAppServer(AppServer, ThreadedWSGIServer):
    """Each request in a thread of its own, so that a breakpoint does not block the others."""

    def cut_off(self) -> None:
        """They end with the process."""


class Connection:
    """One connection, from its acceptance to its end."""

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.has_known_end = True
        """Not if it is a websocket, or the answer has begun and nobody knows its length: that may
        go on for ever."""
        self._client_turn: Literal["read", "write"] | None = None

    @contextmanager
    def during_client_turn(self, client_turn: Literal["read", "write"]) -> Iterator[None]:
        """Inside, it is the client's turn."""
        self._client_turn = client_turn
        try:
            yield
        finally:
            self._client_turn = None

    def is_awaited(self) -> bool:
        """Is there an answer that will come? Not while the client has yet to send something (the
        TLS handshake, the rest of the request), or to take it. A busy machine may keep its thread
        from noticing for long that the client has done so."""
        return self.has_known_end and (self._client_turn is None or self._is_clients_turn_over())

    def _is_clients_turn_over(self) -> bool:
        awaits_request = self._client_turn == "read"
        readable, writable = ([self.socket], []) if awaits_request else ([], [self.socket])
        try:
            return any(select(readable, writable, [], 0))
        except (OSError, ValueError):  # closed just now
            return False


class RequestHandler(WSGIRequestHandler):
    """Keeps the server's `Connection` of its socket up to date."""

    _has_content_length = False

    def setup(self) -> None:
        super().setup()
        app_server = cast("AppServer", self.server)
        self._connection = app_server.connection_of(self.connection)
        request_file = cast("io.BufferedReader", self.rfile).detach()
        self.rfile = io.BufferedReader(_RequestStream(request_file, self._connection))
        self.wfile = _ResponseStream(cast("BinaryIO", self.wfile), self._connection)

    def run_wsgi(self) -> None:
        self._connection.has_known_end = "Upgrade" not in self.headers
        super().run_wsgi()

    def send_header(self, keyword: str, value: str) -> None:
        if keyword.lower() == "content-length":
            self._has_content_length = True
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        super().end_headers()  # sends them, with which an answer without a length may be whole
        is_whole = self._connection.has_known_end and self._has_content_length
        self._connection.has_known_end = is_whole


class _RequestStream(io.RawIOBase):
    """What a client sends."""

    def __init__(self, client_file: io.RawIOBase, connection: Connection) -> None:
        self._client_file, self._connection = client_file, connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        with self._connection.during_client_turn("read"):
            return cast("int | None", self._client_file.readinto(buffer))

    def close(self) -> None:
        self._client_file.close()
        super().close()


class _ResponseStream(io.BufferedIOBase):
    """What a client takes."""

    def __init__(self, client_file: BinaryIO, connection: Connection) -> None:
        self._client_file, self._connection = client_file, connection

    def writable(self) -> bool:
        return True

    def write(self, response_content: Any) -> int:
        with self._connection.during_client_turn("write"):
            return self._client_file.write(response_content)

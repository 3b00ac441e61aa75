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

CUT_OFF_SECONDS = 0.1
"""How long a reload waits for connections of which no answer will come: time enough for the rest of
a request."""
LONGEST_STEP_SECONDS = 0.5
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
    kind = ThreadedAppServer if threads else AppServer
    return kind(listener, app, ssl_context)


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
        self._open: dict[socket.socket, Connection] = {}
        self._changed = threading.Condition()
        self._stopped = SelfPipe()
        self._cut_off_at = math.inf

    def serve(self) -> None:
        """Accept requests until stop() is called."""
        # Not serve_forever(): it looks for an order to stop twice a second only.
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while all(key.fileobj is not self._stopped for key, _ in selector.select()):
                # As serve_forever(): handle_request() makes a selector for each request. If another
                # process has taken the connection, it returns.
                self._handle_request_noblock()  # type: ignore[attr-defined]
        self.socket.close()

    def stop(self) -> None:
        """Accept no more: what comes now waits in the socket for the next worker."""
        self._cut_off_at = time.monotonic() + CUT_OFF_SECONDS
        self._stopped.set()

    def close(self) -> None:
        """When it no longer serves, and nobody will stop it."""
        self.server_close()
        self._stopped.close()

    def drain(self, seconds: float, held: Callable[[], bool]) -> bool:
        """Wait until the app has answered what it is working on, and CUT_OFF_SECONDS for the other
        connections: streams, websockets, requests that have not wholly come.

        Returns False if some connections are open still. It lasts, and the time does not run, while
        `held`: a thread is stopped in the debugger, be it one that answers no request.
        """
        waited, looked = 0.0, time.monotonic()
        while True:
            is_held = held()
            now = time.monotonic()
            # A suspended machine may wake up with the thread resumed: that time did not run.
            waited = 0.0 if is_held else waited + min(now - looked, LONGEST_STEP_SECONDS)
            looked = now
            with self._changed:
                is_awaited = any(one.is_awaited() for one in self._open.values())
                is_over = not self._open or waited > (seconds if is_awaited else CUT_OFF_SECONDS)
                if is_over and not is_held:
                    return not self._open
                self._changed.wait(DRAIN_STEP_SECONDS)

    def cut_off(self) -> None:
        """To be called again and again after stop(), by a thread that serves no request: end what
        keeps `serve` from returning, if it is a connection that need not be waited for."""
        if time.monotonic() < self._cut_off_at:
            return
        with self._changed:
            idle = [one for one in self._open.values() if not one.is_awaited()]
        for one in idle:
            with suppress(OSError):  # it has just ended
                socket.socket.shutdown(one.socket, socket.SHUT_RDWR)  # not TLS' own, which talks

    def connection_of(self, request: socket.socket) -> Connection:
        return self._open[request]

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = super().get_request()
        request.setblocking(True)  # BSD and macOS hand on what the listening socket is set to
        return request, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open[request] = Connection(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.after_request()
        with self._changed:
            self._open.pop(request, None)
            self._changed.notify_all()


class ThreadedAppServer(AppServer, ThreadedWSGIServer):
    """Each request in a thread of its own, so that a breakpoint does not block the others."""

    def cut_off(self) -> None:
        """They end with the process."""


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

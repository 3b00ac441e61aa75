"""Werkzeug's server on a socket that is already there, which stops at once and can drain."""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer

from flask_debuglaunch.serving.self_pipe import SelfPipe

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class AppServer(BaseWSGIServer):
    """Serves until its `stop` is called, from any thread, and knows the requests under way."""

    def __init__(
        self, listener: socket.socket, app: WSGIApplication, ssl_context: ssl.SSLContext | None
    ) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, app, ssl_context=ssl_context, fd=listener.fileno())
        if hasattr(os, "register_at_fork"):  # its socket is a copy of the listener
            os.register_at_fork(after_in_child=self.socket.close)
        if ssl_context is not None:
            # The handshake happens at the first read, in the request's own thread: a client that
            # never sends a word must not keep the others from being accepted.
            vars(self.socket)["do_handshake_on_connect"] = False
        self.after_request: Callable[[], None] = lambda: None
        self.timeout = 0  # another process may have taken the connection
        self._under_way: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._stopped = SelfPipe()

    def serve(self) -> None:
        """Accept requests until stop() is called."""
        # Not serve_forever(): it looks for an order to stop twice a second only.
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while all(key.fileobj is not self._stopped for key, _ in selector.select()):
                self.handle_request()
        self.socket.close()

    def stop(self) -> None:
        """Accept no more: what comes now waits in the socket for the next worker."""
        self._stopped.set()

    def drain(self, seconds: float, held: Callable[[], bool]) -> bool:
        """Wait until the requests under way have been answered.

        Returns False if some were not within the seconds; the time does not run while `held`
        (a thread is stopped in the debugger).
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._changed:
                if self._changed.wait_for(lambda: not self._under_way, 0.05):
                    return True
            if held():
                deadline = time.monotonic() + seconds
        return False

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = super().get_request()
        request.setblocking(True)  # BSD and macOS hand on what the listening socket is set to
        return request, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._under_way.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.after_request()
        with self._changed:
            self._under_way.discard(request)
            self._changed.notify_all()


class ThreadedAppServer(AppServer, ThreadedWSGIServer):
    """Each request in a thread of its own, so that a breakpoint does not block the others."""


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

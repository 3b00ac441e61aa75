"""A port of this machine that leads into a container, as `kubectl port-forward` and editors make it."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from ..support.processes import TIMEOUT


@contextmanager
def port_forwarded(pid: int, port: int) -> Iterator[int]:
    """A port here that leads to 127.0.0.1 where the process is, whoever is asked to forward it."""
    relays: list[Relay] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            enter_network_of(pid)  # of this thread alone
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                try:
                    inside = socket.create_connection(("127.0.0.1", port))
                except OSError:  # nobody listens there at the moment
                    client.close()
                else:
                    relays.append(Relay(client, inside))

        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(TIMEOUT)
            for one in relays:
                one.end()


def enter_network_of(pid: int) -> None:
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    result = ctypes.CDLL(None, use_errno=True).setns(descriptor, 0)
    os.close(descriptor)
    assert result == 0, os.strerror(ctypes.get_errno())


class Relay:
    """Hands on what either end says, in a thread; only that thread closes them."""

    def __init__(self, one: socket.socket, other: socket.socket) -> None:
        self._ends = {one: other, other: one}
        for end in self._ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        for one in self._ends:
            with suppress(OSError):  # it has gone already
                one.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)

    def _run(self) -> None:
        with ExitStack() as cleanup, suppress(OSError):  # an end may go in the middle of a word
            for one in self._ends:
                cleanup.callback(one.close)
            while True:
                for ready in select.select(list(self._ends), [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    self._ends[ready].sendall(data)

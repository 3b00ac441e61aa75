"""Imported by the Python of debugpy's adapter process at its start, and by no other process.

The adapter passes each message on in two small writes. Without TCP_NODELAY the second one waits
for the peer's delayed acknowledgement of the first: about 40 ms for each request of the IDE.
"""

import contextlib
import socket

_init = socket.socket.__init__


def _init_without_delay(self, *args, **kwargs):  # type: ignore[no-untyped-def]
    _init(self, *args, **kwargs)
    with contextlib.suppress(OSError):  # not a TCP socket
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


# An accepted connection is made by this constructor as well.
socket.socket.__init__ = _init_without_delay  # type: ignore[method-assign]

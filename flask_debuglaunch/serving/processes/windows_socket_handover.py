"""How a child gets the listening socket and its channel on Windows, which has no descriptors to
inherit.

The child dials a port of ours, the door, proves with a secret of its environment that it is the
one, and says which process it is: in a virtual environment the process that we have started is
only a redirector, whose child the interpreter is. Then it is given a copy of the listener, which
`socket.share` makes for one process.
"""

from __future__ import annotations

import hmac
import os
import socket
import struct
import time
from collections.abc import Callable

SECONDS = 60.0
"""How long an interpreter may take to start."""
LOOK_SECONDS = 0.1
"""How often to look whether it still runs."""
HELLO_SECONDS = 2.0
"""How long a visitor may take to say who it is."""
SECRET_BYTES = 32
HELLO = struct.Struct(f"!{SECRET_BYTES}sI")
"""The secret, and the process that says it."""


def admit(
    door: socket.socket, secret: bytes, *, is_there: Callable[[], bool], seconds: float = SECONDS
) -> tuple[socket.socket, int]:
    """The connection of the one who knows the secret, and its process. Strangers are left.

    is_there: does the child that should come still run? Raises OSError if it does not, or has not
    come in time.
    """
    deadline = time.monotonic() + seconds
    door.settimeout(LOOK_SECONDS)
    while time.monotonic() < deadline:
        try:
            connection, _ = door.accept()
        except TimeoutError:
            if is_there():
                continue
            raise ConnectionError("it ended before it could be given the port") from None
        said, pid = _hello_of(connection)
        if hmac.compare_digest(said, secret):
            connection.settimeout(None)
            return connection, pid
        connection.close()
    raise TimeoutError(f"it has not asked for the port within {seconds:g} s")


def _hello_of(visitor: socket.socket) -> tuple[bytes, int]:
    """What it says, as bytes: nothing of a stranger's may reach pickle."""
    deadline, said = time.monotonic() + HELLO_SECONDS, b""
    while (left := deadline - time.monotonic()) > 0:
        visitor.settimeout(left)
        try:
            piece = visitor.recv(HELLO.size - len(said))
        except OSError:
            break
        said += piece
        if len(said) == HELLO.size:
            return HELLO.unpack(said)
        if not piece:
            break
    return b"", 0


def ask(port: int, secret: bytes) -> socket.socket:
    """In the child: a connection to the door, on which the listener will come."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(HELLO.pack(secret, os.getpid()))
    return connection

"""Connect to the IDE's debug server, and make sure that it is one.

debugpy and PyDev share their usual port, and a debugger that has connected to something else waits
for ever. An IDE's server speaks first: PyDev's and PyCharm's name their protocol or its version
(CMD_SET_PROTOCOL, CMD_VERSION of pydevd_comm_constants), debugpy's adapter sends a request. So we
listen before the debugger takes the connection over; what is heard stays in the socket.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_debuglaunch.debuggers.debugger_interface import Endpoint
from flask_debuglaunch.errors import DebuggerUnavailable
from flask_debuglaunch.procfs import owner_of_port

if TYPE_CHECKING:
    import socket

SILENCE_SECONDS = 8.0
"""How long what listens there may take for its first word before it is taken for something else."""
MESSAGE_SECONDS = 1.0
"""How long its first message may take to come as a whole."""
DEBUG_PORT_OF_DEBUGPY = re.compile(rb'Content-Length: .*"event"', re.DOTALL)


@dataclass(frozen=True)
class IdeServer:
    """The debug server of an IDE.

    greeting: how its first message begins. start: what the person does to start it.
    """

    name: str
    greeting: re.Pattern[bytes]
    start: str


def dial(
    server: IdeServer, endpoint: Endpoint, seconds: float, silence: float | None = SILENCE_SECONDS
) -> socket.socket:
    """Connect, waiting so long until somebody listens. Raises DebuggerUnavailable.

    silence: how long its first word is waited for; None: for ever.
    """
    connection = _connected(server, endpoint, seconds)
    heard = _first_words(connection, server.greeting, silence)
    if server.greeting.match(heard):
        connection.settimeout(None)
        return connection
    connection.close()
    owner = owner_of_port(endpoint.port)
    who = f" ({owner} listens there)" if owner else ""
    raise DebuggerUnavailable(
        f"{endpoint} is no {server.name}: {_described(heard)}{who}. {_fix(server)}"
    )


def _connected(server: IdeServer, endpoint: Endpoint, seconds: float) -> socket.socket:
    import socket  # here: most commands dial nobody

    deadline = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((endpoint.host, endpoint.port), timeout=10)
        except OSError as error:
            if time.monotonic() >= deadline:
                why = error.strerror or error
                raise DebuggerUnavailable(
                    f"no IDE listens on {endpoint} ({why}). {_fix(server)}"
                ) from error
        time.sleep(0.05)


def _first_words(
    connection: socket.socket, greeting: re.Pattern[bytes], silence: float | None
) -> bytes:
    """What the other side says first, left in the socket; empty if it says nothing in time."""
    import socket

    connection.settimeout(silence)
    try:
        heard = connection.recv(1000, socket.MSG_PEEK)
        deadline = time.monotonic() + MESSAGE_SECONDS
        while heard and not greeting.match(heard) and time.monotonic() < deadline:
            time.sleep(0.01)
            heard = connection.recv(1000, socket.MSG_PEEK)
    except OSError:  # nothing in time, or it has hung up
        return b""
    return heard


def _described(heard: bytes) -> str:
    if not heard:
        return "it says nothing"
    if DEBUG_PORT_OF_DEBUGPY.match(heard):
        return "it is debugpy's own port, where an IDE attaches"
    return f"it says {heard[:40].decode(errors='replace')!r}"


def _fix(server: IdeServer) -> str:
    return f"{server.start}, or set DEBUG_HOST and DEBUG_PORT to where it is"

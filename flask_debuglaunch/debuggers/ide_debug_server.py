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
class IdeDebugServer:
    """The debug server of an IDE.

    greeting: how its first message begins. how_to_start: what the person does to start it.
    """

    name: str
    greeting: re.Pattern[bytes]
    how_to_start: str


def dial(
    server: IdeDebugServer,
    endpoint: Endpoint,
    seconds: float,
    silence: float | None = SILENCE_SECONDS,
) -> socket.socket:
    """Connect, waiting so long until somebody listens. Raises DebuggerUnavailable.

    silence: how long its first word is waited for; None: for ever.
    """
    connection = _connection_to(server, endpoint, seconds)
    first_message = _first_message(connection, server.greeting, silence)
    if server.greeting.match(first_message):
        connection.settimeout(None)
        return connection
    connection.close()
    port_owner = owner_of_port(endpoint.port)
    who_listens = f" ({port_owner} listens there)" if port_owner else ""
    raise DebuggerUnavailable(
        f"{endpoint} is no {server.name}: {_described(first_message)}{who_listens}."
        f" {_how_to_fix(server)}"
    )


def _connection_to(server: IdeDebugServer, endpoint: Endpoint, seconds: float) -> socket.socket:
    import socket  # here: most commands dial nobody

    deadline = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((endpoint.host, endpoint.port), timeout=10)
        except OSError as error:
            if time.monotonic() >= deadline:
                reason = error.strerror or error
                raise DebuggerUnavailable(
                    f"no IDE listens on {endpoint} ({reason}). {_how_to_fix(server)}"
                ) from error
        time.sleep(0.05)


def _first_message(
    connection: socket.socket, greeting: re.Pattern[bytes], silence: float | None
) -> bytes:
    """What the other side says first, left in the socket; empty if it says nothing in time."""
    import socket

    connection.settimeout(silence)
    try:
        message = connection.recv(1000, socket.MSG_PEEK)
        deadline = time.monotonic() + MESSAGE_SECONDS
        while message and not greeting.match(message) and time.monotonic() < deadline:
            time.sleep(0.01)
            message = connection.recv(1000, socket.MSG_PEEK)
    except OSError:  # nothing in time, or it has hung up
        return b""
    return message


def _described(first_message: bytes) -> str:
    if not first_message:
        return "it says nothing"
    if DEBUG_PORT_OF_DEBUGPY.match(first_message):
        return "it is debugpy's own port, where an IDE attaches"
    return f"it says {first_message[:40].decode(errors='replace')!r}"


def _how_to_fix(server: IdeDebugServer) -> str:
    return f"{server.how_to_start}, or set DEBUG_HOST and DEBUG_PORT to where it is"

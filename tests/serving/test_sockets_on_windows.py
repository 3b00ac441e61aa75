"""How a child is told from strangers at the door, with real sockets; on Windows itself:
tests/windows."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator

import pytest

from flask_debuglaunch.serving.processes.spawn_interpreter import SECRET_BYTES, admit, dial

from ..support.processes import TIMEOUT, in_background

SECRET = secrets.token_bytes(SECRET_BYTES)


@pytest.fixture
def door() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield door


def test_the_child_comes_in_after_strangers(door: socket.socket) -> None:
    port = door.getsockname()[1]
    with (
        socket.create_connection(("127.0.0.1", port)),  # says nothing
        socket.create_connection(("127.0.0.1", port)) as gone,
        dial(port, secrets.token_bytes(SECRET_BYTES)) as liar,
    ):
        gone.close()
        admitted = in_background(admit, door, SECRET, is_there=lambda: True)
        with dial(port, SECRET) as child:
            connection, pid = admitted.result(TIMEOUT)
            with connection:
                connection.sendall(b"the port")
                assert (child.recv(100), pid) == (b"the port", os.getpid())
        assert liar.recv(100) == b""


def test_a_child_that_has_ended_is_not_waited_for(door: socket.socket) -> None:
    with pytest.raises(ConnectionError, match="it ended before"):
        admit(door, SECRET, is_there=lambda: False)


def test_nor_one_that_never_asks(door: socket.socket) -> None:
    with pytest.raises(TimeoutError, match="not asked"):
        admit(door, SECRET, is_there=lambda: True, seconds=0.1)

"""The socket that supervisor, fork server and workers speak over.

A socket and not a pipe or multiprocessing's Connection: a selector takes it on every platform,
and it can carry descriptors.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Collection
from select import select
from typing import Any

from flask_debuglaunch.json_dataclasses import decode, encode
from flask_debuglaunch.serving.ipc_messages import ORDERS, REPORTS
from flask_debuglaunch.terminal import say

_LENGTH = struct.Struct("!I")

LONGEST_MESSAGE = 64 * 1024 * 1024
"""Bytes. The names of a hundred thousand imported files are less."""
STALL_SECONDS = 10.0
"""How long the rest of a message may take; who takes longer is stopped, or hangs."""


class Channel:
    """One end of a connection between two of our own processes."""

    def __init__(self, connection: socket.socket, expected: Collection[type] = ORDERS) -> None:
        self.socket = connection
        self._expected = expected
        self._sending = threading.Lock()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Any) -> None:
        """Raises OSError if the other end is gone."""
        content = encode(message)
        with self._sending:
            self.socket.sendall(_LENGTH.pack(len(content)) + content)

    def tell(self, message: Any) -> None:
        """Send to a process that may just have ended; if it has, `receive` says so."""
        with contextlib.suppress(OSError):
            self.send(message)

    def receive(self) -> Any:
        """The next message; None if the other end is gone, stalls, or has said something that is
        no message."""
        try:
            (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
            if length > LONGEST_MESSAGE:
                raise ValueError("too long")
            return decode(self._read(length), self._expected)
        except (EOFError, OSError):
            return None
        except ValueError as error:
            say(f"A process of this launch has sent what is no message: {error}. It is given up")
            return None

    def has_message(self, within: float = 0) -> bool:
        """Is there something to receive, or will there be within so many seconds?"""
        return bool(select([self.socket], [], [], within)[0])

    def close(self) -> None:
        self.socket.close()

    def _read(self, length: int) -> bytes:
        content = bytearray()
        while len(content) < length:
            piece = self.socket.recv(length - len(content))
            if not piece:
                raise EOFError
            content += piece
        return bytes(content)


def channel_to_child(connection: socket.socket) -> Channel:
    """A channel that keeps us waiting for some seconds at most, whatever the child does."""
    connection.settimeout(STALL_SECONDS)
    return Channel(connection, REPORTS)

"""The tables of TCP sockets of this machine, Linux's proc(5); empty where the system has none.

They are read and nothing is connected to: a debug port takes whoever connects for its IDE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LISTEN, ESTABLISHED = "0A", "01"
"""States of a TCP socket."""


@dataclass(frozen=True)
class TcpSocket:
    """port: its own one. inode: by which the socket is known among the open files of a process."""

    port: int
    state: str
    inode: int


def tcp_sockets() -> Iterator[TcpSocket]:
    """Of IPv4 and IPv6."""
    for table in ("tcp", "tcp6"):
        for row in _rows(table):
            yield TcpSocket(int(row[1].rpartition(":")[2], 16), row[3], int(row[9]))


def _rows(table: str) -> Iterator[list[str]]:
    file = Path("/proc/net") / table
    lines = file.read_text().splitlines()[1:] if file.exists() else []
    return (line.split() for line in lines)

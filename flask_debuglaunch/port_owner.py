"""Which process listens on a TCP port of this machine, as far as the system tells (Linux).

The kernel's tables, proc(5), are read and nothing is connected to: a debug port takes whoever
connects for its IDE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.process_table import PROC, open_files, processes

LISTEN, ESTABLISHED = "0A", "01"
"""States of a TCP socket."""


@dataclass(frozen=True)
class PortOwner:
    """pid and name: None where the process is another user's."""

    pid: int | None = None
    name: str | None = None
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})" if self.pid else "another user's process"

    @property
    def is_debugpy_adapter(self) -> bool:
        return any("debugpy" in one and "adapter" in one for one in self.arguments)


def owner_of_port(port: int) -> PortOwner | None:
    """Who listens on the port; None if nobody does, or the system does not tell."""
    inodes = {one.inode for one in _tcp_sockets() if one.state == LISTEN and one.port == port}
    if not inodes:
        return None
    names = {f"socket:[{inode}]" for inode in inodes}
    for process in processes():
        if names & _names_of_open_files(process):
            return _owner(process)
    return PortOwner()


def is_met_elsewhere(owner: PortOwner, port: int) -> bool:
    """Is somebody connected to another port that it listens on? To debugpy's adapter that is the
    program which it debugs; the IDE takes the debug port."""
    own = _names_of_open_files(PROC / str(owner.pid))
    sockets = [one for one in _tcp_sockets() if f"socket:[{one.inode}]" in own]
    others = {one.port for one in sockets if one.state == LISTEN} - {port}
    return any(one.state == ESTABLISHED and one.port in others for one in sockets)


def _owner(process: Path) -> PortOwner:
    try:
        name = (process / "comm").read_text().strip()
        arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has just ended
        return PortOwner()
    return PortOwner(int(process.name), name, tuple(arguments[:-1]))


@dataclass(frozen=True)
class _TcpSocket:
    """port: its own one. inode: by which the socket is known among the open files of a process."""

    port: int
    state: str
    inode: int


def _tcp_sockets() -> Iterator[_TcpSocket]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        rows = table.read_text().splitlines()[1:] if table.exists() else []
        for row in (line.split() for line in rows):
            yield _TcpSocket(int(row[1].rpartition(":")[2], 16), row[3], int(row[9]))


def _names_of_open_files(process: Path) -> set[str]:
    return {name for _, name in open_files(process)}

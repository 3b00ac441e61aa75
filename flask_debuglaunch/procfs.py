"""Linux's proc(5): the processes of this machine, and which of them listens on a TCP port. It tells
nothing where the system has none.

It is read by hand, not by psutil, which is compiled: a container gets the launcher as files that
any Python can run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


def processes() -> Iterator[Path]:
    """The entry of each, by the name of its number."""
    return PROC.glob("[0-9]*")


def has_working_folder(process: Path, folder: Path) -> bool:
    """Is that its working folder? No, where it is another user's, or gone."""
    try:
        return Path(os.readlink(process / "cwd")) == folder
    except OSError:
        return False


def open_files(process: Path) -> Iterator[tuple[Path, str]]:
    """What it holds open: the entry, which can be opened, and the name. None of another user's."""
    try:
        for descriptor in (process / "fd").iterdir():
            yield descriptor, os.readlink(descriptor)
    except OSError:  # or it is gone
        return


def parent_and_start(pid: int) -> tuple[int, float] | None:
    """The parent's number, and when the process was started, in seconds since the epoch.
    None where it is gone."""
    try:
        stat_fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        booted_at = time.time() - float((PROC / "uptime").read_text().split()[0])
    except OSError:
        return None
    return int(stat_fields[1]), booted_at + int(stat_fields[19]) / os.sysconf("SC_CLK_TCK")


# Who listens on a port
#
# The kernel's tables are read and nothing is connected to: a debug port takes whoever connects for
# its IDE.

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
        return any("debugpy" in argument and "adapter" in argument for argument in self.arguments)


def owner_of_port(port: int) -> PortOwner | None:
    """Who listens on the port of this machine; None if nobody does, or the system does not tell."""
    listening_inodes = {
        socket.inode for socket in _tcp_sockets() if socket.state == LISTEN and socket.port == port
    }
    if not listening_inodes:
        return None
    socket_names = {f"socket:[{inode}]" for inode in listening_inodes}
    for process in processes():
        if socket_names & _names_of_open_files(process):
            return _port_owner(process)
    return PortOwner()


def is_met_elsewhere(owner: PortOwner, port: int) -> bool:
    """Is somebody connected to another port that it listens on? To debugpy's adapter that is the
    program which it debugs; the IDE takes the debug port."""
    open_file_names = _names_of_open_files(PROC / str(owner.pid))
    own_sockets = [
        socket for socket in _tcp_sockets() if f"socket:[{socket.inode}]" in open_file_names
    ]
    other_ports = {socket.port for socket in own_sockets if socket.state == LISTEN} - {port}
    return any(socket.state == ESTABLISHED and socket.port in other_ports for socket in own_sockets)


def _port_owner(process: Path) -> PortOwner:
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
    for tcp_table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        table_rows = tcp_table.read_text().splitlines()[1:] if tcp_table.exists() else []
        for columns in (line.split() for line in table_rows):
            yield _TcpSocket(int(columns[1].rpartition(":")[2], 16), columns[3], int(columns[9]))


def _names_of_open_files(process: Path) -> set[str]:
    return {name for _, name in open_files(process)}

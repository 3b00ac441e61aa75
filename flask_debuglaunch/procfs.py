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


def works_in(process: Path, folder: Path) -> bool:
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
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        booted = time.time() - float((PROC / "uptime").read_text().split()[0])
    except OSError:
        return None
    return int(fields[1]), booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")


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
        return any("debugpy" in one and "adapter" in one for one in self.arguments)


def owner_of_port(port: int) -> PortOwner | None:
    """Who listens on the port of this machine; None if nobody does, or the system does not tell."""
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

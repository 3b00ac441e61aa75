"""Has this process anything that only one can have at a time? Then its successor has to wait."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Protocol

_PROC = Path("/proc/self")


class HasDescriptor(Protocol):
    def fileno(self) -> int: ...


def holds_what_next_may_need(*own_sockets: HasDescriptor) -> bool:
    """A port of its own, a lock on a file, or a child process, which may have either.

    own_sockets: those that do not count. Where the system does not tell (other than Linux),
    it is taken to.
    """
    if sys.platform != "linux":
        return True
    own_inodes = {os.fstat(one.fileno()).st_ino for one in own_sockets}
    return any(_is_port_or_lock(*one, own_inodes) for one in _descriptors()) or has_child()


def _descriptors() -> Iterator[tuple[int, os.stat_result]]:
    for name in os.listdir(_PROC / "fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            yield int(name), os.fstat(int(name))


def _is_port_or_lock(
    descriptor: int, file_status: os.stat_result, own_inodes: Container[int]
) -> bool:
    if stat.S_ISSOCK(file_status.st_mode):
        return file_status.st_ino not in own_inodes and _is_open_to_others(descriptor)
    may_be_locked = stat.S_ISREG(file_status.st_mode) or stat.S_ISDIR(file_status.st_mode)
    return may_be_locked and _is_locked(descriptor)


def _is_open_to_others(descriptor: int) -> bool:
    """May others connect or send to it? Asked of the socket itself: the kernel takes many
    milliseconds for its tables of all of them."""
    with (
        contextlib.suppress(OSError),
        socket.socket(fileno=os.dup(descriptor)) as duplicated_socket,
    ):
        if duplicated_socket.type == socket.SOCK_DGRAM:
            return duplicated_socket.family in (socket.AF_INET, socket.AF_INET6) and _is_bound_only(
                duplicated_socket
            )
        return bool(duplicated_socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


def _is_bound_only(datagram_socket: socket.socket) -> bool:
    if datagram_socket.getsockname()[1] == 0:
        return False
    try:
        datagram_socket.getpeername()
    except OSError:
        return True
    return False


def _is_locked(descriptor: int) -> bool:
    """As proc_pid_fdinfo(5) tells. /proc/locks, which has all of them, waits until no processor
    is about to lock anything: 10 to 30 ms."""
    with contextlib.suppress(OSError):  # closed meanwhile
        return "\nlock:" in (_PROC / "fdinfo" / str(descriptor)).read_text()
    return False


def has_child() -> bool:
    """Also one that has ended and was not waited for (Linux)."""
    return any(file.read_text().strip() for file in _PROC.glob("task/*/children"))

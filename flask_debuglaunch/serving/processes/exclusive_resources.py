"""Has this process anything that only one can have at a time? Then its successor has to wait."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

_PROC = Path("/proc/self")
# proc(5): the tables of sockets, with where the state and the inode stand, and the state of one
# that others may send to.
_TABLES = {
    "tcp": (3, 9, "0A"),
    "tcp6": (3, 9, "0A"),
    "udp": (3, 9, "07"),
    "udp6": (3, 9, "07"),
    "unix": (3, 6, "00010000"),
}


class HasDescriptor(Protocol):
    def fileno(self) -> int: ...


def holds_what_next_may_need(*ours: HasDescriptor) -> bool:
    """A port of its own, a lock on a file, or a child process, which may have either.

    ours: sockets that do not count. Where the system does not tell (other than Linux),
    it is taken to.
    """
    if sys.platform != "linux":
        return True
    return _listens_besides(ours) or _has_lock() or has_child()


def _listens_besides(ours: Iterable[HasDescriptor]) -> bool:
    others = set(_own_sockets()) - {os.fstat(one.fileno()).st_ino for one in ours}
    return bool(others & set(_open_to_others()))


def _own_sockets() -> Iterator[int]:
    for name in os.listdir(_PROC / "fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            yield os.fstat(int(name)).st_ino


def _open_to_others() -> Iterator[int]:
    for name, (state, inode, is_open) in _TABLES.items():
        table = _PROC / "net" / name
        for row in table.read_text().splitlines()[1:] if table.exists() else ():
            columns = row.split()
            if columns[state] == is_open:
                yield int(columns[inode])


def _has_lock() -> bool:
    rows = (row.split() for row in Path("/proc/locks").read_text().splitlines())
    return any(str(os.getpid()) in row for row in rows)


def has_child() -> bool:
    """Also one that has ended and was not waited for (Linux)."""
    return any(file.read_text().strip() for file in _PROC.glob("task/*/children"))

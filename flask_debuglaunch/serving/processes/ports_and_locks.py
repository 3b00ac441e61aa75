"""Has this process anything that only one can have at a time? Then its successor has to wait."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from flask_debuglaunch.socket_table import inodes_open_to_others

_PROC = Path("/proc/self")


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
    return bool(others & set(inodes_open_to_others()))


def _own_sockets() -> Iterator[int]:
    for name in os.listdir(_PROC / "fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            yield os.fstat(int(name)).st_ino


def _has_lock() -> bool:
    rows = (row.split() for row in Path("/proc/locks").read_text().splitlines())
    return any(str(os.getpid()) in row for row in rows)


def has_child() -> bool:
    """Also one that has ended and was not waited for (Linux)."""
    return any(file.read_text().strip() for file in _PROC.glob("task/*/children"))

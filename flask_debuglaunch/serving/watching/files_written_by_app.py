"""Files that the app writes itself: code that it generates while it is imported, or in a request,
must not restart it, for ever at worst."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable

WRITE_SECONDS = 3.0
"""A write follows the opening of a file within this time."""


def tell_of_writes(tell: Callable[[str], None]) -> None:
    """From now on, have each Python file told of that this process is about to write: absolute
    paths. An audit hook can't be taken back."""

    def look_on(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.rename"):
            path = _written(event, arguments)
            if isinstance(path, str) and path.endswith(".py"):
                tell(os.path.abspath(path))

    sys.addaudithook(look_on)


def _written(event: str, arguments: tuple[object, ...]) -> object:
    """The path that is written to; None if it is only read."""
    path = arguments[1] if event == "os.rename" else arguments[0]
    if event == "open" and not _is_for_writing(*arguments[1:3]):
        return None
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else None


def _is_for_writing(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


class OwnWrites:
    """What the workers have said that they write."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}

    def note(self, path: str) -> None:
        self._begun[path] = time.time()

    def without(self, changed: Iterable[str]) -> frozenset[str]:
        """Those of the changed files that somebody else has written."""
        return frozenset(path for path in changed if not self._is_own(path))

    def _is_own(self, path: str) -> bool:
        try:
            return os.stat(path).st_mtime <= self._begun[path] + WRITE_SECONDS
        except (KeyError, OSError):
            return False

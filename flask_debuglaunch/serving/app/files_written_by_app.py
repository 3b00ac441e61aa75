"""Which Python files the app writes or removes itself: code that it generates while it is imported,
or in a request. They must not restart it, for ever at worst.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable

LONGEST_WRITE_SECONDS = 3.0
"""A write follows the opening of a file within this time, and its removal is noticed."""


def report_written_files(report: Callable[[str], None]) -> None:
    """From now on, have each Python file told of that this process is about to write, or to remove:
    absolute paths. An audit hook can't be taken back."""

    def audit_hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.rename", "os.remove"):
            written_path = _written_path(event, arguments)
            if isinstance(written_path, str) and written_path.endswith(".py"):
                report(os.path.abspath(written_path))

    sys.addaudithook(audit_hook)


def _written_path(event: str, arguments: tuple[object, ...]) -> object:
    """The path that is written to or removed; None if it is only read."""
    path = arguments[1] if event == "os.rename" else arguments[0]
    if event == "open" and not is_opened_for_writing(*arguments[1:3]):
        return None
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else None


def is_opened_for_writing(mode: object, flags: object) -> bool:
    """By the arguments of the audit event `open`."""
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


class FilesWrittenByApp:
    """What the workers have said that they write or remove."""

    def __init__(self) -> None:
        self._write_times: dict[str, float] = {}

    def note(self, path: str) -> None:
        self._write_times[path] = time.time()

    def written_by_others(self, changed: Iterable[str]) -> frozenset[str]:
        """Those of the changed files that somebody else has written or removed."""
        return frozenset(path for path in changed if not self._was_written_by_app(path))

    def _was_written_by_app(self, path: str) -> bool:
        try:
            changed_at = os.stat(path).st_mtime
        except OSError:  # it has gone
            changed_at = time.time()
        return changed_at <= self._write_times.get(path, -math.inf) + LONGEST_WRITE_SECONDS

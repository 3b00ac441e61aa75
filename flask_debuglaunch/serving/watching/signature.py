"""What of a file tells whether it is still the same."""

from __future__ import annotations

import os
import stat

Signature = tuple[int, int, int]


def signature(path: str) -> Signature | None:
    """Differs when a file's content, or what a folder holds, may differ; None for what is not
    there. Of a link, that of what it leads to."""
    status = _status(path)
    return None if status is None else _signature(status)


def signature_of_file(path: str) -> Signature | None:
    """The same, but None for a folder."""
    status = _status(path)
    return None if status is None or stat.S_ISDIR(status.st_mode) else _signature(status)


def _signature(status: os.stat_result) -> Signature:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return None

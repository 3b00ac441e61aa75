"""Reads regular files, up to a size.

Whoever opens a named pipe waits for its writer, and a device may have no end; both can stand where
a file is expected, if only behind a link.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST_TEXT_FILE = 1024 * 1024
"""Bytes. No text that a person edits by hand is longer."""

_KINDS_OF_FILES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_regular_file(path: Path, largest: int = LARGEST_TEXT_FILE) -> bytes:
    """The bytes of a file.

    Raises OSError, with an ``strerror`` to show, if there is none, it can't be read, is no regular
    file, or is larger than ``largest`` bytes.
    """
    # Opening a named pipe waits for its writer, and some devices act on being opened.
    _refuse_other_than_regular_file(os.stat(path), path)
    open_flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, open_flags | getattr(os, "O_CLOEXEC", 0)), "rb") as file:
        _refuse_other_than_regular_file(os.fstat(file.fileno()), path)  # it may be another by now
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it is larger than {largest // 1024} KiB", str(path))
    return content


def kind_of_file(mode: int) -> str | None:
    """What a file is, in words (``st_mode`` of its status); None for a regular file."""
    return None if stat.S_ISREG(mode) else _KINDS_OF_FILES.get(stat.S_IFMT(mode), "not a file")


def _refuse_other_than_regular_file(status: os.stat_result, path: Path) -> None:
    file_kind = kind_of_file(status.st_mode)
    if file_kind == "a folder":
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if file_kind is not None:
        raise OSError(errno.EINVAL, f"it is {file_kind}, expected a file", str(path))

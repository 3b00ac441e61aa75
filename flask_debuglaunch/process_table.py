"""The table of processes, Linux's proc(5); empty where the system has none.

Not psutil's, which is compiled: a container gets the launcher as files that any Python can run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
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

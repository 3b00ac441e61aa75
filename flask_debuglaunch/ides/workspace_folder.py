"""The folder that an IDE opens: in a repository of several projects it is one above the app's."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path


def workspace_folder(start: Path, markers: Collection[str]) -> Path:
    """The start folder, or the nearest above it that holds an IDE's files (markers) where the start
    folder has none. Only folders of the same repository count, and never the home folder, where
    some IDEs have files of their own."""
    folders = (start, *_folders_above(start))
    return next((one for one in folders if any((one / name).exists() for name in markers)), start)


def repository_above(start: Path) -> Path | None:
    """The root of the repository, where that is above the start folder."""
    return next((one for one in _folders_above(start) if (one / ".git").exists()), None)


def _folders_above(start: Path) -> Iterator[Path]:
    if (start / ".git").exists():
        return
    above: list[Path] = []
    for folder in start.parents:
        if folder == Path(os.path.expanduser("~")):
            return
        above.append(folder)
        if (folder / ".git").exists():
            yield from above
            return

"""The project's own Python files, read and parsed only as far as a check needs it."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from flask_debuglaunch.regular_file import read_regular_file

MOST_FILES = 3000
MOST_DEPTH = 64
"""So many folders one in the other: each step down makes every look at what is there dearer."""
# Folders of installed packages and of tools; hidden ones are left out as well.
NOT_THE_PROJECTS = {"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist"}


@dataclass(frozen=True)
class Source:
    """A Python file of the project."""

    path: Path

    @cached_property
    def content(self) -> bytes:
        """Empty where it can't be read."""
        try:
            return read_regular_file(self.path)
        except OSError:
            return b""

    @cached_property
    def tree(self) -> ast.Module | None:
        """None where it is no valid Python."""
        try:
            return ast.parse(self.content)
        except (SyntaxError, ValueError, RecursionError):
            return None


def python_sources(folder: Path) -> tuple[Source, ...]:
    """Those below the folder, at most MOST_FILES."""
    return tuple(Source(path) for path in islice(_python_files(folder), MOST_FILES))


def unreadable_folders(folder: Path) -> tuple[Path, ...]:
    """Those whose files this user can't see; what is below them is not known."""
    refused: list[OSError] = []
    for root, folders, _ in os.walk(folder, onerror=refused.append):
        folders[:] = [one for one in folders if _is_the_projects(Path(root) / one)]
    return tuple(Path(one.filename) for one in refused if isinstance(one, PermissionError))


def project_files(folder: Path) -> Iterator[Path]:
    """All files below the folder but those of tools and installed packages, at most MOST_FILES."""
    yield from (Path(root) / name for root, name in islice(_files(folder), MOST_FILES))


def _python_files(folder: Path) -> Iterator[Path]:
    for root, name in _files(folder):
        if name.endswith(".py") and os.path.isfile(path := Path(root) / name):
            yield path


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Each with the folder that it is in."""
    for root, folders, files in os.walk(folder):
        is_deepest = len(Path(root).parts) - len(folder.parts) == MOST_DEPTH
        inside = [] if is_deepest else folders
        folders[:] = sorted(one for one in inside if _is_the_projects(Path(root) / one))
        yield from ((root, name) for name in sorted(files))


def _is_the_projects(folder: Path) -> bool:
    name = folder.name
    is_environment = os.path.exists(folder / "pyvenv.cfg")
    return not (name.startswith(".") or name in NOT_THE_PROJECTS or is_environment)

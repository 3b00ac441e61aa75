"""The project's source tree on disk: its files, read and parsed only as far as a check needs it,
and how their names are spelt."""

from __future__ import annotations

import ast
import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from flask_debuglaunch.regular_file import read_regular_file
from flask_debuglaunch.serving.watching.watched_files import MAX_FOLDER_DEPTH, MAX_WATCHED_FOLDERS

MOST_FILES = 3000
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


@dataclass(frozen=True)
class Project:
    """unreadable: folders whose files this user can't see; what is below them is not known.
    is_cut_off: there are more folders or Python files than are looked at."""

    sources: tuple[Source, ...]
    unreadable: tuple[Path, ...]
    is_cut_off: bool


def look_at(folder: Path) -> Project:
    """What is Python below the folder."""
    refused: list[OSError] = []
    walk = Walk(folder, refused.append)
    named = (Path(root) / name for root, name in walk if name.endswith(".py"))
    files = list(islice((one for one in named if os.path.isfile(one)), MOST_FILES + 1))
    return Project(
        tuple(map(Source, files[:MOST_FILES])),
        tuple(Path(one.filename) for one in refused if isinstance(one, PermissionError)),
        walk.is_cut_off or len(files) > MOST_FILES,
    )


def project_files(folder: Path) -> Iterator[Path]:
    """All files below the folder but those of tools and installed packages, at most MOST_FILES."""
    yield from (Path(root) / name for root, name in islice(Walk(folder), MOST_FILES))


class Walk:
    """Each file below the folder, and before it the folder that it is in; as far as the watcher
    goes."""

    def __init__(self, folder: Path, refused: Callable[[OSError], object] | None = None) -> None:
        self._folder = folder
        self._refused = refused
        self.is_cut_off = False

    def __iter__(self) -> Iterator[tuple[str, str]]:
        depth_of_all = len(self._folder.parts)
        walk = os.walk(self._folder, onerror=self._refused)
        for number, (root, folders, files) in enumerate(walk, 1):
            yield from ((root, name) for name in sorted(files))
            inside = [one for one in folders if _is_the_projects(Path(root) / one)]
            is_last = number == MAX_WATCHED_FOLDERS
            if is_last or len(Path(root).parts) - depth_of_all == MAX_FOLDER_DEPTH:
                self.is_cut_off |= is_last or bool(inside)
                inside = []
            folders[:] = sorted(inside)
            if is_last:
                return


def _is_the_projects(folder: Path) -> bool:
    name = folder.name
    is_environment = os.path.exists(folder / "pyvenv.cfg")
    return not (name.startswith(".") or name in NOT_THE_PROJECTS or is_environment)


# Upper and lower case, on a file system that takes either (Windows, macOS, FAT, WSL's drvfs)

# Python's import does so on every file system, but for PYTHONCASEOK.
MINDS_CASE = "Python minds upper and lower case, and finds no such module"


def spelt_on_disk(path: Path) -> Path:
    """The absolute path, with each name as its folder has it; links are not followed.

    Not `realpath`, which corrects the case on Windows alone.
    """
    absolute = Path(os.path.abspath(path))
    spelt = Path(absolute.anchor)
    for name in absolute.parts[1:]:
        spelt /= _spelt(spelt, name)
    return spelt


def without_case(name: str) -> str:
    """The same for all names that differ in case alone (on macOS, accents may stand apart)."""
    return unicodedata.normalize("NFC", name).casefold()


def _spelt(folder: Path, name: str) -> str:
    try:
        present = os.listdir(folder)
    except OSError:  # this user can't look into it
        return name
    alike = (one for one in present if without_case(one) == without_case(name))
    return name if name in present else next(alike, name)

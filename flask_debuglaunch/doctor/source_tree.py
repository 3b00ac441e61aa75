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

MAX_SOURCE_FILES = 3000
# Folders of installed packages and of tools; hidden ones are left out as well.
SKIPPED_FOLDERS = {"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist"}


@dataclass(frozen=True)
class SourceFile:
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
class SourceTree:
    """unreadable: folders whose files this user can't see; what is below them is not known.
    is_cut_off: there are more folders or Python files than are looked at."""

    sources: tuple[SourceFile, ...]
    unreadable_folders: tuple[Path, ...]
    is_cut_off: bool


def read_source_tree(folder: Path) -> SourceTree:
    """What is Python below the folder."""
    walk_errors: list[OSError] = []
    project_walk = ProjectWalk(folder, walk_errors.append)
    python_paths = (Path(root) / name for root, name in project_walk if name.endswith(".py"))
    source_paths = list(islice(filter(os.path.isfile, python_paths), MAX_SOURCE_FILES + 1))
    return SourceTree(
        tuple(map(SourceFile, source_paths[:MAX_SOURCE_FILES])),
        tuple(Path(error.filename) for error in walk_errors if isinstance(error, PermissionError)),
        project_walk.is_cut_off or len(source_paths) > MAX_SOURCE_FILES,
    )


def walk_project_files(folder: Path) -> Iterator[Path]:
    """All files below the folder but those of tools and installed packages, at most MOST_FILES."""
    yield from (Path(root) / name for root, name in islice(ProjectWalk(folder), MAX_SOURCE_FILES))


class ProjectWalk:
    """Each file below the folder, and before it the folder that it is in; as far as the watcher
    goes."""

    def __init__(self, folder: Path, on_error: Callable[[OSError], object] | None = None) -> None:
        self._folder = folder
        self._on_error = on_error
        self.is_cut_off = False

    def __iter__(self) -> Iterator[tuple[str, str]]:
        depth_of_project = len(self._folder.parts)
        folder_walk = os.walk(self._folder, onerror=self._on_error)
        for number, (root, folders, files) in enumerate(folder_walk, 1):
            yield from ((root, name) for name in sorted(files))
            project_folders = [name for name in folders if _is_project_folder(Path(root) / name)]
            is_last_folder = number == MAX_WATCHED_FOLDERS
            if is_last_folder or len(Path(root).parts) - depth_of_project == MAX_FOLDER_DEPTH:
                self.is_cut_off |= is_last_folder or bool(project_folders)
                project_folders = []
            folders[:] = sorted(project_folders)
            if is_last_folder:
                return


def _is_project_folder(folder: Path) -> bool:
    name = folder.name
    is_virtual_environment = os.path.exists(folder / "pyvenv.cfg")
    return not (name.startswith(".") or name in SKIPPED_FOLDERS or is_virtual_environment)


# Upper and lower case, on a file system that takes either (Windows, macOS, FAT, WSL's drvfs)

# Python's import does so on every file system, but for PYTHONCASEOK.
IMPORT_MINDS_CASE = "Python minds upper and lower case, and finds no such module"


def path_as_on_disk(path: Path) -> Path:
    """The absolute path, with each name as its folder has it; links are not followed.

    Not `realpath`, which corrects the case on Windows alone.
    """
    absolute = Path(os.path.abspath(path))
    path_on_disk = Path(absolute.anchor)
    for name in absolute.parts[1:]:
        path_on_disk /= _name_as_on_disk(path_on_disk, name)
    return path_on_disk


def case_folded(name: str) -> str:
    """The same for all names that differ in case alone (on macOS, accents may stand apart)."""
    return unicodedata.normalize("NFC", name).casefold()


def _name_as_on_disk(folder: Path, name: str) -> str:
    try:
        names_in_folder = os.listdir(folder)
    except OSError:  # this user can't look into it
        return name
    if name in names_in_folder:
        return name
    alike = (other for other in names_in_folder if case_folded(other) == case_folded(name))
    return next(alike, name)

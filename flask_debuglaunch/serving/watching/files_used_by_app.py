"""Which files the app was made from, and which it writes itself: what a worker knows of them.

The first are watched. The others must not restart the app, for ever at worst: code that it
generates while it is imported, or in a request.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from flask_debuglaunch.debuggers.pydevd_internals import debugger_folders
from flask_debuglaunch.serving.app.module_origins import OUR_FOLDER, is_installed, namespace_of
from flask_debuglaunch.serving.ipc_protocol import Watch

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class ImportsSeen:
    """The files imported so far; tells the new ones each time."""

    def __init__(self, since: float) -> None:
        self._since = since
        self._seen: set[str] = set()
        self._modules = 0

    def news(
        self, folders: frozenset[str] = frozenset(), more: frozenset[str] = frozenset()
    ) -> Watch | None:
        """What the supervisor has to be told; quick when nothing was imported. Installed packages
        too: somebody may be looking for an error in one of them."""
        not_the_app = (OUR_FOLDER, *debugger_folders())
        files = more | {one for one in self._new_files() if not one.startswith(not_the_app)}
        if not (files or folders):
            return None
        return Watch(files, folders, self._since, frozenset(_namespace_folders()))

    def new_files(self) -> frozenset[str]:
        """Files outside the installed packages since the last call."""
        return frozenset(one for one in self._new_files() if not is_installed(one))

    def _new_files(self) -> set[str]:
        if len(sys.modules) == self._modules:
            return set()
        self._modules = len(sys.modules)
        files = {file for module in list(sys.modules.values()) if (file := _file_of(module))}
        new = files - self._seen
        self._seen |= files
        return new


def files_and_folders_of_imports() -> frozenset[str]:
    """A package that was changed or newly installed shows in one of these."""
    files = {namespace_of(m).get("__file__") for m in list(sys.modules.values())}
    folders = {path for path in sys.path if os.path.isdir(path) and "-packages" in path}
    return frozenset({one for one in files if one and not one.startswith(OUR_FOLDER)} | folders)


def _file_of(module: object) -> str | None:
    names = namespace_of(module)
    # Of zipimport's loaders; others may be objects of any kind.
    archive = namespace_of(names.get("__loader__")).get("archive")
    file = archive or names.get("__file__")
    return os.path.abspath(file) if isinstance(file, str) else None


def _namespace_folders() -> Iterator[str]:
    """Of the packages of the project that have no file."""
    for names in map(namespace_of, list(sys.modules.values())):
        if names.get("__file__") is None and "__path__" in names:
            with contextlib.suppress(Exception):  # a program may put anything there
                folders = [os.path.abspath(one) for one in names["__path__"]]
                yield from (one for one in folders if not is_installed(os.path.join(one, "")))


def files_of_error(error: BaseException | None) -> frozenset[str]:
    """The files that may mend an error on import: those it went through, and those that would be
    the module that is not there."""
    files: set[str] = set()
    while error is not None:
        files |= {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
        if isinstance(error, SyntaxError) and error.filename:
            files.add(error.filename)
        if isinstance(error, ImportError):
            files |= set(_missing_files(error))
        error = error.__cause__ or error.__context__
    return frozenset(os.path.abspath(one) for one in files if os.path.isabs(one))


def _missing_files(error: ImportError) -> Iterator[str]:
    """Where Python has looked for the module. An error that has a path is about a name that the
    module there lacks, which may be a submodule."""
    if error.path is not None:
        yield error.path
        folders, name = [os.path.dirname(error.path)], getattr(error, "name_from", None) or ""
    else:
        package, _, name = (error.name or "").rpartition(".")
        folders = [os.path.join(one, *package.split(".")) for one in sys.path]
    for folder in folders if name else ():
        yield os.path.join(folder, f"{name}.py")
        yield os.path.join(folder, name, "__init__.py")


def template_folders(app: WSGIApplication) -> frozenset[str]:
    """The template folders of a Flask app that does not reload them by itself.

    Raises whatever the app's own loaders raise.
    """
    from flask import Flask

    if not isinstance(app, Flask) or app.config.get("TEMPLATES_AUTO_RELOAD") is not False:
        return frozenset()  # unset: they are reloaded in debug mode, and without it so is nothing
    scaffolds = (app, *app.blueprints.values())
    loaders = (one.jinja_loader for one in scaffolds)
    return frozenset(folder for one in loaders if one for folder in getattr(one, "searchpath", ()))


# Files that it writes

WRITE_SECONDS = 3.0
"""A write follows the opening of a file within this time, and its removal is noticed."""


def tell_of_writes(tell: Callable[[str], None]) -> None:
    """From now on, have each Python file told of that this process is about to write, or to remove:
    absolute paths. An audit hook can't be taken back."""

    def look_on(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.rename", "os.remove"):
            path = _written(event, arguments)
            if isinstance(path, str) and path.endswith(".py"):
                tell(os.path.abspath(path))

    sys.addaudithook(look_on)


def _written(event: str, arguments: tuple[object, ...]) -> object:
    """The path that is written to or removed; None if it is only read."""
    path = arguments[1] if event == "os.rename" else arguments[0]
    if event == "open" and not _is_for_writing(*arguments[1:3]):
        return None
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else None


def _is_for_writing(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


class OwnWrites:
    """What the workers have said that they write or remove."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}

    def note(self, path: str) -> None:
        self._begun[path] = time.time()

    def without(self, changed: Iterable[str]) -> frozenset[str]:
        """Those of the changed files that somebody else has written or removed."""
        return frozenset(path for path in changed if not self._is_own(path))

    def _is_own(self, path: str) -> bool:
        try:
            changed_at = os.stat(path).st_mtime
        except OSError:  # it has gone
            changed_at = time.time()
        return changed_at <= self._begun.get(path, -math.inf) + WRITE_SECONDS

"""Which files the app was made from, as its worker knows it: imported modules, templates, and the
files that may mend an error."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask_debuglaunch.debuggers.pydevd_internals import debugger_folders
from flask_debuglaunch.serving.app.module_origins import OUR_FOLDER, is_installed, namespace_of
from flask_debuglaunch.serving.ipc_protocol import Watch

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class ImportedFiles:
    """The files imported so far; tells the new ones each time."""

    def __init__(self, worker_began: float) -> None:
        self._worker_began = worker_began
        self._told_files: set[str] = set()
        self._module_count = 0

    def watch_for_new_imports(
        self,
        watched_folders: frozenset[str] = frozenset(),
        other_files: frozenset[str] = frozenset(),
    ) -> Watch | None:
        """What the supervisor has to be told; quick when nothing was imported. Installed packages
        too: somebody may be looking for an error in one of them."""
        not_the_apps_folders = (OUR_FOLDER, *debugger_folders())
        files = other_files | {
            file for file in self._new_module_files() if not file.startswith(not_the_apps_folders)
        }
        if not (files or watched_folders):
            return None
        return Watch(
            files, watched_folders, self._worker_began, frozenset(_namespace_package_folders())
        )

    def new_project_files(self) -> frozenset[str]:
        """Files outside the installed packages since the last call."""
        return frozenset(file for file in self._new_module_files() if not is_installed(file))

    def _new_module_files(self) -> set[str]:
        if len(sys.modules) == self._module_count:
            return set()
        self._module_count = len(sys.modules)
        module_files = {
            file for module in list(sys.modules.values()) if (file := _file_of_module(module))
        }
        new_files = module_files - self._told_files
        self._told_files |= module_files
        return new_files


def files_and_folders_of_imports() -> frozenset[str]:
    """A package that was changed or newly installed shows in one of these."""
    module_files = {namespace_of(module).get("__file__") for module in list(sys.modules.values())}
    package_folders = {path for path in sys.path if os.path.isdir(path) and "-packages" in path}
    return frozenset(
        {file for file in module_files if file and not file.startswith(OUR_FOLDER)}
        | package_folders
    )


def _file_of_module(module: object) -> str | None:
    module_namespace = namespace_of(module)
    # Of zipimport's loaders; others may be objects of any kind.
    zip_archive = namespace_of(module_namespace.get("__loader__")).get("archive")
    file = zip_archive or module_namespace.get("__file__")
    return os.path.abspath(file) if isinstance(file, str) else None


def _namespace_package_folders() -> Iterator[str]:
    """Of the packages of the project that have no file."""
    for module_namespace in map(namespace_of, list(sys.modules.values())):
        if module_namespace.get("__file__") is None and "__path__" in module_namespace:
            with contextlib.suppress(Exception):  # a program may put anything there
                for folder in list(map(os.path.abspath, module_namespace["__path__"])):
                    if not is_installed(os.path.join(folder, "")):
                        yield folder


def files_of_error(error: BaseException | None) -> frozenset[str]:
    """The files that may mend an error on import: those it went through, and those that would be
    the module that is not there."""
    mending_files: set[str] = set()
    while error is not None:
        mending_files |= {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
        if isinstance(error, SyntaxError) and error.filename:
            mending_files.add(error.filename)
        if isinstance(error, ImportError):
            mending_files |= set(_files_of_missing_module(error))
        error = error.__cause__ or error.__context__
    return frozenset(os.path.abspath(file) for file in mending_files if os.path.isabs(file))


def _files_of_missing_module(error: ImportError) -> Iterator[str]:
    """Where Python has looked for the module. An error that has a path is about a name that the
    module there lacks, which may be a submodule."""
    if error.path is not None:
        yield error.path
        searched_folders = [os.path.dirname(error.path)]
        missing_module = getattr(error, "name_from", None) or ""
    else:
        missing_package, _, missing_module = (error.name or "").rpartition(".")
        searched_folders = [os.path.join(path, *missing_package.split(".")) for path in sys.path]
    for folder in searched_folders if missing_module else ():
        yield os.path.join(folder, f"{missing_module}.py")
        yield os.path.join(folder, missing_module, "__init__.py")


def template_folders(app: WSGIApplication) -> frozenset[str]:
    """The template folders of a Flask app that does not reload them by itself.

    Raises whatever the app's own loaders raise.
    """
    from flask import Flask

    if not isinstance(app, Flask) or app.config.get("TEMPLATES_AUTO_RELOAD") is not False:
        return frozenset()  # unset: they are reloaded in debug mode, and without it so is nothing
    app_and_blueprints = (app, *app.blueprints.values())
    loaders = (loader.jinja_loader for loader in app_and_blueprints)
    return frozenset(
        folder for loader in loaders if loader for folder in getattr(loader, "searchpath", ())
    )

"""Which code is not the user's: our own, importlib's, and what is installed.

The folders end with a separator: one whose name begins with another's is not below it.
"""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import flask_debuglaunch
from flask_debuglaunch.debuggers.join_debug_session import debugger_folders

F = TypeVar("F", bound=Callable[..., Any])

OUR_FOLDER = str(Path(flask_debuglaunch.__file__).parent) + os.sep

IMPORTLIB = "<frozen importlib"
"""What the names of its files begin with."""
PACKAGES_FOLDERS = ("site-packages", "dist-packages")


def is_installed(file: str) -> bool:
    """Does the file belong to the interpreter, to an installed package, to this one, or to a
    debugger, which an IDE may bring along from anywhere? It does not change by a save then."""
    if not os.path.isabs(file):  # no file ("<string>"); and the working folder may be gone
        return False
    # Its folder's links, not its own: installers (uv) link single files to their cache, people
    # link the folder of a package that they work on.
    folder = _real_folder(os.path.dirname(file))
    if any(f"{os.sep}{name}{os.sep}" in folder for name in PACKAGES_FOLDERS):
        return True  # another environment's: a .pth, PYTHONPATH
    return folder.startswith((*_installed_folders(), *debugger_folders()))


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    """Links are resolved: interpreters and virtual environments are often behind one."""
    paths = sysconfig.get_paths()
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages(), sys.base_prefix + "/lib"}
    return tuple(_real_folder(one) for one in (*folders, OUR_FOLDER))


@functools.cache
def _real_folder(path: str) -> str:
    return os.path.join(os.path.realpath(path), "")


def as_importlib(function: F) -> F:
    """By the name of its file Python takes a function for importlib's own: no warning is blamed on
    it (warnings.py), no debugger steps into it, and no traceback shows it, if it is called as
    importlib's `_call_with_frames_removed` or from there (Python/import.c,
    remove_importlib_frames)."""
    own: Any = function
    own.__code__ = own.__code__.replace(co_filename=f"{IMPORTLIB}._bootstrap>")
    return function

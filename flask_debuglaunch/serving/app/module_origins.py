"""Where a module comes from: ours, an installed package or the project.

The folders end with a separator: one whose name begins with another's is not below it.
"""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
from pathlib import Path
from typing import Any

import flask_debuglaunch
from flask_debuglaunch.debuggers.pydevd_internals import debugger_folders

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
    real_folder = _real_folder(os.path.dirname(file))
    if any(f"{os.sep}{name}{os.sep}" in real_folder for name in PACKAGES_FOLDERS):
        return True  # another environment's: a .pth, PYTHONPATH
    return real_folder.startswith((*_installed_folders(), *debugger_folders()))


def package_of(module: str) -> str:
    """The top-level name."""
    return module.partition(".")[0]


def is_of_a_package(spec: object) -> bool:
    """Is the module of this spec built in, or installed?"""
    origin = namespace_of(spec).get("origin")
    return origin in ("built-in", "frozen") or is_installed(str(origin))


def is_of_the_project(module: object) -> bool:
    """Is the module made from a file that is not installed?"""
    file = namespace_of(module).get("__file__")
    return isinstance(file, str) and not is_installed(file)


def namespace_of(module: object) -> dict[str, Any]:
    """The names of what stands in sys.modules. A program may put anything there: what fails when it
    is looked at has none."""
    try:
        # Not getattr for each name: a lazy module would import what it stands for.
        namespace = module.__dict__
    except Exception:
        return {}
    return namespace if isinstance(namespace, dict) else {}


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    """Links are resolved: interpreters and virtual environments are often behind one."""
    python_paths = sysconfig.get_paths()
    folders = {python_paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages(), sys.base_prefix + "/lib"}
    return tuple(_real_folder(folder) for folder in (*folders, OUR_FOLDER))


@functools.cache
def _real_folder(path: str) -> str:
    return os.path.join(os.path.realpath(path), "")

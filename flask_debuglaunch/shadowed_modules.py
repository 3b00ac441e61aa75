"""A user's flask.py or logging.py: `python -m` takes it for the module of that name.

It puts the working directory first on sys.path, before the standard library and what is installed.
Python itself hints at it from 3.13 on, at the end of a long traceback.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path


def shadowing_file(error: ImportError | AttributeError) -> Path | None:
    """The file of the working directory that made an import of ours fail, if one did."""
    working_directory = Path.cwd()
    for module_file in _files_in_import_error(error):
        is_module_here = module_file.parent == working_directory and module_file.suffix == ".py"
        if is_module_here and _is_installed_or_standard_module(module_file.stem):
            return module_file
    return None


def _files_in_import_error(error: ImportError | AttributeError) -> Iterator[Path]:
    """Those the error passed through, and the one that lacks what was asked of it."""
    for frame in traceback.extract_tb(error.__traceback__):
        yield Path(frame.filename)
    package = (error.name or "").partition(".")[0]
    lacking_module = getattr(error, "obj", None) or sys.modules.get(package)
    yield Path(getattr(error, "path", None) or getattr(lacking_module, "__file__", None) or "")


def _is_installed_or_standard_module(name: str) -> bool:
    return name in sys.stdlib_module_names or PathFinder.find_spec(name, sys.path[1:]) is not None

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
    here = Path.cwd()
    for file in _files_of(error):
        if file.parent == here and file.suffix == ".py" and _is_module_elsewhere(file.stem):
            return file
    return None


def _files_of(error: ImportError | AttributeError) -> Iterator[Path]:
    """Those the error passed through, and the one that lacks what was asked of it."""
    for frame in traceback.extract_tb(error.__traceback__):
        yield Path(frame.filename)
    lacking = getattr(error, "obj", None) or sys.modules.get((error.name or "").partition(".")[0])
    yield Path(getattr(error, "path", None) or getattr(lacking, "__file__", None) or "")


def _is_module_elsewhere(name: str) -> bool:
    return name in sys.stdlib_module_names or PathFinder.find_spec(name, sys.path[1:]) is not None

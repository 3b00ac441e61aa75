"""Where Python looks for a module: a file that comes to be there is another module."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.machinery import all_suffixes


def places_before(name: str, folders: Iterable[object], origin: str | None) -> Iterator[str]:
    """The paths at which nothing was found before the module's file, in Python's order
    (importlib.machinery.FileFinder); without a file, all of them.

    folders: what is looked through, sys.path or a package's __path__. origin: the file.
    """
    suffixes = all_suffixes()
    for folder in folders:
        if not isinstance(folder, str):
            continue
        base = os.path.join(os.path.abspath(folder), name.rpartition(".")[2])
        is_folder = os.path.isdir(base)
        inside = [os.path.join(base, f"__init__{one}") for one in suffixes] if is_folder else [base]
        for place in (*inside, *(base + one for one in suffixes)):
            if place == origin:
                return
            yield place


def are_there(paths: Iterable[str]) -> dict[str, bool]:
    """Is each of them there? Quick for many in one folder."""
    names: dict[str, frozenset[str] | None] = {}
    return {path: _is_there(path, names) for path in paths}


def _is_there(path: str, names: dict[str, frozenset[str] | None]) -> bool:
    folder, name = os.path.split(path)
    if folder not in names:
        names[folder] = _names_in(folder)
    known = names[folder]
    return name in known if known is not None and name else os.path.lexists(path)


def _names_in(folder: str) -> frozenset[str] | None:
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except (OSError, ValueError):  # it may be entered, but not read
        return None

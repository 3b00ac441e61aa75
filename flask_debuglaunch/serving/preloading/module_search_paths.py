"""Where Python looks for a module in vain before it finds its file: a file that comes to be there
is another module.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.machinery import all_suffixes


def searched_before(name: str, folders: Iterable[object], origin: str | None) -> Iterator[str]:
    """The paths at which nothing was found before the module's file, in Python's order
    (importlib.machinery.FileFinder); without a file, all of them.

    folders: what is looked through, sys.path or a package's __path__. origin: the file.
    """
    suffixes = all_suffixes()
    for folder in folders:
        if not isinstance(folder, str):
            continue
        package = os.path.join(os.path.abspath(folder), name.rpartition(".")[2])
        package_files = [os.path.join(package, f"__init__{suffix}") for suffix in suffixes]
        module_files = [package + suffix for suffix in suffixes]
        in_package = package_files if os.path.isdir(package) else [package]
        for module_path in (*in_package, *module_files):
            if module_path == origin:
                return
            yield module_path


def which_exist(paths: Iterable[str]) -> dict[str, bool]:
    """Does each of them exist? Quick for many in one folder."""
    listings: dict[str, frozenset[str] | None] = {}
    return {path: _exists(path, listings) for path in paths}


def _exists(path: str, listings: dict[str, frozenset[str] | None]) -> bool:
    folder, name = os.path.split(path)
    if folder not in listings:
        listings[folder] = _list_folder(folder)
    listing = listings[folder]
    return name in listing if listing is not None and name else os.path.lexists(path)


def _list_folder(folder: str) -> frozenset[str] | None:
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except (OSError, ValueError):  # it may be entered, but not read
        return None

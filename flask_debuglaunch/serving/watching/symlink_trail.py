"""Which links lead to a file: a change of each of them may make it another one."""

from __future__ import annotations

import os

Trails = dict[str, tuple[str, ...]]


def trail(path: str, known: Trails) -> tuple[str, ...]:
    """Every link on the way along an absolute path, each where it really is, then the end of the
    way, which need not be there. `known` keeps what is asked again and again: the folders' trails.
    """
    if path not in known:
        known[path] = (path,)  # for links that lead to themselves
        known[path] = _found_trail(path, known)
    return known[path]


def _found_trail(path: str, known: Trails) -> tuple[str, ...]:
    parent, name = os.path.split(path)
    if parent == path:
        return (path,)
    *links, folder = trail(parent, known)
    if name in ("", os.curdir):
        return (*links, folder)
    if name == os.pardir:
        return (*links, os.path.dirname(folder))
    entry = os.path.join(folder, name)
    try:
        target = os.readlink(entry)
    except OSError:  # no link, or not there
        return (*links, entry)
    return (*links, entry, *trail(os.path.join(folder, target), known))

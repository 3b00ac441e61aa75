"""Which links lead to a file: a change of each of them may make it another one."""

from __future__ import annotations

import os

Trails = dict[str, tuple[str, ...]]

MOST_LINKS = 40
"""So many the kernel follows, one to the next (path_resolution(7))."""


def trail(path: str, known: Trails, followed: int = 0) -> tuple[str, ...]:
    """Every link on the way along an absolute path, each where it really is, then the end of the
    way, which need not be there. `known` keeps what is asked again and again: the folders' trails.
    """
    for step in _unknown_part(path, known):
        if step not in known:  # a link of this very way may have led to it
            known[step] = (step,)  # for links that lead to themselves
            known[step] = _found_trail(step, known, followed)
    return known[path]


def _unknown_part(path: str, known: Trails) -> list[str]:
    """The path and the folders above it, the highest first. In a loop: there may be thousands."""
    steps: list[str] = []
    while path not in known and (not steps or path != steps[-1]):
        steps.append(path)
        path = os.path.dirname(path)
    return steps[::-1]


def _found_trail(path: str, known: Trails, followed: int) -> tuple[str, ...]:
    """That of the folder it is in is known."""
    parent, name = os.path.split(path)
    if parent == path:
        return (path,)
    *links, folder = known[parent]
    if name in ("", os.curdir):
        return (*links, folder)
    if name == os.pardir:
        return (*links, os.path.dirname(folder))
    entry = os.path.join(folder, name)
    try:
        target = os.readlink(entry)
    except OSError:  # no link, or not there
        return (*links, entry)
    if followed == MOST_LINKS:
        return (*links, entry)
    return (*links, entry, *trail(os.path.join(folder, target), known, followed + 1))

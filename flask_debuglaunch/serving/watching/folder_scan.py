"""Where the watched files are at this moment: the folders, the files in them, the links between."""

from __future__ import annotations

import os
import stat
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from flask_debuglaunch.serving.watching.file_signature import Signature, signature_of_file
from flask_debuglaunch.serving.watching.symlink_trail import Trails, trail
from flask_debuglaunch.serving.watching.watch_rules import WatchRules, is_module

MAX_FOLDERS = 5_000
"""So many folders below the app's are watched: enough for any project, not for a whole disk."""
MAX_DEPTH = 64
"""And so many one in the other: each step down makes every look at what is there dearer."""

FolderIdentity = tuple[int, int]
"""Device and inode: a folder that took another's place has other events."""


@dataclass
class FolderScan:
    """What there is, and what of it has to be watched to see a change."""

    folders: dict[str, FolderIdentity] = field(default_factory=dict)
    """Where events are needed from, the project's own first."""
    files: dict[str, Signature] = field(default_factory=dict)
    """All that count and are there."""
    files_in: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    """Those that show a change in the folder, as they are named (not where a link leads to), in
    the order in which they were found: looked at in another one, they take a tenth longer."""
    module_folders: set[str] = field(default_factory=set)
    """The roots and the folders below them."""
    ends: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Of a file that a link leads to: the links, by which it counts."""
    turns: set[str] = field(default_factory=set)
    """Where a change may lead elsewhere: links, and what is missing on the way to a folder."""
    cut_off: set[str] = field(default_factory=set)
    """Of the roots: those that have more folders than are watched, or deeper ones."""


def scan(watched: WatchRules) -> FolderScan:
    """Look for everything."""
    found, trails = FolderScan(), Trails()
    for root in sorted(watched.roots):
        _scan_root(root, watched, found, trails)
    for folder in sorted(watched.folders):
        _scan_extra_folder(folder, watched, found, trails)
    for file in watched.files:
        if file not in found.files and not watched.excludes(file):
            _take(file, os.path.islink(file), found, trails)
    return found


def _scan_root(root: str, watched: WatchRules, found: FolderScan, trails: Trails) -> None:
    _need(root, found, trails)
    for folder, entries in _below(root, watched.is_skipped, found):
        _need(folder, found, trails)
        found.module_folders.add(folder)
        for entry in entries:
            if is_module(entry.name) and not watched.excludes(entry.path):
                _take(entry.path, entry.is_symlink(), found, trails)


def _scan_extra_folder(root: str, watched: WatchRules, found: FolderScan, trails: Trails) -> None:
    _need(root if os.path.isdir(root) else os.path.dirname(root), found, trails)
    found.turns.add(root)  # a file may become a folder
    for folder, entries in _below(root, watched.is_skipped, found):
        _need(folder, found, trails)
        for entry in entries:
            if watched.counts_by_name(entry.path):
                _take(entry.path, entry.is_symlink(), found, trails)


def _take(path: str, is_link: bool, found: FolderScan, trails: Trails) -> None:
    """Have a file watched."""
    folder = os.path.dirname(path)
    _need(folder, found, trails)
    found.files_in[folder][path] = None
    if (now := signature_of_file(path)) is not None:
        found.files[path] = now
    if is_link:
        *links, end = trail(path, trails)
        _turn_at(links, found, trails)
        found.turns.add(path)
        found.ends[end].add(path)
        _need(os.path.dirname(end), found, trails)
        found.files_in[os.path.dirname(end)][path] = None


def _need(folder: str, found: FolderScan, trails: Trails) -> None:
    """Have events from a folder, and from where it would show that it becomes another one."""
    while folder not in found.folders:
        if (identity := _identity(folder)) is not None:
            found.folders[folder] = identity
            _turn_at(trail(folder, trails)[:-1], found, trails)
        elif (parent := os.path.dirname(folder)) != folder:
            found.turns.add(folder)
            folder = parent
        else:
            return


def _turn_at(links: tuple[str, ...] | list[str], found: FolderScan, trails: Trails) -> None:
    for link in links:
        found.turns.add(link)
        _need(os.path.dirname(link), found, trails)


def _identity(folder: str) -> FolderIdentity | None:
    try:
        status = os.stat(folder)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _below(
    root: str, skip: Callable[[str], bool], found: FolderScan
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """The folder and those below it, the near ones first, each with what is in it."""
    waiting = deque([(root, 0)] if os.path.isdir(root) else [])
    for _ in range(MAX_FOLDERS):
        if not waiting or waiting[0][1] > MAX_DEPTH:
            break
        folder, depth = waiting.popleft()
        entries = _entries(folder)
        yield folder, entries
        folders = (one.path for one in entries if one.is_dir(follow_symlinks=False))
        waiting.extend((path, depth + 1) for path in folders if not skip(path))
    if waiting:
        found.cut_off.add(root)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # gone, or not ours to read
        return []

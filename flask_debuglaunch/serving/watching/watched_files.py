"""The watched files: which count, where they are, and which are no longer what they were.

What is to be watched is said by the plan and the workers. What there is at a moment is a scan: the
folders, the files in them, and the links that lead to them, for a change of each of these may make
a file another one.
"""

from __future__ import annotations

import heapq
import os
import re
import stat
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path

from flask_debuglaunch.configuration.setting_types import Patterns
from flask_debuglaunch.configuration.value_origins import Value
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.app_finder import source_folder
from flask_debuglaunch.serving.ipc_protocol import Watch
from flask_debuglaunch.serving.watching.file_signature import (
    Signature,
    signature_of_file,
    signatures_in_turn,
)
from flask_debuglaunch.terminal_messages import shown_path

SKIPPED_FOLDERS = {"__pycache__", "node_modules", "site-packages"}
# What Python's environments have at their top: venv and virtualenv, conda.
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
# Modules that Emacs' checkers and `git mergetool` make beside the file that they are about.
MOMENTARY_MODULE = re.compile(r"fly(check|make)_.*|.*_flymake|.*_(BACKUP|BASE|LOCAL|REMOTE)_\d+")
# What programs write into a folder of EXTRA_FILES while the app runs, and editors beside a file.
CLUTTER = re.compile(
    r"\..*|.*\.(py[cod]|log|log\..*|pid|lock|tmp|temp|bak|orig|sw[a-p]|db|sqlite3?)"
    r"|.*\.(db|sqlite3?)-(wal|shm|journal)|.*(~|___jb_(tmp|old)___)|#.*#|4913"
)


@dataclass(frozen=True)
class WatchRules:
    """What is watched. All paths are absolute."""

    roots: frozenset[str]
    """Folders whose Python files all count, with those in the folders below."""
    files: frozenset[str]
    """They count as they are named, also those that are not there yet."""
    folders: frozenset[str] = frozenset()
    """Folders of which every file counts but for clutter, not only Python's."""
    namespaces: frozenset[str] = frozenset()
    """Folders that count by being there."""
    excluded: tuple[str, ...] = ()
    """fnmatch patterns of paths, as Flask's --exclude-patterns; of a folder, all that is in it."""

    def excludes(self, path: str) -> bool:
        return any(Patterns.matches(pattern, path) for pattern in self.excluded)

    def is_skipped(self, folder: str) -> bool:
        """Is the folder, below a root, none of the project's?"""
        name = os.path.basename(folder)
        marks = (os.path.join(folder, mark) for mark in ENVIRONMENT_MARKS)
        hidden = name.startswith(".") or name in SKIPPED_FOLDERS
        return hidden or any(map(os.path.exists, marks)) or self.excludes(folder)

    def counts_by_name(self, path: str) -> bool:
        """Does it count from the moment when it comes to the moment when it goes?

        Another module of the project counts when it changes; one that has just come may be there
        for a moment only, and nothing is made from one that goes without having been imported.
        """
        is_clutter = CLUTTER.fullmatch(os.path.basename(path)) is not None
        is_named = path in self.files or path in self.namespaces
        counts = is_named or (self.is_in_folders(path) and not is_clutter)
        return counts and not self.excludes(path)

    def is_in_folders(self, path: str) -> bool:
        return path.startswith(tuple(one + os.sep for one in self.folders))


def is_module(name: str) -> bool:
    """Is a file of this name one that Python imports, and not one of an editor or a checker?"""
    stem, dot, suffix = name.rpartition(".")
    is_python = dot + suffix == ".py" and not name.startswith(".")
    return is_python and MOMENTARY_MODULE.fullmatch(stem) is None


def watched_for(plan: Plan) -> WatchRules:
    """What is known before the app is imported; the worker tells the rest."""
    settings = plan.settings
    extra = frozenset(map(os.path.abspath, settings.extra_files.value))
    config = [plan.config_file] if plan.config_file else []
    # Also a .env that is not there yet.
    named = [*config, *settings.env_files, *(one.path for one in settings.lookups)]
    roots = (plan.app_directory.value, source_folder(plan))
    return WatchRules(
        roots=frozenset(os.path.abspath(one) for one in roots),
        files=extra.union(map(os.path.abspath, named)),
        folders=extra,
        excluded=settings.exclude_patterns.value,
    )


# Where they are

MAX_FOLDERS = 5_000
"""So many folders below the app's are watched: enough for any project, not for a whole disk."""
MAX_DEPTH = 64
"""And so many one in the other: each step down makes every look at what is there dearer."""

FolderIdentity = tuple[int, int]
"""Device and inode: a folder that took another's place has other events."""


IS_FOLDER: Signature = (0, 0, 0)
"""Of a folder that counts by being there, whatever is in it."""


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
    for folder in watched.namespaces:
        _need(os.path.dirname(folder), found, trails)
        if os.path.isdir(folder):
            found.files[folder] = IS_FOLDER
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


def unmatched_patterns(patterns: Value[tuple[str, ...]], watched: WatchRules) -> Iterator[str]:
    """A line for each of EXCLUDE_PATTERNS that excludes nothing: mostly a slip of the pen. It may
    still be right, for a file that comes later."""
    if not patterns.value:
        return
    everything = scan(replace(watched, excluded=()))
    paths = [*everything.files, *everything.module_folders]
    for pattern in patterns.value:
        if not any(Patterns.matches(pattern, path) for path in paths):
            where = shown_path(Path(pattern))
            yield f"{patterns.origin}: EXCLUDE_PATTERNS {where} matches no watched file yet"


# The links on the way to a file

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


# Which have changed

COARSE_SECONDS = 3.0
"""A folder's time may be as coarse as 2 seconds (FAT): so long another file may come into it and
leave it as it is."""
MOST_GONE = 1000
"""So much of what has gone is remembered, for as long as a worker starts."""
RECENT_FILES = 10
"""So many files are taken to be those that a person edits."""


class WatchedFiles:
    """Each look returns the files that a worker is to be replaced for."""

    def __init__(self, watched: WatchRules) -> None:
        self.watched = watched
        self.newcomers: set[str] = set()
        """Modules that have just come: for a moment, or to stay."""
        self._scan: FolderScan = scan(watched)
        self._known: dict[str, Signature] = dict(self._scan.files)
        self._known_folders: dict[str, Signature | None] = {}
        self._unsettled: dict[str, float] = {}
        """Folders that have just changed, and until when they may change once more unnoticed."""
        self._names: dict[str, frozenset[str]] = {}
        self._gone: deque[tuple[str, float]] = deque(maxlen=MOST_GONE)
        """What went lately and counted for nothing, and when (seconds since the epoch): a worker
        may have imported it just before."""

    @property
    def folders(self) -> Mapping[str, FolderIdentity]:
        """The folders that events are needed from, the project's own first."""
        return self._scan.folders

    @property
    def cut_off(self) -> set[str]:
        """The roots that have more folders than are watched."""
        return self._scan.cut_off

    def add(self, more: Watch) -> set[str]:
        """What a worker says that the app was made from, as it was when the worker began: a file
        that is older has not changed, one that is younger has."""
        old, since = self.watched, more.since
        self.watched = replace(
            old,
            files=old.files | more.files,
            folders=old.folders | more.folders,
            namespaces=old.namespaces | more.namespaces,
        )
        changed: set[str] = set()
        if self.watched != old:
            found = scan(self.watched)
            for path, now in found.files.items():
                if path not in self._known and now[0] < since * 1e9:
                    self._known[path] = now
            changed = self._take_over(found)
        imported = more.files | more.namespaces
        return changed | {one for one, when in self._gone if when > since and one in imported}

    def follow(self, watched: WatchRules) -> None:
        """Watch this instead; what was not watched before is taken as it is now."""
        self.watched = watched
        found = scan(watched)
        self._known = {path: self._known.get(path, now) for path, now in found.files.items()}
        self._take_over(found)

    def admit_newcomers(self) -> set[str]:
        """From now on they count as any other."""
        admitted, self.newcomers = self.newcomers, set()
        return admitted

    def knows(self, path: str) -> bool:
        """Was it there at the last look?"""
        return path in self._known or path in self.folders

    def concerns(self, path: str) -> bool:
        """May there be something to look at? A folder that came, or went, is one too."""
        return self._is_turn(path) or bool(self._named_by(path))

    def recently_changed(self) -> dict[str, Signature]:
        """The few that were changed last, as they were at the last look."""
        return dict(heapq.nlargest(RECENT_FILES, self._known.items(), key=itemgetter(1)))

    def look_at_all(self) -> set[str]:
        return self._take_over(scan(self.watched))

    def look_at(self, paths: Iterable[str]) -> set[str]:
        """Look at what events have named."""
        paths = set(paths)
        if any(map(self._is_turn, paths)):
            return self.look_at_all()
        files = set().union(*map(self._named_by, paths))
        return self._changed({path: signature_of_file(path) for path in files})

    def look_into(self, folders: Collection[str]) -> set[str]:
        """Look at everything in some of the folders."""
        namespaces = self.watched.namespaces.intersection(folders)
        if self._hold_others(folders) or not all(map(os.path.isdir, namespaces)):
            return self.look_at_all()
        files_in = self._scan.files_in
        of_folders = (files_in[folder] for folder in folders if folder in files_in)
        others = (path for files in of_folders for path in _different(files, self._known))
        return self._changed({path: signature_of_file(path) for path in others})

    def _hold_others(self, folders: Collection[str]) -> bool:
        """Have files come into one of the folders, or left it, since the last time?"""
        now = time.monotonic()
        for folder, found in _different(folders, self._known_folders).items():
            self._known_folders[folder] = found
            self._unsettled[folder] = now + COARSE_SECONDS
        self._unsettled = {one: until for one, until in self._unsettled.items() if now < until}
        hold_others = [self._holds_others(one) for one in folders if one in self._unsettled]
        return any(hold_others)

    def _holds_others(self, folder: str) -> bool:
        names, known = _names_in(folder), self._names.get(folder)
        self._names[folder] = names
        return names != known

    def _is_turn(self, path: str) -> bool:
        is_link_or_folder = path in self._scan.turns or path in self.folders
        return is_link_or_folder or self._is_new_folder(path)

    def _is_new_folder(self, path: str) -> bool:
        is_here = os.path.dirname(path) in self._scan.module_folders
        is_inside = is_here or self.watched.is_in_folders(path)
        return is_inside and os.path.isdir(path) and not self.watched.is_skipped(path)

    def _named_by(self, path: str) -> set[str]:
        """The files that a change of this path is one of."""
        is_here = os.path.dirname(path) in self._scan.module_folders
        is_one = is_here and is_module(os.path.basename(path)) and not self.watched.excludes(path)
        named = {path} if is_one or self.watched.counts_by_name(path) else set()
        return named | self._scan.ends.get(path, set())

    def _take_over(self, found: FolderScan) -> set[str]:
        self._note_gone(self._scan.folders.keys() - found.folders.keys())
        self._scan = found
        return self._changed({path: found.files.get(path) for path in {*found.files, *self._known}})

    def _changed(self, found: Mapping[str, Signature | None]) -> set[str]:
        changed = {path for path, now in found.items() if now != self._known.get(path)}
        counting = {path for path in changed if self._counts(path, found[path])}
        # Not what came and went while a worker was imported: that one has made it itself.
        uncounted = changed - counting - self.newcomers
        self._note_gone(path for path in uncounted if found[path] is None)
        for path in changed:
            if (now := found[path]) is None:
                del self._known[path]
                self.newcomers.discard(path)
            else:
                self._known[path] = now
        return counting

    def _note_gone(self, paths: Iterable[str]) -> None:
        now = time.time()
        self._gone.extend((path, now) for path in paths)

    def _counts(self, path: str, now: Signature | None) -> bool:
        """Does this change of it count already?"""
        if self.watched.counts_by_name(path):
            return True
        if path not in self._known:
            self.newcomers.add(path)
        return now is not None and path not in self.newcomers


def _different(
    paths: Collection[str], known: Mapping[str, Signature | None]
) -> dict[str, Signature | None]:
    """Those that are not as known, as they are now."""
    now = signatures_in_turn(paths)
    if now == list(map(known.get, paths)):
        return {}
    return {path: one for path, one in zip(paths, now, strict=True) if one != known.get(path)}


def _names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:  # gone, or not ours to read
        return frozenset()

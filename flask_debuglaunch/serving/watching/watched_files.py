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

UNWATCHED_FOLDERS = {"__pycache__", "node_modules", "site-packages"}
# What Python's environments have at their top: venv and virtualenv, conda.
VIRTUAL_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
# Modules that Emacs' checkers and `git mergetool` make beside the file that they are about.
MOMENTARY_MODULE = re.compile(r"fly(check|make)_.*|.*_flymake|.*_(BACKUP|BASE|LOCAL|REMOTE)_\d+")
# What programs write into a folder of EXTRA_FILES while the app runs, and editors beside a file.
CLUTTER_FILE = re.compile(
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
        folder_name = os.path.basename(folder)
        environment_marks = (os.path.join(folder, mark) for mark in VIRTUAL_ENVIRONMENT_MARKS)
        is_hidden = folder_name.startswith(".") or folder_name in UNWATCHED_FOLDERS
        return is_hidden or any(map(os.path.exists, environment_marks)) or self.excludes(folder)

    def counts_by_name(self, path: str) -> bool:
        """Does it count from the moment when it comes to the moment when it goes?

        Another module of the project counts when it changes; one that has just come may be there
        for a moment only, and nothing is made from one that goes without having been imported.
        """
        is_clutter = CLUTTER_FILE.fullmatch(os.path.basename(path)) is not None
        is_named = path in self.files or path in self.namespaces
        is_watched = is_named or (self.is_in_folders(path) and not is_clutter)
        return is_watched and not self.excludes(path)

    def is_in_folders(self, path: str) -> bool:
        return path.startswith(tuple(folder + os.sep for folder in self.folders))


def is_module_name(name: str) -> bool:
    """Is a file of this name one that Python imports, and not one of an editor or a checker?"""
    module_name, dot, suffix = name.rpartition(".")
    is_python = dot + suffix == ".py" and not name.startswith(".")
    return is_python and MOMENTARY_MODULE.fullmatch(module_name) is None


def watch_rules_of(plan: Plan) -> WatchRules:
    """What is known before the app is imported; the worker tells the rest."""
    settings = plan.settings
    extra_files = frozenset(map(os.path.abspath, settings.extra_files.value))
    config_files = [plan.config_file] if plan.config_file else []
    # Also a .env that is not there yet.
    configuration_files = [
        *config_files,
        *settings.env_files,
        *(path.path for path in settings.lookups),
    ]
    roots = (plan.app_directory.value, source_folder(plan))
    return WatchRules(
        roots=frozenset(os.path.abspath(path) for path in roots),
        files=extra_files.union(map(os.path.abspath, configuration_files)),
        folders=extra_files,
        excluded=settings.exclude_patterns.value,
    )


# Where they are

MAX_WATCHED_FOLDERS = 5_000
"""So many folders below the app's are watched: enough for any project, not for a whole disk."""
MAX_FOLDER_DEPTH = 64
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
    links_to: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Of a file that a link leads to: the links, by which it counts."""
    turning_points: set[str] = field(default_factory=set)
    """Where a change may lead elsewhere: links, and what is missing on the way to a folder."""
    cut_off_roots: set[str] = field(default_factory=set)
    """Of the roots: those that have more folders than are watched, or deeper ones."""


def scan_watched_files(watch_rules: WatchRules) -> FolderScan:
    """Look for everything."""
    folder_scan, link_trails = FolderScan(), LinkTrails()
    for root in sorted(watch_rules.roots):
        _scan_module_root(root, watch_rules, folder_scan, link_trails)
    for folder in sorted(watch_rules.folders):
        _scan_extra_folder(folder, watch_rules, folder_scan, link_trails)
    for folder in watch_rules.namespaces:
        _watch_folder(os.path.dirname(folder), folder_scan, link_trails)
        if os.path.isdir(folder):
            folder_scan.files[folder] = IS_FOLDER
    for file in watch_rules.files:
        if file not in folder_scan.files and not watch_rules.excludes(file):
            _watch_file(file, os.path.islink(file), folder_scan, link_trails)
    return folder_scan


def _scan_module_root(
    root: str, watch_rules: WatchRules, folder_scan: FolderScan, link_trails: LinkTrails
) -> None:
    _watch_folder(root, folder_scan, link_trails)
    for folder, entries in _walk_down(root, watch_rules.is_skipped, folder_scan):
        _watch_folder(folder, folder_scan, link_trails)
        folder_scan.module_folders.add(folder)
        for entry in entries:
            if is_module_name(entry.name) and not watch_rules.excludes(entry.path):
                _watch_file(entry.path, entry.is_symlink(), folder_scan, link_trails)


def _scan_extra_folder(
    root: str, watch_rules: WatchRules, folder_scan: FolderScan, link_trails: LinkTrails
) -> None:
    _watch_folder(root if os.path.isdir(root) else os.path.dirname(root), folder_scan, link_trails)
    folder_scan.turning_points.add(root)  # a file may become a folder
    for folder, entries in _walk_down(root, watch_rules.is_skipped, folder_scan):
        _watch_folder(folder, folder_scan, link_trails)
        for entry in entries:
            if watch_rules.counts_by_name(entry.path):
                _watch_file(entry.path, entry.is_symlink(), folder_scan, link_trails)


def _watch_file(path: str, is_link: bool, folder_scan: FolderScan, link_trails: LinkTrails) -> None:
    """Have a file watched."""
    folder = os.path.dirname(path)
    _watch_folder(folder, folder_scan, link_trails)
    folder_scan.files_in[folder][path] = None
    if (file_signature := signature_of_file(path)) is not None:
        folder_scan.files[path] = file_signature
    if is_link:
        *links, link_target = link_trail(path, link_trails)
        _watch_links(links, folder_scan, link_trails)
        folder_scan.turning_points.add(path)
        folder_scan.links_to[link_target].add(path)
        _watch_folder(os.path.dirname(link_target), folder_scan, link_trails)
        folder_scan.files_in[os.path.dirname(link_target)][path] = None


def _watch_folder(folder: str, folder_scan: FolderScan, link_trails: LinkTrails) -> None:
    """Have events from a folder, and from where it would show that it becomes another one."""
    while folder not in folder_scan.folders:
        if (identity := _folder_identity(folder)) is not None:
            folder_scan.folders[folder] = identity
            _watch_links(link_trail(folder, link_trails)[:-1], folder_scan, link_trails)
        elif (parent := os.path.dirname(folder)) != folder:
            folder_scan.turning_points.add(folder)
            folder = parent
        else:
            return


def _watch_links(
    links: tuple[str, ...] | list[str], folder_scan: FolderScan, link_trails: LinkTrails
) -> None:
    for link in links:
        folder_scan.turning_points.add(link)
        _watch_folder(os.path.dirname(link), folder_scan, link_trails)


def _folder_identity(folder: str) -> FolderIdentity | None:
    try:
        status = os.stat(folder)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _walk_down(
    root: str, is_skipped: Callable[[str], bool], folder_scan: FolderScan
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """The folder and those below it, the near ones first, each with what is in it."""
    waiting_folders = deque([(root, 0)] if os.path.isdir(root) else [])
    for _ in range(MAX_WATCHED_FOLDERS):
        if not waiting_folders or waiting_folders[0][1] > MAX_FOLDER_DEPTH:
            break
        folder, depth = waiting_folders.popleft()
        entries = _folder_entries(folder)
        yield folder, entries
        subfolders = (entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
        waiting_folders.extend((path, depth + 1) for path in subfolders if not is_skipped(path))
    if waiting_folders:
        folder_scan.cut_off_roots.add(root)


def _folder_entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # gone, or not ours to read
        return []


def unmatched_patterns(patterns: Value[tuple[str, ...]], watch_rules: WatchRules) -> Iterator[str]:
    """A line for each of EXCLUDE_PATTERNS that excludes nothing: mostly a slip of the pen. It may
    still be right, for a file that comes later."""
    if not patterns.value:
        return
    unfiltered_scan = scan_watched_files(replace(watch_rules, excluded=()))
    watched_paths = [*unfiltered_scan.files, *unfiltered_scan.module_folders]
    for pattern in patterns.value:
        if not any(Patterns.matches(pattern, path) for path in watched_paths):
            shown_pattern = shown_path(Path(pattern))
            yield f"{patterns.origin}: EXCLUDE_PATTERNS {shown_pattern} matches no watched file yet"


# The links on the way to a file

LinkTrails = dict[str, tuple[str, ...]]

MOST_LINKS_FOLLOWED = 40
"""So many the kernel follows, one to the next (path_resolution(7))."""


def link_trail(path: str, known_trails: LinkTrails, links_followed: int = 0) -> tuple[str, ...]:
    """Every link on the way along an absolute path, each where it really is, then the end of the
    way, which need not be there. known_trails keeps what is asked again and again: the folders'.
    """
    for unknown_path in _paths_without_trail(path, known_trails):
        if unknown_path not in known_trails:  # a link of this very way may have led to it
            known_trails[unknown_path] = (unknown_path,)  # for links that lead to themselves
            known_trails[unknown_path] = _follow_one_step(
                unknown_path, known_trails, links_followed
            )
    return known_trails[path]


def _paths_without_trail(path: str, known_trails: LinkTrails) -> list[str]:
    """The path and the folders above it, the highest first. In a loop: there may be thousands."""
    unknown_paths: list[str] = []
    while path not in known_trails and (not unknown_paths or path != unknown_paths[-1]):
        unknown_paths.append(path)
        path = os.path.dirname(path)
    return unknown_paths[::-1]


def _follow_one_step(path: str, known_trails: LinkTrails, links_followed: int) -> tuple[str, ...]:
    """That of the folder it is in is known."""
    parent, name = os.path.split(path)
    if parent == path:
        return (path,)
    *links, folder = known_trails[parent]
    if name in ("", os.curdir):
        return (*links, folder)
    if name == os.pardir:
        return (*links, os.path.dirname(folder))
    real_path = os.path.join(folder, name)
    try:
        link_target = os.readlink(real_path)
    except OSError:  # no link, or not there
        return (*links, real_path)
    if links_followed == MOST_LINKS_FOLLOWED:
        return (*links, real_path)
    target_trail = link_trail(os.path.join(folder, link_target), known_trails, links_followed + 1)
    return (*links, real_path, *target_trail)


# Which have changed

COARSE_FOLDER_TIME_SECONDS = 3.0
"""A folder's time may be as coarse as 2 seconds (FAT): so long another file may come into it and
leave it as it is."""
MOST_GONE_FILES = 1000
"""So much of what has gone is remembered, for as long as a worker starts."""
RECENT_FILES = 10
"""So many files are taken to be those that a person edits."""


class WatchedFiles:
    """Each look returns the files that a worker is to be replaced for."""

    def __init__(self, watch_rules: WatchRules) -> None:
        self.watch_rules = watch_rules
        self.new_modules: set[str] = set()
        """Modules that have just come: for a moment, or to stay."""
        self._folder_scan: FolderScan = scan_watched_files(watch_rules)
        self._known_signatures: dict[str, Signature] = dict(self._folder_scan.files)
        self._known_folder_signatures: dict[str, Signature | None] = {}
        self._unsettled_folders: dict[str, float] = {}
        """Folders that have just changed, and until when they may change once more unnoticed."""
        self._known_file_names: dict[str, frozenset[str]] = {}
        self._gone_files: deque[tuple[str, float]] = deque(maxlen=MOST_GONE_FILES)
        """What went lately and counted for nothing, and when (seconds since the epoch): a worker
        may have imported it just before."""

    @property
    def folders(self) -> Mapping[str, FolderIdentity]:
        """The folders that events are needed from, the project's own first."""
        return self._folder_scan.folders

    @property
    def cut_off_roots(self) -> set[str]:
        """The roots that have more folders than are watched."""
        return self._folder_scan.cut_off_roots

    def watch_more(self, watch: Watch) -> set[str]:
        """What a worker says that the app was made from, as it was when the worker began: a file
        that is older has not changed, one that is younger has."""
        old_rules, worker_began = self.watch_rules, watch.since
        self.watch_rules = replace(
            old_rules,
            files=old_rules.files | watch.files,
            folders=old_rules.folders | watch.folders,
            namespaces=old_rules.namespaces | watch.namespaces,
        )
        changed: set[str] = set()
        if self.watch_rules != old_rules:
            folder_scan = scan_watched_files(self.watch_rules)
            for path, file_signature in folder_scan.files.items():
                if path not in self._known_signatures and file_signature[0] < worker_began * 1e9:
                    self._known_signatures[path] = file_signature
            changed = self._use_scan(folder_scan)
        imported_paths = watch.files | watch.namespaces
        return changed | {
            gone_file
            for gone_file, gone_at in self._gone_files
            if gone_at > worker_began and gone_file in imported_paths
        }

    def watch_instead(self, watch_rules: WatchRules) -> None:
        """Watch this instead; what was not watched before is taken as it is now."""
        self.watch_rules = watch_rules
        folder_scan = scan_watched_files(watch_rules)
        self._known_signatures = {
            path: self._known_signatures.get(path, file_signature)
            for path, file_signature in folder_scan.files.items()
        }
        self._use_scan(folder_scan)

    def admit_new_modules(self) -> set[str]:
        """From now on they count as any other."""
        admitted_modules, self.new_modules = self.new_modules, set()
        return admitted_modules

    def is_known(self, path: str) -> bool:
        """Was it there at the last look?"""
        return path in self._known_signatures or path in self.folders

    def is_watched_path(self, path: str) -> bool:
        """May there be something to look at? A folder that came, or went, is one too."""
        return self._is_turning_point(path) or bool(self._watched_files_at(path))

    def recently_changed(self) -> dict[str, Signature]:
        """The few that were changed last, as they were at the last look."""
        return dict(heapq.nlargest(RECENT_FILES, self._known_signatures.items(), key=itemgetter(1)))

    def find_all_changes(self) -> set[str]:
        return self._use_scan(scan_watched_files(self.watch_rules))

    def find_changes_of(self, paths: Iterable[str]) -> set[str]:
        """Look at what events have named."""
        paths = set(paths)
        if any(map(self._is_turning_point, paths)):
            return self.find_all_changes()
        files = set().union(*map(self._watched_files_at, paths))
        return self._note_changes({path: signature_of_file(path) for path in files})

    def find_changes_in(self, folders: Collection[str]) -> set[str]:
        """Look at everything in some of the folders."""
        namespace_folders = self.watch_rules.namespaces.intersection(folders)
        if self._have_other_files(folders) or not all(map(os.path.isdir, namespace_folders)):
            return self.find_all_changes()
        files_in = self._folder_scan.files_in
        files_of_folders = (files_in[folder] for folder in folders if folder in files_in)
        changed_files: set[str] = set()
        for files in files_of_folders:
            changed_files |= _changed_signatures(files, self._known_signatures).keys()
        return self._note_changes({path: signature_of_file(path) for path in changed_files})

    def _have_other_files(self, folders: Collection[str]) -> bool:
        """Have files come into one of the folders, or left it, since the last time?"""
        time_now = time.monotonic()
        changed_folders = _changed_signatures(folders, self._known_folder_signatures)
        self._known_folder_signatures |= changed_folders
        for folder in changed_folders:
            self._unsettled_folders[folder] = time_now + COARSE_FOLDER_TIME_SECONDS
        self._unsettled_folders = {
            folder: unsettled_until
            for folder, unsettled_until in self._unsettled_folders.items()
            if time_now < unsettled_until
        }
        unsettled_folders = [folder for folder in folders if folder in self._unsettled_folders]
        # Each of them, not only up to the first: the names in it are noted.
        return bool(set(filter(self._has_other_files, unsettled_folders)))

    def _has_other_files(self, folder: str) -> bool:
        file_names, known_file_names = _file_names_in(folder), self._known_file_names.get(folder)
        self._known_file_names[folder] = file_names
        return file_names != known_file_names

    def _is_turning_point(self, path: str) -> bool:
        is_link_or_folder = path in self._folder_scan.turning_points or path in self.folders
        return is_link_or_folder or self._is_new_folder(path)

    def _is_new_folder(self, path: str) -> bool:
        is_below_root = os.path.dirname(path) in self._folder_scan.module_folders
        is_watched = is_below_root or self.watch_rules.is_in_folders(path)
        return is_watched and os.path.isdir(path) and not self.watch_rules.is_skipped(path)

    def _watched_files_at(self, path: str) -> set[str]:
        """The files that a change of this path is one of."""
        watched_files = set(self._folder_scan.links_to.get(path, ()))
        if self._is_watched_module(path) or self.watch_rules.counts_by_name(path):
            watched_files.add(path)
        return watched_files

    def _is_watched_module(self, path: str) -> bool:
        folder, name = os.path.split(path)
        is_module = folder in self._folder_scan.module_folders and is_module_name(name)
        return is_module and not self.watch_rules.excludes(path)

    def _use_scan(self, folder_scan: FolderScan) -> set[str]:
        self._note_gone_files(self._folder_scan.folders.keys() - folder_scan.folders.keys())
        self._folder_scan = folder_scan
        paths = {*folder_scan.files, *self._known_signatures}
        return self._note_changes({path: folder_scan.files.get(path) for path in paths})

    def _note_changes(self, signatures: Mapping[str, Signature | None]) -> set[str]:
        changed_paths = {
            path
            for path, file_signature in signatures.items()
            if file_signature != self._known_signatures.get(path)
        }
        counting_paths = {
            path for path in changed_paths if self._counts_already(path, signatures[path])
        }
        # Not what came and went while a worker was imported: that one has made it itself.
        uncounted_paths = changed_paths - counting_paths - self.new_modules
        self._note_gone_files(path for path in uncounted_paths if signatures[path] is None)
        for path in changed_paths:
            if (file_signature := signatures[path]) is None:
                del self._known_signatures[path]
                self.new_modules.discard(path)
            else:
                self._known_signatures[path] = file_signature
        return counting_paths

    def _note_gone_files(self, paths: Iterable[str]) -> None:
        gone_at = time.time()
        self._gone_files.extend((path, gone_at) for path in paths)

    def _counts_already(self, path: str, file_signature: Signature | None) -> bool:
        """Does this change of it count already?"""
        if self.watch_rules.counts_by_name(path):
            return True
        if path not in self._known_signatures:
            self.new_modules.add(path)
        return file_signature is not None and path not in self.new_modules


def _changed_signatures(
    paths: Collection[str], known_signatures: Mapping[str, Signature | None]
) -> dict[str, Signature | None]:
    """Those that are not as known, as they are now."""
    signatures = signatures_in_turn(paths)
    if signatures == list(map(known_signatures.get, paths)):
        return {}
    return {
        path: signature
        for path, signature in zip(paths, signatures, strict=True)
        if signature != known_signatures.get(path)
    }


def _file_names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:  # gone, or not ours to read
        return frozenset()

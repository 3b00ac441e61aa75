"""The watched files as they were last seen, and which of them are no longer what they were."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from operator import itemgetter

from flask_debuglaunch.serving.watching.file_signature import (
    Signature,
    signature_of_file,
    signatures_in_turn,
)
from flask_debuglaunch.serving.watching.folder_scan import FolderIdentity, FolderScan, scan
from flask_debuglaunch.serving.watching.watch_rules import WatchRules, is_module

COARSE_SECONDS = 3.0
"""A folder's time may be as coarse as 2 seconds (FAT): so long another file may come into it and
leave it as it is."""
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

    @property
    def folders(self) -> Mapping[str, FolderIdentity]:
        """The folders that events are needed from, the project's own first."""
        return self._scan.folders

    @property
    def cut_off(self) -> set[str]:
        """The roots that have more folders than are watched."""
        return self._scan.cut_off

    def add(self, files: Iterable[str], folders: Iterable[str], since: float) -> set[str]:
        """What a worker says that the app was made from, as it was at that time (seconds since
        the epoch): a file that is older has not changed, one that is younger has."""
        old = self.watched
        self.watched = replace(
            old, files=old.files | set(files), folders=old.folders | set(folders)
        )
        if self.watched == old:
            return set()
        found = scan(self.watched)
        for path, now in found.files.items():
            if path not in self._known and now[0] < since * 1e9:
                self._known[path] = now
        return self._take_over(found)

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
        if self._hold_others(folders):
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
        self._scan = found
        return self._changed({path: found.files.get(path) for path in {*found.files, *self._known}})

    def _changed(self, found: Mapping[str, Signature | None]) -> set[str]:
        changed = {path for path, now in found.items() if now != self._known.get(path)}
        counting = {path for path in changed if self._counts(path, found[path])}
        for path in changed:
            if (now := found[path]) is None:
                del self._known[path]
                self.newcomers.discard(path)
            else:
                self._known[path] = now
        return counting

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

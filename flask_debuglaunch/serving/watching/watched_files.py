"""What a worker is made from, file by file, and which of it is no longer what it was."""

from __future__ import annotations

import fnmatch
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.app_finder import source_folder

MAX_FOLDERS = 5_000
"""So many folders below the app's are watched: enough for any project, not for a whole disk."""
SKIPPED_FOLDERS = {"__pycache__", "node_modules", "site-packages", "venv", "env"}

Signature = tuple[int, int, int]


@dataclass(frozen=True)
class Watched:
    """What is watched. All paths are absolute."""

    roots: frozenset[str]
    """Folders whose Python files all count, with those in the folders below, and new ones."""
    files: frozenset[str]
    folders: frozenset[str] = frozenset()
    """Folders of which every file counts, not only Python's."""
    excluded: tuple[str, ...] = ()
    """fnmatch patterns against whole paths, as Flask's --exclude-patterns."""

    def excludes(self, path: str) -> bool:
        return any(fnmatch.fnmatch(path, pattern) for pattern in self.excluded)

    def counts(self, path: str) -> bool:
        """Does a change of this file restart the worker?"""
        if self.excludes(path):
            return False
        is_module = path.endswith(".py") and not os.path.basename(path).startswith(".")
        return is_module or path in self.files or path.startswith(self._in_folders)

    @property
    def _in_folders(self) -> tuple[str, ...]:
        return tuple(folder + os.sep for folder in self.folders)


def watched_for(plan: Plan) -> Watched:
    """What is known before the app is imported; the worker tells the rest."""
    settings = plan.settings
    extra = [os.path.abspath(one) for one in settings.extra_files.value]
    config = [plan.config_file] if plan.config_file else []
    # Also a .env that is not there yet.
    named = [*config, *settings.env_files, *(one.path for one in settings.lookups)]
    roots = (plan.app_directory.value, source_folder(plan))
    return Watched(
        roots=frozenset(os.path.abspath(one) for one in roots),
        files=frozenset([*extra, *map(os.path.abspath, named)]),
        folders=frozenset(path for path in extra if os.path.isdir(path)),
        excluded=settings.exclude_patterns.value,
    )


class WatchedFiles:
    """The signature of every watched file as it was last seen."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.folders: set[str] = set()
        """The folders that events are needed from."""
        self._known: dict[str, Signature] = {}
        self.look_at_all()

    def add(self, files: Iterable[str], folders: Iterable[str], since: float) -> set[str]:
        """What a worker says that the app was made from, as it was at that time (seconds since
        the epoch): a file that is older has not changed, one that is younger has. Returns those
        that have."""
        old = self.watched
        self.watched = replace(
            old, files=old.files | set(files), folders=old.folders | set(folders)
        )
        if self.watched == old:
            return set()
        self.folders = set(self._folders())
        for path, found in self._found():
            if path not in self._known and found and found[0] < since * 1e9:
                self._known[path] = found
        return self.look_at_all()

    def follow(self, watched: Watched) -> None:
        """Watch this instead; what was not watched before is taken as it is now."""
        self.watched = watched
        known = self._known
        self.look_at_all()
        self._known = {path: known.get(path, found) for path, found in self._known.items()}

    def knows(self, path: str) -> bool:
        """Was it there at the last look?"""
        return path in self._known or path in self.folders

    def concerns(self, path: str) -> bool:
        """May there be something to look at? A folder that came, or went, is one too."""
        is_folder = path in self.folders or (os.path.isdir(path) and not self._is_skipped(path))
        return is_folder or self.watched.counts(path)

    def look_at_all(self) -> set[str]:
        """Find all files anew; returns those that differ from what they were."""
        self.folders = set(self._folders())
        found = {path: signature for path, signature in self._found() if signature}
        known, self._known = self._known, found
        return {path for path in found | known if found.get(path) != known.get(path)}

    def look_at(self, paths: Iterable[str]) -> set[str]:
        """Look at what events have named; returns the files that differ from what they were."""
        paths = set(paths)
        if any(os.path.isdir(path) or path in self.folders for path in paths):
            return self.look_at_all()  # a folder came, went, or was renamed, with all that is in it
        return {path for path in paths if self.watched.counts(path) and self._differs(path)}

    def _differs(self, path: str) -> bool:
        before, now = self._known.pop(path, None), signature(path)
        if now is not None:
            self._known[path] = now
        return now != before

    def _folders(self) -> Iterator[str]:
        for root in self.watched.roots:
            yield from _below(root, skip=self._is_skipped)
        for folder in self.watched.folders:
            yield from _below(folder, skip=self.watched.excludes)
        for file in self.watched.files:  # its folder, because editors replace files by others
            if os.path.isdir(os.path.dirname(file)):
                yield os.path.dirname(file)

    def _is_skipped(self, folder: str) -> bool:
        name = os.path.basename(folder)
        is_venv = os.path.exists(os.path.join(folder, "pyvenv.cfg"))
        hidden = name.startswith(".") or name in SKIPPED_FOLDERS
        return hidden or is_venv or self.watched.excludes(folder)

    def _found(self) -> Iterator[tuple[str, Signature | None]]:
        for folder in self.folders:
            for name in _names(folder):
                path = os.path.join(folder, name)
                if self.watched.counts(path):
                    yield path, signature(path)


def _below(root: str, skip: Callable[[str], bool]) -> Iterator[str]:
    """The folder and those below it, the near ones first."""
    waiting = deque([root] if os.path.isdir(root) else [])
    for _ in range(MAX_FOLDERS):
        if not waiting:
            return
        folder = waiting.popleft()
        yield folder
        waiting.extend(path for path in _subfolders(folder) if not skip(path))


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [one.path for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # gone, or not ours to read
        return []


def signature(path: str) -> Signature | None:
    """Differs when a file's content may differ; None for what is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino

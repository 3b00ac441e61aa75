"""Tell the supervisor when a file that the app is made from is no longer what it was.

Events say where to look, the files themselves whether there is anything to do: an event that comes
late, twice or for nothing restarts no worker.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path

from flask_debuglaunch.serving.ipc_protocol import Watch
from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.events_or_polling import BestEvents, Events
from flask_debuglaunch.serving.watching.watched_files import (
    MAX_DEPTH,
    MAX_FOLDERS,
    WatchedFiles,
    WatchRules,
)
from flask_debuglaunch.terminal_messages import say, shown_path

SETTLE_SECONDS = 0.005
"""After the save of a file, see for so long whether there is more to come ("Save All")."""
REST_SECONDS = 0.1
"""After several (a checkout, a formatter), or one that came or went (an editor may be about to
replace a file by it): wait until nothing has happened for so long."""
BURST_LIMIT_SECONDS = 3.0
NEWCOMER_SECONDS = 1.0
"""A module that has just come and that nothing has asked for counts when it has stayed so long:
checkers and merge tools make some for a moment."""

OpenEvents = Callable[[Iterable[str], SelfPipe], Events]


class Watcher:
    """A thread that watches. Readable, for a selector, when `changed` has something to say."""

    def __init__(self, watched: WatchRules, open_events: OpenEvents | None = None) -> None:
        self._files = WatchedFiles(watched)
        self._open_events = open_events or BestEvents(self._files.recently_changed)
        self._found: set[str] = set()
        """What has changed and is not told of yet."""
        self._said_cut_off: set[str] = set()
        self._newcomers_count_at: float | None = None
        self._changes: queue.SimpleQueue[set[str]] = queue.SimpleQueue()
        self._has_changes = SelfPipe()
        self._more: queue.SimpleQueue[Watch | WatchRules] = queue.SimpleQueue()
        self._has_more = SelfPipe()
        self._is_over = False
        self.thread = threading.Thread(target=self._run, name="debuglaunch-watch", daemon=True)

    def fileno(self) -> int:
        return self._has_changes.fileno()

    def start(self) -> None:
        self.thread.start()

    def close(self) -> None:
        """End it, unless it has never been started."""
        self._is_over = True
        self._has_more.set()
        if self.thread.ident is not None:
            self.thread.join()
        self._has_more.close()
        self._has_changes.close()

    def add(self, more: Watch) -> None:
        """Watch more: what a worker says that the app was made from."""
        self._more.put(more)
        self._has_more.set()

    def follow(self, watched: WatchRules) -> None:
        """Watch this instead, until workers say more."""
        self._more.put(watched)
        self._has_more.set()

    def changed(self) -> set[str]:
        """The files that have changed since the last call."""
        self._has_changes.clear()
        changed: set[str] = set()
        while not self._changes.empty():
            changed |= self._changes.get()
        return changed

    def _run(self) -> None:
        while not self._is_over:
            events = self._open_events(self._files.folders, self._has_more)
            with closing(events), suppress(OSError):  # no more events: begin anew
                self._follow(events)

    def _follow(self, events: Events) -> None:
        """Until the folders to watch are others."""
        followed, are_others = dict(self._files.folders), False
        self._say_limits()
        # Only now, with the events on their way, nothing can change unnoticed.
        self._look_at_all()
        while not (are_others or self._is_over) and self._files.folders == followed:
            are_others = self._wait_for_rest(events)
            self._tell()
            self._take_in_more()

    def _wait_for_rest(self, events: Events) -> bool:
        """Take in what has changed or changes next, with all that changes at about the same time.
        Returns whether a watched folder may have become another one, which has other events."""
        burst = Burst(self._files, self._found)
        while not burst.has_begun:
            if self._newcomers_have_stayed():
                self._found |= self._files.admit_newcomers()
                break
            named = events.wait(self._patience_with_newcomers())
            if has_more := self._has_more.is_set():
                self._take_in_more()  # first: it says which of the files count
            burst.take_in(named)
            if has_more and not burst.has_begun:
                return False
        deadline = time.monotonic() + BURST_LIMIT_SECONDS
        while time.monotonic() < deadline:
            named = events.wait(SETTLE_SECONDS if burst.is_one_save else REST_SECONDS)
            if self._has_more.is_set():
                self._take_in_more()
            elif not named and (burst.is_one_save or not self._look_at_all()):
                break
            burst.take_in(named)
        return burst.has_moved_folders

    def _say_limits(self) -> None:
        for root in sorted(self._files.cut_off - self._said_cut_off):
            say(
                f"Below {shown_path(Path(root))} there are more than {MAX_FOLDERS:,} folders, or"
                f" more than {MAX_DEPTH} one in the other: the others are watched only as far as"
                " the app imports from them. Exclude what is not the app's with EXCLUDE_PATTERNS"
            )
        self._said_cut_off |= self._files.cut_off

    def _look_at_all(self) -> set[str]:
        """Returns what is found beyond what has been found already."""
        changed = self._files.look_at_all()
        self._found |= changed
        return changed

    def _newcomers_have_stayed(self) -> bool:
        if not self._files.newcomers:
            self._newcomers_count_at = None
            return False
        if self._newcomers_count_at is None:
            self._newcomers_count_at = time.monotonic() + NEWCOMER_SECONDS
        return time.monotonic() >= self._newcomers_count_at

    def _patience_with_newcomers(self) -> float | None:
        at = self._newcomers_count_at
        return None if at is None else max(0.0, at - time.monotonic())

    def _take_in_more(self) -> None:
        self._has_more.clear()
        while not self._more.empty():
            more = self._more.get()
            if isinstance(more, WatchRules):
                self._files.follow(more)
            else:
                self._found |= self._files.add(more)

    def _tell(self) -> None:
        if self._found:
            # The worker that comes is made from the newcomers too.
            self._changes.put(self._found | self._files.admit_newcomers())
            self._found = set()
            self._has_changes.set()


class Burst:
    """Changes at about the same time."""

    def __init__(self, files: WatchedFiles, found: set[str]) -> None:
        self._files = files
        self._found = found
        self._under_way: set[str] = set()
        self.has_moved_folders = False

    @property
    def has_begun(self) -> bool:
        return bool(self._found or self._under_way)

    @property
    def is_one_save(self) -> bool:
        return len(self._found) == 1 and not self._under_way

    def take_in(self, named: Mapping[str, bool]) -> None:
        """Look at what events have named."""
        # A file that is new may be about to replace another.
        at_rest = {path for path, rests in named.items() if rests and self._files.knows(path)}
        self.has_moved_folders |= any(one in self._files.folders for one in named.keys() - at_rest)
        concerned = filter(self._files.concerns, self._under_way | named.keys())
        self._under_way = set(concerned) - at_rest
        folders = at_rest & self._files.folders.keys()
        self._found |= self._files.look_at(at_rest - folders)
        if folders:
            self._found |= self._files.look_into(folders)

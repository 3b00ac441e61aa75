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

from flask_debuglaunch.serving.ipc_messages import Watch
from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.event_backends import Events, events_of
from flask_debuglaunch.serving.watching.watched_files import Watched, WatchedFiles

SETTLE_SECONDS = 0.01
"""After the save of a file, see for so long whether there is more to come ("Save All")."""
REST_SECONDS = 0.1
"""After several (a checkout, a formatter), or one that came or went (an editor may be about to
replace a file by it): wait until nothing has happened for so long."""
BURST_LIMIT_SECONDS = 3.0

OpenEvents = Callable[[Iterable[str], SelfPipe], Events]


class Watcher:
    """A thread that watches. Readable, for a selector, when `changed` has something to say."""

    def __init__(self, watched: Watched, open_events: OpenEvents = events_of) -> None:
        self._open_events = open_events
        self._files = WatchedFiles(watched)
        self._changes: queue.SimpleQueue[set[str]] = queue.SimpleQueue()
        self._has_changes = SelfPipe()
        self._more: queue.SimpleQueue[Watch | Watched] = queue.SimpleQueue()
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

    def follow(self, watched: Watched) -> None:
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
        followed = set(self._files.folders)
        # Only now, with the events on their way, nothing can change unnoticed.
        changed = self._files.look_at_all()
        while self._files.folders == followed and not self._is_over:
            self._tell(self._at_rest(events, changed))
            changed = self._take_in_more()
        self._tell(changed)

    def _take_in_more(self) -> set[str]:
        self._has_more.clear()
        changed: set[str] = set()
        while not self._more.empty():
            more = self._more.get()
            if isinstance(more, Watched):
                self._files.follow(more)
            else:
                changed |= self._files.add(more.files, more.folders, more.since)
        return changed

    def _at_rest(self, events: Events, changed: set[str]) -> set[str]:
        """What has changed or changes next, with all that changes at about the same time."""
        burst = Burst(self._files, changed)
        while not burst.has_begun:
            named = events.wait(None)
            if not named:
                return set()
            burst.take_in(named)
        deadline = time.monotonic() + BURST_LIMIT_SECONDS
        while time.monotonic() < deadline:
            named = events.wait(SETTLE_SECONDS if burst.is_one_save else REST_SECONDS)
            if self._has_more.is_set():
                burst.changed |= self._take_in_more()
            elif not named:
                break
            burst.take_in(named)
        return burst.changed if burst.is_one_save else burst.changed | self._files.look_at_all()

    def _tell(self, changed: set[str]) -> None:
        if changed:
            self._changes.put(changed)
            self._has_changes.set()


class Burst:
    """Changes at about the same time."""

    def __init__(self, files: WatchedFiles, changed: set[str]) -> None:
        self._files = files
        self.changed = changed
        self._under_way: set[str] = set()

    @property
    def has_begun(self) -> bool:
        return bool(self.changed or self._under_way)

    @property
    def is_one_save(self) -> bool:
        return len(self.changed) == 1 and not self._under_way

    def take_in(self, named: Mapping[str, bool]) -> None:
        """Look at what events have named."""
        # A file that is new may be about to replace another.
        at_rest = {path for path, rests in named.items() if rests and self._files.knows(path)}
        concerned = filter(self._files.concerns, self._under_way | named.keys())
        self._under_way = set(concerned) - at_rest
        self.changed |= self._files.look_at(at_rest)

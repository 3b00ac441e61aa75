"""Tell the supervisor when a file that the app is made from is no longer what it was.

Events say where to look, the files themselves whether there is anything to do: an event that comes
late, twice or for nothing restarts no worker.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path

from flask_debuglaunch.serving.ipc_protocol import Watch
from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.polling_backend import (
    FileEvents,
    PolledFolders,
    PollingEvents,
    RecentFiles,
    folders_without_events,
)
from flask_debuglaunch.serving.watching.watched_files import (
    MAX_FOLDER_DEPTH,
    MAX_WATCHED_FOLDERS,
    WatchedFiles,
    WatchRules,
)
from flask_debuglaunch.terminal_messages import say, shown_path

SAVE_SETTLE_SECONDS = 0.005
"""After the save of a file, see for so long whether there is more to come ("Save All")."""
BURST_REST_SECONDS = 0.1
"""After several (a checkout, a formatter), or one that came or went (an editor may be about to
replace a file by it): wait until nothing has happened for so long."""
BURST_LIMIT_SECONDS = 3.0
NEW_MODULE_SECONDS = 1.0
"""A module that has just come and that nothing has asked for counts when it has stayed so long:
checkers and merge tools make some for a moment."""

OpenFileEvents = Callable[[Iterable[str], SelfPipe], FileEvents]


class Watcher:
    """A thread that watches. Readable, for a selector, when `changed` has something to say."""

    def __init__(self, watch_rules: WatchRules, open_events: OpenFileEvents | None = None) -> None:
        self._files = WatchedFiles(watch_rules)
        self._open_events = open_events or BestFileEvents(self._files.recently_changed)
        self._untold_changes: set[str] = set()
        """What has changed and is not told of yet."""
        self._said_cut_off_roots: set[str] = set()
        self._new_modules_count_at: float | None = None
        self._told_changes: queue.SimpleQueue[set[str]] = queue.SimpleQueue()
        self._has_told_changes = SelfPipe()
        self._watch_requests: queue.SimpleQueue[Watch | WatchRules] = queue.SimpleQueue()
        self._has_watch_requests = SelfPipe()
        self._is_closed = False
        self.thread = threading.Thread(target=self._run, name="debuglaunch-watch", daemon=True)

    def fileno(self) -> int:
        return self._has_told_changes.fileno()

    def start(self) -> None:
        self.thread.start()

    def close(self) -> None:
        """End it, unless it has never been started."""
        self._is_closed = True
        self._has_watch_requests.set()
        if self.thread.ident is not None:
            self.thread.join()
        self._has_watch_requests.close()
        self._has_told_changes.close()

    def watch_more(self, watched_files: Watch) -> None:
        """Watch more: what a worker says that the app was made from."""
        self._watch_requests.put(watched_files)
        self._has_watch_requests.set()

    def watch_instead(self, watch_rules: WatchRules) -> None:
        """Watch this instead, until workers say more."""
        self._watch_requests.put(watch_rules)
        self._has_watch_requests.set()

    def changed(self) -> set[str]:
        """The files that have changed since the last call."""
        self._has_told_changes.clear()
        changed: set[str] = set()
        while not self._told_changes.empty():
            changed |= self._told_changes.get()
        return changed

    def _run(self) -> None:
        while not self._is_closed:
            events = self._open_events(self._files.folders, self._has_watch_requests)
            with closing(events), suppress(OSError):  # no more events: begin anew
                self._follow_events(events)

    def _follow_events(self, events: FileEvents) -> None:
        """Until the folders to watch are others."""
        followed_folders, have_folders_moved = dict(self._files.folders), False
        self._say_limits()
        # Only now, with the events on their way, nothing can change unnoticed.
        self._find_all_changes()
        while (
            not (have_folders_moved or self._is_closed) and self._files.folders == followed_folders
        ):
            have_folders_moved = self._wait_for_burst_end(events)
            self._tell_changes()
            self._take_watch_requests()

    def _wait_for_burst_end(self, events: FileEvents) -> bool:
        """Take in what has changed or changes next, with all that changes at about the same time.
        Returns whether a watched folder may have become another one, which has other events."""
        burst = ChangeBurst(self._files, self._untold_changes)
        while not burst.has_begun:
            if self._new_modules_have_stayed():
                self._untold_changes |= self._files.admit_new_modules()
                break
            changed_paths = events.wait(self._seconds_until_new_modules_count())
            if has_watch_requests := self._has_watch_requests.is_set():
                self._take_watch_requests()  # first: it says which of the files count
            burst.take_in(changed_paths)
            if has_watch_requests and not burst.has_begun:
                return False
        deadline = time.monotonic() + BURST_LIMIT_SECONDS
        while time.monotonic() < deadline:
            changed_paths = events.wait(
                SAVE_SETTLE_SECONDS if burst.is_one_save else BURST_REST_SECONDS
            )
            if self._has_watch_requests.is_set():
                self._take_watch_requests()
            elif not changed_paths and (burst.is_one_save or not self._find_all_changes()):
                break
            burst.take_in(changed_paths)
        return burst.has_moved_folders

    def _say_limits(self) -> None:
        for root in sorted(self._files.cut_off_roots - self._said_cut_off_roots):
            say(
                f"Below {shown_path(Path(root))} there are more than {MAX_WATCHED_FOLDERS:,}"
                f" folders, or more than {MAX_FOLDER_DEPTH} one in the other: the others are"
                " watched only as far as the app imports from them."
                " Exclude what is not the app's with EXCLUDE_PATTERNS"
            )
        self._said_cut_off_roots |= self._files.cut_off_roots

    def _find_all_changes(self) -> set[str]:
        """Returns what is found beyond what has been found already."""
        changed = self._files.find_all_changes()
        self._untold_changes |= changed
        return changed

    def _new_modules_have_stayed(self) -> bool:
        if not self._files.new_modules:
            self._new_modules_count_at = None
            return False
        if self._new_modules_count_at is None:
            self._new_modules_count_at = time.monotonic() + NEW_MODULE_SECONDS
        return time.monotonic() >= self._new_modules_count_at

    def _seconds_until_new_modules_count(self) -> float | None:
        count_at = self._new_modules_count_at
        return None if count_at is None else max(0.0, count_at - time.monotonic())

    def _take_watch_requests(self) -> None:
        self._has_watch_requests.clear()
        while not self._watch_requests.empty():
            watch_request = self._watch_requests.get()
            if isinstance(watch_request, WatchRules):
                self._files.watch_instead(watch_request)
            else:
                self._untold_changes |= self._files.watch_more(watch_request)

    def _tell_changes(self) -> None:
        if self._untold_changes:
            # The worker that comes is made from the new modules too.
            self._told_changes.put(self._untold_changes | self._files.admit_new_modules())
            self._untold_changes = set()
            self._has_told_changes.set()


class ChangeBurst:
    """Changes at about the same time."""

    def __init__(self, files: WatchedFiles, untold_changes: set[str]) -> None:
        self._files = files
        self._untold_changes = untold_changes
        self._unfinished_paths: set[str] = set()
        self.has_moved_folders = False

    @property
    def has_begun(self) -> bool:
        return bool(self._untold_changes or self._unfinished_paths)

    @property
    def is_one_save(self) -> bool:
        return len(self._untold_changes) == 1 and not self._unfinished_paths

    def take_in(self, changed_paths: Mapping[str, bool]) -> None:
        """Look at what events have named."""
        # A file that is new may be about to replace another.
        finished_paths = {
            path
            for path, is_finished in changed_paths.items()
            if is_finished and self._files.is_known(path)
        }
        self.has_moved_folders |= any(
            path in self._files.folders for path in changed_paths.keys() - finished_paths
        )
        watched_paths = filter(
            self._files.is_watched_path, self._unfinished_paths | changed_paths.keys()
        )
        self._unfinished_paths = set(watched_paths) - finished_paths
        finished_folders = finished_paths & self._files.folders.keys()
        self._untold_changes |= self._files.find_changes_of(finished_paths - finished_folders)
        if finished_folders:
            self._untold_changes |= self._files.find_changes_in(finished_folders)


# Where the events come from


class BestFileEvents:
    """Opens the best events there are, and says once why some folders have to be polled.

    recent_files: those that were changed last, for PollingEvents.
    """

    def __init__(self, recent_files: RecentFiles) -> None:
        self._recent_files = recent_files
        self._said_reasons: set[str] = set()

    def __call__(self, folders: Iterable[str], wait_ended: SelfPipe) -> FileEvents:
        """Events of these folders, the most important first; wait_ended ends a wait."""
        folders = list(folders)
        polled = list(folders_without_events(folders))
        without_events = _all_folders_of(polled)
        event_folders = [folder for folder in folders if folder not in without_events]
        kernel_events, unwatched_folders = _kernel_events(event_folders, wait_ended)
        polled += [unwatched_folders] if unwatched_folders else []
        for polled_folders in polled:
            self._say_why_polled(polled_folders)
        if kernel_events is not None and not polled:
            return kernel_events
        all_polled = _all_folders_of(polled)
        return PollingEvents(all_polled, wait_ended, kernel_events, self._recent_files)

    def _say_why_polled(self, polled_folders: PolledFolders) -> None:
        if polled_folders.reason not in self._said_reasons:
            self._said_reasons.add(polled_folders.reason)
            say(f"Changed files are looked for several times a second: {polled_folders.reason}")


def _all_folders_of(polled: Iterable[PolledFolders]) -> frozenset[str]:
    return frozenset().union(*(polled_folders.folders for polled_folders in polled))


def _kernel_events(
    folders: list[str], wait_ended: SelfPipe
) -> tuple[FileEvents | None, PolledFolders | None]:
    """The kernel's events, and what it gives none of."""
    if not folders:
        return None, None
    is_linux = sys.platform == "linux"
    try:
        return (_inotify_events if is_linux else _watchfiles_events)(folders, wait_ended)
    except ImportError as error:
        library = "inotify-simple" if is_linux else "watchfiles"
        reason = f"{error}. What tells of changes at once: pip install --force-reinstall {library}"
        return None, PolledFolders(frozenset(folders), reason)


def _inotify_events(
    folders: list[str], wait_ended: SelfPipe
) -> tuple[FileEvents | None, PolledFolders | None]:
    from flask_debuglaunch.serving.watching.inotify_backend import (
        InotifyEvents,
        why_no_inotify_events,
    )

    try:
        events = InotifyEvents(folders, wait_ended)
    except OSError as error:
        return None, PolledFolders(frozenset(folders), why_no_inotify_events(error))
    if events.last_refusal is None:
        return events, None
    return events, PolledFolders(
        frozenset(events.unwatched_folders), why_no_inotify_events(events.last_refusal)
    )


def _watchfiles_events(
    folders: list[str], wait_ended: SelfPipe
) -> tuple[FileEvents | None, PolledFolders | None]:
    from flask_debuglaunch.serving.watching.watchfiles_backend import WatchfilesEvents

    try:
        return WatchfilesEvents(folders, wait_ended), None
    except OSError as error:
        return None, PolledFolders(frozenset(folders), f"the system gives no events ({error})")

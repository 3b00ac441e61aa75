"""Tell the supervisor when a file that the app is made from is no longer what it was.

The kernel's events (watchfiles) say where to look, the files themselves whether there is anything
to do: an event that comes late, twice or for nothing restarts no worker.
"""

from __future__ import annotations

import os
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

# Documented at https://watchfiles.helpmanual.io/api/rust_backend/; its watch() and not
# watchfiles.watch(), because the watching has to begin before the files are looked at.
from watchfiles._rust_notify import RustNotify
from watchfiles._rust_notify import WatchfilesRustInternalError as WatchfilesError

from flask_debuglaunch.serving.messages import Watch
from flask_debuglaunch.serving.watching.watched_files import Watched, WatchedFiles

STEP_MILLISECONDS = 15
"""watchfiles looks this often; a single save is told of after one or two of it."""
BURST_MILLISECONDS = 100
"""Several files at once (a checkout, a formatter): wait until none has changed for so long."""
BURST_LIMIT_SECONDS = 3.0
POLL_SECONDS = 0.3
# File systems whose files are often changed elsewhere, of which no event comes here.
REMOTE_FILE_SYSTEM = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|fuse\..*|fuseblk|vboxsf|virtiofs|drvfs|vmhgfs|prl_fs|osxfs|grpcfuse"
)


class Watcher:
    """A thread that watches. The socket is readable when `changed` has something to say."""

    def __init__(self, watched: Watched) -> None:
        self._files = WatchedFiles(watched)
        self._changes: queue.SimpleQueue[set[str]] = queue.SimpleQueue()
        self._more: queue.SimpleQueue[Watch] = queue.SimpleQueue()
        self._rewatch = threading.Event()
        self._waker, self._woken = socket.socketpair()
        self.thread = threading.Thread(target=self._run, name="debuglaunch-watch", daemon=True)

    def fileno(self) -> int:
        return self._woken.fileno()

    def start(self) -> None:
        self.thread.start()

    def add(self, more: Watch) -> None:
        """Watch more: what a worker says that the app was made from."""
        self._more.put(more)
        self._rewatch.set()

    def changed(self) -> set[str]:
        """The files that have changed since the last call."""
        self._woken.recv(4096)
        changed: set[str] = set()
        while not self._changes.empty():
            changed |= self._changes.get()
        return changed

    def _run(self) -> None:
        while True:
            self._rewatch.clear()
            while not self._more.empty():
                more = self._more.get()
                self._files.add(more.files, more.folders, more.since)
            self._tell(self._files.look_at_all())
            notifier = _notifier(self._files.folders)
            if notifier is None:
                self._poll()
            else:
                self._await_events(notifier)

    def _await_events(self, notifier: RustNotify) -> None:
        """Until the folders to watch are others."""
        watched = set(self._files.folders)
        with notifier, suppress(WatchfilesError):  # an error: look what is left, and begin anew
            # Only now, with the events on their way, nothing can change unnoticed.
            self._tell(self._files.look_at_all())
            while self._files.folders == watched and not self._rewatch.is_set():
                self._tell(self._next_changes(notifier))

    def _poll(self) -> None:
        """Look at every file, again and again, for a twentieth of the time at most."""
        while not self._rewatch.is_set():
            start = time.monotonic()
            self._tell(self._files.look_at_all())
            self._rewatch.wait(max(POLL_SECONDS, 20 * (time.monotonic() - start)))

    def _next_changes(self, notifier: RustNotify) -> set[str]:
        changed = self._look(notifier, STEP_MILLISECONDS, timeout=0)
        deadline = time.monotonic() + BURST_LIMIT_SECONDS
        if len(changed) > 1:
            while time.monotonic() < deadline:
                more = self._look(notifier, STEP_MILLISECONDS, timeout=BURST_MILLISECONDS)
                if not more:
                    break
                changed |= more
        return changed

    def _look(self, notifier: RustNotify, step: int, timeout: int) -> set[str]:
        events = notifier.watch(1_600, step, timeout, self._rewatch)
        if isinstance(events, str):  # "timeout", "stop" or "signal"
            return set()
        return self._files.look_at(path for _, path in events)

    def _tell(self, changed: set[str]) -> None:
        if changed:
            self._changes.put(changed)
            self._waker.send(b"x")


def _notifier(folders: set[str]) -> RustNotify | None:
    """Events of these folders; None if there are none to be had.

    Each folder by itself: with what is below them would come .venv and node_modules.
    """
    if _must_poll(folders):
        return None
    with suppress(OSError, WatchfilesError):  # the kernel allows no more watches
        return RustNotify(sorted(folders), False, False, 0, False, True)
    return None


def _must_poll(folders: set[str]) -> bool:
    asked = os.environ.get("WATCHFILES_FORCE_POLLING", "").lower()  # watchfiles' own switch
    if asked:
        return asked not in ("false", "disable", "disabled")
    types = _file_systems()
    return any(REMOTE_FILE_SYSTEM.fullmatch(_type_of(folder, types)) for folder in folders)


def _type_of(folder: str, types: Mapping[str, str]) -> str:
    parents = (folder, *map(str, Path(folder).parents))
    return next((types[parent] for parent in parents if parent in types), "")


def _file_systems() -> dict[str, str]:
    """The type of the file system at each mount point, proc(5): mountinfo; empty elsewhere."""
    if sys.platform != "linux":
        return {}
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {fields[4]: fields[fields.index("-") + 1] for fields in mounts}

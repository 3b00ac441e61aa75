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
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flask_debuglaunch.serving.watched_files import Watched, WatchedFiles

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

STEP_MILLISECONDS = 10
"""watchfiles looks this often; a single save is told of after one or two of it."""
BURST_MILLISECONDS = 100
"""Several files at once (a checkout, a formatter): wait until none has changed for so long."""
BURST_LIMIT_SECONDS = 3.0
POLL_MILLISECONDS = 300
# File systems whose files are often changed elsewhere, of which no event comes here.
REMOTE_FILE_SYSTEM = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|fuse\..*|fuseblk|vboxsf|virtiofs|drvfs|vmhgfs|prl_fs|osxfs|grpcfuse"
)


class Watcher:
    """A thread that watches. The socket is readable when `changed` has something to say."""

    def __init__(self, watched: Watched) -> None:
        self._files = WatchedFiles(watched)
        self._changes: queue.SimpleQueue[set[str]] = queue.SimpleQueue()
        self._more: queue.SimpleQueue[tuple[Iterable[str], Iterable[str]]] = queue.SimpleQueue()
        self._rewatch = threading.Event()
        self._waker, self._woken = socket.socketpair()
        self.thread = threading.Thread(target=self._run, name="debuglaunch-watch", daemon=True)

    def fileno(self) -> int:
        return self._woken.fileno()

    def start(self) -> None:
        self.thread.start()

    def add(self, files: Iterable[str], folders: Iterable[str]) -> None:
        """Watch more: what a worker says that the app was made from."""
        self._more.put((files, folders))
        self._rewatch.set()

    def changed(self) -> set[str]:
        """The files that have changed since the last call."""
        self._woken.recv(4096)
        changed: set[str] = set()
        while not self._changes.empty():
            changed |= self._changes.get()
        return changed

    def _run(self) -> None:
        from watchfiles._rust_notify import WatchfilesRustInternalError

        while True:
            self._rewatch.clear()
            while not self._more.empty():
                self._files.add(*self._more.get())
            try:
                self._watch()
            except (WatchfilesRustInternalError, FileNotFoundError):
                time.sleep(POLL_MILLISECONDS / 1000)  # a folder went meanwhile: look what is left

    def _watch(self) -> None:
        """Watch until the folders to watch are others."""
        before = set(self._files.folders)
        with _notifier(self._files.folders) as notifier:
            # Only now, with the events on their way, nothing can change unnoticed.
            self._tell(self._files.look_at_all())
            while self._files.folders == before and not self._rewatch.is_set():
                self._tell(self._next_changes(notifier))

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


def _notifier(folders: set[str]) -> RustNotify:
    from watchfiles._rust_notify import RustNotify

    must_poll = bool(os.environ.get("WATCHFILES_FORCE_POLLING")) or any(map(_is_remote, folders))

    def notifier(poll: bool) -> RustNotify:
        return RustNotify(sorted(folders), False, poll, POLL_MILLISECONDS, False, True)

    try:
        return notifier(must_poll)
    except OSError:  # the kernel's limit of watches is reached
        return notifier(True)


def _is_remote(folder: str) -> bool:
    return bool(REMOTE_FILE_SYSTEM.fullmatch(_file_system(folder)))


def _file_system(folder: str) -> str:
    """The type of the file system that a folder is on, proc(5): mountinfo; "" where unknown."""
    if sys.platform != "linux":
        return ""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    types = {fields[4]: fields[fields.index("-") + 1] for fields in mounts}
    for parent in (Path(folder), *Path(folder).parents):
        if str(parent) in types:
            return types[str(parent)]
    return ""

"""Linux's inotify(7): a thread that waits for it costs nothing until something happens.

Not through watchfiles here: its watch() looks into a queue of its own every few milliseconds, which
takes more processor time than a tenth of Werkzeug's stat loop, and twice those milliseconds before
it tells of a save.
"""

from __future__ import annotations

import errno
import os
import selectors
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from inotify_simple import Event, INotify, flags

from flask_debuglaunch.serving.self_pipe import SelfPipe

AT_REST = flags.CLOSE_WRITE | flags.MOVED_TO | flags.ATTRIB
# A new file is empty until its writer closes it; one that went may be about to be replaced. Not
# MODIFY: each line of a log would wake us.
UNDER_WAY = flags.CREATE | flags.MOVED_FROM | flags.DELETE
OF_THE_FOLDER = flags.DELETE_SELF | flags.MOVE_SELF


class InotifyEvents:
    """Raises OSError if the kernel gives none at all."""

    def __init__(self, folders: Iterable[str], ended: SelfPipe) -> None:
        self._inotify = INotify()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._inotify, selectors.EVENT_READ)
        self._selector.register(ended, selectors.EVENT_READ)
        self._folders: defaultdict[int, list[str]] = defaultdict(list)
        """By the kernel's number: one, for a folder that is named in two ways (a link to it)."""
        self.unwatched: list[str] = []
        """Folders for which the kernel allows no more watches."""
        self.refusal: OSError | None = None
        """What it said of the last of them."""
        for folder in folders:
            self._watch(folder)

    def _watch(self, folder: str) -> None:
        mask = AT_REST | UNDER_WAY | OF_THE_FOLDER | flags.ONLYDIR
        try:
            self._folders[self._inotify.add_watch(folder, mask)].append(folder)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.unwatched.append(folder)  # any other error: it is gone, or not ours to read
                self.refusal = error

    def wait(self, seconds: float | None) -> dict[str, bool]:
        self._selector.select(seconds)
        named: dict[str, bool] = {}
        for event in self._inotify.read(timeout=0):
            for path in self._paths_of(event):
                named.pop(path, None)  # the latest event of a path is the one that counts
                named[path] = bool(event.mask & AT_REST) and not event.mask & flags.ISDIR
        return named

    def _paths_of(self, event: Event) -> Iterable[str]:
        if event.mask & flags.Q_OVERFLOW:  # there were more events than the kernel keeps
            return [folder for folders in self._folders.values() for folder in folders]
        folders = self._folders.get(event.wd, [])
        return [os.path.join(one, event.name) if event.name else one for one in folders]

    def close(self) -> None:
        self._selector.close()
        self._inotify.close()


def why_no_events(error: OSError) -> str:
    """In words, and what to do, if it is one of the limits of a user (inotify(7))."""
    limits = {errno.ENOSPC: "max_user_watches", errno.EMFILE: "max_user_instances"}
    limit = limits.get(error.errno or 0)
    if limit is None:
        return f"the system gives no events ({error})"
    file = Path("/proc/sys/fs/inotify") / limit
    number = file.read_text().strip() if file.exists() else "unknown"
    return (
        f"inotify's limit for this user is used up (fs.inotify.{limit} is {number})."
        f" Raise it: sudo sysctl fs.inotify.{limit}=524288"
    )

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

FILE_FINISHED_EVENTS = flags.CLOSE_WRITE | flags.MOVED_TO | flags.ATTRIB
# A new file is empty until its writer closes it; one that went may be about to be replaced. Not
# MODIFY: each line of a log would wake us.
FILE_UNFINISHED_EVENTS = flags.CREATE | flags.MOVED_FROM | flags.DELETE
FOLDER_MOVED_EVENTS = flags.DELETE_SELF | flags.MOVE_SELF


class InotifyEvents:
    """Raises OSError if the kernel gives none at all."""

    def __init__(self, folders: Iterable[str], wait_ended: SelfPipe) -> None:
        self._inotify = INotify()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._inotify, selectors.EVENT_READ)
        self._selector.register(wait_ended, selectors.EVENT_READ)
        self._folders_by_watch: defaultdict[int, list[str]] = defaultdict(list)
        """By the kernel's number: one, for a folder that is named in two ways (a link to it)."""
        self.unwatched_folders: list[str] = []
        """Folders for which the kernel allows no more watches."""
        self.last_refusal: OSError | None = None
        """What it said of the last of them."""
        for folder in folders:
            self._add_watch(folder)

    def _add_watch(self, folder: str) -> None:
        event_mask = (
            FILE_FINISHED_EVENTS | FILE_UNFINISHED_EVENTS | FOLDER_MOVED_EVENTS | flags.ONLYDIR
        )
        try:
            self._folders_by_watch[self._inotify.add_watch(folder, event_mask)].append(folder)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # else the folder is gone, or not ours to read
                self.unwatched_folders.append(folder)
                self.last_refusal = error

    def wait(self, seconds: float | None) -> dict[str, bool]:
        self._selector.select(seconds)
        changed_paths: dict[str, bool] = {}
        for event in self._inotify.read(timeout=0):
            for path in self._paths_of_event(event):
                changed_paths.pop(path, None)  # the latest event of a path is the one that counts
                is_finished = bool(event.mask & FILE_FINISHED_EVENTS)
                changed_paths[path] = is_finished and not event.mask & flags.ISDIR
        return changed_paths

    def _paths_of_event(self, event: Event) -> Iterable[str]:
        if event.mask & flags.Q_OVERFLOW:  # there were more events than the kernel keeps
            return [folder for folders in self._folders_by_watch.values() for folder in folders]
        folders = self._folders_by_watch.get(event.wd, [])
        return [os.path.join(folder, event.name) if event.name else folder for folder in folders]

    def close(self) -> None:
        self._selector.close()
        self._inotify.close()


def why_no_inotify_events(error: OSError) -> str:
    """In words, and what to do, if it is one of the limits of a user (inotify(7))."""
    limit_names = {errno.ENOSPC: "max_user_watches", errno.EMFILE: "max_user_instances"}
    limit_name = limit_names.get(error.errno or 0)
    if limit_name is None:
        return f"the system gives no events ({error})"
    limit_file = Path("/proc/sys/fs/inotify") / limit_name
    limit_value = limit_file.read_text().strip() if limit_file.exists() else "unknown"
    return (
        f"inotify's limit for this user is used up (fs.inotify.{limit_name} is {limit_value})."
        f" Raise it: sudo sysctl fs.inotify.{limit_name}=524288"
    )

"""What is told of changes in folders, and by whom: the kernel where that can be had."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable
from pathlib import Path

from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.backend_interface import Events
from flask_debuglaunch.serving.watching.mounts_without_events import Polled, polled_from_the_start
from flask_debuglaunch.serving.watching.polling_backend import PollingEvents
from flask_debuglaunch.terminal import say


class BestEvents:
    """Opens the best events there are, and says once why some folders have to be polled."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, folders: Iterable[str], ended: SelfPipe) -> Events:
        """Events of these folders, the most important first; `ended` ends a wait."""
        folders = list(folders)
        polled = list(polled_from_the_start(folders))
        left = frozenset(folders).difference(*(one.folders for one in polled))
        kernel, unwatched = _kernel_events([one for one in folders if one in left], ended)
        polled += [unwatched] if unwatched else []
        for one in polled:
            self._tell(one)
        if kernel is not None and not polled:
            return kernel
        return PollingEvents(frozenset().union(*(one.folders for one in polled)), ended, kernel)

    def _tell(self, polled: Polled) -> None:
        if polled.reason not in self._told:
            self._told.add(polled.reason)
            say(f"Changed files are looked for several times a second: {polled.reason}")


def _kernel_events(folders: list[str], ended: SelfPipe) -> tuple[Events | None, Polled | None]:
    """The kernel's events, and what it gives none of."""
    if not folders:
        return None, None
    try:
        if sys.platform != "linux":
            from flask_debuglaunch.serving.watching.watchfiles_backend import WatchfilesEvents

            return WatchfilesEvents(folders, ended), None
        from flask_debuglaunch.serving.watching.inotify_backend import InotifyEvents

        events = InotifyEvents(folders, ended)
    except ImportError as error:
        library = "inotify-simple" if sys.platform == "linux" else "watchfiles"
        why = f"{error}. What tells of changes at once: pip install --force-reinstall {library}"
        return None, Polled(frozenset(folders), why)
    except OSError as error:
        return None, Polled(frozenset(folders), _why_no_events(error))
    if not events.unwatched:
        return events, None
    reason = _why_no_events(OSError(errno.ENOSPC, ""))
    return events, Polled(frozenset(events.unwatched), reason)


def _why_no_events(error: OSError) -> str:
    limits = {errno.ENOSPC: "max_user_watches", errno.EMFILE: "max_user_instances"}
    limit = limits.get(error.errno or 0)
    if sys.platform != "linux" or limit is None:
        return f"the system gives no events ({error})"
    file = Path("/proc/sys/fs/inotify") / limit
    number = file.read_text().strip() if file.exists() else "unknown"
    return (
        f"inotify's limit for this user is used up (fs.inotify.{limit} is {number})."
        f" Raise it: sudo sysctl fs.inotify.{limit}=524288"
    )

"""What is told of changes in folders, and by whom: the kernel where that can be had."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.polling_backend import PollingEvents

# File systems whose files are often changed elsewhere, of which no event comes here.
REMOTE_FILE_SYSTEM = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|fuse\..*|fuseblk|vboxsf|virtiofs|drvfs|vmhgfs|prl_fs|osxfs|grpcfuse"
)


class Events(Protocol):
    """Events of some folders, each by itself: with what is below them would come .venv."""

    def wait(self, seconds: float | None) -> Mapping[str, bool]:
        """Wait so long (None: for ever) for events; returns the paths that they name.

        False: something is under way there, look when it is at rest; a folder stands for all that
        is in it. Empty if the time is over or the wait was ended. Raises OSError when no more
        events can be had.
        """

    def close(self) -> None: ...


def events_of(folders: Iterable[str], ended: SelfPipe) -> Events:
    """The best events there are of these folders; `ended` ends a wait."""
    folders = sorted(folders)
    if not _must_poll(folders):
        with suppress(OSError):  # the kernel allows no more watches
            return _kernel_events(folders, ended)
    return PollingEvents(folders, ended)


def _kernel_events(folders: list[str], ended: SelfPipe) -> Events:
    if sys.platform == "linux":
        from flask_debuglaunch.serving.watching.inotify_backend import InotifyEvents

        return InotifyEvents(folders, ended)
    from flask_debuglaunch.serving.watching.watchfiles_backend import WatchfilesEvents

    return WatchfilesEvents(folders, ended)


def _must_poll(folders: list[str]) -> bool:
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

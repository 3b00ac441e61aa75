"""What is told of changes in folders, and by whom: the kernel where that can be had."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.events import Events
from flask_debuglaunch.serving.watching.polling_backend import PollingEvents
from flask_debuglaunch.serving.watching.symlink_trail import Trails, trail
from flask_debuglaunch.terminal import say

# File systems whose files are often changed elsewhere, of which no event comes here.
REMOTE_FILE_SYSTEM = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|fuse\..*|fuseblk|vboxsf|virtiofs|drvfs|vmhgfs|prl_fs|osxfs|grpcfuse"
    r"|fakeowner|afs|ceph|lustre|gfs2|ocfs2"
)


@dataclass(frozen=True)
class Polled:
    """Folders that have no events, and why."""

    folders: frozenset[str]
    reason: str


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


def polled_from_the_start(folders: list[str]) -> Iterator[Polled]:
    """The folders of which the kernel need not even be asked."""
    asked = os.environ.get("WATCHFILES_FORCE_POLLING", "")  # watchfiles' own switch
    if asked.lower() not in ("", "false", "disable", "disabled"):
        yield Polled(frozenset(folders), f"WATCHFILES_FORCE_POLLING is {asked}")
        return
    if asked:
        return
    types = _types_of(folders, _file_systems())
    remote = {one: kind for one, kind in types.items() if _is_remote(kind)}
    for kind in sorted(set(remote.values())):
        where = [one for one in folders if remote.get(one) == kind]
        reason = f"{where[0]} is on a file system ({kind}) that does not tell of every change"
        yield Polled(frozenset(where), reason)


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


def _is_remote(kind: str) -> bool:
    return REMOTE_FILE_SYSTEM.fullmatch(kind) is not None


def _types_of(folders: Iterable[str], mounts: Mapping[str, str]) -> dict[str, str]:
    """Of the file system that each folder is on. No folder above them is looked at twice."""
    trails: Trails = {}
    known, types = dict(mounts), {}
    for folder in folders:
        at, way = trail(os.path.abspath(folder), trails)[-1], []
        while at not in known and at != os.path.dirname(at):
            way.append(at)
            at = os.path.dirname(at)
        types[folder] = known.get(at, "")
        known.update(dict.fromkeys(way, types[folder]))
    return types


def _file_systems() -> dict[str, str]:
    """The type of the file system at each mount point; empty where the system has no such list."""
    mounts = Path("/proc/self/mountinfo")
    if sys.platform != "linux" or not mounts.exists():
        return {}
    return dict(map(_mount_of, mounts.read_text(errors="surrogateescape").splitlines()))


def _mount_of(line: str) -> tuple[str, str]:
    """Mount point and type, as proc(5) has them in mountinfo: blanks are written as \\040."""
    fields = line.split(" ")
    point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
    return point, fields[fields.index("-") + 1]

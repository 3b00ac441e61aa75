"""How changes in folders show: by the kernel's events where these can be had, else by polling.

Where no event comes (a network drive, a bind mount) it is time that tells when to look at
everything again. Which folders these are is told by their mounts.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.file_signature import (
    Signature,
    changed_since,
    signatures,
)
from flask_debuglaunch.serving.watching.watched_files import Trails, trail
from flask_debuglaunch.terminal_messages import say


class Events(Protocol):
    """Events of some folders, each by itself: with what is below them would come .venv."""

    def wait(self, seconds: float | None) -> Mapping[str, bool]:
        """Wait so long (None: for ever) for events; returns the paths that they name.

        True: it is at rest and can be looked at, in a folder at everything. False: something is
        under way there, look when it is over; a watched folder may have become another one.
        Empty if the time is over or the wait was ended, unless something may be missed. Raises
        OSError when no more events can be had.
        """

    def close(self) -> None: ...


class BestEvents:
    """Opens the best events there are, and says once why some folders have to be polled.

    recent: the files that were changed last, for PollingEvents.
    """

    def __init__(self, recent: Recent) -> None:
        self._recent = recent
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
        all_polled = frozenset().union(*(one.folders for one in polled))
        return PollingEvents(all_polled, ended, kernel, self._recent)

    def _tell(self, polled: Polled) -> None:
        if polled.reason not in self._told:
            self._told.add(polled.reason)
            say(f"Changed files are looked for several times a second: {polled.reason}")


def _kernel_events(folders: list[str], ended: SelfPipe) -> tuple[Events | None, Polled | None]:
    """The kernel's events, and what it gives none of."""
    if not folders:
        return None, None
    is_linux = sys.platform == "linux"
    try:
        return (_inotify_events if is_linux else _watchfiles_events)(folders, ended)
    except ImportError as error:
        library = "inotify-simple" if is_linux else "watchfiles"
        why = f"{error}. What tells of changes at once: pip install --force-reinstall {library}"
        return None, Polled(frozenset(folders), why)


def _inotify_events(folders: list[str], ended: SelfPipe) -> tuple[Events | None, Polled | None]:
    from flask_debuglaunch.serving.watching.inotify_backend import InotifyEvents, why_no_events

    try:
        events = InotifyEvents(folders, ended)
    except OSError as error:
        return None, Polled(frozenset(folders), why_no_events(error))
    if events.refusal is None:
        return events, None
    return events, Polled(frozenset(events.unwatched), why_no_events(events.refusal))


def _watchfiles_events(folders: list[str], ended: SelfPipe) -> tuple[Events | None, Polled | None]:
    from flask_debuglaunch.serving.watching.watchfiles_backend import WatchfilesEvents

    try:
        return WatchfilesEvents(folders, ended), None
    except OSError as error:
        return None, Polled(frozenset(folders), f"the system gives no events ({error})")


# Polling

POLL_SECONDS, LATEST_SECONDS = 0.15, 0.85
"""Between two looks: the shortest and the usual longest pause."""
SHARE = 0.017
"""Of a core; with the waking and the few files it is about 2 %: a look at 2,000 files that takes
8 ms is taken every 0.47 s. One that takes longer is taken after LATEST_SECONDS ..."""
MOST_SHARE = 0.25
"""... as long as that does not take more of a core than this."""

Recent = Callable[[], Mapping[str, Signature]]


class PollingEvents:
    """Names its folders again and again, and what `others` name of the folders that have events.

    recent: gives a few files, as they were at the last look: those that a person edits. A change of
    them is named after POLL_SECONDS, however long a look at everything takes.
    """

    def __init__(
        self,
        folders: Iterable[str],
        ended: SelfPipe,
        others: Events | None = None,
        recent: Recent = dict,
    ) -> None:
        self._named = dict.fromkeys(folders, True)
        self._ended, self._others, self._recent = ended, others, recent
        self._edited: dict[str, Signature | None] = dict(recent())
        self._next_look = time.monotonic() + POLL_SECONDS
        self._began_to_look: float | None = None

    def wait(self, seconds: float | None) -> dict[str, bool]:
        self._have_looked()
        end = self._next_look
        if seconds is not None:
            end = min(end, time.monotonic() + seconds)
        while True:
            named = self._wait_for_others(min(POLL_SECONDS, max(0.0, end - time.monotonic())))
            if named or self._ended.is_set():
                return named
            if time.monotonic() >= self._next_look:
                self._began_to_look = time.thread_time()
                return self._named
            if edited := changed_since(self._edited):
                self._edited |= signatures(edited)
                return dict.fromkeys(edited, True)
            if time.monotonic() >= end:
                return {}

    def _wait_for_others(self, seconds: float) -> dict[str, bool]:
        if self._others is not None:
            return dict(self._others.wait(seconds))
        self._ended.wait(seconds)
        return {}

    def _have_looked(self) -> None:
        """The caller is back from its look. What counts is the processor's time, not what the
        caller or the file system has waited for."""
        if self._began_to_look is None:
            return
        self._edited = dict(self._recent())
        took = time.thread_time() - self._began_to_look
        self._next_look, self._began_to_look = time.monotonic() + pause_after(took), None

    def close(self) -> None:
        if self._others is not None:
            self._others.close()


def pause_after(look: float) -> float:
    """How long to wait after a look that took so many seconds of the processor."""
    return max(POLL_SECONDS, look / MOST_SHARE, min(look / SHARE, LATEST_SECONDS))


# Mounts without events

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


def polled_from_the_start(folders: list[str]) -> Iterator[Polled]:
    """The folders of which the kernel need not even be asked."""
    asked = os.environ.get("WATCHFILES_FORCE_POLLING", "")  # watchfiles' own switch
    if asked.lower() not in ("", "false", "disable", "disabled"):
        yield Polled(frozenset(folders), f"WATCHFILES_FORCE_POLLING is {asked}")
        return
    if asked:
        return
    mounts = _file_systems()
    yield from _with_a_file_mounted(folders, mounts)
    types = _types_of(folders, mounts)
    remote = {one: kind for one, kind in types.items() if _is_remote(kind)}
    for kind in sorted(set(remote.values())):
        where = [one for one in folders if remote.get(one) == kind]
        reason = f"{where[0]} is on a file system ({kind}) that does not tell of every change"
        yield Polled(frozenset(where), reason)


def _with_a_file_mounted(folders: Iterable[str], mounts: Mapping[str, str]) -> Iterator[Polled]:
    """A file that is mounted by itself (into a container) is known to the kernel by the folder
    that it really is in, and that one's events don't come here."""
    known = {os.path.realpath(one): one for one in folders} if mounts else {}
    for point in mounts:
        folder = known.get(os.path.dirname(point))
        if folder is not None and os.path.isfile(point):
            reason = f"{point} is mounted by itself, and nothing tells of its changes"
            yield Polled(frozenset([folder]), reason)


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

"""Polling, for the folders that have no file events (a network drive, a bind mount): time tells
when to look at everything again. Which folders these are is told by their mounts.
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
from flask_debuglaunch.serving.watching.watched_files import LinkTrails, link_trail


class FileEvents(Protocol):
    """Events of some folders, each by itself: with what is below them would come .venv."""

    def wait(self, seconds: float | None) -> Mapping[str, bool]:
        """Wait so long (None: for ever) for events; returns the paths that they name.

        True: it is at rest and can be looked at, in a folder at everything. False: something is
        under way there, look when it is over; a watched folder may have become another one.
        Empty if the time is over or the wait was ended, unless something may be missed. Raises
        OSError when no more events can be had.
        """

    def close(self) -> None: ...


SHORTEST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.15, 0.85
"""Between two looks: the shortest and the usual longest pause."""
POLLING_CPU_SHARE = 0.017
"""Of a core; with the waking and the few files it is about 2 %: a look at 2,000 files that takes
8 ms is taken every 0.47 s. One that takes longer is taken after LONGEST_POLL_SECONDS ..."""
MOST_POLLING_CPU_SHARE = 0.25
"""... as long as that does not take more of a core than this."""

RecentFiles = Callable[[], Mapping[str, Signature]]


class PollingEvents:
    """Names its folders again and again, and what kernel_events name of the folders that have some.

    recent_files: gives a few files, as they were at the last look: those that a person edits. A
    change of them is named after SHORTEST_POLL_SECONDS, however long a look at everything takes.
    """

    def __init__(
        self,
        folders: Iterable[str],
        wait_ended: SelfPipe,
        kernel_events: FileEvents | None = None,
        recent_files: RecentFiles = dict,
    ) -> None:
        self._polled_folders = dict.fromkeys(folders, True)
        self._wait_ended = wait_ended
        self._kernel_events, self._recent_files = kernel_events, recent_files
        self._recent_signatures: dict[str, Signature | None] = dict(recent_files())
        self._next_poll = time.monotonic() + SHORTEST_POLL_SECONDS
        self._poll_began: float | None = None

    def wait(self, seconds: float | None) -> dict[str, bool]:
        self._end_poll()
        deadline = self._next_poll
        if seconds is not None:
            deadline = min(deadline, time.monotonic() + seconds)
        while True:
            changed_paths = self._wait_for_kernel_events(
                min(SHORTEST_POLL_SECONDS, max(0.0, deadline - time.monotonic()))
            )
            if changed_paths or self._wait_ended.is_set():
                return changed_paths
            if time.monotonic() >= self._next_poll:
                self._poll_began = time.thread_time()
                return self._polled_folders
            if changed_files := changed_since(self._recent_signatures):
                self._recent_signatures |= signatures(changed_files)
                return dict.fromkeys(changed_files, True)
            if time.monotonic() >= deadline:
                return {}

    def _wait_for_kernel_events(self, seconds: float) -> dict[str, bool]:
        if self._kernel_events is not None:
            return dict(self._kernel_events.wait(seconds))
        self._wait_ended.wait(seconds)
        return {}

    def _end_poll(self) -> None:
        """The caller is back from its look. What counts is the processor's time, not what the
        caller or the file system has waited for."""
        if self._poll_began is None:
            return
        self._recent_signatures = dict(self._recent_files())
        poll_seconds = time.thread_time() - self._poll_began
        self._next_poll, self._poll_began = time.monotonic() + poll_pause_after(poll_seconds), None

    def close(self) -> None:
        if self._kernel_events is not None:
            self._kernel_events.close()


def poll_pause_after(poll_seconds: float) -> float:
    """How long to wait after a look that took so many seconds of the processor."""
    return max(
        SHORTEST_POLL_SECONDS,
        poll_seconds / MOST_POLLING_CPU_SHARE,
        min(poll_seconds / POLLING_CPU_SHARE, LONGEST_POLL_SECONDS),
    )


# Mounts without events

# File systems whose files are often changed elsewhere, of which no event comes here.
REMOTE_FILE_SYSTEM = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|fuse\..*|fuseblk|vboxsf|virtiofs|drvfs|vmhgfs|prl_fs|osxfs|grpcfuse"
    r"|fakeowner|afs|ceph|lustre|gfs2|ocfs2"
)


@dataclass(frozen=True)
class PolledFolders:
    """Folders that have no events, and why."""

    folders: frozenset[str]
    reason: str


def folders_without_events(folders: list[str]) -> Iterator[PolledFolders]:
    """The folders of which the kernel need not even be asked."""
    forced_polling = os.environ.get("WATCHFILES_FORCE_POLLING", "")  # watchfiles' own switch
    if forced_polling.lower() not in ("", "false", "disable", "disabled"):
        yield PolledFolders(frozenset(folders), f"WATCHFILES_FORCE_POLLING is {forced_polling}")
        return
    if forced_polling:
        return
    mounts = _mounted_file_systems()
    yield from _folders_of_mounted_files(folders, mounts)
    file_system_types = _file_system_types(folders, mounts)
    remote_folders = {
        folder: file_system
        for folder, file_system in file_system_types.items()
        if _is_remote_file_system(file_system)
    }
    for file_system in sorted(set(remote_folders.values())):
        folders_there = [folder for folder in folders if remote_folders.get(folder) == file_system]
        reason = (
            f"{folders_there[0]} is on a file system ({file_system}) that does not tell of every"
            " change"
        )
        yield PolledFolders(frozenset(folders_there), reason)


def _folders_of_mounted_files(
    folders: Iterable[str], file_systems: Mapping[str, str]
) -> Iterator[PolledFolders]:
    """A file that is mounted by itself (into a container) is known to the kernel by the folder
    that it really is in, and that one's events don't come here."""
    watched_folders = (
        {os.path.realpath(folder): folder for folder in folders} if file_systems else {}
    )
    for mount_point in file_systems:
        folder = watched_folders.get(os.path.dirname(mount_point))
        if folder is not None and os.path.isfile(mount_point):
            reason = f"{mount_point} is mounted by itself, and nothing tells of its changes"
            yield PolledFolders(frozenset([folder]), reason)


def _is_remote_file_system(file_system: str) -> bool:
    return REMOTE_FILE_SYSTEM.fullmatch(file_system) is not None


def _file_system_types(folders: Iterable[str], file_systems: Mapping[str, str]) -> dict[str, str]:
    """Of the file system that each folder is on. No folder above them is looked at twice."""
    link_trails: LinkTrails = {}
    known_types, types = dict(file_systems), {}
    for folder in folders:
        ancestor, folders_on_the_way = link_trail(os.path.abspath(folder), link_trails)[-1], []
        while ancestor not in known_types and ancestor != os.path.dirname(ancestor):
            folders_on_the_way.append(ancestor)
            ancestor = os.path.dirname(ancestor)
        types[folder] = known_types.get(ancestor, "")
        known_types.update(dict.fromkeys(folders_on_the_way, types[folder]))
    return types


def _mounted_file_systems() -> dict[str, str]:
    """The type of the file system at each mount point; empty where the system has no such list."""
    mountinfo = Path("/proc/self/mountinfo")
    if sys.platform != "linux" or not mountinfo.exists():
        return {}
    return dict(
        map(_mount_point_and_type, mountinfo.read_text(errors="surrogateescape").splitlines())
    )


def _mount_point_and_type(mountinfo_line: str) -> tuple[str, str]:
    """Mount point and type, as proc(5) has them in mountinfo: blanks are written as \\040."""
    fields = mountinfo_line.split(" ")
    mount_point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
    return mount_point, fields[fields.index("-") + 1]

"""Mounts on which the kernel's events can't be relied: their folders are polled."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.serving.watching.watched_files import Trails, trail

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

"""Accounts made for a test, and the launcher where they can reach it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import flask_debuglaunch

from .processes import wait_until

PROJECT = Path(flask_debuglaunch.__file__).parents[1]


@dataclass(frozen=True)
class MadeAccount:
    """extra_group: one that the group database has it in, besides its own."""

    name: str
    uid: int
    gid: int
    home: Path
    extra_group: str

    def processes(self) -> list[int]:
        return [pid for pid in _all_processes() if owner_of(pid) == self.uid]


def why_no_accounts() -> str | None:
    """Why no account can be made here; None if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "accounts are made by root alone, on Linux"
    missing = [one for one in ("useradd", "groupadd", "unshare") if shutil.which(one) is None]
    if missing:
        return f"there is no {missing[0]} here"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, timeout=30)
    return "no mounts of a process's own are allowed here" if tried.returncode else None


@contextlib.contextmanager
def made_account() -> Iterator[MadeAccount]:
    """It is gone at the end, with its processes and its home."""
    name = f"fdl-{uuid.uuid4().hex[:10]}"
    home, extra = Path("/var/lib") / name, f"{name}-x"
    _change("groupadd", extra)
    try:
        _change("useradd", "--system", "--create-home", "--user-group", "--groups", extra,
                "--home-dir", str(home), "--shell", "/bin/sh", name)  # fmt: skip
        found = pwd.getpwnam(name)
        account = MadeAccount(name, found.pw_uid, found.pw_gid, home, extra)
        try:
            yield account
        finally:
            for pid in account.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _change("userdel", "--remove", name)
    finally:
        _change("groupdel", extra)


def _change(*command: str) -> None:
    """Of the databases, which one program at a time may change."""

    def done() -> bool:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert tried.returncode in (0, 1, 10) or "lock" in tried.stderr or tried.returncode == 12, (
            tried.stderr
        )
        return tried.returncode in (0, 12)  # 12: no mail spool, or a home that is gone

    wait_until(done, message=shlex.join(command))


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="fdl-", dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def reachable(command: Sequence[str | Path]) -> list[str]:
    """The command where every account can reach this Python and the launcher: an interpreter below
    /root is mounted there again, in a root's folder that only this program sees."""
    needed = [Path(one).resolve() for one in (sys.base_prefix, sys.prefix, PROJECT)]
    hidden = sorted({top for one in needed if (top := _hidden_above(one))})
    if not hidden:
        return [str(one) for one in command]
    stash = "/mnt"  # covered first, as the rest is: outside of this program nothing is changed
    lines = ["set -e", f"mount -t tmpfs none {stash}"]
    inside = [one for one in needed if _hidden_above(one)]
    for number, path in enumerate(inside):
        lines += [
            f"mkdir {stash}/{number}",
            f"mount --bind {shlex.quote(str(path))} {stash}/{number}",
        ]
    lines += [f"mount -t tmpfs -o mode=755 none {shlex.quote(str(top))}" for top in hidden]
    for number, path in enumerate(inside):
        place = shlex.quote(str(path))
        lines += [f"mkdir -p {place}", f"mount --bind {stash}/{number} {place}"]
    script = "\n".join([*lines, 'exec "$@"'])
    return ["unshare", "--mount", "sh", "-c", script, "sh", *map(str, command)]


def _hidden_above(path: Path) -> Path | None:
    """The highest folder on the way that others can't go through."""
    way = [*reversed(path.parents), path]
    return next((one for one in way if not one.stat().st_mode & 0o001), None)


def owner_of(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:  # gone meanwhile
        return None


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]

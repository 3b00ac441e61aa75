"""Accounts of this machine: which there are, how to be one, and what one may do with a file."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.errors import LaunchError, did_you_mean


@dataclass(frozen=True)
class Account:
    """groups: all that the process is to be in, its own (gid) among them."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: Path
    shell: str

    def environment(self) -> dict[str, str]:
        """As login(1) and systemd set it."""
        names = {"USER": self.name, "LOGNAME": self.name}
        return {**names, "HOME": str(self.home), "SHELL": self.shell}


def account_of(user: Value[str]) -> Account:
    """By its name or its number, with the groups that it has in the group database.

    Raises LaunchError if there is no such account, or there are none on this platform.
    """
    if sys.platform == "win32":
        raise LaunchError(f"{user.origin}: another account can't be taken on Windows")
    import pwd

    text = user.value
    try:
        found = pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)
    except (KeyError, OverflowError):
        known = [one.pw_name for one in pwd.getpwall()]
        hint = did_you_mean(text, known, ". `getent passwd` lists those that there are")
        raise LaunchError(f"{user.origin}: there is no account {text}{hint}") from None
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    home, shell = Path(found.pw_dir), found.pw_shell or "/bin/sh"
    return Account(found.pw_name, found.pw_uid, found.pw_gid, groups, home, shell)


def with_groups(account: Account, group: Value[str | None], more: Iterable[Value[str]]) -> Account:
    """The account with another group as its own, and with more of them. Raises LaunchError."""
    gid = account.gid if group.value is None else _gid(group.value, group.origin)
    added = [_gid(one.value, one.origin) for one in more]
    groups = dict.fromkeys([gid, *account.groups, *added])
    return replace(account, gid=gid, groups=tuple(groups))


def _gid(text: str, origin: Origin) -> int:
    import grp

    try:
        return int(text) if text.isdecimal() else grp.getgrnam(text).gr_gid
    except KeyError:
        hint = did_you_mean(text, [one.gr_name for one in grp.getgrall()])
        raise LaunchError(f"{origin}: there is no group {text}{hint}") from None


def become(account: Account) -> None:
    """Have this process be the account's from now on. Only root can."""
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


# May it do that with a file?

Question = tuple[Path, int]
"""A path, and what is to be done with it (os.R_OK, W_OK, X_OK, joined)."""


def access_of(account: Account, questions: Sequence[Question]) -> list[bool]:
    """The answer to each question: the kernel's, which knows of ACLs and mounts too. Only root can
    ask for another account; whoever else does gets what owner, group and mode of the files say.

    Forks: only where this process has one thread.
    """
    if os.geteuid() == account.uid:
        return [os.access(path, mode) for path, mode in questions]
    if os.geteuid() != 0:
        return [_by_mode(account, path, mode) for path, mode in questions]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer_as(account, questions, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        told = answers.read()
    os.waitpid(child, 0)
    return [bool(one) for one in json.loads(told)]


def _answer_as(account: Account, questions: Sequence[Question], writing: int) -> None:
    """In the child. Never returns."""
    try:
        become(account)
        answers = [os.access(path, mode) for path, mode in questions]
        with os.fdopen(writing, "wb") as answer:
            answer.write(json.dumps(answers).encode())
    finally:
        os._exit(0)


def _by_mode(account: Account, path: Path, mode: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    shift = 0
    if status.st_uid == account.uid:
        shift = 6
    elif status.st_gid in account.groups:
        shift = 3
    return (stat.S_IMODE(status.st_mode) >> shift) & mode == mode

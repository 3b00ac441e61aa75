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
        login_names = {"USER": self.name, "LOGNAME": self.name}
        return {**login_names, "HOME": str(self.home), "SHELL": self.shell}


def find_account(user: Value[str]) -> Account:
    """By its name or its number, with the groups that it has in the group database.

    Raises LaunchError if there is no such account, or there are none on this platform.
    """
    if sys.platform == "win32":
        raise LaunchError(f"{user.origin}: another account can't be taken on Windows")
    import pwd

    name_or_uid = user.value
    try:
        passwd_entry = (
            pwd.getpwuid(int(name_or_uid)) if name_or_uid.isdecimal() else pwd.getpwnam(name_or_uid)
        )
    except (KeyError, OverflowError):
        account_names = [entry.pw_name for entry in pwd.getpwall()]
        hint = did_you_mean(
            name_or_uid, account_names, ". `getent passwd` lists those that there are"
        )
        raise LaunchError(f"{user.origin}: there is no account {name_or_uid}{hint}") from None
    groups = tuple(os.getgrouplist(passwd_entry.pw_name, passwd_entry.pw_gid))
    home, shell = Path(passwd_entry.pw_dir), passwd_entry.pw_shell or "/bin/sh"
    return Account(
        passwd_entry.pw_name, passwd_entry.pw_uid, passwd_entry.pw_gid, groups, home, shell
    )


def with_groups(
    account: Account, group: Value[str | None], supplementary_groups: Iterable[Value[str]]
) -> Account:
    """The account with another group as its own, and with more of them. Raises LaunchError."""
    gid = account.gid if group.value is None else _gid(group.value, group.origin)
    supplementary_gids = [_gid(name.value, name.origin) for name in supplementary_groups]
    groups = dict.fromkeys([gid, *account.groups, *supplementary_gids])
    return replace(account, gid=gid, groups=tuple(groups))


def _gid(name_or_gid: str, origin: Origin) -> int:
    import grp

    try:
        return int(name_or_gid) if name_or_gid.isdecimal() else grp.getgrnam(name_or_gid).gr_gid
    except KeyError:
        hint = did_you_mean(name_or_gid, [entry.gr_name for entry in grp.getgrall()])
        raise LaunchError(f"{origin}: there is no group {name_or_gid}{hint}") from None


def become_account(account: Account) -> None:
    """Have this process be the account's from now on. Only root can."""
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


# May it do that with a file?

FileAccessQuestion = tuple[Path, int]
"""A path, and what is to be done with it (os.R_OK, W_OK, X_OK, joined)."""


def file_access_of(account: Account, questions: Sequence[FileAccessQuestion]) -> list[bool]:
    """The answer to each question: the kernel's, which knows of ACLs and mounts too. Only root can
    ask for another account; whoever else does gets what owner, group and mode of the files say.

    Forks: only where this process has one thread.
    """
    if os.geteuid() == account.uid:
        return [os.access(path, mode) for path, mode in questions]
    if os.geteuid() != 0:
        return [_access_by_mode_bits(account, path, mode) for path, mode in questions]
    answer_reader, answer_writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer_in_child_as(account, questions, answer_writer)
    os.close(answer_writer)
    with os.fdopen(answer_reader, "rb") as answers:
        answers_json = answers.read()
    os.waitpid(child, 0)
    return [bool(is_granted) for is_granted in json.loads(answers_json)]


def _answer_in_child_as(
    account: Account, questions: Sequence[FileAccessQuestion], answer_writer: int
) -> None:
    """In the child. Never returns."""
    try:
        become_account(account)
        answers = [os.access(path, mode) for path, mode in questions]
        with os.fdopen(answer_writer, "wb") as answer:
            answer.write(json.dumps(answers).encode())
    finally:
        os._exit(0)


def _access_by_mode_bits(account: Account, path: Path, mode: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    permission_shift = 0
    if status.st_uid == account.uid:
        permission_shift = 6
    elif status.st_gid in account.groups:
        permission_shift = 3
    return (stat.S_IMODE(status.st_mode) >> permission_shift) & mode == mode

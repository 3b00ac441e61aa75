"""May an account do that with a file? Asked of the kernel, which knows of ACLs and mounts too."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from flask_debuglaunch.deployment.accounts import Account

Question = tuple[Path, int]
"""A path, and what is to be done with it (os.R_OK, W_OK, X_OK, joined)."""


def access_of(account: Account, questions: Sequence[Question]) -> list[bool]:
    """The answer to each question. Only root can ask for another account; whoever else does gets
    what owner, group and mode of the files say.

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
        os.setgroups(account.groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
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

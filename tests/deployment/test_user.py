"""`run --user NAME`: as another account, and with nothing of root's."""

from __future__ import annotations

import grp
import os
import re
import shlex
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

from ..apps.project import LAUNCHER, NO_RELOAD, RELOAD, ended, served, write
from ..support.accounts import PROJECT, MadeAccount, reachable
from ..support.processes import command_line, environment_of, wait_until
from .reporting_app import APP, report_of

ROOTS = {"PASSWORD_OF_ROOT": "12345", "PYTHONPATH": "/root/own", "SSH_AUTH_SOCK": "/tmp/agent",
         "LC_TIME": "C.UTF-8", "FLASK_OF_MINE": "kept", "HOME": "/root", "UMASK": "77"}  # fmt: skip
DEBUGPY = ("--debug", "--debug-with", "debugpy", "--debug-port", "0")


@pytest.mark.parametrize("mode", [NO_RELOAD, RELOAD, DEBUGPY], ids=["one", "supervised", "debugpy"])
def test_everything_is_the_accounts(
    account: MadeAccount, folder: Path, mode: tuple[str, ...]
) -> None:
    if "debugpy" in mode:
        pytest.importorskip("debugpy")
    write(folder, {"app.py": APP})
    flags = (*mode, "--user", account.name)
    with served(folder, *flags, command=reachable(LAUNCHER), env=ROOTS) as launched:
        told, program = report_of(launched), launched.program
        assert told["uids"] == [account.uid] * 3
        assert told["gids"] == [account.gid] * 3
        assert told["groups"] == sorted({account.gid, grp.getgrnam(account.extra_group).gr_gid})
        assert told["umask"] == 0o022
        environ = told["environ"]
        assert environ.keys().isdisjoint({"PASSWORD_OF_ROOT", "PYTHONPATH", "SSH_AUTH_SOCK"})
        assert (environ["LC_TIME"], environ["FLASK_OF_MINE"]) == ("C.UTF-8", "kept")
        assert [environ[name] for name in ("HOME", "USER", "LOGNAME", "SHELL")] == [
            str(account.home), account.name, account.name, "/bin/sh",
        ]  # fmt: skip
        assert not [name for name in environ if "DEBUGLAUNCH_ACCOUNT" in name]
        assert f" * Runs as {account.name} (argv:--user)" in program.output
        # The supervisor, the fork server, the adapter: each of them, and nothing of root's left.
        running = account.processes()
        assert program.pid in running
        assert len(running) >= (1 if mode == NO_RELOAD else 2)
        if "debugpy" in mode:
            assert any("adapter" in " ".join(command_line(pid)) for pid in running)
        assert environment_of(program.pid)
        # What has ended meanwhile has none.
        assert b"PASSWORD_OF_ROOT=12345" not in [
            one for pid in running for one in environment_of(pid)
        ]
        program.signal(signal.SIGTERM)
        assert program.wait_exit() == 143
        wait_until(lambda: not account.processes(), message="all of its processes have ended")


@pytest.mark.slow
def test_a_reload_stays_the_accounts(account: MadeAccount, folder: Path) -> None:
    write(folder, {"app.py": APP})
    flags = (*RELOAD, "--user", account.name)
    with served(folder, *flags, command=reachable(LAUNCHER)) as launched:
        write(folder, {"app.py": APP.replace('"folder"', '"reloaded": True, "folder"')})
        told = wait_until(lambda: (one := report_of(launched)).get("reloaded") and one)
        assert told["uids"] == [account.uid] * 3


def test_an_account_that_is_not_there(account: MadeAccount, folder: Path) -> None:
    wrong = account.name + "q"
    refused = ended(folder, "--user", wrong)
    assert refused.status == 2
    assert refused.message == (
        f"argv:--user: there is no account {wrong}. Did you mean {account.name}?"
    )


def test_without_being_root_the_sudo_line_is_told(account: MadeAccount, folder: Path) -> None:
    """And the line works, as root has it who is behind sudo."""
    write(folder, {"app.py": APP})
    as_account = ("setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups")
    refused = ended(folder, "--user", "nobody", command=reachable([*as_account, *LAUNCHER]))
    start, _, line = refused.message.partition(" Type: ")
    assert start == "argv:--user: only root can run it as nobody."
    words = shlex.split(line)
    assert words[0] == "sudo"
    with served(folder, command=reachable(words[1:])) as launched:
        assert report_of(launched)["environ"]["USER"] == "nobody"


def test_a_folder_that_it_can_not_enter(account: MadeAccount, folder: Path) -> None:
    write(folder, {"app.py": APP})
    folder.chmod(0o700)
    refused = ended(folder, "--user", account.name, command=reachable(LAUNCHER))
    assert f"{account.name} can't be in the folder of the app: Permission denied" in refused.message
    assert f"doctor --user {account.name}" in refused.message


def test_an_interpreter_that_it_can_not_reach(account: MadeAccount, folder: Path) -> None:
    write(folder, {"app.py": APP})
    hidden = folder / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "python").symlink_to(LAUNCHER[0])
    command = (str(hidden / "python"), *LAUNCHER[1:])
    packages = {"PYTHONPATH": os.pathsep.join([str(PROJECT), sysconfig.get_path("purelib")])}
    refused = ended(folder, "--user", account.name, command=command, env=packages)
    assert refused.status == 2
    assert f"{account.name} can't read it, and so can't run this Python" in refused.message


def test_a_program_that_hands_its_app_over_is_refused(folder: Path) -> None:
    start = "import flask_debuglaunch\nflask_debuglaunch.run(None, user='nobody')\n"
    write(folder, {"start.py": start})
    refused = ended(folder, "start.py", command=LAUNCHER[:1])
    assert refused.message.startswith("call:user: this program is somebody's already")


def test_explain_shows_it_and_starts_nothing(account: MadeAccount, folder: Path) -> None:
    done = subprocess.run(
        [*LAUNCHER, "explain", "--user", account.name],
        cwd=folder, env={**os.environ, **ROOTS}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^user +{account.name} +argv:--user$", done.stdout, re.MULTILINE)
    assert not account.processes()

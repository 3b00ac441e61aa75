"""`--user` and `--as-service`: run the command as that account, in the folder and with the
environment of what is deployed.

This very program is started again for it, before anything of the app is imported, and with nothing
left of who typed the command. In a new interpreter, because PYTHONPATH and the like count at its
start only, and because the environment of a process stays readable in /proc. What the old one has
read, perhaps from files that only root can read, the new one finds in a variable, which it forgets
before the app can see it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import flask_debuglaunch
from flask_debuglaunch.configuration.command_line_flags import FlagValue, read_argv
from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.deployment.deployed_app import NAMES_OF_DEPLOYED, UNKNOWN, Deployed
from flask_debuglaunch.deployment.unix_accounts import Account, account_of, become, with_groups
from flask_debuglaunch.detect_environment import Facts
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.json_dataclasses import decode, encode

MARKER = "_FLASK_DEBUGLAUNCH_ACCOUNT"


@dataclass(frozen=True)
class AsDeployed:
    """Where this process is now."""

    deployed: Deployed
    facts: Facts


def as_deployed(
    given: Mapping[str, FlagValue], environ: Mapping[str, str], facts: Facts, *, start_again: bool
) -> AsDeployed:
    """Take the account, the folder and the environment that the flags name; environ: that in which
    the command was typed.

    start_again: be it wholly, which starts this program again; else the account stays, for what
    only tells. Raises LaunchError.
    """
    arrived = _arrival(os.environ)
    if arrived is not None:
        return AsDeployed(arrived.deployed, replace(facts, login=arrived.login))
    deployed = _deployed_app(given)
    if start_again:
        _start_again(deployed, facts.login, environ, facts.present)
    _look_as(deployed)
    return AsDeployed(deployed, replace(facts, folder=Path.cwd()))


def _deployed_app(given: Mapping[str, FlagValue]) -> Deployed:
    values = read_argv({name: given[name] for name in NAMES_OF_DEPLOYED & given.keys()}, Path.cwd())
    user, service = values.get("user"), values.get("as_service")
    deployed = _read_service(service) if service else Deployed()
    # The account's own groups then, not those of the service's.
    return deployed if user is None else replace(deployed, user=user, group=UNKNOWN)


def _read_service(named: Value[str]) -> Deployed:
    if sys.platform == "win32":
        raise LaunchError(f"{named.origin}: services of Windows can't be read")
    if named.value.endswith(".py"):
        from flask_debuglaunch.deployment.gunicorn_config import read_gunicorn_config

        return read_gunicorn_config(named)
    from flask_debuglaunch.deployment.systemd_service import read_service

    return read_service(named)


def account_for(deployed: Deployed) -> Account | None:
    """None where nobody names one: whoever types the command. Raises LaunchError."""
    user = deployed.user
    groups = deployed.group.value, deployed.supplementary_groups
    if user.value is None and not any(groups):
        return None
    name = user.value if user.value is not None else str(os.geteuid())
    account = account_of(Value(name, user.origin))
    return with_groups(account, deployed.group, deployed.supplementary_groups)


def _look_as(deployed: Deployed) -> None:
    """For what only tells: be in the folder, and see the environment; the account stays."""
    _enter(deployed)
    variables = deployed.environ(os.environ)
    account = account_for(deployed)
    os.environ.clear()
    os.environ.update({**(account.environment() if account else {}), **variables})


def _enter(deployed: Deployed) -> None:
    folder = deployed.working_directory
    if folder.value is None:
        return
    try:
        os.chdir(folder.value)
    except OSError as error:
        raise LaunchError(f"{folder.origin}: {folder.value}: {error.strerror}") from None


# Start again


@dataclass(frozen=True)
class _Arrival:
    """What a program that was started again as another account knows from before."""

    deployed: Deployed
    login: str
    """USER@HOST of who has typed the command."""


def _start_again(
    deployed: Deployed, login: str, environ: Mapping[str, str], present: str | None
) -> NoReturn:
    """Become the account and execute this program anew. present: the debugger that is in this
    process already. Raises LaunchError if that can't be; the account may be taken by then."""
    account = account_for(deployed)
    where = _origin(deployed)
    if present is not None:
        raise LaunchError(
            f"{where}: {present} is in this process already, and would be left behind. Start the"
            " program without the IDE's Debug button, and attach the IDE"
        )
    if account is not None:
        _become_or_refuse(account, where)
    os.umask(deployed.umask.value)
    _enter(deployed)
    _refuse_unreachable(account)
    own = account.environment() if account else {}
    known = {MARKER: encode(_Arrival(deployed, login)).decode()}
    variables = {**own, **deployed.environ(environ), **known}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], variables)


def _origin(deployed: Deployed) -> Origin:
    """Who asks for it all."""
    return Origin(deployed.service) if deployed.service else deployed.user.origin


def _become_or_refuse(account: Account, where: Origin) -> None:
    if os.geteuid() != 0:
        if os.geteuid() == account.uid:
            return
        command = shlex.join(["sudo", sys.executable, *sys.orig_argv[1:]])
        raise LaunchError(f"{where}: only root can run it as {account.name}. Type: {command}")
    become(account)


def _refuse_unreachable(account: Account | None) -> None:
    """What the account can't reach, its interpreter would fail at without a word of sense."""
    name = account.name if account else "this account"
    try:
        folder = Path(os.getcwd())
        os.listdir(folder)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise LaunchError(
            f"{where}{name} can't be in the folder of the app: {error.strerror}."
            f" `python -m flask_debuglaunch doctor --user {name}` says what to type"
        ) from None
    package = Path(flask_debuglaunch.__file__)
    hidden = [one for one in (Path(sys.executable), package) if not os.access(one, os.R_OK)]
    if hidden or not os.access(sys.executable, os.X_OK):
        path = hidden[0] if hidden else sys.executable
        raise LaunchError(
            f"{path}: {name} can't read it, and so can't run this Python. Install the launcher in"
            " an environment that it reaches, such as the deployed app's own"
        )


def _arrival(environ: MutableMapping[str, str]) -> _Arrival | None:
    """In the program that was started again; None in any other. Raises LaunchError."""
    text = environ.pop(MARKER, None)
    if text is None:
        return None
    arrived: _Arrival = decode(text.encode(), [_Arrival])
    account = account_for(arrived.deployed)
    if account is not None and account.uid != os.geteuid():
        raise LaunchError(f"env:{MARKER}: this process is not {account.name}'s. Unset it")
    return arrived

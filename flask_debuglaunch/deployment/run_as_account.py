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
from flask_debuglaunch.deployment.deployed_app import DEPLOYED_APP_SETTINGS, NOT_GIVEN, DeployedApp
from flask_debuglaunch.deployment.unix_accounts import (
    Account,
    become_account,
    find_account,
    with_groups,
)
from flask_debuglaunch.detect_environment import Facts
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.json_dataclasses import decode, encode

ARRIVAL_VARIABLE = "_FLASK_DEBUGLAUNCH_ACCOUNT"


@dataclass(frozen=True)
class DeployedEnvironment:
    """Where this process is now."""

    deployed: DeployedApp
    facts: Facts


def as_deployed(
    given_flags: Mapping[str, FlagValue],
    environ: Mapping[str, str],
    facts: Facts,
    *,
    start_again: bool,
) -> DeployedEnvironment:
    """Take the account, the folder and the environment that the flags name; environ: that in which
    the command was typed.

    start_again: be it wholly, which starts this program again; else the account stays, for what
    only tells. Raises LaunchError.
    """
    restarted = _restarted_as_account(os.environ)
    if restarted is not None:
        return DeployedEnvironment(restarted.deployed, replace(facts, login=restarted.login))
    deployed = _deployed_app(given_flags)
    if start_again:
        _execute_as_account(deployed, facts.login, environ, facts.present)
    _take_folder_and_environment(deployed)
    return DeployedEnvironment(deployed, replace(facts, folder=Path.cwd()))


def _deployed_app(given_flags: Mapping[str, FlagValue]) -> DeployedApp:
    account_flags = read_argv(
        {name: given_flags[name] for name in DEPLOYED_APP_SETTINGS & given_flags.keys()}, Path.cwd()
    )
    user, service = account_flags.get("user"), account_flags.get("as_service")
    deployed = _read_service(service) if service else DeployedApp()
    # The account's own groups then, not those of the service's.
    return deployed if user is None else replace(deployed, user=user, group=NOT_GIVEN)


def _read_service(service: Value[str]) -> DeployedApp:
    if sys.platform == "win32":
        raise LaunchError(f"{service.origin}: services of Windows can't be read")
    if service.value.endswith(".py"):
        from flask_debuglaunch.deployment.gunicorn_config import read_gunicorn_config

        return read_gunicorn_config(service)
    from flask_debuglaunch.deployment.systemd_service import read_service

    return read_service(service)


def account_for(deployed: DeployedApp) -> Account | None:
    """None where nobody names one: whoever types the command. Raises LaunchError."""
    user = deployed.user
    group_names = deployed.group.value, deployed.supplementary_groups
    if user.value is None and not any(group_names):
        return None
    user_or_uid = user.value if user.value is not None else str(os.geteuid())
    account = find_account(Value(user_or_uid, user.origin))
    return with_groups(account, deployed.group, deployed.supplementary_groups)


def _take_folder_and_environment(deployed: DeployedApp) -> None:
    """For what only tells: be in the folder, and see the environment; the account stays."""
    _enter_working_directory(deployed)
    deployed_environ = deployed.environ(os.environ)
    account = account_for(deployed)
    os.environ.clear()
    os.environ.update({**(account.environment() if account else {}), **deployed_environ})


def _enter_working_directory(deployed: DeployedApp) -> None:
    folder = deployed.working_directory
    if folder.value is None:
        return
    try:
        os.chdir(folder.value)
    except OSError as error:
        raise LaunchError(f"{folder.origin}: {folder.value}: {error.strerror}") from None


# Start again


@dataclass(frozen=True)
class _RestartedAsAccount:
    """What a program that was started again as another account knows from before."""

    deployed: DeployedApp
    login: str
    """USER@HOST of who has typed the command."""


def _execute_as_account(
    deployed: DeployedApp, login: str, environ: Mapping[str, str], present: str | None
) -> NoReturn:
    """Become the account and execute this program anew. present: the debugger that is in this
    process already. Raises LaunchError if that can't be; the account may be taken by then."""
    account = account_for(deployed)
    origin = _origin_of_deployed_app(deployed)
    if present is not None:
        raise LaunchError(
            f"{origin}: {present} is in this process already, and would be left behind. Start the"
            " program without the IDE's Debug button, and attach the IDE"
        )
    if account is not None:
        _become_or_refuse(account, origin)
    os.umask(deployed.umask.value)
    _enter_working_directory(deployed)
    _refuse_unreachable_interpreter(account)
    account_environ = account.environment() if account else {}
    restart_variables = {ARRIVAL_VARIABLE: encode(_RestartedAsAccount(deployed, login)).decode()}
    environ_of_account = {**account_environ, **deployed.environ(environ), **restart_variables}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ_of_account)


def _origin_of_deployed_app(deployed: DeployedApp) -> Origin:
    """Who asks for it all."""
    return Origin(deployed.service) if deployed.service else deployed.user.origin


def _become_or_refuse(account: Account, origin: Origin) -> None:
    if os.geteuid() != 0:
        if os.geteuid() == account.uid:
            return
        sudo_command = shlex.join(["sudo", sys.executable, *sys.orig_argv[1:]])
        raise LaunchError(f"{origin}: only root can run it as {account.name}. Type: {sudo_command}")
    become_account(account)


def _refuse_unreachable_interpreter(account: Account | None) -> None:
    """What the account can't reach, its interpreter would fail at without a word of sense."""
    account_name = account.name if account else "this account"
    try:
        folder = Path(os.getcwd())
        os.listdir(folder)
    except OSError as error:
        unreadable_place = f"{error.filename}: " if error.filename else ""
        raise LaunchError(
            f"{unreadable_place}{account_name} can't be in the folder of the app: {error.strerror}."
            f" `python -m flask_debuglaunch doctor --user {account_name}` says what to type"
        ) from None
    launcher_package = Path(flask_debuglaunch.__file__)
    unreadable_paths = [
        path for path in (Path(sys.executable), launcher_package) if not os.access(path, os.R_OK)
    ]
    if unreadable_paths or not os.access(sys.executable, os.X_OK):
        unreadable_path = unreadable_paths[0] if unreadable_paths else sys.executable
        raise LaunchError(
            f"{unreadable_path}: {account_name} can't read it, and so can't run this Python."
            " Install the launcher in an environment that it reaches, such as the deployed"
            " app's own"
        )


def _restarted_as_account(environ: MutableMapping[str, str]) -> _RestartedAsAccount | None:
    """In the program that was started again; None in any other. Raises LaunchError."""
    arrival_text = environ.pop(ARRIVAL_VARIABLE, None)
    if arrival_text is None:
        return None
    restarted: _RestartedAsAccount = decode(arrival_text.encode(), [_RestartedAsAccount])
    account = account_for(restarted.deployed)
    if account is not None and account.uid != os.geteuid():
        raise LaunchError(f"env:{ARRIVAL_VARIABLE}: this process is not {account.name}'s. Unset it")
    return restarted

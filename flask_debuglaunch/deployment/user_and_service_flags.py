"""What `--user` and `--as-service` mean for a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from flask_debuglaunch.configuration.command_line_flags import Given, read_argv
from flask_debuglaunch.configuration.value_origins import Value
from flask_debuglaunch.deployment.change_account import arrival, look_as, start_again_as
from flask_debuglaunch.deployment.service_settings import NAMES_OF_DEPLOYED, UNKNOWN, Deployed
from flask_debuglaunch.detect_environment import Facts
from flask_debuglaunch.errors import LaunchError


@dataclass(frozen=True)
class AsDeployed:
    """Where this process is now."""

    deployed: Deployed
    facts: Facts


def as_deployed(
    given: Mapping[str, Given], environ: Mapping[str, str], facts: Facts, *, start_again: bool
) -> AsDeployed:
    """Take the account, the folder and the environment that the flags name; environ: that in which
    the command was typed.

    start_again: be it wholly, which starts this program again; else the account stays, for what
    only tells. Raises LaunchError.
    """
    arrived = arrival(os.environ)
    if arrived is not None:
        return AsDeployed(arrived.deployed, replace(facts, login=arrived.login))
    deployed = _read(given)
    if start_again:
        start_again_as(deployed, facts.login, environ, facts.present)
    look_as(deployed)
    return AsDeployed(deployed, replace(facts, folder=Path.cwd()))


def _read(given: Mapping[str, Given]) -> Deployed:
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

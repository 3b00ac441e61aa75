"""All sources together, by precedence: argv > environment > env files > YAML > default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.command_line_flags import Given, read_argv
from flask_debuglaunch.configuration.environment_variables import (
    CONFIG_ENV,
    env_file_lookups,
    read_env_file,
    read_environment,
)
from flask_debuglaunch.configuration.origins import Value
from flask_debuglaunch.configuration.settings import FileLookup, Settings
from flask_debuglaunch.errors import LaunchError

CONFIG_NAMES = ("flask-debuglaunch.yaml", "config.yaml", "config.yml")
Values = dict[str, Value[Any]]


def load_settings(
    config: Path | None,
    given: Mapping[str, Given],
    environ: Mapping[str, str],
    folder: Path,
    called_with: Mapping[str, Value[Any]] | None = None,
) -> Settings:
    """Read every source.

    config: the YAML that the user named, else DEBUGLAUNCH_CONFIG or a CONFIG_NAMES in ``folder``
    (the working directory). given: the flags. called_with: the Python API's arguments, which
    count like flags. Raises LaunchError for whatever a source has wrong.
    """
    from_argv = {**read_argv(given, folder), **(called_with or {})}
    from_environment = read_environment(environ, folder)
    config_lookups = _config_lookups(config, environ, folder)
    config_file = next((one.path for one in config_lookups if one.found), None)

    by_name = {**from_environment, **from_argv}
    block = by_name["block"].value if "block" in by_name else None
    from_yaml = _from_yaml(config_file, block) if config_file else {}

    env_lookups = _env_lookups({**from_yaml, **by_name}, environ, folder)
    env_files = tuple(one.path for one in env_lookups if one.found)
    by_file = {file: read_env_file(file) for file in reversed(env_files)}
    values: dict[str, Any] = {
        **from_yaml,
        **_from_env_files(by_file),
        **from_environment,
        **from_argv,
    }
    return Settings(
        **values,
        config_file=config_file,
        env_files=env_files,
        variables={name: text for one in by_file.values() for name, text in one.items()},
        lookups=(*config_lookups, *env_lookups),
    )


def _from_yaml(file: Path, block: str | None) -> Values:
    # Here, because importing PyYAML is a tenth of a launch that has no YAML.
    from flask_debuglaunch.configuration.yaml_file import read_yaml

    return read_yaml(file, block)


def _config_lookups(
    config: Path | None, environ: Mapping[str, str], folder: Path
) -> tuple[FileLookup, ...]:
    named = str(config or environ.get(CONFIG_ENV) or "")
    if named:
        # Taken for found: reading it says in what way it is not.
        return (FileLookup(folder / os.path.expanduser(named), True),)
    candidates = (folder / name for name in CONFIG_NAMES)
    return tuple(FileLookup(path, os.path.exists(path)) for path in candidates)


def _env_lookups(
    values: Mapping[str, Value[Any]], environ: Mapping[str, str], folder: Path
) -> tuple[FileLookup, ...]:
    """The env files, the strongest first: the named one, .env, .flaskenv (as in Flask 3.1)."""
    named = values.get("env_file")
    if named is not None and not os.path.exists(named.value):
        raise LaunchError(f"{named.origin}: no such env file: {named.value}")
    defaults = () if _skips_dotenv(environ.get("FLASK_SKIP_DOTENV")) else env_file_lookups(folder)
    return (*((FileLookup(named.value, True),) if named else ()), *defaults)


def _skips_dotenv(text: str | None) -> bool:
    """Flask's own switch against .env and .flaskenv, see flask.helpers.get_load_dotenv."""
    return bool(text) and str(text).lower() not in ("0", "false", "no")


def _from_env_files(by_file: Mapping[Path, Mapping[str, str]]) -> Values:
    """The weakest first."""
    values: Values = {}
    for file, variables in by_file.items():
        values.update(read_environment(variables, file.parent, file))
    return values

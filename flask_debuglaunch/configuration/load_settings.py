"""All sources together, by precedence: argv > environment > env files > YAML > default.

Keyword arguments of the Python API, as in ``run(app, port=8000)``, count like flags.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.command_line_flags import FlagValue, read_argv
from flask_debuglaunch.configuration.environment_and_env_files import (
    CONFIG_ENV,
    env_file_lookups,
    flask_combines_env_files,
    load_env_files,
    read_environment,
)
from flask_debuglaunch.configuration.setting_types import not_fitting
from flask_debuglaunch.configuration.settings import DECLARATIONS, FileLookup, Settings
from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.terminal_messages import shown_path

CONFIG_NAMES = ("flask-debuglaunch.yaml", "config.yaml", "config.yml")
Values = dict[str, Value[Any]]


def load_settings(
    config: Path | None,
    given: Mapping[str, FlagValue],
    environ: Mapping[str, str],
    folder: Path,
    called_with: Mapping[str, Value[Any]] | None = None,
    origins: Mapping[str, Origin] | None = None,
) -> Settings:
    """Read every source.

    config: the YAML that the user named, else DEBUGLAUNCH_CONFIG or a CONFIG_NAMES in ``folder``
    (the working directory). given: the flags. called_with: what `read_arguments` gives. origins: of
    variables that are not the environment's own. Raises LaunchError for whatever a source has
    wrong.
    """
    from_argv = {**read_argv(given, folder), **(called_with or {})}
    from_environment = read_environment(environ, folder, origins=origins)
    by_name = {**from_environment, **from_argv}
    block = by_name["block"].value if "block" in by_name else None
    configured = _read_config(_config_lookups(config, environ, folder), block)

    env_lookups = _env_lookups({**configured.values, **by_name}, environ, folder)
    env_files = tuple(one.path for one in env_lookups if one.found and not one.passed_over)
    by_file = _load_env_files(env_files, environ)
    values: dict[str, Any] = {
        **configured.values,
        **_from_env_files(by_file),
        **from_environment,
        **from_argv,
    }
    lookups = (*configured.lookups, *env_lookups)
    passed_over = [
        f"{shown_path(one.path)}: {one.passed_over}" for one in lookups if one.passed_over
    ]
    return Settings(
        **values,
        config_file=configured.file,
        env_files=env_files,
        variables={name: text for one in by_file.values() for name, text in one.items()},
        lookups=lookups,
        notes=(*configured.notes, *passed_over, *_missing_files(values.get("extra_files"))),
    )


@dataclass(frozen=True)
class _Configured:
    """What the YAML gives, where there is one."""

    lookups: tuple[FileLookup, ...]
    file: Path | None = None
    values: Values = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _read_config(lookups: tuple[FileLookup, ...], block: str | None) -> _Configured:
    """The first that is for us. Another tool's config.yaml, found only by its name, is passed over
    where it can't be read: it must not keep the app from being started."""
    looked_at: list[FileLookup] = []
    for index, lookup in enumerate(lookups):
        if not lookup.found:
            looked_at.append(lookup)
            continue
        # Here, because importing PyYAML is a tenth of a launch that has no YAML.
        from flask_debuglaunch.configuration.yaml_file import is_meant_for_us, read_yaml

        try:
            content = read_yaml(lookup.path, block)
        except LaunchError as error:
            if not lookup.may_be_others or is_meant_for_us(lookup.path, block):
                raise
            looked_at.append(replace(lookup, passed_over=_why_passed_over(error)))
            continue
        seen = (*looked_at, *lookups[index:])
        return _Configured(seen, lookup.path, content.values, content.notes)
    return _Configured(tuple(looked_at))


def _why_passed_over(error: LaunchError) -> str:
    return (
        f"passed over as another tool's, for it has none of our blocks ({error})."
        f" Name yours {CONFIG_NAMES[0]}, or give it with --config"
    )


def _missing_files(extra_files: Value[tuple[str, ...]] | None) -> Iterator[str]:
    if extra_files is None:
        return
    for one in extra_files.value:
        if not os.path.exists(one):
            yield f"{extra_files.origin}: EXTRA_FILES {one}: there is no such file or folder yet"


def _config_lookups(
    config: Path | None, environ: Mapping[str, str], folder: Path
) -> tuple[FileLookup, ...]:
    named = str(config or environ.get(CONFIG_ENV) or "")
    if named:
        # Taken for found: reading it says in what way it is not.
        return (FileLookup(folder / os.path.expanduser(named), True),)
    candidates = (folder / name for name in CONFIG_NAMES)
    return tuple(
        FileLookup(path, os.path.lexists(path), may_be_others=path.name != CONFIG_NAMES[0])
        for path in candidates
    )


def _env_lookups(
    values: Mapping[str, Value[Any]], environ: Mapping[str, str], folder: Path
) -> tuple[FileLookup, ...]:
    named = values.get("env_file")
    if named is not None and not os.path.exists(named.value):
        raise LaunchError(f"{named.origin}: no such env file: {named.value}")
    skips_defaults = _skips_dotenv(environ.get("FLASK_SKIP_DOTENV"))
    return env_file_lookups(
        named.value if named else None, folder, look_for_defaults=not skips_defaults
    )


def _skips_dotenv(text: str | None) -> bool:
    """Flask's own switch against .env and .flaskenv, see flask.helpers.get_load_dotenv."""
    return bool(text) and str(text).lower() not in ("0", "false", "no")


def _load_env_files(
    files: tuple[Path, ...], environ: Mapping[str, str]
) -> dict[Path, dict[str, str]]:
    if not files:
        return {}  # so that most launches need not look for Flask's version
    return load_env_files(files, environ, combine=flask_combines_env_files())


def _from_env_files(by_file: Mapping[Path, Mapping[str, str]]) -> Values:
    """The strongest is the first."""
    values: Values = {}
    for file, variables in by_file.items():
        values = {**read_environment(variables, file.parent, file), **values}
    return values


# The arguments of the Python API


def read_arguments(options: Mapping[str, Any], base: Path) -> dict[str, Value[Any]]:
    """The settings that a call such as ``run(app, port=8000)`` gives; values as YAML has them.

    Raises LaunchError, naming the argument, for an unknown one or a value that does not fit.
    """
    return {name: _value_of_argument(name, raw, base) for name, raw in options.items()}


def _value_of_argument(name: str, raw: Any, base: Path) -> Value[Any]:
    declaration = DECLARATIONS.get(name)
    origin = Origin.call(name)
    if declaration is None:
        raise LaunchError(f"{origin}: no such setting{did_you_mean(name, DECLARATIONS)}")
    plain = list(raw) if isinstance(raw, tuple) else str(raw) if isinstance(raw, Path) else raw
    try:
        return Value(declaration.type.from_yaml(plain, base), origin)
    except ValueError:
        raise LaunchError(f"{origin}: {not_fitting(declaration.type, raw)}") from None

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
SettingValues = dict[str, Value[Any]]


def load_settings(
    config: Path | None,
    flags: Mapping[str, FlagValue],
    environ: Mapping[str, str],
    folder: Path,
    keyword_settings: Mapping[str, Value[Any]] | None = None,
    origins: Mapping[str, Origin] | None = None,
) -> Settings:
    """Read every source.

    config: the YAML that the user named, else DEBUGLAUNCH_CONFIG or a CONFIG_NAMES in ``folder``
    (the working directory). keyword_settings: what `read_arguments` gives. origins: of
    variables that are not the environment's own. Raises LaunchError for whatever a source has
    wrong.
    """
    from_argv = {**read_argv(flags, folder), **(keyword_settings or {})}
    from_environment = read_environment(environ, folder, origins=origins)
    from_outside = {**from_environment, **from_argv}
    block = from_outside["block"].value if "block" in from_outside else None
    yaml_settings = _read_first_yaml(_yaml_lookups(config, environ, folder), block)

    dotenv_lookups = _env_file_lookups({**yaml_settings.values, **from_outside}, environ, folder)
    env_files = tuple(
        lookup.path for lookup in dotenv_lookups if lookup.found and not lookup.passed_over
    )
    variables_by_file = _variables_by_env_file(env_files, environ)
    values: dict[str, Any] = {
        **yaml_settings.values,
        **_settings_from_env_files(variables_by_file),
        **from_environment,
        **from_argv,
    }
    all_lookups = (*yaml_settings.lookups, *dotenv_lookups)
    passed_over = [
        f"{shown_path(lookup.path)}: {lookup.passed_over}"
        for lookup in all_lookups
        if lookup.passed_over
    ]
    return Settings(
        **values,
        config_file=yaml_settings.file,
        env_files=env_files,
        variables={
            variable: variable_text
            for variables in variables_by_file.values()
            for variable, variable_text in variables.items()
        },
        lookups=all_lookups,
        notes=(
            *yaml_settings.notes,
            *passed_over,
            *_notes_on_missing_files(values.get("extra_files")),
        ),
    )


@dataclass(frozen=True)
class _YamlSettings:
    """What the YAML gives, where there is one."""

    lookups: tuple[FileLookup, ...]
    file: Path | None = None
    values: SettingValues = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _read_first_yaml(lookups: tuple[FileLookup, ...], block: str | None) -> _YamlSettings:
    """The first that is for us. Another tool's config.yaml, found only by its name, is passed over
    where it can't be read: it must not keep the app from being started."""
    lookups_before: list[FileLookup] = []
    for index, lookup in enumerate(lookups):
        if not lookup.found:
            lookups_before.append(lookup)
            continue
        # Here, because importing PyYAML is a tenth of a launch that has no YAML.
        from flask_debuglaunch.configuration.yaml_file import is_meant_for_us, read_yaml

        try:
            yaml_content = read_yaml(lookup.path, block)
        except LaunchError as error:
            if not lookup.may_be_others or is_meant_for_us(lookup.path, block):
                raise
            lookups_before.append(replace(lookup, passed_over=_why_passed_over(error)))
            continue
        all_lookups = (*lookups_before, *lookups[index:])
        return _YamlSettings(all_lookups, lookup.path, yaml_content.values, yaml_content.notes)
    return _YamlSettings(tuple(lookups_before))


def _why_passed_over(error: LaunchError) -> str:
    return (
        f"passed over as another tool's, for it has none of our blocks ({error})."
        f" Name yours {CONFIG_NAMES[0]}, or give it with --config"
    )


def _notes_on_missing_files(extra_files: Value[tuple[str, ...]] | None) -> Iterator[str]:
    if extra_files is None:
        return
    for extra_file in extra_files.value:
        if not os.path.exists(extra_file):
            yield (
                f"{extra_files.origin}: EXTRA_FILES {extra_file}: there is no such file or"
                " folder yet"
            )


def _yaml_lookups(
    config: Path | None, environ: Mapping[str, str], folder: Path
) -> tuple[FileLookup, ...]:
    named_yaml = str(config or environ.get(CONFIG_ENV) or "")
    if named_yaml:
        # Taken for found: reading it says in what way it is not.
        return (FileLookup(folder / os.path.expanduser(named_yaml), True),)
    candidates = (folder / name for name in CONFIG_NAMES)
    return tuple(
        FileLookup(path, os.path.lexists(path), may_be_others=path.name != CONFIG_NAMES[0])
        for path in candidates
    )


def _env_file_lookups(
    values: Mapping[str, Value[Any]], environ: Mapping[str, str], folder: Path
) -> tuple[FileLookup, ...]:
    named_env_file = values.get("env_file")
    if named_env_file is not None and not os.path.exists(named_env_file.value):
        raise LaunchError(f"{named_env_file.origin}: no such env file: {named_env_file.value}")
    skips_default_files = _skips_default_env_files(environ.get("FLASK_SKIP_DOTENV"))
    return env_file_lookups(
        named_env_file.value if named_env_file else None,
        folder,
        look_for_defaults=not skips_default_files,
    )


def _skips_default_env_files(flask_skip_dotenv: str | None) -> bool:
    """Flask's own switch against .env and .flaskenv, see flask.helpers.get_load_dotenv."""
    return bool(flask_skip_dotenv) and str(flask_skip_dotenv).lower() not in ("0", "false", "no")


def _variables_by_env_file(
    env_files: tuple[Path, ...], environ: Mapping[str, str]
) -> dict[Path, dict[str, str]]:
    if not env_files:
        return {}  # so that most launches need not look for Flask's version
    return load_env_files(env_files, environ, combine=flask_combines_env_files())


def _settings_from_env_files(variables_by_file: Mapping[Path, Mapping[str, str]]) -> SettingValues:
    """The strongest is the first."""
    values: SettingValues = {}
    for env_file, variables in variables_by_file.items():
        values = {**read_environment(variables, env_file.parent, env_file), **values}
    return values


# The arguments of the Python API


def read_arguments(options: Mapping[str, Any], base: Path) -> dict[str, Value[Any]]:
    """The settings that a call such as ``run(app, port=8000)`` gives; values as YAML has them.

    Raises LaunchError, naming the argument, for an unknown one or a value that does not fit.
    """
    return {
        argument: _value_of_argument(argument, argument_value, base)
        for argument, argument_value in options.items()
    }


def _value_of_argument(argument: str, argument_value: Any, base: Path) -> Value[Any]:
    declaration = DECLARATIONS.get(argument)
    origin = Origin.call(argument)
    if declaration is None:
        raise LaunchError(f"{origin}: no such setting{did_you_mean(argument, DECLARATIONS)}")
    try:
        return Value(declaration.type.from_yaml(_as_in_yaml(argument_value), base), origin)
    except ValueError:
        raise LaunchError(f"{origin}: {not_fitting(declaration.type, argument_value)}") from None


def _as_in_yaml(argument_value: Any) -> Any:
    if isinstance(argument_value, tuple):
        return list(argument_value)
    return str(argument_value) if isinstance(argument_value, Path) else argument_value

"""The variables that are settings: DEBUGLAUNCH_* and Flask's own FLASK_*, of any source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.settings import (
    DECLARATIONS,
    ENV_PREFIX,
    Declaration,
)
from flask_debuglaunch.configuration.value_origins import Origin, Value, found, shown
from flask_debuglaunch.configuration.value_types import not_fitting
from flask_debuglaunch.errors import LaunchError, did_you_mean

ENV_NAMES = {one.env: one for one in DECLARATIONS.values() if one.in_files}
OriginOf = Callable[[str], Origin]
CONFIG_ENV = ENV_PREFIX + "CONFIG"  # the config file's path: a name, not a setting


def read_environment(
    environ: Mapping[str, str],
    base: Path,
    file: Path | None = None,
    origins: Mapping[str, Origin] | None = None,
) -> dict[str, Value[Any]]:
    """The settings that these variables give, by name.

    file: the env file they stand in. origins: of those that somebody else has set, where there is
    no such file. Raises LaunchError for an unknown DEBUGLAUNCH_ variable or a value that does not
    fit.
    """

    def origin_of(name: str) -> Origin:
        if file is not None:
            return Origin(f"{shown(file)}:{name}", file)
        return (origins or {}).get(name) or Origin.environment(name)

    return {
        **dict(_flask_values(environ, base, origin_of)),
        **dict(_launcher_values(environ, base, origin_of)),
    }


def _launcher_values(
    environ: Mapping[str, str], base: Path, origin_of: OriginOf
) -> Iterator[tuple[str, Value[Any]]]:
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or name == CONFIG_ENV:
            continue
        declaration = ENV_NAMES.get(name)
        if declaration is None:
            raise LaunchError(f"{origin_of(name)}: {_unknown(name)}")
        yield declaration.name, _value(declaration, name, text, base, origin_of)


def _flask_values(
    environ: Mapping[str, str], base: Path, origin_of: OriginOf
) -> Iterator[tuple[str, Value[Any]]]:
    if environ.get("FLASK_ENV"):
        yield "flask_env", Value(environ["FLASK_ENV"], origin_of("FLASK_ENV"))
    for declaration in DECLARATIONS.values():
        name = declaration.flask_env
        if name is not None and environ.get(name):
            yield declaration.name, _value(declaration, name, environ[name], base, origin_of)


def _value(
    declaration: Declaration, name: str, text: str, base: Path, origin_of: OriginOf
) -> Value[Any]:
    try:
        value = declaration.kind.from_text(text, base)
        if name == "FLASK_DEBUG" and value is not _as_flask_reads_debug(text):
            raise LaunchError(
                f"{origin_of(name)}: must be 0, 1, true or false, not {found(text)}:"
                " Flask takes every other word, off too, for true"
            )
        return Value(value, origin_of(name))
    except ValueError:
        raise LaunchError(f"{origin_of(name)}: {not_fitting(declaration.kind, text)}") from None


def _as_flask_reads_debug(text: str) -> bool:
    """flask.helpers.get_debug_flag, which the app may ask as well."""
    return text.lower() not in ("0", "false", "no")


def _unknown(name: str) -> str:
    if name == ENV_PREFIX + "DEBUG":
        return "debug mode is Flask's own variable: set FLASK_DEBUG"
    argv_only = next((d for d in DECLARATIONS.values() if d.argv_only and d.env == name), None)
    if argv_only:
        return f"can't be set by a variable: give {argv_only.flag} on the command line"
    return "no such setting" + did_you_mean(name, ENV_NAMES, ". Unset it")

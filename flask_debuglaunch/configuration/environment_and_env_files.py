"""Settings from variables, of the environment and of env files (.env, .flaskenv, --env-file).

DEBUGLAUNCH_* and Flask's own FLASK_* are settings, whichever source they are of. Env files are
looked for, and give variables, as the installed Flask has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.setting_types import not_fitting
from flask_debuglaunch.configuration.settings import (
    DECLARATIONS,
    ENV_PREFIX,
    Declaration,
    FileLookup,
)
from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.installed_packages import installed_version
from flask_debuglaunch.redaction import redacted_repr
from flask_debuglaunch.regular_file import read_regular_file
from flask_debuglaunch.terminal_messages import shown_path

DECLARATIONS_BY_VARIABLE = {
    declaration.env: declaration for declaration in DECLARATIONS.values() if declaration.in_files
}
OriginOfVariable = Callable[[str], Origin]
CONFIG_ENV = ENV_PREFIX + "CONFIG"  # the config file's path: a name, not a setting
MOST_FOLDERS_UP = 64
"""How far up env files are looked for; each step costs a look at all the folders above."""
COMBINED_SINCE = (3, 1)
"""Since this version Flask combines the files before it sets a variable. Before, it loaded .env,
.flaskenv and the named file into the environment one after the other, what was there first winning
(flask.cli.load_dotenv)."""


def read_environment(
    environ: Mapping[str, str],
    base: Path,
    env_file: Path | None = None,
    origins: Mapping[str, Origin] | None = None,
) -> dict[str, Value[Any]]:
    """The settings that these variables give, by name.

    file: the env file they stand in. origins: of those that somebody else has set, where there is
    no such file. Raises LaunchError for an unknown DEBUGLAUNCH_ variable or a value that does not
    fit.
    """

    def origin_of(variable: str) -> Origin:
        if env_file is not None:
            return Origin(f"{shown_path(env_file)}:{variable}", env_file)
        return (origins or {}).get(variable) or Origin.environment(variable)

    return {
        **dict(_settings_of_flask_variables(environ, base, origin_of)),
        **dict(_settings_of_launcher_variables(environ, base, origin_of)),
    }


def _settings_of_launcher_variables(
    environ: Mapping[str, str], base: Path, origin_of: OriginOfVariable
) -> Iterator[tuple[str, Value[Any]]]:
    for variable, variable_text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_ENV:
            continue
        declaration = DECLARATIONS_BY_VARIABLE.get(variable)
        if declaration is None:
            raise LaunchError(f"{origin_of(variable)}: {_unknown_variable(variable)}")
        yield (
            declaration.name,
            _value_of_variable(declaration, variable, variable_text, base, origin_of),
        )


def _settings_of_flask_variables(
    environ: Mapping[str, str], base: Path, origin_of: OriginOfVariable
) -> Iterator[tuple[str, Value[Any]]]:
    if environ.get("FLASK_ENV"):
        yield "flask_env", Value(environ["FLASK_ENV"], origin_of("FLASK_ENV"))
    for declaration in DECLARATIONS.values():
        variable = declaration.flask_env
        if variable is not None and environ.get(variable):
            yield (
                declaration.name,
                _value_of_variable(declaration, variable, environ[variable], base, origin_of),
            )


def _value_of_variable(
    declaration: Declaration,
    variable: str,
    variable_text: str,
    base: Path,
    origin_of: OriginOfVariable,
) -> Value[Any]:
    try:
        value = declaration.type.from_text(variable_text, base)
        if variable == "FLASK_DEBUG" and value is not _as_flask_reads_debug(variable_text):
            raise LaunchError(
                f"{origin_of(variable)}: must be 0, 1, true or false, not"
                f" {redacted_repr(variable_text)}: Flask takes every other word, off too, for true"
            )
        return Value(value, origin_of(variable))
    except ValueError:
        raise LaunchError(
            f"{origin_of(variable)}: {not_fitting(declaration.type, variable_text)}"
        ) from None


def _as_flask_reads_debug(variable_text: str) -> bool:
    """flask.helpers.get_debug_flag, which the app may ask as well."""
    return variable_text.lower() not in ("0", "false", "no")


def _unknown_variable(variable: str) -> str:
    if variable == ENV_PREFIX + "DEBUG":
        return "debug mode is Flask's own variable: set FLASK_DEBUG"
    argv_only = next((d for d in DECLARATIONS.values() if d.argv_only and d.env == variable), None)
    if argv_only:
        return f"can't be set by a variable: give {argv_only.flag} on the command line"
    return "no such setting" + did_you_mean(variable, DECLARATIONS_BY_VARIABLE, ". Unset it")


# Env files


def env_file_lookups(
    named_env_file: Path | None, folder: Path, *, look_for_defaults: bool
) -> tuple[FileLookup, ...]:
    """The named file, .env and .flaskenv, the strongest first.

    The latter two are looked for as Flask does, in this folder, then in those above it. They can
    name the app, and so run code: from a folder above, one that a stranger owns is passed over, as
    git does with foreign repositories.
    """
    folders = (folder, *folder.parents[: MOST_FOLDERS_UP - 1])
    default_names = (".env", ".flaskenv") if look_for_defaults else ()
    default_lookups = tuple(_look_for_env_file_upwards(folders, name) for name in default_names)
    if named_env_file is None:
        return default_lookups
    named_lookup = FileLookup(named_env_file, True)
    return (
        (named_lookup, *default_lookups)
        if flask_combines_env_files()
        else (*default_lookups, named_lookup)
    )


def flask_combines_env_files() -> bool:
    """What the installed Flask does, see COMBINED_SINCE."""
    return (installed_version("flask") or COMBINED_SINCE) >= COMBINED_SINCE


def load_env_files(
    env_files: Sequence[Path], environ: Mapping[str, str], *, combine: bool
) -> dict[Path, dict[str, str]]:
    """What each of the files, given the strongest first, adds to the environment.

    A variable stands at the file it is taken from; one of ``environ`` is not left out. Raises
    LaunchError for what is no env file, and for what can't be a variable.
    """
    added_variables: dict[Path, dict[str, str]] = {}
    taken_variables: dict[str, str | None] = {}
    for env_file in env_files:
        assignments = _read_env_file(env_file)
        if combine:
            file_variables = _expanded_variables(assignments, environ, own_first=True)
        else:
            file_variables = _expanded_variables(
                assignments, {**taken_variables, **environ}, own_first=False
            )
            file_variables = {
                variable: variable_text
                for variable, variable_text in file_variables.items()
                if variable_text is not None
            }
        new_variables = {
            variable: variable_text
            for variable, variable_text in file_variables.items()
            if variable not in taken_variables
        }
        taken_variables |= new_variables
        added_variables[env_file] = {
            variable: variable_text
            for variable, variable_text in new_variables.items()
            if variable_text is not None
        }
    return added_variables


def _expanded_variables(
    assignments: Iterable[tuple[str, str | None]],
    outer_variables: Mapping[str, str | None],
    *,
    own_first: bool,
) -> dict[str, str | None]:
    """``${NAME}`` and ``${NAME:-default}`` replaced; None for a name without a value.

    own_first: whether NAME is the file's own variable first, or that of the environment.
    """
    from dotenv.variables import parse_variables

    own_variables: dict[str, str | None] = {}
    for variable, variable_text in assignments:
        known_variables = (
            {**outer_variables, **own_variables}
            if own_first
            else {**own_variables, **outer_variables}
        )
        own_variables[variable] = (
            None
            if variable_text is None
            else "".join(part.resolve(known_variables) for part in parse_variables(variable_text))
        )
    return own_variables


def _read_env_file(env_file: Path) -> list[tuple[str, str | None]]:
    """In their order; a name may come twice."""
    import io

    from dotenv.main import DotEnv

    try:
        content = read_regular_file(env_file).decode("utf-8")
    except UnicodeDecodeError:
        raise LaunchError(
            f"{shown_path(env_file)}: not UTF-8 text. Save the env file as UTF-8"
        ) from None
    except OSError as error:
        raise LaunchError(
            f"{shown_path(env_file)}: cannot be read as an env file: {error.strerror}."
            " Name another one with --env-file, or set FLASK_SKIP_DOTENV=1"
        ) from None
    assignments = list(DotEnv(None, stream=io.StringIO(content)).parse())
    for variable, variable_text in assignments:
        if not variable or "=" in variable or "\0" in f"{variable}{variable_text}":
            raise LaunchError(
                f"{shown_path(env_file)}: {redacted_repr(variable)} can't be a variable of the"
                " environment: its name must be without =, it and its value without a NUL"
                " character. Correct that line"
            )
    return assignments


def _look_for_env_file_upwards(folders: Sequence[Path], file_name: str) -> FileLookup:
    env_file = next(
        (above / file_name for above in folders if os.path.isfile(above / file_name)), None
    )
    if env_file is None:
        return FileLookup(folders[0] / file_name, False)
    return FileLookup(env_file, True, passed_over=_why_not_trusted(env_file, folders[0]))


def _why_not_trusted(env_file: Path, folder: Path) -> str | None:
    """None where it belongs to us, to root, or to whom the folder belongs that we work in."""
    if env_file.parent == folder or not hasattr(os, "geteuid"):
        return None
    try:
        owner_uid = env_file.stat().st_uid
        is_trusted = owner_uid in (0, os.geteuid(), folder.stat().st_uid)
    except OSError:
        return None  # reading it will say so
    if is_trusted:
        return None
    return (
        f"passed over: it stands in a folder above and belongs to another user (uid {owner_uid}),"
        " who could run code through it. If it is yours, name it with --env-file"
    )

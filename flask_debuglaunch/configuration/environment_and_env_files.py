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

ENV_NAMES = {one.env: one for one in DECLARATIONS.values() if one.in_files}
OriginOf = Callable[[str], Origin]
CONFIG_ENV = ENV_PREFIX + "CONFIG"  # the config file's path: a name, not a setting
MOST_FOLDERS = 64
"""How far up env files are looked for; each step costs a look at all the folders above."""
COMBINED_SINCE = (3, 1)
"""Since this version Flask combines the files before it sets a variable. Before, it loaded .env,
.flaskenv and the named file into the environment one after the other, what was there first winning
(flask.cli.load_dotenv)."""


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
            return Origin(f"{shown_path(file)}:{name}", file)
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
        value = declaration.type.from_text(text, base)
        if name == "FLASK_DEBUG" and value is not _as_flask_reads_debug(text):
            raise LaunchError(
                f"{origin_of(name)}: must be 0, 1, true or false, not {redacted_repr(text)}:"
                " Flask takes every other word, off too, for true"
            )
        return Value(value, origin_of(name))
    except ValueError:
        raise LaunchError(f"{origin_of(name)}: {not_fitting(declaration.type, text)}") from None


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


# Env files


def env_file_lookups(
    named: Path | None, folder: Path, *, look_for_defaults: bool
) -> tuple[FileLookup, ...]:
    """The named file, .env and .flaskenv, the strongest first.

    The latter two are looked for as Flask does, in this folder, then in those above it. They can
    name the app, and so run code: from a folder above, one that a stranger owns is passed over, as
    git does with foreign repositories.
    """
    folders = (folder, *folder.parents[: MOST_FOLDERS - 1])
    names = (".env", ".flaskenv") if look_for_defaults else ()
    defaults = tuple(_look_upwards(folders, name) for name in names)
    if named is None:
        return defaults
    lookup = FileLookup(named, True)
    return (lookup, *defaults) if flask_combines_env_files() else (*defaults, lookup)


def flask_combines_env_files() -> bool:
    """What the installed Flask does, see COMBINED_SINCE."""
    return (installed_version("flask") or COMBINED_SINCE) >= COMBINED_SINCE


def load_env_files(
    files: Sequence[Path], environ: Mapping[str, str], *, combine: bool
) -> dict[Path, dict[str, str]]:
    """What each of the files, given the strongest first, adds to the environment.

    A variable stands at the file it is taken from; one of ``environ`` is not left out. Raises
    LaunchError for what is no env file, and for what can't be a variable.
    """
    added: dict[Path, dict[str, str]] = {}
    taken: dict[str, str | None] = {}
    for file in files:
        assignments = _read_assignments(file)
        if combine:
            values = _expanded(assignments, environ, own_wins=True)
        else:
            values = _expanded(assignments, {**taken, **environ}, own_wins=False)
            values = {name: text for name, text in values.items() if text is not None}
        fresh = {name: text for name, text in values.items() if name not in taken}
        taken |= fresh
        added[file] = {name: text for name, text in fresh.items() if text is not None}
    return added


def _expanded(
    assignments: Iterable[tuple[str, str | None]],
    around: Mapping[str, str | None],
    *,
    own_wins: bool,
) -> dict[str, str | None]:
    """``${NAME}`` and ``${NAME:-default}`` replaced; None for a name without a value.

    own_wins: whether NAME is the file's own variable first, or that of the environment.
    """
    from dotenv.variables import parse_variables

    own: dict[str, str | None] = {}
    for name, text in assignments:
        known = {**around, **own} if own_wins else {**own, **around}
        own[name] = (
            None if text is None else "".join(one.resolve(known) for one in parse_variables(text))
        )
    return own


def _read_assignments(file: Path) -> list[tuple[str, str | None]]:
    """In their order; a name may come twice."""
    import io

    from dotenv.main import DotEnv

    try:
        content = read_regular_file(file).decode("utf-8")
    except UnicodeDecodeError:
        raise LaunchError(
            f"{shown_path(file)}: not UTF-8 text. Save the env file as UTF-8"
        ) from None
    except OSError as error:
        raise LaunchError(
            f"{shown_path(file)}: cannot be read as an env file: {error.strerror}."
            " Name another one with --env-file, or set FLASK_SKIP_DOTENV=1"
        ) from None
    assignments = list(DotEnv(None, stream=io.StringIO(content)).parse())
    for name, text in assignments:
        if not name or "=" in name or "\0" in f"{name}{text}":
            raise LaunchError(
                f"{shown_path(file)}: {redacted_repr(name)} can't be a variable of the environment:"
                " its name must be without =, it and its value without a NUL character. Correct"
                " that line"
            )
    return assignments


def _look_upwards(folders: Sequence[Path], name: str) -> FileLookup:
    file = next((one / name for one in folders if os.path.isfile(one / name)), None)
    if file is None:
        return FileLookup(folders[0] / name, False)
    return FileLookup(file, True, passed_over=_why_foreign(file, folders[0]))


def _why_foreign(file: Path, folder: Path) -> str | None:
    """None where it belongs to us, to root, or to whom the folder belongs that we work in."""
    if file.parent == folder or not hasattr(os, "geteuid"):
        return None
    try:
        owner = file.stat().st_uid
        trusted = owner in (0, os.geteuid(), folder.stat().st_uid)
    except OSError:
        return None  # reading it will say so
    if trusted:
        return None
    return (
        f"passed over: it stands in a folder above and belongs to another user (uid {owner}), who"
        " could run code through it. If it is yours, name it with --env-file"
    )

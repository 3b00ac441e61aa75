"""The environment and the env files: DEBUGLAUNCH_* and Flask's own FLASK_* variables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.origins import Origin, Value, found, shown
from flask_debuglaunch.configuration.settings import (
    DECLARATIONS,
    ENV_PREFIX,
    Declaration,
    FileLookup,
)
from flask_debuglaunch.configuration.value_types import not_fitting
from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.regular_file import read_regular_file

ENV_NAMES = {one.env: one for one in DECLARATIONS.values() if one.in_files}
MOST_FOLDERS = 64
"""How far up env files are looked for; each step costs a look at all the folders above."""
CONFIG_ENV = ENV_PREFIX + "CONFIG"  # the config file's path: a name, not a setting


def read_environment(
    environ: Mapping[str, str], base: Path, file: Path | None = None
) -> dict[str, Value[Any]]:
    """The settings that these variables give, by name; ``file`` is the env file they stand in.

    Raises LaunchError for an unknown DEBUGLAUNCH_ variable or a value that does not fit.
    """
    return {
        **dict(_flask_values(environ, base, file)),
        **dict(_launcher_values(environ, base, file)),
    }


def read_env_file(file: Path) -> dict[str, str]:
    """The variables of a dotenv file, ``${NAME}`` in them expanded as Flask's load_dotenv does.

    Raises LaunchError for what is no env file, and for what can't be a variable.
    """
    import io

    from dotenv import dotenv_values

    try:
        content = read_regular_file(file).decode("utf-8")
    except UnicodeDecodeError:
        raise LaunchError(f"{shown(file)}: not UTF-8 text. Save the env file as UTF-8") from None
    except OSError as error:
        raise LaunchError(
            f"{shown(file)}: cannot be read as an env file: {error.strerror}."
            " Name another one with --env-file, or set FLASK_SKIP_DOTENV=1"
        ) from None
    values = dotenv_values(stream=io.StringIO(content))
    for name, text in values.items():
        if not name or "=" in name or "\0" in f"{name}{text}":
            raise LaunchError(
                f"{shown(file)}: {found(name)} can't be a variable of the environment: its name"
                " must be without =, it and its value without a NUL character. Correct that line"
            )
    return {name: text for name, text in values.items() if text is not None}


def env_file_lookups(folder: Path) -> tuple[FileLookup, ...]:
    """.env and .flaskenv, as Flask looks for them: in this folder, then in those above it.

    They can name the app, and so run code: from a folder above, one that a stranger owns is passed
    over, as git does with foreign repositories.
    """
    folders = (folder, *folder.parents)[:MOST_FOLDERS]
    return tuple(_look_upwards(folders, name) for name in (".env", ".flaskenv"))


def _look_upwards(folders: Sequence[Path], name: str) -> FileLookup:
    found = next((one / name for one in folders if os.path.isfile(one / name)), None)
    if found is None:
        return FileLookup(folders[0] / name, False)
    return FileLookup(found, True, passed_over=_why_foreign(found, folders[0]))


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


def _launcher_values(
    environ: Mapping[str, str], base: Path, file: Path | None
) -> Iterator[tuple[str, Value[Any]]]:
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or name == CONFIG_ENV:
            continue
        declaration = ENV_NAMES.get(name)
        if declaration is None:
            raise LaunchError(f"{_origin(name, file)}: {_unknown(name)}")
        yield declaration.name, _value(declaration, name, text, base, file)


def _flask_values(
    environ: Mapping[str, str], base: Path, file: Path | None
) -> Iterator[tuple[str, Value[Any]]]:
    if environ.get("FLASK_ENV"):
        yield "flask_env", Value(environ["FLASK_ENV"], _origin("FLASK_ENV", file))
    for declaration in DECLARATIONS.values():
        name = declaration.flask_env
        if name is not None and environ.get(name):
            yield declaration.name, _value(declaration, name, environ[name], base, file)


def _value(
    declaration: Declaration, name: str, text: str, base: Path, file: Path | None
) -> Value[Any]:
    try:
        value = declaration.kind.from_text(text, base)
        if name == "FLASK_DEBUG" and value is not _as_flask_reads_debug(text):
            raise LaunchError(
                f"{_origin(name, file)}: must be 0, 1, true or false, not {found(text)}:"
                " Flask takes every other word, off too, for true"
            )
        return Value(value, _origin(name, file))
    except ValueError:
        raise LaunchError(f"{_origin(name, file)}: {not_fitting(declaration.kind, text)}") from None


def _as_flask_reads_debug(text: str) -> bool:
    """flask.helpers.get_debug_flag, which the app may ask as well."""
    return text.lower() not in ("0", "false", "no")


def _origin(name: str, file: Path | None) -> Origin:
    return Origin(f"{shown(file)}:{name}", file) if file else Origin.environment(name)


def _unknown(name: str) -> str:
    if name == ENV_PREFIX + "DEBUG":
        return "debug mode is Flask's own variable: set FLASK_DEBUG"
    argv_only = next((d for d in DECLARATIONS.values() if d.argv_only and d.env == name), None)
    if argv_only:
        return f"can't be set by a variable: give {argv_only.flag} on the command line"
    return "no such setting" + did_you_mean(name, ENV_NAMES, ". Unset it")

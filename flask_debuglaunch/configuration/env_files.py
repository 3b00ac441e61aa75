"""The env files: where they are looked for, and what they give, as the installed Flask has it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from flask_debuglaunch.configuration.settings import FileLookup
from flask_debuglaunch.configuration.value_origins import found, shown
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.installed_versions import installed_version
from flask_debuglaunch.regular_file import read_regular_file

MOST_FOLDERS = 64
"""How far up env files are looked for; each step costs a look at all the folders above."""
COMBINED_SINCE = (3, 1)
"""Since this version Flask combines the files before it sets a variable. Before, it loaded .env,
.flaskenv and the named file into the environment one after the other, what was there first winning
(flask.cli.load_dotenv)."""


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
        raise LaunchError(f"{shown(file)}: not UTF-8 text. Save the env file as UTF-8") from None
    except OSError as error:
        raise LaunchError(
            f"{shown(file)}: cannot be read as an env file: {error.strerror}."
            " Name another one with --env-file, or set FLASK_SKIP_DOTENV=1"
        ) from None
    assignments = list(DotEnv(None, stream=io.StringIO(content)).parse())
    for name, text in assignments:
        if not name or "=" in name or "\0" in f"{name}{text}":
            raise LaunchError(
                f"{shown(file)}: {found(name)} can't be a variable of the environment: its name"
                " must be without =, it and its value without a NUL character. Correct that line"
            )
    return assignments


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

"""The flags that an IDE's files name: the same on every machine that shares the files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.command_line_flags import Given, read_argv, to_argv
from flask_debuglaunch.configuration.setting_types import (
    AppImport,
    Certificate,
    FilePath,
    Kind,
    PathMappings,
    Paths,
    Patterns,
)
from flask_debuglaunch.configuration.settings import DECLARATIONS, Settings
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.redaction import holds_secret


def shareable_flags(given: Mapping[str, Given], folder: Path) -> tuple[str, ...]:
    """The given flags without what is this machine's: where the folder and the home folder are (a
    shell has put that in place of ``~``), and the system's separator. Raises LaunchError."""
    # Relative to nothing, so that they stay as they were typed: the IDE starts in the folder.
    values: dict[str, Any] = {
        name: replace(value, value=_shareable(DECLARATIONS[name].kind, value.value, folder))
        for name, value in read_argv(given, Path()).items()
    }
    flags = tuple(to_argv(Settings(**values)))
    _refuse_secrets(flags)
    return flags


def _refuse_secrets(flags: Iterable[str]) -> None:
    """The files are shared, and *** in them would start nothing."""
    for flag in flags:
        if holds_secret(flag):
            name = flag.partition("=")[0]
            raise LaunchError(
                f"argv:{name}: a secret would be written into the IDE's files: {flag}. Let the app"
                " read it from a variable, set in .env"
            )


def _shareable(kind: Kind[Any], value: Any, folder: Path) -> Any:
    if isinstance(kind, PathMappings):  # the remote paths are not of this machine
        return tuple((_path(local, folder), remote) for local, remote in value)
    if isinstance(kind, Paths) and not isinstance(kind, Patterns):
        return tuple(_path(one, folder) for one in value)
    if isinstance(kind, AppImport) and value:  # knows no ~, as Flask's --app
        return _below(folder, value.replace(os.sep, "/"), "")
    if isinstance(kind, (FilePath, Certificate)) and value:
        return _path(str(value), folder)
    return value


def _path(path: str, folder: Path) -> str:
    inside = _below(folder, path.replace(os.sep, "/"), "")
    return _below(Path(os.path.expanduser("~")), inside, "~/")


def _below(folder: Path, path: str, written: str) -> str:
    if path == folder.as_posix():
        return written or "."
    start = folder.as_posix().rstrip("/") + "/"
    return written + path[len(start) :] if path.startswith(start) else path

"""What a systemd service says of the app: as whom, where, and with which environment it runs."""

from __future__ import annotations

import glob
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.deployment.deployed_app import DEFAULT_UMASK, UNKNOWN, Deployed
from flask_debuglaunch.deployment.systemd_unit_files import (
    Assignment,
    UnitName,
    assignments,
    environment_file,
    read_unit_file,
    specifier_values,
    unit_files,
    unit_files_of_path,
    unit_name,
    with_specifiers,
    words_of,
)
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.wsgi_server_commands import Served, read_command

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Of services (systemd.exec(5), $PATH)."""
NOT_FOLLOWED = (
    "RootDirectory", "RootImage", "LoadCredential", "SetCredential", "PassEnvironment",
    "BindPaths", "StateDirectory", "RuntimeDirectory", "LogsDirectory", "CacheDirectory",
    "ExecStartPre",
)  # fmt: skip
"""What the app may need, and does not get here."""


@dataclass(frozen=True)
class _Line:
    """An assignment of [Service], its specifiers expanded."""

    key: str
    value: str
    origin: Origin


@dataclass
class _Unit:
    """The lines that count, by their keys: an empty one takes back those before it."""

    lines: dict[str, list[_Line]] = field(default_factory=dict)

    def take(self, line: _Line) -> None:
        if line.value:
            self.lines.setdefault(line.key, []).append(line)
        else:
            self.lines.pop(line.key, None)

    def all(self, key: str) -> Sequence[_Line]:
        return self.lines.get(key, ())

    def last(self, key: str) -> _Line | None:
        return next(reversed(self.all(key)), None)

    def value(self, key: str) -> Value[str | None]:
        line = self.last(key)
        return Value(line.value, line.origin) if line else UNKNOWN


def read_service(named: Value[str]) -> Deployed:
    """The service of this name, or of the unit file at this path. Raises LaunchError."""
    path = Path(named.value).absolute() if "/" in named.value else None
    name = unit_name(path.name if path else named.value)
    if name.instance == "":
        raise LaunchError(
            f"{named.origin}: {name.full} is a template: name an instance, {name.prefix}@NAME"
        )
    files = unit_files_of_path(path) if path else unit_files(name, named.origin)
    unit = _Unit()
    for file in files:
        for one in assignments(read_unit_file(file, named.origin)):
            if one.section == "Service":
                unit.take(_expanded(one, file, name))
    return _deployed(unit, name)


def _expanded(one: Assignment, file: Path, name: UnitName) -> _Line:
    origin = Origin(f"{file}:{one.line}")
    try:
        return _Line(one.key, with_specifiers(one.value, specifier_values(name)), origin)
    except KeyError as error:
        if one.key not in _READ:
            return _Line(one.key, one.value, origin)
        raise LaunchError(
            f"{origin}: the specifier %{error.args[0]} of {one.key}= is not known here"
        ) from None


_READ = {
    "User", "Group", "SupplementaryGroups", "UMask", "WorkingDirectory", "Environment",
    "EnvironmentFile", "UnsetEnvironment", "ExecStart",
}  # fmt: skip


def _deployed(unit: _Unit, name: UnitName) -> Deployed:
    dynamic = unit.last("DynamicUser")
    if dynamic and dynamic.value.lower() in ("1", "yes", "true", "on"):
        raise LaunchError(
            f"{dynamic.origin}: DynamicUser= makes an account for the service alone, which is not"
            " there outside of it. Name one that can read the app with --user"
        )
    environment = dict(_environment(unit))
    variables = {one: value.value for one, value in environment.items()}
    command = unit.last("ExecStart")
    served = _served(command, variables)
    app = served.app if served else None
    return Deployed(
        service=name.full,
        user=unit.value("User"),
        group=unit.value("Group"),
        supplementary_groups=tuple(_groups(unit)),
        umask=_umask(unit),
        working_directory=_working_directory(unit, served, command),
        app=Value(app, command.origin) if app and command else UNKNOWN,
        environment=environment,
        notes=tuple(_notes(unit, name, served)),
    )


def _groups(unit: _Unit) -> Iterator[Value[str]]:
    for line in unit.all("SupplementaryGroups"):
        yield from (Value(one, line.origin) for one in line.value.split())


def _umask(unit: _Unit) -> Value[int]:
    line = unit.last("UMask")
    if line is None:
        return DEFAULT_UMASK
    try:
        return Value(int(line.value, 8), line.origin)
    except ValueError:
        raise LaunchError(f"{line.origin}: UMask= {line.value} is no octal number") from None


def _working_directory(
    unit: _Unit, served: Served | None, command: _Line | None
) -> Value[Path | None]:
    """/ where nothing is said; and where the server itself goes to (gunicorn --chdir)."""
    line = unit.last("WorkingDirectory")
    folder, origin = Path("/"), Origin("systemd's default")
    if line is not None:
        origin = line.origin
        text = line.value.removeprefix("-")
        folder = _home(unit, line) if text == "~" else Path(text)
        if line.value.startswith("-") and not folder.is_dir():
            folder = Path("/")
    if served is not None and served.folder and command is not None:
        folder, origin = folder / served.folder, command.origin
    return Value(folder, origin)


def _home(unit: _Unit, line: _Line) -> Path:
    from flask_debuglaunch.deployment.unix_accounts import account_of

    user = unit.last("User")
    return account_of(Value(user.value if user else "root", line.origin)).home


def _environment(unit: _Unit) -> Iterator[tuple[str, Value[str]]]:
    """The files count more than Environment=, and of one name the last."""
    values: dict[str, Value[str]] = {"PATH": Value(PATH, Origin("systemd's default"))}
    for line in unit.all("Environment"):
        for word in words_of(line.value):
            name, equals, text = word.partition("=")
            if equals:
                values[name] = Value(text, line.origin)
    for line in unit.all("EnvironmentFile"):
        for file in _files_of(line):
            for name, text, number in _read_environment_file(file, line):
                values[name] = Value(text, Origin(f"{file}:{number}"))
    for line in unit.all("UnsetEnvironment"):
        for word in words_of(line.value):
            name, equals, text = word.partition("=")
            if name in values and (not equals or values[name].value == text):
                del values[name]
    yield from values.items()


def _files_of(line: _Line) -> Iterator[Path]:
    pattern = line.value.removeprefix("-")
    found = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
    yield from map(Path, found)


def _read_environment_file(file: Path, line: _Line) -> list[tuple[str, str, int]]:
    if line.value.startswith("-") and not file.exists():
        return []
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise LaunchError(
            f"{line.origin}: EnvironmentFile= {file}: {error.strerror}. Without it the service"
            " would not start either; as another user than root it may be out of reach: use sudo"
        ) from None
    return list(environment_file(text))


def _served(command: _Line | None, variables: Mapping[str, str]) -> Served | None:
    """What ExecStart= serves, if that is a server which is known."""
    if command is None:
        return None
    return read_command(words_of(command.value.lstrip("@-:+!|")), variables)


def _notes(unit: _Unit, name: UnitName, served: Served | None) -> Iterator[str]:
    for key in NOT_FOLLOWED:
        line = unit.last(key)
        if line is not None:
            yield f"{line.origin}: {key}= of {name.full} is not followed here"
    if unit.last("User") is None:
        yield f"{name.full} names no User: it runs as root, and so does this"
    python = Path(served.python) if served else None
    is_other = python and python.is_absolute() and python.parent != Path(sys.executable).parent
    if python and is_other and python.exists():  # of /usr/bin/gunicorn it may be python3
        yield (
            f"{name.full} runs {python}, and this is {sys.executable}: other packages may be"
            f" installed there. Start it with: {shlex.join([str(python), *sys.orig_argv[1:]])}"
        )

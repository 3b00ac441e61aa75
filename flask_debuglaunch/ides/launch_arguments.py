"""The arguments of `python -m flask_debuglaunch` in an IDE's files.

Of the flags that were given to `ide`, those are written that are the same on every machine that
shares the files. They are put among those that are there: a person's stay, where they stand. Of a
setting that both give, the value becomes ours and the spelling stays theirs. What may be given
several times is added, since one more takes nothing away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from flask_debuglaunch.configuration.command_line_flags import (
    FlagValue,
    is_repeatable,
    read_argv,
    to_argv,
)
from flask_debuglaunch.configuration.setting_types import (
    AppImport,
    Certificate,
    FilePath,
    PathMappings,
    Paths,
    Patterns,
    SettingType,
)
from flask_debuglaunch.configuration.settings import DECLARATIONS, Declaration, Settings
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.redaction import holds_secret


def shareable_flags(given: Mapping[str, FlagValue], folder: Path) -> tuple[str, ...]:
    """The given flags without what is this machine's: where the folder and the home folder are (a
    shell has put that in place of ``~``), and the system's separator. Raises LaunchError."""
    # Relative to nothing, so that they stay as they were typed: the IDE starts in the folder.
    values: dict[str, Any] = {
        name: replace(value, value=_shareable(DECLARATIONS[name].type, value.value, folder))
        for name, value in read_argv(given, Path()).items()
    }
    flags = tuple(to_argv(Settings(**values)))
    _refuse_secrets(flags)
    return flags


def flags_with_defaults(
    default_flags: Mapping[str, str | None], flags: Iterable[str]
) -> Iterator[str]:
    """The default flags that are not among those given, in a container's command: a flag with its
    value, "" where it needs none; None leaves it out."""
    spellings = {flag.partition("=")[0] for flag in flags}
    for spelling, value in default_flags.items():
        if value is not None and spelling not in spellings:
            yield spelling + (f"={value}" if value else "")


def _refuse_secrets(flags: Iterable[str]) -> None:
    """The files are shared, and *** in them would start nothing."""
    for flag in flags:
        if holds_secret(flag):
            name = flag.partition("=")[0]
            raise LaunchError(
                f"argv:{name}: a secret would be written into the IDE's files: {flag}. Let the app"
                " read it from a variable, set in .env"
            )


def _shareable(setting_type: SettingType[Any], value: Any, folder: Path) -> Any:
    if isinstance(setting_type, PathMappings):  # the remote paths are not of this machine
        return tuple((_path(local, folder), remote) for local, remote in value)
    if isinstance(setting_type, Paths) and not isinstance(setting_type, Patterns):
        return tuple(_path(one, folder) for one in value)
    if isinstance(setting_type, AppImport) and value:  # knows no ~, as Flask's --app
        return _below(folder, value.replace(os.sep, "/"), "")
    if isinstance(setting_type, (FilePath, Certificate)) and value:
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


# Ours among those that are there


class Edit(NamedTuple):
    """Replace the arguments from start to end; the two are equal where some are inserted."""

    start: int
    end: int
    arguments: tuple[str, ...]


class Word(NamedTuple):
    """An argument in a line: ``line[start:end]``, quotes and all, means ``text``."""

    start: int
    end: int
    text: str


def edits(present: Sequence[str], ours: Sequence[str]) -> Iterator[Edit]:
    """What makes the arguments that are there give ours as well; in order."""
    there = list(_flags_in(present))
    missing: list[str] = []
    replaced = []
    for flag in _flags_in(ours):
        same = [one for one in there if one.setting == flag.setting]
        if any(one.value == flag.value for one in same):
            continue
        if same and not flag.is_repeatable:
            replaced.append(_replacement(same[-1], flag))  # the last one counts
        else:
            missing += ours[flag.start : flag.end]
    yield from sorted(replaced)
    if missing:
        yield Edit(len(present), len(present), tuple(missing))


def merged(present: Sequence[object], ours: Sequence[str]) -> list[object]:
    """The arguments that are there, with ours among them; JSON's numbers are arguments too."""
    arguments = list(present)
    for edit in reversed(list(edits(list(map(str, present)), ours))):
        arguments[edit.start : edit.end] = edit.arguments
    return arguments


def merged_line(
    line: str | None,
    ours: Sequence[str],
    split: Callable[[str], Iterator[Word]],
    quoted: Callable[[str], str],
) -> str:
    """The same for a line of arguments: every other character of it stays."""
    line = line or ""
    words = list(split(line))
    for edit in reversed(list(edits([word.text for word in words], ours))):
        new = " ".join(map(quoted, edit.arguments))
        if edit.start == edit.end:
            gap = " " if line and not line[-1].isspace() else ""
            line += gap + new
        else:
            line = line[: words[edit.start].start] + new + line[words[edit.end - 1].end :]
    return line


class _Flag(NamedTuple):
    """A setting that is given by the arguments from start to end."""

    setting: str
    spelling: str
    """The flag as it is written there, ``--port`` or ``-p``."""
    value: str | bool
    start: int
    end: int

    @property
    def is_repeatable(self) -> bool:
        declaration = DECLARATIONS.get(self.setting)
        return declaration is not None and is_repeatable(declaration)


def _replacement(there: _Flag, ours: _Flag) -> Edit:
    if isinstance(ours.value, bool) or isinstance(there.value, bool):
        spelled: tuple[str, ...] = (ours.spelling,)
        if isinstance(ours.value, str):
            spelled = (f"{ours.spelling}={ours.value}",)
        return Edit(there.start, there.end, spelled)
    if there.end - there.start == 2:
        return Edit(there.end - 1, there.end, (ours.value,))
    separator = "=" if there.spelling.startswith("--") else ""
    return Edit(there.start, there.end, (f"{there.spelling}{separator}{ours.value}",))


def _flags_in(arguments: Sequence[str]) -> Iterator[_Flag]:
    index = 0
    while index < len(arguments):
        flag = _flag_at(arguments, index)
        if flag is not None:
            yield flag
        index = flag.end if flag else index + 1


def _flag_at(arguments: Sequence[str], index: int) -> _Flag | None:
    spelling, value = _spelled(arguments[index])
    setting = _SETTINGS.get(spelling)
    if setting is None:
        return None
    if setting.is_switch:
        return _Flag(setting.name, spelling, setting.means, index, index + 1)
    if value is not None:
        return _Flag(setting.name, spelling, value, index, index + 1)
    following = arguments[index + 1 : index + 2]
    if following and not (setting.may_stand_alone and following[0].startswith("-")):
        return _Flag(setting.name, spelling, following[0], index, index + 2)
    return _Flag(setting.name, spelling, True, index, index + 1)


def _spelled(argument: str) -> tuple[str, str | None]:
    """The flag, and the value that is joined to it: ``--port=80``, ``-p80``."""
    if argument.startswith("--"):
        flag, equals, value = argument.partition("=")
        return flag, value if equals else None
    return argument[:2], argument[2:] or None


class _Spelling(NamedTuple):
    """What a flag says of its setting."""

    name: str
    is_switch: bool = False
    means: bool = True
    may_stand_alone: bool = False


def _spellings_of(declaration: Declaration) -> Iterator[tuple[str, _Spelling]]:
    is_switch = bool(declaration.off_flag or declaration.argv_only)
    alone = declaration.bare_flag is not None
    for flag in filter(None, (declaration.flag, declaration.short_flag)):
        yield flag, _Spelling(declaration.name, is_switch, may_stand_alone=alone)
    if declaration.off_flag:
        yield declaration.off_flag, _Spelling(declaration.name, is_switch, means=False)


_SETTINGS = {
    **{flag: _Spelling("config") for flag in ("--config", "-c")},
    **{flag: one for each in DECLARATIONS.values() for flag, one in _spellings_of(each)},
}

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


def shareable_flags(given_flags: Mapping[str, FlagValue], folder: Path) -> tuple[str, ...]:
    """The given flags without what is this machine's: where the folder and the home folder are (a
    shell has put that in place of ``~``), and the system's separator. Raises LaunchError."""
    # Relative to nothing, so that they stay as they were typed: the IDE starts in the folder.
    shareable_values: dict[str, Any] = {
        name: replace(value, value=_shareable_value(DECLARATIONS[name].type, value.value, folder))
        for name, value in read_argv(given_flags, Path()).items()
    }
    flags = tuple(to_argv(Settings(**shareable_values)))
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
            spelling = flag.partition("=")[0]
            raise LaunchError(
                f"argv:{spelling}: a secret would be written into the IDE's files: {flag}. Let the"
                " app read it from a variable, set in .env"
            )


def _shareable_value(setting_type: SettingType[Any], value: Any, folder: Path) -> Any:
    if isinstance(setting_type, PathMappings):  # the remote paths are not of this machine
        return tuple((_shareable_path(local, folder), remote) for local, remote in value)
    if isinstance(setting_type, Paths) and not isinstance(setting_type, Patterns):
        return tuple(_shareable_path(path, folder) for path in value)
    if isinstance(setting_type, AppImport) and value:  # knows no ~, as Flask's --app
        return _relative_to(folder, value.replace(os.sep, "/"), "")
    if isinstance(setting_type, (FilePath, Certificate)) and value:
        return _shareable_path(str(value), folder)
    return value


def _shareable_path(path: str, folder: Path) -> str:
    path = _relative_to(folder, path.replace(os.sep, "/"), "")
    return _relative_to(Path(os.path.expanduser("~")), path, "~/")


def _relative_to(folder: Path, path: str, replacement: str) -> str:
    if path == folder.as_posix():
        return replacement or "."
    folder_prefix = folder.as_posix().rstrip("/") + "/"
    if not path.startswith(folder_prefix):
        return path
    return replacement + path.removeprefix(folder_prefix)


# Our arguments among those that are there


class ArgumentsEdit(NamedTuple):
    """Replace the arguments from start to end; the two are equal where some are inserted."""

    start: int
    end: int
    arguments: tuple[str, ...]


class QuotedArgument(NamedTuple):
    """An argument in a line: ``line[start:end]``, quotes and all, means ``text``."""

    start: int
    end: int
    text: str


def argument_edits(
    present_arguments: Sequence[str], our_arguments: Sequence[str]
) -> Iterator[ArgumentsEdit]:
    """What makes the arguments that are there give ours as well; in order."""
    present_flags = list(_flags_in(present_arguments))
    missing_arguments: list[str] = []
    replacements = []
    for flag in _flags_in(our_arguments):
        same_setting = [present for present in present_flags if present.setting == flag.setting]
        if any(present.value == flag.value for present in same_setting):
            continue
        if same_setting and not flag.is_repeatable:
            replacements.append(_replacement(same_setting[-1], flag))  # the last one counts
        else:
            missing_arguments += our_arguments[flag.start : flag.end]
    yield from sorted(replacements)
    if missing_arguments:
        end = len(present_arguments)
        yield ArgumentsEdit(end, end, tuple(missing_arguments))


def merged_arguments(
    present_arguments: Sequence[object], our_arguments: Sequence[str]
) -> list[object]:
    """The arguments that are there, with ours among them; JSON's numbers are arguments too."""
    arguments = list(present_arguments)
    for edit in reversed(list(argument_edits(list(map(str, arguments)), our_arguments))):
        arguments[edit.start : edit.end] = edit.arguments
    return arguments


def merged_argument_line(
    line: str | None,
    our_arguments: Sequence[str],
    split_arguments: Callable[[str], Iterator[QuotedArgument]],
    quoted_argument: Callable[[str], str],
) -> str:
    """The same for a line of arguments: every other character of it stays."""
    line = line or ""
    present = list(split_arguments(line))
    edits = list(argument_edits([argument.text for argument in present], our_arguments))
    for edit in reversed(edits):
        quoted_arguments = " ".join(map(quoted_argument, edit.arguments))
        if edit.start == edit.end:
            gap = " " if line and not line[-1].isspace() else ""
            line += gap + quoted_arguments
        else:
            start, end = present[edit.start].start, present[edit.end - 1].end
            line = line[:start] + quoted_arguments + line[end:]
    return line


class _FlagInArguments(NamedTuple):
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


def _replacement(present: _FlagInArguments, ours: _FlagInArguments) -> ArgumentsEdit:
    if isinstance(ours.value, bool) or isinstance(present.value, bool):
        flag = f"{ours.spelling}={ours.value}" if isinstance(ours.value, str) else ours.spelling
        return ArgumentsEdit(present.start, present.end, (flag,))
    if present.end - present.start == 2:
        return ArgumentsEdit(present.end - 1, present.end, (ours.value,))
    separator = "=" if present.spelling.startswith("--") else ""
    flag = f"{present.spelling}{separator}{ours.value}"
    return ArgumentsEdit(present.start, present.end, (flag,))


def _flags_in(arguments: Sequence[str]) -> Iterator[_FlagInArguments]:
    index = 0
    while index < len(arguments):
        flag = _flag_at(arguments, index)
        if flag is not None:
            yield flag
        index = flag.end if flag else index + 1


def _flag_at(arguments: Sequence[str], index: int) -> _FlagInArguments | None:
    spelling, joined_value = _flag_and_joined_value(arguments[index])
    flag = _FLAG_SPELLINGS.get(spelling)
    if flag is None:
        return None
    if flag.is_switch:
        return _FlagInArguments(flag.setting, spelling, flag.switches_on, index, index + 1)
    if joined_value is not None:
        return _FlagInArguments(flag.setting, spelling, joined_value, index, index + 1)
    next_argument = arguments[index + 1 : index + 2]
    if next_argument and not (flag.may_stand_alone and next_argument[0].startswith("-")):
        return _FlagInArguments(flag.setting, spelling, next_argument[0], index, index + 2)
    return _FlagInArguments(flag.setting, spelling, True, index, index + 1)


def _flag_and_joined_value(argument: str) -> tuple[str, str | None]:
    """The flag, and the value that is joined to it: ``--port=80``, ``-p80``."""
    if argument.startswith("--"):
        flag, equals, value = argument.partition("=")
        return flag, value if equals else None
    return argument[:2], argument[2:] or None


class _FlagSpelling(NamedTuple):
    """What a flag says of its setting."""

    setting: str
    is_switch: bool = False
    switches_on: bool = True
    may_stand_alone: bool = False


def _flag_spellings(declaration: Declaration) -> Iterator[tuple[str, _FlagSpelling]]:
    is_switch = bool(declaration.off_flag or declaration.argv_only)
    may_stand_alone = declaration.bare_flag is not None
    for spelling in filter(None, (declaration.flag, declaration.short_flag)):
        yield spelling, _FlagSpelling(declaration.name, is_switch, may_stand_alone=may_stand_alone)
    if declaration.off_flag:
        yield declaration.off_flag, _FlagSpelling(declaration.name, is_switch, switches_on=False)


_FLAG_SPELLINGS = {
    **{spelling: _FlagSpelling("config") for spelling in ("--config", "-c")},
    **{
        spelling: flag
        for declaration in DECLARATIONS.values()
        for spelling, flag in _flag_spellings(declaration)
    },
}

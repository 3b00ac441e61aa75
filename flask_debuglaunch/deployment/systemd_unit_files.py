"""systemd's unit files: which of them make a unit, and how to read them and what they name.

Sources: systemd.unit(5) on the load path and on specifiers, systemd.syntax(7), systemd.exec(5) on
Environment= and EnvironmentFile=; and systemd's parse_env_file (src/basic/env-file.c) for the
quoting of the latter.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.configuration.value_origins import Origin
from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.regular_file import read_regular_file

# The files that make a unit
#
# Itself and its drop-ins, in the order in which systemd reads them. Where a systemd answers it is
# asked (`systemctl show`); else they are looked for as it does ("Unit File Load Path"). It is the
# values in the files that count, each with its line.

LOAD_PATH = tuple(
    map(
        Path,
        (
            "/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient",
            "/run/systemd/generator.early", "/etc/systemd/system", "/etc/systemd/system.attached",
            "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
            "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
            "/run/systemd/generator.late",
        ),
    )
)  # fmt: skip
"""The strongest first."""
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class UnitName:
    """`shop@blue.service`: prefix shop, instance blue; None where it is no instance."""

    full: str
    prefix: str
    instance: str | None

    @property
    def file_names(self) -> tuple[str, ...]:
        """The unit's own, then that of its template."""
        template = f"{self.prefix}@.service"
        return (self.full, template) if self.instance is not None else (self.full,)

    @property
    def drop_in_folders(self) -> tuple[str, ...]:
        """The strongest first: an instance's, its template's, shop-web- and shop- for
        shop-web-1.service, and those of all services."""
        parts = self.prefix.split("-")
        dashes = [f"{'-'.join(parts[:n])}-.service" for n in range(len(parts) - 1, 0, -1)]
        return tuple(f"{name}.d" for name in (*self.file_names, *dashes, "service"))


def unit_name(text: str) -> UnitName:
    full = text if text.endswith(".service") else f"{text}.service"
    prefix, at, instance = full.removesuffix(".service").partition("@")
    return UnitName(full, prefix, instance if at else None)


def unit_files(name: UnitName, asked: Origin) -> tuple[Path, ...]:
    """The unit's file and then its drop-ins, as they are read. Raises LaunchError."""
    found = _told_by_systemd(name) or tuple(_looked_for(name))
    if not found:
        hint = did_you_mean(name.full, _known_units(), ". `systemctl list-unit-files` lists them")
        raise LaunchError(f"{asked}: there is no unit {name.full}{hint}")
    if found[0].resolve() == Path("/dev/null"):
        raise LaunchError(f"{asked}: {name.full} is masked ({found[0]})")
    return found


def read_unit_file(file: Path, asked: Origin) -> str:
    """Raises LaunchError where it can't be read."""
    try:
        return read_regular_file(file).decode(errors="replace")
    except OSError as error:
        raise LaunchError(f"{asked}: {file} can't be read: {error.strerror}") from None


def unit_files_of_path(file: Path) -> tuple[Path, ...]:
    """A unit that is named by its path, and the drop-ins beside it."""
    name = unit_name(file.name)
    return (file, *_drop_ins(name, (file.parent,)))


def _told_by_systemd(name: UnitName) -> tuple[Path, ...] | None:
    """None where there is no systemd that answers, or it knows no such unit."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return None
    command = [systemctl, "show", "--property=FragmentPath,DropInPaths", "--", name.full]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if done.returncode or not told.get("FragmentPath"):
        return None
    return (Path(told["FragmentPath"]), *map(Path, told.get("DropInPaths", "").split()))


def _looked_for(name: UnitName) -> Iterator[Path]:
    candidates = (folder / one for one in name.file_names for folder in LOAD_PATH)
    fragment = next((one for one in candidates if one.exists()), None)
    if fragment is not None:
        yield fragment
        yield from _drop_ins(name, LOAD_PATH)


def _drop_ins(name: UnitName, load_path: tuple[Path, ...]) -> Iterator[Path]:
    """In the order of their file names; of two with one name the stronger folder's counts, and a
    link to /dev/null there takes both away."""
    by_name: dict[str, Path] = {}
    for drop_ins in name.drop_in_folders:
        for folder in load_path:
            for file in sorted((folder / drop_ins).glob("*.conf")):
                by_name.setdefault(file.name, file)
    for _, file in sorted(by_name.items()):
        if file.resolve() != Path("/dev/null"):
            yield file


def _known_units() -> list[str]:
    return sorted({one.name for folder in LOAD_PATH for one in folder.glob("*.service")})


# Assignments


@dataclass(frozen=True)
class Assignment:
    """A line `KEY=VALUE` of a section; line: its number in the file, counted from 1."""

    section: str
    key: str
    value: str
    line: int


def assignments(text: str) -> Iterator[Assignment]:
    """Of a unit file, in their order. A backslash at the end continues a line; comments in between
    are left out."""
    section = ""
    for number, line in _logical_lines(text):
        if found := re.fullmatch(r"\[(.+)\]", line):
            section = found[1]
            continue
        key, equals, value = line.partition("=")
        if equals:
            yield Assignment(section, key.strip(), value.strip(), number)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    begun, parts = 0, list[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not parts):
            continue
        begun = begun if parts else number
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        yield begun, " ".join([*parts, line]).strip()
        parts = []
    if parts:
        yield begun, " ".join(parts).strip()


# Words

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
            "\\": "\\", '"': '"', "'": "'", "s": " "}  # fmt: skip
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)


def words_of(text: str) -> list[str]:
    """The words of Environment=, ExecStart= and the like: parted by white space, quoted by either
    quote, with the escapes of C."""
    words, word, quote, position = list[str](), "", "", 0
    is_word = False
    while position < len(text):
        character = text[position]
        if character == "\\" and (found := _ESCAPE.match(text, position)):
            word, is_word, position = word + _of_escape(found), True, found.end()
            continue
        position += 1
        if character == quote:
            quote = ""
        elif quote or (character not in "\"'" and not character.isspace()):
            word, is_word = word + character, True
        elif character in "\"'":
            quote, is_word = character, True
        elif is_word:
            words.append(word)
            word, is_word = "", False
    return [*words, word] if is_word else words


def _of_escape(found: re.Match[str]) -> str:
    two, octal, four, other = found.groups()
    if two or four:
        return chr(int(two or four, 16))
    return chr(int(octal, 8)) if octal else _ESCAPES.get(other, found[0])


# Specifiers, %n and the like


def with_specifiers(text: str, values: Mapping[str, str]) -> str:
    """%n and the like by their letters. Raises KeyError, with the letter, for one that is not
    known."""
    known = {"%": "%", **values}
    return re.sub(r"%(.)", lambda found: known[found[1]], text)


def specifier_values(name: UnitName) -> Mapping[str, str]:
    """Those of the system's manager, whose user is root, whatever the service's is."""
    instance = name.instance or ""
    unescaped = _unescaped(instance)
    return {
        "n": name.full, "N": name.full.removesuffix(".service"), "p": name.prefix,
        "P": _unescaped(name.prefix), "i": instance, "I": unescaped,
        "f": f"/{unescaped or _unescaped(name.prefix)}", "j": name.prefix.rpartition("-")[2],
        "u": "root", "U": "0", "g": "root", "G": "0", "h": "/root", "s": "/bin/sh",
        "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc",
        "T": "/tmp", "V": "/var/tmp", "H": os.uname().nodename, "v": os.uname().release,
        "l": os.uname().nodename.partition(".")[0],
    }  # fmt: skip


def _unescaped(text: str) -> str:
    """As systemd-escape --unescape: - is /, \\x2d a character."""
    return words_of(text.replace("-", "/"))[0] if text else ""


# Environment files


def environment_file(text: str) -> Iterator[tuple[str, str, int]]:
    """NAME, value and line of each assignment.

    Other than in a shell a value may have spaces without quotes, and what stands behind it is no
    comment. Lines that are no assignment are passed over, as systemd does it.
    """
    reader = _EnvironmentFileReader(text)
    while (line := reader.next_line()) is not None:
        name, value, number = line
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            yield name, value, number


class _EnvironmentFileReader:
    """One pass over the text; quotes may reach over several lines."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1

    def next_line(self) -> tuple[str, str, int] | None:
        while self._at < len(self._text):
            begun = self._line
            rest = self._text[self._at :]
            found = re.match(r"[^\S\n]*(?:([#;])|([^=\n]*)=)?", rest)
            assert found is not None
            if found[1] or found[2] is None:
                self._skip_line(is_comment=bool(found[1]))
                continue
            self._at += found.end()
            return found[2].strip(), self._value(), begun
        return None

    def _skip_line(self, *, is_comment: bool) -> None:
        """A comment is continued by a backslash, too."""
        while (character := self._take()) not in ("", "\n"):
            if is_comment and character == "\\":
                self._take()

    def _value(self) -> str:
        """Quoted parts, and then what is not quoted, in which a quote is a character as others."""
        value = ""
        while (character := self._take()) not in ("", "\n"):
            if character == "'":
                value += self._single_quoted()
            elif character == '"':
                value += self._double_quoted()
            elif not character.isspace():
                return value + self._bare(character)
        return value

    def _single_quoted(self) -> str:
        text = ""
        while (character := self._take()) not in ("", "'"):
            text += character
        return text

    def _double_quoted(self) -> str:
        text = ""
        while (character := self._take()) not in ("", '"'):
            if character == "\\":
                escaped = self._take()
                character = escaped if escaped in '"\\`$' else f"\\{escaped}"
                character = "" if escaped == "\n" else character
            text += character
        return text

    def _bare(self, character: str) -> str:
        """To the end of the line, without the white space there that is not escaped."""
        text, kept = "", 0
        while character not in ("", "\n"):
            is_escape = character == "\\"
            text += self._take().strip("\n") if is_escape else character
            kept = len(text) if is_escape or not character.isspace() else kept
            character = self._take()
        return text[:kept]

    def _take(self) -> str:
        character = self._text[self._at : self._at + 1]
        self._at += 1
        self._line += character == "\n"
        return character

"""How systemd writes things: unit files, quoted words, specifiers and environment files. Pure.

Sources: systemd.syntax(7), systemd.unit(5) on specifiers, systemd.exec(5) on Environment= and
EnvironmentFile=; and systemd's parse_env_file (src/basic/env-file.c) for the quoting of the latter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


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
            word, is_word, position = word + _unescaped(found), True, found.end()
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


def _unescaped(found: re.Match[str]) -> str:
    two, octal, four, other = found.groups()
    if two or four:
        return chr(int(two or four, 16))
    return chr(int(octal, 8)) if octal else _ESCAPES.get(other, found[0])


def environment_file(text: str) -> Iterator[tuple[str, str, int]]:
    """NAME, value and line of each assignment.

    Other than in a shell a value may have spaces without quotes, and what stands behind it is no
    comment. Lines that are no assignment are passed over, as systemd does it.
    """
    reader = _Reader(text)
    while (line := reader.next_line()) is not None:
        name, value, number = line
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            yield name, value, number


class _Reader:
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

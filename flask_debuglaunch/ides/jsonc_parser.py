"""JSON with comments (JSONC), read as VS Code reads it: into values that know their places."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

BYTE_ORDER_MARK = "\ufeff"
LINE_END = re.compile(r"\r\n|\n|\r")
COMMENT = r"//[^\r\n]*|/\*.*?\*/"  # with re.DOTALL

_CLOSING = {"{": "}", "[": "]"}
_WORDS = {"true": True, "false": False, "null": None}
_OPEN_STRING = r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*'
_TOKEN = re.compile(
    rf'(?P<trivia>[ \t\r\n]+|{COMMENT})|(?P<mark>[][{{}},:])|(?P<string>{_OPEN_STRING}")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>true|false|null)",
    re.DOTALL,
)
_LONGEST_INT = 300  # digits; beyond, int() gets slow and JavaScript has only infinity


class JsoncError(ValueError):
    """VS Code would mark the text here, or an edit needs another kind of value here.

    ``line`` and ``column`` count from 1, the column in UTF-16 units as VS Code counts it.
    """

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column
        self.message = message


@dataclass(eq=False, repr=False, slots=True)
class Node:
    """A value: ``text[start:end]``, with the key before it and the comma after it."""

    parent: Node | None
    key: str | None
    key_start: int  # equals start where there is no key
    start: int
    end: int
    value: Any  # plain Python; of duplicate keys the last counts, as in VS Code
    comma: int | None = None
    children: list[Node] = field(default_factory=list)


class _Token(NamedTuple):
    kind: str  # "string", "number", "word", "end", or the mark itself
    start: int
    end: int


def parse(text: str) -> Node | None:
    """The root, or None if there is nothing but white space and comments.

    Raises JsoncError for whatever VS Code's parser reports, but comments and trailing commas.
    Not recursive: only memory limits how deep values may nest.
    """
    tokens = _tokens(text)
    token = next(tokens)
    if token.kind == "end":
        return None
    root = _value(text, token, parent=None)
    container = root if token.kind in _CLOSING else None
    while container:
        token = next(tokens)
        closing = _CLOSING[text[container.start]]
        last = container.children[-1] if container.children else None
        if token.kind == closing:
            container.end = token.end
            container = container.parent
        elif last and last.comma is None:
            if token.kind != ",":
                raise _unexpected(text, token, f"',' or '{closing}'")
            last.comma = token.start
        else:
            child = _child(text, token, tokens, container)
            container = child if text[child.start] in _CLOSING else container
    token = next(tokens)
    if token.kind != "end":
        raise _unexpected(text, token, "the end of the file")
    return root


def _tokens(text: str) -> Iterator[_Token]:
    position = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unreadable(text, position)
        if match.lastgroup != "trivia":
            yield _Token(match["mark"] or match.lastgroup or "", position, match.end())
        position = match.end()
    yield _Token("end", position, position)


def _child(text: str, token: _Token, tokens: Iterator[_Token], container: Node) -> Node:
    """The member or element that begins with token, added to its container."""
    if isinstance(container.value, list):
        child = _value(text, token, container)
        container.value.append(child.value)
    else:
        if token.kind != "string":
            raise _unexpected(text, token, "a \"key\" or '}'")
        colon = next(tokens)
        if colon.kind != ":":
            raise _unexpected(text, colon, "':'")
        child = _value(text, next(tokens), container)
        child.key, child.key_start = json.loads(text[token.start : token.end]), token.start
        container.value[child.key] = child.value
    container.children.append(child)
    return child


def _value(text: str, token: _Token, parent: Node | None) -> Node:
    """A scalar, or an object or array that is empty and open yet."""
    shown = text[token.start : token.end]
    value: Any
    if token.kind in _CLOSING:
        value = {} if token.kind == "{" else []
    elif token.kind == "string":
        value = json.loads(shown)
    elif token.kind == "number":
        whole = shown.removeprefix("-").isdigit() and len(shown) <= _LONGEST_INT
        value = int(shown) if whole else float(shown)
    elif token.kind == "word":
        value = _WORDS[shown]
    else:
        raise _unexpected(text, token, "a value")
    return Node(parent, None, token.start, token.start, token.end, value)


def error_at(text: str, position: int, message: str) -> JsoncError:
    """An error about ``text[position]``; it is returned, not raised."""
    lines = LINE_END.split(text[:position].removeprefix(BYTE_ORDER_MARK))
    column = len(lines[-1].encode("utf-16-le", "surrogatepass")) // 2 + 1
    return JsoncError(len(lines), column, message)


def _unexpected(text: str, token: _Token, expected: str) -> JsoncError:
    found = "the end of the file" if token.kind == "end" else text[token.start : token.end][:40]
    return error_at(text, token.start, f"expected {expected}, found {found}")


def _unreadable(text: str, position: int) -> JsoncError:
    if text.startswith("/*", position):
        return error_at(text, position, "the comment is not closed")
    string = re.compile(_OPEN_STRING).match(text, position)
    if string is None:
        word = re.compile(r'[^][{},:"/ \t\r\n]{1,40}|.').match(text, position)
        return error_at(text, position, f"not JSON: {word and word[0]!r}")
    stop = string.end()
    if text[stop : stop + 1] in ("", "\r", "\n"):
        return error_at(text, position, "the string is not closed")
    if text[stop] == "\\":
        return error_at(text, stop, f"unknown escape {text[stop : stop + 2]} in a string")
    return error_at(text, stop, f"control character {text[stop]!r} in a string")

"""How JSON with comments is written near a place of a text, and values written like that."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask_debuglaunch.ides.jsonc_parser import LINE_END, Node

_INDENT = re.compile(r"[ \t]*")
_COLON = re.compile(r'"([ \t]*:[ \t]*)\Z')
_NOT_PLAIN = re.compile("[\ud800-\udfff\u2028\u2029]")  # not UTF-8, or taken for line ends


class Style(NamedTuple):
    """By default as VS Code writes a new file."""

    line_end: str = "\n"
    unit: str = "    "  # of indentation
    colon: str = ": "
    space: str = " "  # after a comma on one line
    expanded: bool = True  # each item on a line of its own
    trailing_comma: str = ""


def style_at(text: str, node: Node | None) -> Style:
    """The style of the nearest object or array, from node outwards, that is not empty."""
    first_line_end = LINE_END.search(text)
    default = Style(first_line_end[0]) if first_line_end else Style()
    while node and not node.children:
        node = node.parent
    if node is None:
        return default
    first, last = node.children[0], node.children[-1]
    colon = _colon(text, node) or default.colon
    return Style(
        default.line_end,
        _unit(text, node) or default.unit,
        colon,
        space=" " if colon.endswith((" ", "\t")) else "",
        expanded=LINE_END.search(text, node.start, first.key_start) is not None,
        trailing_comma="" if last.comma is None else ",",
    )


def _unit(text: str, node: Node) -> str:
    """Measured from the closing bracket's line, which ``[{`` does not shift; else the opening's."""
    inner = indent_at(text, node.children[0].key_start)
    outer = indent_at(text, node.end - 1), indent_at(text, node.start)
    return inner.removeprefix(outer[0]) or inner.removeprefix(outer[1])


def _colon(text: str, node: Node | None) -> str | None:
    while node and node.children[0].key is None:
        node = node.parent
    match = node and _COLON.search(text, node.children[0].key_start, node.children[0].start)
    return match[1] if match else None


def indent_at(text: str, position: int) -> str:
    """The blanks that the line of this position starts with."""
    line_start = text.rfind("\n", 0, position) + 1
    line_start = max(line_start, text.rfind("\r", line_start, position) + 1)
    indent = _INDENT.match(text, line_start)
    return indent[0] if indent else ""


def rendered(value: Any, style: Style, indent: str = "") -> str:
    """The value as JSON, for a line that starts with indent.

    Raises ValueError or TypeError for what JSON does not have, as NaN and infinity.
    """
    if isinstance(value, Mapping):
        opening, closing = "{}"
    elif isinstance(value, list | tuple):
        opening, closing = "[]"
    else:
        return _scalar(value)
    if not value:
        return opening + closing
    if not style.expanded:
        return opening + joined_on_line(value, style, indent) + closing
    inner = indent + style.unit
    lines = on_own_lines(value, style, inner) + style.trailing_comma
    return opening + lines + style.line_end + indent + closing


def on_own_lines(value: Any, style: Style, indent: str) -> str:
    """The items of a mapping or list, each with a line end and an indent before it."""
    return ",".join(style.line_end + indent + item for item in _items(value, style, indent))


def joined_on_line(value: Any, style: Style, indent: str) -> str:
    """The items of a mapping or list, separated by commas; indent is that of their line."""
    return ("," + style.space).join(_items(value, style, indent))


def _items(value: Any, style: Style, indent: str) -> list[str]:
    if isinstance(value, Mapping):
        return [
            _scalar(key) + style.colon + rendered(member, style, indent)
            for key, member in value.items()
        ]
    return [rendered(element, style, indent) for element in value]


def _scalar(value: Any) -> str:
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _NOT_PLAIN.sub(lambda match: f"\\u{ord(match[0]):04x}", plain)

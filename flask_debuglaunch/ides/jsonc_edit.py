"""Changes JSON with comments, as VS Code's launch.json, and leaves all else as it was.

``merge`` and ``remove`` take a text and return a text in which every byte that is not theirs is
kept: comments, order, indentation, line ends, byte order mark, trailing commas. What is new is
written in the style of its surroundings. ``parse`` reads it as VS Code does, into values that know
their places. The time taken is linear in the length of the text.

Own code, because no library does this: of 13 on PyPI none could insert and replace an entry and
leave the rest of the bytes alone (the nearest needs node at run time and rewrote CRLF).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

BYTE_ORDER_MARK = "\ufeff"
LINE_END = re.compile(r"\r\n|\n|\r")
COMMENT = r"//[^\r\n]*|/\*.*?\*/"  # with re.DOTALL


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


class Where(NamedTuple):
    """A step of a path: the first element of an array that is an object with this member."""

    key: str
    value: str


Path: TypeAlias = "Sequence[str | Where]"  # a str is the key of an object's member


def merge(text: str, path: Path, value: Any) -> str:
    """Make the value at path equal to value; what is missing on the way is created.

    Objects are merged member by member, so that members which value does not name, and comments,
    stay; so are arrays that get no shorter, element by element. Anything else is replaced if it
    differs. What is new comes last. Raises JsoncError if the text can't be parsed, or if something
    on the way is there but of another kind.
    """
    node = parse(text)
    if node is None:
        return _with_root(text, _wrapped(path, value))
    for depth, step in enumerate(path):
        child = _find(text, node, step)
        if child is None:
            return _applied(text, _insertion(text, node, _wrapped(path[depth:], value)))
        node = child
    return _applied(text, _merging(text, node, value))


def remove(text: str, path: Path) -> str:
    """Take out the member or element at path, if it is there, and its comma.

    Comments around it stay. Raises JsoncError as ``merge`` does.
    """
    node = parse(text)
    for step in path:
        node = node and _find(text, node, step)
    return _applied(text, _removal(text, node)) if node else text


# Finding and comparing


def _find(text: str, node: Node, step: str | Where) -> Node | None:
    """The child at step; None if node could have such a child but has not."""
    needed = dict if isinstance(step, str) else list
    if not isinstance(node.value, needed):
        kind = "an object" if needed is dict else "an array"
        found = text[node.start : min(node.end, node.start + 40)]
        raise _error_at(text, node.start, f"expected {kind}, found {found}")
    if isinstance(step, str):
        return next((child for child in reversed(node.children) if child.key == step), None)
    return next((child for child in node.children if _matches(child.value, step)), None)


def _matches(value: Any, where: Where) -> bool:
    return isinstance(value, dict) and bool(value.get(where.key) == where.value)


def _wrapped(path: Path, value: Any) -> Any:
    """What has value at path, and nothing else."""
    for step in reversed(path):
        value = {step: value} if isinstance(step, str) else [{step.key: step.value, **value}]
    return value


def _same(old: Any, new: Any) -> bool:
    """Equal as JSON, where true is not 1. Recurses as deep as new, however deep old is."""
    if isinstance(new, Mapping):
        same_keys = isinstance(old, dict) and old.keys() == new.keys()
        return same_keys and all(_same(old[key], new[key]) for key in new)
    if isinstance(new, list | tuple):
        return isinstance(old, list) and len(old) == len(new) and all(map(_same, old, new))
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)


# Editing

_LEADING_COMMENTS = re.compile(rf"(?:[ \t\r\n]*(?:{COMMENT}))*", re.DOTALL)
_REST_OF_LINE = re.compile(
    r"(?:[ \t]*/\*.*?\*/)*(?P<line_comment>[ \t]*//[^\r\n]*)?(?:[ \t]*(?=[\r\n]))?", re.DOTALL
)


class _Edit(NamedTuple):
    start: int
    end: int
    text: str = ""


def _applied(text: str, edits: Iterable[_Edit]) -> str:
    pieces, position = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        pieces += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*pieces, text[position:]])


def _with_root(text: str, value: Any) -> str:
    style = _style_at(text, None)
    starts_line = text in ("", BYTE_ORDER_MARK) or text.endswith(("\r", "\n"))
    return text + ("" if starts_line else style.line_end) + _rendered(value, style) + style.line_end


def _merging(text: str, node: Node, value: Any) -> Iterator[_Edit]:
    if isinstance(node.value, dict) and isinstance(value, Mapping):
        children = {child.key: child for child in node.children}
        for key in value.keys() & children.keys():
            yield from _merging(text, children[key], value[key])
        new = {key: member for key, member in value.items() if key not in children}
        if new:
            yield from _insertion(text, node, new)
    elif _is_longer_list(value, node.value):
        for child, element in zip(node.children, value, strict=False):
            yield from _replacing(text, child, element)
        new_elements = value[len(node.children) :]
        if new_elements:
            yield from _insertion(text, node, new_elements)
    else:
        yield from _replacing(text, node, value)


def _is_longer_list(value: Any, present: Any) -> bool:
    """Or as long: an array that gets shorter is replaced as a whole."""
    both = isinstance(value, list | tuple) and isinstance(present, list)
    return both and len(value) >= len(present)


def _replacing(text: str, node: Node, value: Any) -> Iterator[_Edit]:
    if not _same(node.value, value):
        replaced = _rendered(value, _style_at(text, node), _indent_at(text, node.start))
        yield _Edit(node.start, node.end, replaced)


def _insertion(text: str, node: Node, new: Any) -> list[_Edit]:
    """New members (a mapping) or elements (a list) after those that node has."""
    return _after_last(text, node, new) if node.children else _into_empty(text, node, new)


def _after_last(text: str, node: Node, new: Any) -> list[_Edit]:
    last = node.children[-1]
    before_last = node.children[-2].end if len(node.children) > 1 else node.start
    rest = _REST_OF_LINE.match(text, last.end if last.comma is None else last.comma + 1)
    assert rest  # it matches the empty string too
    place = rest.end()
    style = _style_at(text, last if last.key is None else node)
    if rest["line_comment"] or LINE_END.search(text, before_last, last.key_start):
        inserted = _on_own_lines(new, style, _indent_at(text, last.key_start))
        comma = last.end
    else:
        inserted = style.space + _joined_on_line(new, style, _indent_at(text, last.end - 1))
        comma = place
    if last.comma is not None:
        return [_Edit(place, place, inserted + ",")]
    return [_Edit(comma, comma, ","), _Edit(place, place, inserted)]


def _into_empty(text: str, node: Node, new: Any) -> list[_Edit]:
    comments = _LEADING_COMMENTS.match(text, node.start + 1)
    assert comments  # it matches the empty string too
    place, closing = comments.end(), node.end - 1
    style, indent = _style_at(text, node), _indent_at(text, node.start)
    has_line_end = LINE_END.search(text, place, closing)
    if not has_line_end and not style.expanded:
        return [_Edit(closing, closing, _joined_on_line(new, style, indent))]
    inserted = _on_own_lines(new, style, indent + style.unit) + style.trailing_comma
    if has_line_end:
        return [_Edit(place, place, inserted)]
    return [_Edit(closing, closing, inserted + style.line_end + indent)]


def _removal(text: str, node: Node) -> Iterator[_Edit]:
    siblings = node.parent.children if node.parent else [node]
    going = [child for child in siblings if _goes_with(node, child)]
    staying = [child for child in siblings if not _goes_with(node, child)]
    for child in going:
        yield from _removal_of(text, child)
    if staying and going[-1] is siblings[-1] and going[-1].comma is None:
        yield from _removal_of_comma(staying[-1])


def _goes_with(node: Node, sibling: Node) -> bool:
    """Duplicates go together: without the last one, the one before would count."""
    return sibling is node or (node.key is not None and sibling.key == node.key)


def _removal_of_comma(node: Node) -> Iterator[_Edit]:
    if node.comma is not None:
        yield _Edit(node.comma, node.comma + 1)


def _removal_of(text: str, node: Node) -> Iterator[_Edit]:
    """The item and its comma, with the line or the blanks that were there for their sake."""
    end = node.end
    if node.comma is None or text[end : node.comma].strip():  # a comment before the comma stays
        yield from _removal_of_comma(node)
    else:
        end = node.comma + 1
    blanks_start, blanks_end = _with_blanks(text, node.key_start, end)
    begins_line = text.endswith(("\r", "\n"), 0, blanks_start)
    line_end = LINE_END.match(text, blanks_end)
    if begins_line and line_end:
        yield _Edit(blanks_start, line_end.end())
    elif begins_line or end != node.end:
        yield _Edit(node.key_start, blanks_end)
    else:
        yield _Edit(blanks_start, end)


def _with_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """The span with the blanks on both its sides."""
    while start > 0 and text[start - 1] in " \t":
        start -= 1
    while end < len(text) and text[end] in " \t":
        end += 1
    return start, end


# Parsing

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


def _error_at(text: str, position: int, message: str) -> JsoncError:
    """An error about ``text[position]``; it is returned, not raised."""
    lines = LINE_END.split(text[:position].removeprefix(BYTE_ORDER_MARK))
    column = len(lines[-1].encode("utf-16-le", "surrogatepass")) // 2 + 1
    return JsoncError(len(lines), column, message)


def _unexpected(text: str, token: _Token, expected: str) -> JsoncError:
    found = "the end of the file" if token.kind == "end" else text[token.start : token.end][:40]
    return _error_at(text, token.start, f"expected {expected}, found {found}")


def _unreadable(text: str, position: int) -> JsoncError:
    if text.startswith("/*", position):
        return _error_at(text, position, "the comment is not closed")
    string = re.compile(_OPEN_STRING).match(text, position)
    if string is None:
        word = re.compile(r'[^][{},:"/ \t\r\n]{1,40}|.').match(text, position)
        return _error_at(text, position, f"not JSON: {word and word[0]!r}")
    stop = string.end()
    if text[stop : stop + 1] in ("", "\r", "\n"):
        return _error_at(text, position, "the string is not closed")
    if text[stop] == "\\":
        return _error_at(text, stop, f"unknown escape {text[stop : stop + 2]} in a string")
    return _error_at(text, stop, f"control character {text[stop]!r} in a string")


# Writing in the style of the surroundings

_INDENT = re.compile(r"[ \t]*")
_COLON = re.compile(r'"([ \t]*:[ \t]*)\Z')
_NOT_PLAIN = re.compile("[\ud800-\udfff\u2028\u2029]")  # not UTF-8, or taken for line ends


class _Style(NamedTuple):
    """By default as VS Code writes a new file."""

    line_end: str = "\n"
    unit: str = "    "  # of indentation
    colon: str = ": "
    space: str = " "  # after a comma on one line
    expanded: bool = True  # each item on a line of its own
    trailing_comma: str = ""


def _style_at(text: str, node: Node | None) -> _Style:
    """The style of the nearest object or array, from node outwards, that is not empty."""
    first_line_end = LINE_END.search(text)
    default = _Style(first_line_end[0]) if first_line_end else _Style()
    while node and not node.children:
        node = node.parent
    if node is None:
        return default
    first, last = node.children[0], node.children[-1]
    colon = _colon(text, node) or default.colon
    return _Style(
        default.line_end,
        _unit(text, node) or default.unit,
        colon,
        space=" " if colon.endswith((" ", "\t")) else "",
        expanded=LINE_END.search(text, node.start, first.key_start) is not None,
        trailing_comma="" if last.comma is None else ",",
    )


def _unit(text: str, node: Node) -> str:
    """Measured from the closing bracket's line, which ``[{`` does not shift; else the opening's."""
    inner = _indent_at(text, node.children[0].key_start)
    outer = _indent_at(text, node.end - 1), _indent_at(text, node.start)
    return inner.removeprefix(outer[0]) or inner.removeprefix(outer[1])


def _colon(text: str, node: Node | None) -> str | None:
    while node and node.children[0].key is None:
        node = node.parent
    match = node and _COLON.search(text, node.children[0].key_start, node.children[0].start)
    return match[1] if match else None


def _indent_at(text: str, position: int) -> str:
    """The blanks that the line of this position starts with."""
    line_start = text.rfind("\n", 0, position) + 1
    line_start = max(line_start, text.rfind("\r", line_start, position) + 1)
    indent = _INDENT.match(text, line_start)
    return indent[0] if indent else ""


def _rendered(value: Any, style: _Style, indent: str = "") -> str:
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
        return opening + _joined_on_line(value, style, indent) + closing
    inner = indent + style.unit
    lines = _on_own_lines(value, style, inner) + style.trailing_comma
    return opening + lines + style.line_end + indent + closing


def _on_own_lines(value: Any, style: _Style, indent: str) -> str:
    """The items of a mapping or list, each with a line end and an indent before it."""
    return ",".join(style.line_end + indent + item for item in _items(value, style, indent))


def _joined_on_line(value: Any, style: _Style, indent: str) -> str:
    """The items of a mapping or list, separated by commas; indent is that of their line."""
    return ("," + style.space).join(_items(value, style, indent))


def _items(value: Any, style: _Style, indent: str) -> list[str]:
    if isinstance(value, Mapping):
        return [
            _scalar(key) + style.colon + _rendered(member, style, indent)
            for key, member in value.items()
        ]
    return [_rendered(element, style, indent) for element in value]


def _scalar(value: Any) -> str:
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _NOT_PLAIN.sub(lambda match: f"\\u{ord(match[0]):04x}", plain)

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

from flask_debuglaunch.errors import EditRefused

BYTE_ORDER_MARK = "\ufeff"
LINE_END = re.compile(r"\r\n|\n|\r")
COMMENT = r"//[^\r\n]*|/\*.*?\*/"  # with re.DOTALL


class JsoncError(EditRefused):
    """VS Code would mark the text here, or an edit needs another kind of value here.

    The column counts in UTF-16 units as VS Code counts it.
    """


@dataclass(eq=False, repr=False, slots=True)
class JsonNode:
    """A value: ``text[start:end]``, with the key before it and the comma after it."""

    parent: JsonNode | None
    key: str | None
    key_start: int  # equals start where there is no key
    start: int
    end: int
    value: Any  # plain Python; of duplicate keys the last counts, as in VS Code
    comma: int | None = None
    children: list[JsonNode] = field(default_factory=list)


class ElementWithMember(NamedTuple):
    """A step of a path: the first element of an array that is an object with this member."""

    key: str
    value: str


JsonPath: TypeAlias = "Sequence[str | ElementWithMember]"  # a str is the key of an object's member


def merge(text: str, path: JsonPath, value: Any) -> str:
    """Make the value at path equal to value; what is missing on the way is created.

    Objects are merged member by member, so that members which value does not name, and comments,
    stay; so are arrays that get no shorter, element by element. Anything else is replaced if it
    differs. What is new comes last. Raises JsoncError if the text can't be parsed, or if something
    on the way is there but of another kind.
    """
    node = parse(text)
    if node is None:
        return _with_root_value(text, _value_on_path(path, value))
    for depth, step in enumerate(path):
        child = _child_at(text, node, step)
        if child is None:
            return _with_edits(
                text, _edits_to_insert(text, node, _value_on_path(path[depth:], value))
            )
        node = child
    return _with_edits(text, _edits_to_merge(text, node, value))


def remove(text: str, path: JsonPath) -> str:
    """Take out the member or element at path, if it is there, and its comma.

    Comments around it stay. Raises JsoncError as ``merge`` does.
    """
    node = parse(text)
    for step in path:
        node = node and _child_at(text, node, step)
    return _with_edits(text, _edits_to_remove(text, node)) if node else text


# Finding and comparing


def _child_at(text: str, node: JsonNode, step: str | ElementWithMember) -> JsonNode | None:
    """The child at step; None if node could have such a child but has not."""
    container_type = dict if isinstance(step, str) else list
    if not isinstance(node.value, container_type):
        expected = "an object" if container_type is dict else "an array"
        shown = text[node.start : min(node.end, node.start + 40)]
        raise _error_at(text, node.start, f"expected {expected}, found {shown}")
    if isinstance(step, str):
        return next((child for child in reversed(node.children) if child.key == step), None)
    return next(
        (child for child in node.children if _is_element_with_member(child.value, step)), None
    )


def _is_element_with_member(value: Any, step: ElementWithMember) -> bool:
    return isinstance(value, dict) and bool(value.get(step.key) == step.value)


def _value_on_path(path: JsonPath, value: Any) -> Any:
    """What has value at path, and nothing else."""
    for step in reversed(path):
        value = {step: value} if isinstance(step, str) else [{step.key: step.value, **value}]
    return value


def _is_equal_json(present_value: Any, new_value: Any) -> bool:
    """Equal as JSON, where true is not 1. Recurses as deep as the new one goes."""
    if isinstance(new_value, Mapping):
        same_keys = isinstance(present_value, dict) and present_value.keys() == new_value.keys()
        return same_keys and all(
            _is_equal_json(present_value[key], new_value[key]) for key in new_value
        )
    if isinstance(new_value, list | tuple):
        return (
            isinstance(present_value, list)
            and len(present_value) == len(new_value)
            and all(map(_is_equal_json, present_value, new_value))
        )
    return isinstance(present_value, bool) == isinstance(new_value, bool) and bool(
        present_value == new_value
    )


# Editing

_LEADING_COMMENTS = re.compile(rf"(?:[ \t\r\n]*(?:{COMMENT}))*", re.DOTALL)
_COMMENTS_IN_LINE = re.compile(
    r"(?:[ \t]*/\*.*?\*/)*(?P<line_comment>[ \t]*//[^\r\n]*)?(?:[ \t]*(?=[\r\n]))?", re.DOTALL
)


class _TextEdit(NamedTuple):
    start: int
    end: int
    text: str = ""


def _with_edits(text: str, edits: Iterable[_TextEdit]) -> str:
    text_parts, position = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        text_parts += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*text_parts, text[position:]])


def _with_root_value(text: str, value: Any) -> str:
    style = _style_at(text, None)
    starts_line = text in ("", BYTE_ORDER_MARK) or text.endswith(("\r", "\n"))
    return (
        text + ("" if starts_line else style.line_end) + _json_text(value, style) + style.line_end
    )


def _edits_to_merge(text: str, node: JsonNode, value: Any) -> Iterator[_TextEdit]:
    if isinstance(node.value, dict) and isinstance(value, Mapping):
        children = {child.key: child for child in node.children}
        for key in value.keys() & children.keys():
            yield from _edits_to_merge(text, children[key], value[key])
        new_members = {key: member for key, member in value.items() if key not in children}
        if new_members:
            yield from _edits_to_insert(text, node, new_members)
    elif _is_longer_list(value, node.value):
        for child, element in zip(node.children, value, strict=False):
            yield from _edits_to_replace(text, child, element)
        new_elements = value[len(node.children) :]
        if new_elements:
            yield from _edits_to_insert(text, node, new_elements)
    else:
        yield from _edits_to_replace(text, node, value)


def _is_longer_list(new_value: Any, present_value: Any) -> bool:
    """Or as long: an array that gets shorter is replaced as a whole."""
    are_lists = isinstance(new_value, list | tuple) and isinstance(present_value, list)
    return are_lists and len(new_value) >= len(present_value)


def _edits_to_replace(text: str, node: JsonNode, value: Any) -> Iterator[_TextEdit]:
    if not _is_equal_json(node.value, value):
        json_text = _json_text(value, _style_at(text, node), _indent_at(text, node.start))
        yield _TextEdit(node.start, node.end, json_text)


def _edits_to_insert(text: str, node: JsonNode, new_items: Any) -> list[_TextEdit]:
    """New members (a mapping) or elements (a list) after those that node has."""
    return (
        _insert_after_last(text, node, new_items)
        if node.children
        else _insert_into_empty(text, node, new_items)
    )


def _insert_after_last(text: str, node: JsonNode, new_items: Any) -> list[_TextEdit]:
    last_child = node.children[-1]
    before_last_child = node.children[-2].end if len(node.children) > 1 else node.start
    comments = _COMMENTS_IN_LINE.match(
        text, last_child.end if last_child.comma is None else last_child.comma + 1
    )
    assert comments  # it matches the empty string too
    insert_at = comments.end()
    style = _style_at(text, last_child if last_child.key is None else node)
    if comments["line_comment"] or LINE_END.search(text, before_last_child, last_child.key_start):
        inserted_json = _items_on_own_lines(
            new_items, style, _indent_at(text, last_child.key_start)
        )
        comma_at = last_child.end
    else:
        inserted_json = style.space_after_comma + _items_on_one_line(
            new_items, style, _indent_at(text, last_child.end - 1)
        )
        comma_at = insert_at
    if last_child.comma is not None:
        return [_TextEdit(insert_at, insert_at, inserted_json + ",")]
    return [_TextEdit(comma_at, comma_at, ","), _TextEdit(insert_at, insert_at, inserted_json)]


def _insert_into_empty(text: str, node: JsonNode, new_items: Any) -> list[_TextEdit]:
    comments = _LEADING_COMMENTS.match(text, node.start + 1)
    assert comments  # it matches the empty string too
    insert_at, closing_bracket = comments.end(), node.end - 1
    style, indent = _style_at(text, node), _indent_at(text, node.start)
    has_line_end = LINE_END.search(text, insert_at, closing_bracket)
    if not has_line_end and not style.items_on_own_lines:
        return [
            _TextEdit(
                closing_bracket, closing_bracket, _items_on_one_line(new_items, style, indent)
            )
        ]
    inserted_json = (
        _items_on_own_lines(new_items, style, indent + style.indentation) + style.trailing_comma
    )
    if has_line_end:
        return [_TextEdit(insert_at, insert_at, inserted_json)]
    return [_TextEdit(closing_bracket, closing_bracket, inserted_json + style.line_end + indent)]


def _edits_to_remove(text: str, node: JsonNode) -> Iterator[_TextEdit]:
    siblings = node.parent.children if node.parent else [node]
    removed_nodes = [child for child in siblings if _is_removed_with(node, child)]
    remaining_nodes = [child for child in siblings if not _is_removed_with(node, child)]
    for child in removed_nodes:
        yield from _edits_to_remove_item(text, child)
    if remaining_nodes and removed_nodes[-1] is siblings[-1] and removed_nodes[-1].comma is None:
        yield from _edits_to_remove_comma(remaining_nodes[-1])


def _is_removed_with(node: JsonNode, sibling: JsonNode) -> bool:
    """Duplicates go together: without the last one, the one before would count."""
    return sibling is node or (node.key is not None and sibling.key == node.key)


def _edits_to_remove_comma(node: JsonNode) -> Iterator[_TextEdit]:
    if node.comma is not None:
        yield _TextEdit(node.comma, node.comma + 1)


def _edits_to_remove_item(text: str, node: JsonNode) -> Iterator[_TextEdit]:
    """The item and its comma, with the line or the blanks that were there for their sake."""
    item_end = node.end
    if (
        node.comma is None or text[item_end : node.comma].strip()
    ):  # a comment before the comma stays
        yield from _edits_to_remove_comma(node)
    else:
        item_end = node.comma + 1
    blanks_start, blanks_end = _span_with_blanks(text, node.key_start, item_end)
    begins_line = text.endswith(("\r", "\n"), 0, blanks_start)
    line_end = LINE_END.match(text, blanks_end)
    if begins_line and line_end:
        yield _TextEdit(blanks_start, line_end.end())
    elif begins_line or item_end != node.end:
        yield _TextEdit(node.key_start, blanks_end)
    else:
        yield _TextEdit(blanks_start, item_end)


def _span_with_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """The span with the blanks on both its sides."""
    while start > 0 and text[start - 1] in " \t":
        start -= 1
    while end < len(text) and text[end] in " \t":
        end += 1
    return start, end


# Parsing

_CLOSING_BRACKETS = {"{": "}", "[": "]"}
_LITERALS = {"true": True, "false": False, "null": None}
_UNCLOSED_STRING = r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*'
_JSON_TOKEN = re.compile(
    rf'(?P<trivia>[ \t\r\n]+|{COMMENT})|(?P<mark>[][{{}},:])|(?P<string>{_UNCLOSED_STRING}")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>true|false|null)",
    re.DOTALL,
)
_LONGEST_INT = 300  # digits; beyond, int() gets slow and JavaScript has only infinity


class _JsonToken(NamedTuple):
    kind: str  # "string", "number", "word", "end", or the mark itself
    start: int
    end: int


def parse(text: str) -> JsonNode | None:
    """The root, or None if there is nothing but white space and comments.

    Raises JsoncError for whatever VS Code's parser reports, but comments and trailing commas.
    Not recursive: only memory limits how deep values may nest.
    """
    tokens = _tokens(text)
    token = next(tokens)
    if token.kind == "end":
        return None
    root = _parsed_value(text, token, parent=None)
    container = root if token.kind in _CLOSING_BRACKETS else None
    while container:
        token = next(tokens)
        closing_bracket = _CLOSING_BRACKETS[text[container.start]]
        last_child = container.children[-1] if container.children else None
        if token.kind == closing_bracket:
            container.end = token.end
            container = container.parent
        elif last_child and last_child.comma is None:
            if token.kind != ",":
                raise _unexpected_token(text, token, f"',' or '{closing_bracket}'")
            last_child.comma = token.start
        else:
            child = _parsed_child(text, token, tokens, container)
            container = child if text[child.start] in _CLOSING_BRACKETS else container
    token = next(tokens)
    if token.kind != "end":
        raise _unexpected_token(text, token, "the end of the file")
    return root


def _tokens(text: str) -> Iterator[_JsonToken]:
    position = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    while position < len(text):
        token_match = _JSON_TOKEN.match(text, position)
        if token_match is None:
            raise _unreadable_token(text, position)
        if token_match.lastgroup != "trivia":
            yield _JsonToken(
                token_match["mark"] or token_match.lastgroup or "", position, token_match.end()
            )
        position = token_match.end()
    yield _JsonToken("end", position, position)


def _parsed_child(
    text: str, token: _JsonToken, tokens: Iterator[_JsonToken], container: JsonNode
) -> JsonNode:
    """The member or element that begins with token, added to its container."""
    if isinstance(container.value, list):
        child = _parsed_value(text, token, container)
        container.value.append(child.value)
    else:
        if token.kind != "string":
            raise _unexpected_token(text, token, "a \"key\" or '}'")
        colon = next(tokens)
        if colon.kind != ":":
            raise _unexpected_token(text, colon, "':'")
        child = _parsed_value(text, next(tokens), container)
        child.key, child.key_start = json.loads(text[token.start : token.end]), token.start
        container.value[child.key] = child.value
    container.children.append(child)
    return child


def _parsed_value(text: str, token: _JsonToken, parent: JsonNode | None) -> JsonNode:
    """A scalar, or an object or array that is empty and open yet."""
    token_text = text[token.start : token.end]
    value: Any
    if token.kind in _CLOSING_BRACKETS:
        value = {} if token.kind == "{" else []
    elif token.kind == "string":
        value = json.loads(token_text)
    elif token.kind == "number":
        is_int = token_text.removeprefix("-").isdigit() and len(token_text) <= _LONGEST_INT
        value = int(token_text) if is_int else float(token_text)
    elif token.kind == "word":
        value = _LITERALS[token_text]
    else:
        raise _unexpected_token(text, token, "a value")
    return JsonNode(parent, None, token.start, token.start, token.end, value)


def _error_at(text: str, position: int, message: str) -> JsoncError:
    """An error about ``text[position]``; it is returned, not raised."""
    lines_before = LINE_END.split(text[:position].removeprefix(BYTE_ORDER_MARK))
    column = len(lines_before[-1].encode("utf-16-le", "surrogatepass")) // 2 + 1
    return JsoncError(len(lines_before), column, message)


def _unexpected_token(text: str, token: _JsonToken, expected: str) -> JsoncError:
    token_text = text[token.start : token.end][:40]
    shown = "the end of the file" if token.kind == "end" else token_text
    return _error_at(text, token.start, f"expected {expected}, found {shown}")


def _unreadable_token(text: str, position: int) -> JsoncError:
    if text.startswith("/*", position):
        return _error_at(text, position, "the comment is not closed")
    string = re.compile(_UNCLOSED_STRING).match(text, position)
    if string is None:
        word = re.compile(r'[^][{},:"/ \t\r\n]{1,40}|.').match(text, position)
        return _error_at(text, position, f"not JSON: {word and word[0]!r}")
    string_end = string.end()
    if text[string_end : string_end + 1] in ("", "\r", "\n"):
        return _error_at(text, position, "the string is not closed")
    if text[string_end] == "\\":
        return _error_at(
            text, string_end, f"unknown escape {text[string_end : string_end + 2]} in a string"
        )
    return _error_at(text, string_end, f"control character {text[string_end]!r} in a string")


# Writing in the style of the surroundings

_BLANKS = re.compile(r"[ \t]*")
_COLON_BEFORE_VALUE = re.compile(r'"([ \t]*:[ \t]*)\Z')
_TO_ESCAPE = re.compile("[\ud800-\udfff\u2028\u2029]")  # not UTF-8, or taken for line ends


class _JsonStyle(NamedTuple):
    """By default as VS Code writes a new file."""

    line_end: str = "\n"
    indentation: str = "    "
    colon: str = ": "
    space_after_comma: str = " "  # on one line
    items_on_own_lines: bool = True
    trailing_comma: str = ""


def _style_at(text: str, node: JsonNode | None) -> _JsonStyle:
    """The style of the nearest object or array, from node outwards, that is not empty."""
    first_line_end = LINE_END.search(text)
    default_style = _JsonStyle(first_line_end[0]) if first_line_end else _JsonStyle()
    while node and not node.children:
        node = node.parent
    if node is None:
        return default_style
    first_child, last_child = node.children[0], node.children[-1]
    colon = _colon_in(text, node) or default_style.colon
    return _JsonStyle(
        default_style.line_end,
        _indentation_in(text, node) or default_style.indentation,
        colon,
        space_after_comma=" " if colon.endswith((" ", "\t")) else "",
        items_on_own_lines=LINE_END.search(text, node.start, first_child.key_start) is not None,
        trailing_comma="" if last_child.comma is None else ",",
    )


def _indentation_in(text: str, node: JsonNode) -> str:
    """Measured from the closing bracket's line, which ``[{`` does not shift; else the opening's."""
    child_indent = _indent_at(text, node.children[0].key_start)
    closing_indent, opening_indent = _indent_at(text, node.end - 1), _indent_at(text, node.start)
    return child_indent.removeprefix(closing_indent) or child_indent.removeprefix(opening_indent)


def _colon_in(text: str, node: JsonNode | None) -> str | None:
    while node and node.children[0].key is None:
        node = node.parent
    colon = node and _COLON_BEFORE_VALUE.search(
        text, node.children[0].key_start, node.children[0].start
    )
    return colon[1] if colon else None


def _indent_at(text: str, position: int) -> str:
    """The blanks that the line of this position starts with."""
    line_start = text.rfind("\n", 0, position) + 1
    line_start = max(line_start, text.rfind("\r", line_start, position) + 1)
    blanks = _BLANKS.match(text, line_start)
    return blanks[0] if blanks else ""


def _json_text(value: Any, style: _JsonStyle, indent: str = "") -> str:
    """The value as JSON, for a line that starts with indent.

    Raises ValueError or TypeError for what JSON does not have, as NaN and infinity.
    """
    if isinstance(value, Mapping):
        opening_bracket, closing_bracket = "{}"
    elif isinstance(value, list | tuple):
        opening_bracket, closing_bracket = "[]"
    else:
        return _json_scalar(value)
    if not value:
        return opening_bracket + closing_bracket
    if not style.items_on_own_lines:
        return opening_bracket + _items_on_one_line(value, style, indent) + closing_bracket
    item_indent = indent + style.indentation
    item_lines = _items_on_own_lines(value, style, item_indent) + style.trailing_comma
    return opening_bracket + item_lines + style.line_end + indent + closing_bracket


def _items_on_own_lines(value: Any, style: _JsonStyle, indent: str) -> str:
    """The items of a mapping or list, each with a line end and an indent before it."""
    return ",".join(style.line_end + indent + item for item in _json_items(value, style, indent))


def _items_on_one_line(value: Any, style: _JsonStyle, indent: str) -> str:
    """The items of a mapping or list, separated by commas; indent is that of their line."""
    return ("," + style.space_after_comma).join(_json_items(value, style, indent))


def _json_items(value: Any, style: _JsonStyle, indent: str) -> list[str]:
    if isinstance(value, Mapping):
        return [
            _json_scalar(key) + style.colon + _json_text(member, style, indent)
            for key, member in value.items()
        ]
    return [_json_text(element, style, indent) for element in value]


def _json_scalar(value: Any) -> str:
    json_text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _TO_ESCAPE.sub(lambda character: f"\\u{ord(character[0]):04x}", json_text)

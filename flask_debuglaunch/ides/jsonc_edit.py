"""Changes JSON with comments, as VS Code's launch.json, and leaves all else as it was.

``merge`` and ``remove`` take a text and return a text in which every byte that is not theirs is
kept: comments, order, indentation, line ends, byte order mark, trailing commas. What is new is
written in the style of its surroundings. The time taken is linear in the length of the text.

Own code, because no library does this: of 13 on PyPI none could insert and replace an entry and
leave the rest of the bytes alone (the nearest needs node at run time and rewrote CRLF).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from flask_debuglaunch.ides.jsonc_format import (
    indent_at,
    joined_on_line,
    on_own_lines,
    rendered,
    style_at,
)
from flask_debuglaunch.ides.jsonc_parser import (
    BYTE_ORDER_MARK,
    COMMENT,
    LINE_END,
    JsoncError,
    Node,
    error_at,
    parse,
)

__all__ = ["JsoncError", "Node", "Path", "Where", "merge", "parse", "remove"]


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
        raise error_at(text, node.start, f"expected {kind}, found {found}")
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


class _Edit(NamedTuple):
    start: int
    end: int
    text: str = ""


_LEADING_COMMENTS = re.compile(rf"(?:[ \t\r\n]*(?:{COMMENT}))*", re.DOTALL)
_REST_OF_LINE = re.compile(
    r"(?:[ \t]*/\*.*?\*/)*(?P<line_comment>[ \t]*//[^\r\n]*)?(?:[ \t]*(?=[\r\n]))?", re.DOTALL
)


def _applied(text: str, edits: Iterable[_Edit]) -> str:
    pieces, position = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        pieces += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*pieces, text[position:]])


def _with_root(text: str, value: Any) -> str:
    style = style_at(text, None)
    starts_line = text in ("", BYTE_ORDER_MARK) or text.endswith(("\r", "\n"))
    return text + ("" if starts_line else style.line_end) + rendered(value, style) + style.line_end


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
        replaced = rendered(value, style_at(text, node), indent_at(text, node.start))
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
    style = style_at(text, last if last.key is None else node)
    if rest["line_comment"] or LINE_END.search(text, before_last, last.key_start):
        inserted = on_own_lines(new, style, indent_at(text, last.key_start))
        comma = last.end
    else:
        inserted = style.space + joined_on_line(new, style, indent_at(text, last.end - 1))
        comma = place
    if last.comma is not None:
        return [_Edit(place, place, inserted + ",")]
    return [_Edit(comma, comma, ","), _Edit(place, place, inserted)]


def _into_empty(text: str, node: Node, new: Any) -> list[_Edit]:
    comments = _LEADING_COMMENTS.match(text, node.start + 1)
    assert comments  # it matches the empty string too
    place, closing = comments.end(), node.end - 1
    style, indent = style_at(text, node), indent_at(text, node.start)
    has_line_end = LINE_END.search(text, place, closing)
    if not has_line_end and not style.expanded:
        return [_Edit(closing, closing, joined_on_line(new, style, indent))]
    inserted = on_own_lines(new, style, indent + style.unit) + style.trailing_comma
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

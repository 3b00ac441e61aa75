"""Any JSONC text, for hypothesis, together with what it means; and what edits mean for values."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from flask_debuglaunch.ides.jsonc_edit import ElementWithMember, JsonPath

IndexPath = tuple[str | int, ...]
Span = tuple[int, int]


@dataclass
class Written:
    """A text, its value, and by path what of the text each value is.

    ``items`` are the same with the key: all of them where keys are duplicate.
    """

    text: str = ""
    value: Any = None
    spans: dict[IndexPath, Span] = field(default_factory=dict)
    items: dict[IndexPath, list[Span]] = field(default_factory=dict)

    def forget_below(self, path: IndexPath) -> None:
        """A duplicate key hides what the one before it held."""
        for known in (self.spans, self.items):
            for hidden in [each for each in known if each[:-1][: len(path)] == path]:
                del known[hidden]


@dataclass(frozen=True)
class Source:
    """A value as it will be spelled: a literal, or items with their spelled keys ("" in arrays)."""

    literal: str = ""
    brackets: str = ""
    items: tuple[tuple[str, Source], ...] = ()
    trailing_comma: bool = False


def spelled(text: str, ascii_only: bool, slashes: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii_only).replace("/", "\\/" if slashes else "/")


def sources(trailing_commas: st.SearchStrategy[bool]) -> st.SearchStrategy[Source]:
    def containers(inner: st.SearchStrategy[Source]) -> st.SearchStrategy[Source]:
        elements = st.lists(st.tuples(st.just(""), inner), max_size=4).map(tuple)
        members = st.lists(st.tuples(SPELLED_KEYS, inner), max_size=4).map(tuple)
        return st.one_of(
            st.builds(Source, st.just(""), st.just("[]"), elements, trailing_commas),
            st.builds(Source, st.just(""), st.just("{}"), members, trailing_commas),
        )

    return st.recursive(st.builds(Source, LITERALS), containers, max_leaves=8)


def objects(trailing_commas: st.SearchStrategy[bool]) -> st.SearchStrategy[Source]:
    """With a member at least."""
    member = st.tuples(SPELLED_KEYS, sources(trailing_commas))
    members = st.lists(member, min_size=1, max_size=4).map(tuple)
    return st.builds(Source, st.just(""), st.just("{}"), members, trailing_commas)


KEYS = st.sampled_from(["name", "configurations", "a", "b", "", "é", '"', "\\", "//", "\u2028"])
STRINGS = st.one_of(KEYS, st.text(max_size=4))
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(st.sampled_from([None, True, False, 0, 1]), NUMBERS, STRINGS)
ODD_LITERALS = ["-0", "0e1", "1E+5", "1.50", "1e400", f"-1{30 * '0'}"]
ODD_LITERALS += ['"\\ud800"', '"\\uDE00\\ud83d"', '"\x7f"', '"*/"', '"\\b\\f\\n\\r\\t\\/"']
SPELLED_KEYS = st.builds(spelled, KEYS, st.booleans(), st.booleans())
LITERALS = st.one_of(SCALARS.map(json.dumps), SPELLED_KEYS, st.sampled_from(ODD_LITERALS))
SOURCES = sources(st.booleans())
OBJECTS = objects(st.booleans())
STRICT_OBJECTS = objects(st.just(False))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)

LINE_ENDS = ["\n", "\r\n", "\r"]
LINE_COMMENTS = ["//", "// a", "//\\", '// "', "// }", "/// */", "//, é", "// /*"]
BLOCK_COMMENTS = ["/**/", "/***/", "/* a */", '/*"*/', "/*//*/", "/*}]*/", "/*,\n*/", "/*\r\n\r*/"]
SPACES = ["", " ", "  ", "\t", "\n    ", "\r\n\t", *LINE_ENDS]
TRIVIA = st.lists(
    st.sampled_from(
        [comment + end for comment in LINE_COMMENTS for end in LINE_ENDS] + BLOCK_COMMENTS
    )
    | st.sampled_from(SPACES),
    max_size=3,
).map("".join)


@st.composite
def jsonc(draw: st.DrawFn, sources: st.SearchStrategy[Source] = SOURCES) -> Written:
    gaps = itertools.cycle(draw(st.lists(TRIVIA, min_size=1, max_size=6)))
    written = Written(draw(st.sampled_from(["", "", "\ufeff"])))
    written.value = write(draw(sources), lambda: next(gaps), written, ())
    written.text += draw(TRIVIA) + draw(st.sampled_from(["", "", "// the end", "\n"]))
    return written


def write(source: Source, gaps: Callable[[], str], into: Written, path: IndexPath) -> Any:
    """Append the value to the text, with gaps around and in it."""
    into.forget_below(path)
    into.text += gaps()
    start = len(into.text)
    value = write_items(source, gaps, into, path) if source.brackets else json.loads(source.literal)
    into.text += source.literal
    into.spans[path] = (start, len(into.text))
    into.text += gaps()
    return value


def write_items(source: Source, gaps: Callable[[], str], into: Written, path: IndexPath) -> Any:
    value: dict[str | int, Any] = {}
    into.text += source.brackets[0]
    for index, (spelled_key, item) in enumerate(source.items):
        into.text += ("," if index else "") + gaps()
        key = json.loads(spelled_key) if spelled_key else index
        start = len(into.text)
        into.text += f"{spelled_key}{gaps()}:" if spelled_key else ""
        value[key] = write(item, gaps, into, (*path, key))
        value_start, end = into.spans[(*path, key)]
        item_start = start if spelled_key else value_start
        into.items.setdefault((*path, key), []).append((item_start, end))
    into.text += "," if source.items and source.trailing_comma else ""
    into.text += gaps() + source.brackets[1]
    return value if source.brackets == "{}" else list(value.values())


@st.composite
def paths(draw: st.DrawFn, value: Any, *, existing: bool = False) -> JsonPath:
    """A path that fits value, of at least one step; unless existing, maybe one beyond it."""
    path: list[str | ElementWithMember] = []
    children = value
    while not path or (children and draw(st.integers(0, 3))):
        known = st.sampled_from(sorted(children)) if children else st.nothing()
        step = draw(known if existing else known | KEYS)
        path.append(ElementWithMember("name", step) if isinstance(value, list) else step)
        if step not in children:
            break
        value = children[step]
        children = children_of(value, path[-1])
    return path


@st.composite
def paths_to_new(draw: st.DrawFn, value: Any) -> JsonPath:
    """A path whose last step alone is missing."""
    path = draw(paths(value, existing=True))
    for steps in (path, path[:-1]):
        indexes = found(value, steps)
        container = None if indexes is None else at(value, indexes)
        if isinstance(container, dict | list):
            new = (
                "inserted" if isinstance(container, dict) else ElementWithMember("name", "inserted")
            )
            return [*steps, new]
    raise AssertionError("the last step is of a container")


def children_of(value: Any, step: str | ElementWithMember) -> dict[str, Any]:
    """What a path may go on to, but the name by which its last step found the value."""
    if isinstance(value, list):
        return {each["name"]: each for each in reversed(value) if is_named(each)}
    if isinstance(value, dict):
        return {
            key: value[key]
            for key in value
            if not (isinstance(step, ElementWithMember) and key == "name")
        }
    return {}


def is_named(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str)


# What the edits mean for values


def at(value: Any, path: IndexPath) -> Any:
    for step in path:
        value = value[step]
    return value


def found(value: Any, path: JsonPath) -> IndexPath | None:
    """The path in keys and indexes, if something is there."""
    indexes: IndexPath = ()
    for step in path:
        index = first_where(value, step) if isinstance(step, ElementWithMember) else step
        if index is None or (isinstance(index, str) and index not in value):
            return None
        indexes, value = (*indexes, index), value[index]
    return indexes


def first_where(elements: list[Any], where: ElementWithMember) -> int | None:
    for index, element in enumerate(elements):
        if isinstance(element, dict) and element.get(where.key) == where.value:
            return index
    return None


def merged(old: Any, path: JsonPath, new: Any) -> Any:
    """What ``jsonc.merge`` should make of a value."""
    if not path:
        both_objects = isinstance(old, dict) and isinstance(new, dict)
        return merged_members(old, new) if both_objects else new
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        child = merged(old[step], rest, new) if step in old else built(rest, new)
        return {**old, step: child}
    index = first_where(old, step)
    if index is None:
        return [*old, *built(path, new)]
    return [*old[:index], merged(old[index], rest, new), *old[index + 1 :]]


def merged_members(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return old | {k: merged(old[k], (), v) if k in old else v for k, v in new.items()}


def built(path: JsonPath, value: Any) -> Any:
    if not path:
        return value
    inner = built(path[1:], value)
    step = path[0]
    return {step: inner} if isinstance(step, str) else [{step.key: step.value} | inner]


def without(value: Any, path: IndexPath) -> Any:
    """What ``jsonc.remove`` should make of a value."""
    step, rest = path[0], path[1:]
    copy = value.copy()
    if rest:
        copy[step] = without(value[step], rest)
    else:
        del copy[step]
    return copy


def comparable(value: Any) -> Any:
    """A value whose == is JSON's: 1 equals 1.0 but not true."""
    if isinstance(value, dict):
        return {key: comparable(member) for key, member in value.items()}
    if isinstance(value, list):
        return [comparable(element) for element in value]
    return ("boolean", value) if isinstance(value, bool) else value


def differing(old: Any, new: Any, path: IndexPath) -> list[IndexPath]:
    """The paths where a merge of new has to replace a value."""
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(old[key], new[key], (*path, key)) for key in new if key in old]
        return [each for pair in pairs for each in differing(*pair)]
    if isinstance(old, list) and isinstance(new, list) and len(old) <= len(new):
        pairs = [(old[index], new[index], index) for index in range(len(old))]
        return [(*path, index) for one, other, index in pairs if not same(one, other)]
    return [] if same(old, new) else [path]


def same(old: Any, new: Any) -> bool:
    return bool(comparable(old) == comparable(new))


# A second opinion on texts


COMMENT_OR_STRING = re.compile(r'"(?:\\.|[^"\\\r\n])*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
TRAILING_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|(?<![\[{,:\s])(\s*),(?=\s*[\]}])', re.DOTALL)


def without_comments(text: str) -> str:
    return COMMENT_OR_STRING.sub(
        lambda match: match[0] if match[0].startswith('"') else " ", text.removeprefix("\ufeff")
    )


def without_trailing_commas(text: str) -> str:
    return TRAILING_COMMA.sub(
        lambda match: match[0] if match[0].startswith('"') else match[1], text
    )


def strict_json(text: str) -> Any:
    """The standard library's parser, without its extras. Raises ValueError."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def second_opinion(text: str) -> Any:
    return strict_json(without_trailing_commas(without_comments(text)))

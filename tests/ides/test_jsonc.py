"""ides/jsonc.py: changes what it should in any JSONC text, and no other byte."""

from __future__ import annotations

import re
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from flask_debuglaunch.ides.jsonc_edit import (
    ElementWithMember,
    JsoncError,
    JsonPath,
    merge,
    parse,
    remove,
)

from .jsonc_texts import (
    COMMENT_OR_STRING,
    LINE_ENDS,
    OBJECTS,
    SCALARS,
    STRICT_OBJECTS,
    STRINGS,
    VALUES,
    Span,
    Written,
    at,
    comparable,
    differing,
    found,
    jsonc,
    merged,
    paths,
    paths_to_new,
    second_opinion,
    strict_json,
    without,
    without_comments,
)

LINE_END = re.compile("\r\n|\n|\r")


def value_of(text: str) -> Any:
    root = parse(text)
    return root.value if root else None


# Awkward texts by hand

ENTRY = ElementWithMember("name", "x")
INTO_CONFIGURATIONS: JsonPath = ["configurations", ENTRY]

MERGES = {
    "empty": ("", ["a"], 1, '{\n    "a": 1\n}\n'),
    "byte order mark only": ("\ufeff", ["a"], 1, '\ufeff{\n    "a": 1\n}\n'),
    "comment only": ("// mine", ["a"], 1, '// mine\n{\n    "a": 1\n}\n'),
    "CRLF and comment only": ("/* mine */\r\n", ["a"], 1, '/* mine */\r\n{\r\n    "a": 1\r\n}\r\n'),
    "empty object": ("{}", ["a"], 1, '{\n    "a": 1\n}'),
    "empty object of two lines": ("{\r\n}\r\n", ["a"], 1, '{\r\n    "a": 1\r\n}\r\n'),
    "blanks in an empty object": ("{ }", ["a"], 1, '{ \n    "a": 1\n}'),
    "comment in an empty array": (
        '{\n\t"a": [\n\t\t// none yet\n\t]\n}',
        ["a", ENTRY],
        {},
        '{\n\t"a": [\n\t\t// none yet\n\t\t{\n\t\t\t"name": "x"\n\t\t}\n\t]\n}',
    ),
    "line comment in an empty array of one line": (
        '{"a": [ // none\n]}',
        ["a"],
        [1],
        '{"a": [ // none\n    1\n]}',
    ),
    "element into an empty array of one line": (
        '{"a": [ // none\n]}',
        ["a", ENTRY],
        {},
        '{"a": [ // none\n    {"name": "x"}\n]}',
    ),
    "trailing comma around an empty object": (
        '{\n  "a": {},\n}',
        ["a", "b"],
        1,
        '{\n  "a": {\n    "b": 1,\n  },\n}',
    ),
    "block comment in an empty array": (
        '{"a": [/* none */]}',
        ["a"],
        [1],
        '{"a": [/* none */1]}',
    ),
    "comments between elements, of which one differs and one is new": (
        '{"a": [\n  1, // one\n  2, /* two */\n  // last\n  3 // three\n]}',
        ["a"],
        [1, 0, 3, 4],
        '{"a": [\n  1, // one\n  0, /* two */\n  // last\n  3, // three\n  4\n]}',
    ),
    "end-of-line comment": (
        '{\n  "a": 1 // one\n}',
        ["b"],
        2,
        '{\n  "a": 1, // one\n  "b": 2\n}',
    ),
    "end-of-line comments, comments after": (
        '{\n  "a": 1 /* one */ // uno  \n  // after\n}',
        ["b"],
        2,
        '{\n  "a": 1, /* one */ // uno  \n  "b": 2\n  // after\n}',
    ),
    "block comment over line ends": (
        '{\n  "a": 1 /* one\n  or so */\n}',
        ["b"],
        2,
        '{\n  "a": 1, /* one\n  or so */\n  "b": 2\n}',
    ),
    "trailing comma": ('{\n  "a": 1, // one\n}', ["b"], 2, '{\n  "a": 1, // one\n  "b": 2,\n}'),
    "trailing comma far away": (
        '{\n  "a": 1 // one\n  , // comma\n}',
        ["b"],
        2,
        '{\n  "a": 1 // one\n  , // comma\n  "b": 2,\n}',
    ),
    "trailing comma of the siblings": (
        '[\n  {\n    "name": "y",\n  },\n]',
        [ENTRY],
        {"env": {"A": "1"}},
        '[\n  {\n    "name": "y",\n  },\n'
        '  {\n    "name": "x",\n    "env": {\n      "A": "1",\n    },\n  },\n]',
    ),
    "trailing comma of the array only": (
        '[\n  {\n    "name": "y"\n  },\n]',
        [ENTRY],
        {},
        '[\n  {\n    "name": "y"\n  },\n  {\n    "name": "x"\n  },\n]',
    ),
    "blanks at the end of the line": ('{\n  "a": 1  \n}', ["b"], 2, '{\n  "a": 1,  \n  "b": 2\n}'),
    "closing bracket on the last line": (
        '{\n  "a": 1,\n  "b": 2 }',
        ["c"],
        3,
        '{\n  "a": 1,\n  "b": 2,\n  "c": 3 }',
    ),
    "one line": ('{"a": 1, "b": [1]}', ["c"], {"d": [2]}, '{"a": 1, "b": [1], "c": {"d": [2]}}'),
    "one line, minified": ('{"a":1,"b":[]}', ["b", ENTRY], {}, '{"a":1,"b":[{"name":"x"}]}'),
    "one line, block comment": ('{"a": 1 /* one */}', ["b"], 2, '{"a": 1 /* one */, "b": 2}'),
    "one line, line comment": ('{"a": 1 // one\n}', ["b"], 2, '{"a": 1, // one\n"b": 2\n}'),
    "one line, trailing comma": ('{"a": 1, }', ["b"], 2, '{"a": 1, "b": 2, }'),
    "brackets on shared lines": (
        '{\n  "a": [{\n      "name": "y"\n    }] // end\n}',
        ["a", ENTRY],
        {},
        '{\n  "a": [{\n      "name": "y"\n    }, {\n      "name": "x"\n    }] // end\n}',
    ),
    "one line each": (
        '{\n  "a": [\n    {"name": "y"},\n    {"name": "z"}\n  ]\n}',
        ["a", ENTRY],
        {"env": {}},
        '{\n  "a": [\n    {"name": "y"},\n    {"name": "z"},\n    {"name": "x", "env": {}}\n  ]\n}',
    ),
    "comma first": (
        '{\n    "a": 1\n  , "b": 2\n}',
        ["c"],
        3,
        '{\n    "a": 1\n  , "b": 2,\n  "c": 3\n}',
    ),
    "space around colons": (
        '{\n "a" : 1\n}',
        ["b"],
        {"c": 1},
        '{\n "a" : 1,\n "b" : {\n  "c" : 1\n }\n}',
    ),
    "tabs": ('{\n\t"a": 1\n}', ["b"], [2], '{\n\t"a": 1,\n\t"b": [\n\t\t2\n\t]\n}'),
    "mixed line ends": (
        '{\r\n  "a": 1,\n  "b": 2\n}',
        ["c"],
        3,
        '{\r\n  "a": 1,\n  "b": 2,\r\n  "c": 3\n}',
    ),
    "old Mac line ends": ('{\r  "a": 1 // one\r}', ["b"], 2, '{\r  "a": 1, // one\r  "b": 2\r}'),
    "no indentation": ('{\n"a": 1\n}', ["b"], [2], '{\n"a": 1,\n"b": [\n    2\n]\n}'),
    "duplicate key: the last counts": ('{"a": 1, "a": 2}', ["a"], 3, '{"a": 1, "a": 3}'),
    "duplicate key: the first does not count": ('{"a": 1, "a": 2}', ["a"], 2, '{"a": 1, "a": 2}'),
    "duplicate name: the first counts": (
        '[{"name": "x"}, {"name": "x"}]',
        [ENTRY, "b"],
        1,
        '[{"name": "x", "b": 1}, {"name": "x"}]',
    ),
    "name after a duplicate key": (
        '[{"name": "x", "name": "y"}]',
        [ENTRY],
        {},
        '[{"name": "x", "name": "y"}, {"name": "x"}]',
    ),
    "escaped key": ('{"\\u0061": 1}', ["a"], 2, '{"\\u0061": 2}'),
    "array of one line stays so": (
        '{\n  "a": ["b"] // c\n}',
        ["a"],
        ["d"],
        '{\n  "a": ["d"] // c\n}',
    ),
    "array of several lines stays so": (
        '{\n  "a": [\n    "b"\n  ]\n}',
        ["a"],
        ["c", "d"],
        '{\n  "a": [\n    "c",\n    "d"\n  ]\n}',
    ),
    "equal array keeps its comments": (
        '{"a": [1, /* two */ 2]}',
        ["a"],
        [1, 2],
        '{"a": [1, /* two */ 2]}',
    ),
    "equal number keeps its spelling": ('{"a": 5.678e3}', ["a"], 5678, '{"a": 5.678e3}'),
    "true is not 1": ('{"a": true, "b": [1]}', [], {"a": 1, "b": [True]}, '{"a": 1, "b": [true]}'),
    "only members that differ": (
        '{\n  "name": "x", // mine\n  "port": 1, // the port\n  "env": {"A": "1", "B": "2"}\n}',
        [],
        {"port": 2, "env": {"B": "3", "C": "4"}, "name": "x"},
        '{\n  "name": "x", // mine\n  "port": 2, // the port\n  "env": {"A": "1", "B": "3", "C": "4"}\n}',
    ),
    "what is missing on the way": (
        '{\n  "version": "0.2.0"\n}\n',
        ["configurations", ENTRY, "env", "A"],
        "1",
        '{\n  "version": "0.2.0",\n  "configurations": [\n    {\n      "name": "x",\n'
        '      "env": {\n        "A": "1"\n      }\n    }\n  ]\n}\n',
    ),
    "not UTF-8, or a line end in some editors": (
        "{}",
        ["a"],
        "\ud800\u2028é",
        '{\n    "a": "\\ud800\\u2028é"\n}',
    ),
    "a big number beside": (
        '{"n": 123456789012345678901234567890.10, "a": 1}',
        ["a"],
        2,
        '{"n": 123456789012345678901234567890.10, "a": 2}',
    ),
}


@pytest.mark.parametrize(("text", "path", "value", "expected"), MERGES.values(), ids=MERGES)
def test_merge(text: str, path: JsonPath, value: Any, expected: str) -> None:
    assert merge(text, path, value) == expected
    assert merge(expected, path, value) == expected


REMOVALS = {
    "first": ('{\n  "a": 1,\n  "b": 2\n}', ["a"], '{\n  "b": 2\n}'),
    "last": ('{\n  "a": 1,\n  "b": 2\n}', ["b"], '{\n  "a": 1\n}'),
    "last of a trailing comma": ('{\n  "a": 1,\n  "b": 2,\n}', ["b"], '{\n  "a": 1,\n}'),
    "only": ('{\r\n  "a": 1\r\n}', ["a"], "{\r\n}"),
    "only one, in one line": ('{"a": 1}', ["a"], "{}"),
    "first in one line": ('{"a": 1, "b": 2, "c": 3}', ["a"], '{"b": 2, "c": 3}'),
    "middle in one line": ('{"a": 1, "b": 2, "c": 3}', ["b"], '{"a": 1, "c": 3}'),
    "last in one line": ('{"a": 1, "b": 2, "c": 3}', ["c"], '{"a": 1, "b": 2}'),
    "comments around stay": (
        '{\n  // one\n  "a": 1, // uno\n  /* two */ "b": 2 // due\n  // three\n}',
        ["b"],
        '{\n  // one\n  "a": 1 // uno\n  /* two */ // due\n  // three\n}',
    ),
    "end-of-line comment keeps its indent": (
        '{\n  "a": 1,\n  "b": 2 // due\n}',
        ["b"],
        '{\n  "a": 1\n  // due\n}',
    ),
    "comment before the comma": ('{"a": 1 /* one */, "b": 2}', ["a"], '{ /* one */ "b": 2}'),
    "comment in the item goes": ('{"a": /* one */ 1, "b": 2}', ["a"], '{"b": 2}'),
    "item of several lines": (
        '{\n  "a": {\n    "b": 1\n  },\n  "c": 2\n}',
        ["a"],
        '{\n  "c": 2\n}',
    ),
    "duplicates go together": ('{\n  "a": 1,\n  "b": 2,\n  "a": 3\n}', ["a"], '{\n  "b": 2\n}'),
    "element": ('[{"name": "y"}, {"name": "x"}]', [ENTRY], '[{"name": "y"}]'),
    "root": ('// one\n{"a": 1}\n', [], "// one\n"),
    "missing": ('{"a": 1}', ["b"], '{"a": 1}'),
    "missing on the way": ('{"a": 1}', ["b", "c"], '{"a": 1}'),
    "empty": ("// nothing\n", ["a"], "// nothing\n"),
}


@pytest.mark.parametrize(("text", "path", "expected"), REMOVALS.values(), ids=REMOVALS)
def test_remove(text: str, path: JsonPath, expected: str) -> None:
    assert remove(text, path) == expected


# What VS Code's own parser takes and what it reports

TAKEN = {
    '["\\u00e9\\ud83d\\ude00", "\x7f\u2028"]': ["é😀", "\x7f\u2028"],
    '["\\ud800", "\\uDC00\\ud800"]': ["\ud800", "\udc00\ud800"],
    '"\\"\\\\\\/\\b\\f\\n\\r\\t"': '"\\/\b\f\n\r\t',
    '["// no", "/* comment */"]': ["// no", "/* comment */"],
    "[-0, 1E5, 1e400]": [0, 100000.0, float("inf")],
    "// one\r[1]": [1],
    "[1]// no line end": [1],
    "/**/[/***/1/* / * */]": [1],
    "\ufeff[1]": [1],
    "[" + 400 * "9" + "]": [float("inf")],
    '{"a": 1, "b": 2, "a": 3,}': {"a": 3, "b": 2},
    " \t\r\n// nothing": None,
}


@pytest.mark.parametrize(("text", "value"), TAKEN.items(), ids=ascii)
def test_takes(text: str, value: Any) -> None:
    assert value_of(text) == value


REPORTED = {
    '{"a": 1,,}': (1, 9, "expected a \"key\" or '}', found ,"),
    '{"a" 1}': (1, 6, "expected ':', found 1"),
    '{"a":}': (1, 6, "expected a value, found }"),
    '{\n  "a": 1\n  "b": 2\n}': (3, 3, "expected ',' or '}', found \"b\""),
    '{\r\n"a": [1\r\n': (3, 1, "expected ',' or ']', found the end of the file"),
    "{a: 1}": (1, 2, "not JSON: 'a'"),
    "[,]": (1, 2, "expected a value, found ,"),
    "[1}": (1, 3, "expected ',' or ']', found }"),
    "[1] 2": (1, 5, "expected the end of the file, found 2"),
    "[1],": (1, 4, "expected the end of the file, found ,"),
    "]": (1, 1, "expected a value, found ]"),
    "[True]": (1, 2, "not JSON: 'True'"),
    "[truex]": (1, 6, "not JSON: 'x'"),
    "['a']": (1, 2, "not JSON: \"'a'\""),
    "[01]": (1, 3, "expected ',' or ']', found 1"),
    "[1.]": (1, 3, "not JSON: '.'"),
    "[1e]": (1, 3, "not JSON: 'e'"),
    "[-]": (1, 2, "not JSON: '-'"),
    "[+1]": (1, 2, "not JSON: '+1'"),
    "[NaN]": (1, 2, "not JSON: 'NaN'"),
    '["a': (1, 2, "the string is not closed"),
    '\ufeff["a\n"]': (1, 2, "the string is not closed"),
    '["\\': (1, 3, "unknown escape \\ in a string"),
    '["\\x41"]': (1, 3, "unknown escape \\x in a string"),
    '["\\u12g4"]': (1, 3, "unknown escape \\u in a string"),
    '["\\u123"]': (1, 3, "unknown escape \\u in a string"),
    '["😀\t"]': (1, 5, "control character '\\t' in a string"),
    "[1] /* /": (1, 5, "the comment is not closed"),
    "/*/": (1, 1, "the comment is not closed"),
    "[1 / 2]": (1, 4, "not JSON: '/'"),
    "[\n# no\n]": (2, 1, "not JSON: '#'"),
    "\ufeff\ufeff[]": (1, 1, "not JSON: '\\ufeff'"),
    "[\xa01]": (1, 2, "not JSON: '\\xa01'"),
}


@pytest.mark.parametrize(("text", "reported"), REPORTED.items(), ids=ascii)
def test_reports(text: str, reported: tuple[int, int, str]) -> None:
    with pytest.raises(JsoncError) as caught:
        parse(text)
    error = caught.value
    assert (error.line, error.column, error.message) == reported
    assert str(error) == f"line {reported[0]}, column {reported[1]}: {reported[2]}"


@pytest.mark.parametrize("edit", [lambda t, p: merge(t, p, {}), remove], ids=["merge", "remove"])
@pytest.mark.parametrize(
    ("text", "path", "reported"),
    [
        ("[1]", ["a"], "line 1, column 1: expected an object, found [1]"),
        ('{\n "a": null\n}', ["a", ENTRY], "line 2, column 7: expected an array, found null"),
        ('{"a": {"b": 1}}', ["a", ENTRY], 'line 1, column 7: expected an array, found {"b": 1}'),
        ('{"a": [1}', ["b"], "line 1, column 9: expected ',' or ']', found }"),
    ],
)
def test_what_does_not_fit_is_reported_not_overwritten(
    edit: Any, text: str, path: JsonPath, reported: str
) -> None:
    with pytest.raises(JsoncError, match=f"^{re.escape(reported)}$"):
        edit(text, path)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {"a": [object()]}], ids=["nan", "inf", "object"]
)
def test_what_json_does_not_have_is_not_written(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        merge("{}", ["a"], value)


# Properties


@given(jsonc())
def test_every_text_is_read_as_what_it_means(written: Written) -> None:
    assert comparable(value_of(written.text)) == comparable(written.value)
    assert comparable(second_opinion(written.text)) == comparable(written.value)


JUNK = st.text('{}[]",:/*\\019.eE+-truefalsn \t\r\n\x00\x1f\x0b\xa0é\u2028\ufeff', max_size=3)


@given(jsonc(), JUNK, st.data())
def test_takes_what_the_second_opinion_takes(
    written: Written, junk: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(written.text)))
    text = written.text[:place] + junk + written.text[place + data.draw(st.integers(0, 3)) :]
    error = error_of(text)
    event("refused" if error else "taken")
    if error:
        with pytest.raises(ValueError):  # noqa: PT011 (whatever json calls it)
            second_opinion(text)
        lines = LINE_END.split(text)
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= 2 * len(lines[error.line - 1]) + 1
    elif parse(text):  # nothing but comments is fine here, but not for json
        assert comparable(value_of(text)) == comparable(second_opinion(text))


def error_of(text: str) -> JsoncError | None:
    try:
        parse(text)
    except JsoncError as error:
        return error
    return None


def cut(text: str, spans: list[Span]) -> str:
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


def is_subsequence(part: str, whole: str) -> bool:
    rest = iter(whole)
    return all(character in rest for character in part)


LEXEME = re.compile(rf"{COMMENT_OR_STRING.pattern}|[^\s]", re.DOTALL)


def lexemes(text: str) -> list[str]:
    return LEXEME.findall(text)


def comments(text: str) -> list[str]:
    return [each for each in lexemes(text) if each.startswith(("//", "/*"))]


def member_or_entry(path: JsonPath, new: Any) -> Any:
    """What an array's element is found by, a member, it must have."""
    return {"port": new} if path and isinstance(path[-1], ElementWithMember) else new


@given(jsonc(OBJECTS), VALUES, st.data())
def test_merge_changes_the_value_and_no_other_byte(
    written: Written, new: Any, data: st.DataObject
) -> None:
    path = data.draw(paths(written.value))
    new = member_or_entry(path, new)
    after = merge(written.text, path, new)
    assert comparable(value_of(after)) == comparable(merged(written.value, path, new))
    assert merge(after, path, new) == after
    place = found(written.value, path)
    replaced = [] if place is None else differing(at(written.value, place), new, place)
    kept = cut(written.text, [written.spans[each] for each in replaced])
    assert is_subsequence(kept, after)
    assert comments(kept) == comments(after)
    event("inserts" if place is None else "replaces" if replaced else "merges or keeps")


@given(jsonc(OBJECTS), SCALARS | st.lists(SCALARS, max_size=2), st.data())
def test_a_replaced_value_is_all_that_differs(
    written: Written, new: Any, data: st.DataObject
) -> None:
    path = data.draw(paths(written.value, existing=True))
    place = found(written.value, path)
    assert place is not None
    start, end = written.spans[place]
    after = merge(written.text, path, new)
    assert after.startswith(written.text[:start])
    assert after.endswith(written.text[end:])
    middle = after[start : len(after) - len(written.text) + end]
    assert comparable(value_of(middle)) == comparable(new)


@given(jsonc(OBJECTS), VALUES, st.data())
def test_an_insertion_is_a_comma_and_one_piece(
    written: Written, new: Any, data: st.DataObject
) -> None:
    path = data.draw(paths_to_new(written.value))
    before, after = middles(written.text, merge(written.text, path, member_or_entry(path, new)))
    assert without_comments(before).strip() == ""
    assert before in after


def middles(before: str, after: str) -> tuple[str, str]:
    """What is left of each without their common start and their common end."""
    start = common_prefix(before, after)
    end = common_prefix(before[start:][::-1], after[start:][::-1])
    return before[start : len(before) - end], after[start : len(after) - end]


def common_prefix(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


@given(jsonc(OBJECTS), st.data())
def test_remove_takes_the_item_and_its_comma(written: Written, data: st.DataObject) -> None:
    path = data.draw(paths(written.value, existing=True))
    place = found(written.value, path)
    assert place is not None
    after = remove(written.text, path)
    assert comparable(value_of(after)) == comparable(without(written.value, place))
    assert is_subsequence(after, written.text)
    items = written.items[place]
    left, expected = lexemes(after), lexemes(cut(written.text, items))
    assert [each for each in left if each != ","] == [each for each in expected if each != ","]
    assert expected.count(",") - left.count(",") <= len(items)


@given(jsonc(OBJECTS), VALUES)
def test_remove_undoes_an_insertion(written: Written, new: Any) -> None:
    after = remove(merge(written.text, ["inserted"], new), ["inserted"])
    assert lexemes(after) == lexemes(written.text)


@given(jsonc(STRICT_OBJECTS), VALUES, st.data())
def test_a_text_without_trailing_commas_stays_so(
    written: Written, new: Any, data: st.DataObject
) -> None:
    path = data.draw(paths(written.value))
    strict_json(without_comments(written.text))
    strict_json(without_comments(merge(written.text, path, member_or_entry(path, new))))
    strict_json(without_comments(remove(written.text, path)))


@pytest.mark.parametrize("line_end", LINE_ENDS, ids=ascii)
@given(written=jsonc(OBJECTS), new=VALUES, data=st.data())
def test_one_kind_of_line_end_stays_the_only_one(
    line_end: str, written: Written, new: Any, data: st.DataObject
) -> None:
    text = LINE_END.sub(line_end, written.text)
    assume(line_end in text)
    path = data.draw(paths(written.value))
    after = merge(text, path, member_or_entry(path, new))
    assert set(LINE_END.findall(after)) <= {line_end}


@given(STRINGS.filter(bool), VALUES)
def test_a_new_text_is_strict_json(key: str, new: Any) -> None:
    assert comparable(strict_json(merge("", [key], new))) == comparable({key: new})


# Size


def test_deep_nesting_is_read_and_changed() -> None:
    depth = 20_000
    text = '{"a":' * depth + "[]" + "}" * depth
    assert merge(text, ["a", "b"], 1) == text[:-2] + ',"b":1' + text[-2:]
    with pytest.raises(JsoncError):
        parse("[" * depth)


def steps(text: str) -> int:
    """How many lines of Python run to merge an entry into the text."""
    count = 0

    def trace(_frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        merge(text, INTO_CONFIGURATIONS, {"type": "debugpy", "env": {"A": "1"}})
    finally:
        sys.settrace(previous)
    return count


BIG_TEXTS = {
    "entries": lambda n: '{"configurations": [\n' + n * '  {"name": "y"}, // y\n' + "]}",
    "one line": lambda n: '{"configurations":[' + n * '{"name":"y"},' + "]}",
    "comments": lambda n: '{"configurations": [' + n * "/* none */ // yet\n" + "]}",
    "blanks": lambda n: '{"configurations": [' + n * " \t\n" + "]}",
    "duplicates": lambda n: "{" + n * '"configurations": [],' + "}",
    "nesting": lambda n: '{"a": ' + n * "[" + n * "]" + "}",
    "members of the entry": lambda n: '{"configurations": [{"name": "x",' + n * '"a": 1,' + "}]}",
}


@pytest.mark.parametrize("text_of_size", BIG_TEXTS.values(), ids=BIG_TEXTS)
def test_four_times_the_text_takes_four_times_the_steps(text_of_size: Any) -> None:
    assert steps(text_of_size(2000)) <= 4 * steps(text_of_size(500))

"""XML is changed child by child: what is asked for is there, every other byte is as it was."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_debuglaunch.ides.xml_edit import (
    ECLIPSE,
    JETBRAINS,
    Element,
    ElementInText,
    XmlError,
    XmlStyle,
    merge,
    parse,
    xml_text,
)

names = st.sampled_from(["a", "b.C", "d", "ü", "z-9"])
values = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6).map(
    lambda text: text.replace("\ufffe", "").replace("\uffff", "")
) | st.sampled_from(['"', "<&>", "\n\t\r", "😀", "'"])
leaves = st.builds(Element, st.just("listEntry"), st.fixed_dictionaries({"value": values}))
entries = st.builds(
    lambda tag, key, value, children: Element(tag, {"key": key, "value": value}, tuple(children)),
    st.sampled_from(["stringAttribute", "listAttribute"]),
    names,
    values,
    st.lists(leaves, max_size=2),
)
styles = st.sampled_from([ECLIPSE, JETBRAINS])


def unique(elements: list[Element]) -> list[Element]:
    return list({element.identity: element for element in elements}.values())


def as_a_person_may_have_it(element: Element, style: XmlStyle, quote: str, line_end: str) -> str:
    """The element in other quotes, with its tags spread over lines."""
    text = xml_text(element, style, "\t", line_end)
    if quote == "'" and "'" not in text:
        text = text.replace('"', "'").replace(f"<{element.tag} ", f"<{element.tag}{line_end}   ", 1)
    return text


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[Element], list[str]]:
    """A text, its entries, and what else stands in it, in order."""
    elements = draw(st.lists(entries, max_size=4).map(unique))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    style, quote = draw(styles), draw(st.sampled_from("\"'"))
    comments = draw(st.lists(st.sampled_from(["", "<!-- > ü -->", "<?x y?>"]), min_size=5))
    texts = [as_a_person_may_have_it(element, style, quote, line_end) for element in elements]
    parts = [f"\t{comment}{text}{line_end}" for comment, text in zip(comments, texts, strict=False)]
    head = f"{draw(st.sampled_from(['', chr(0xFEFF)]))}<!-- ü --><root a='>'>{line_end}"
    return head + "".join(parts) + "</root>" + line_end, elements, texts


def element_of(parent: ElementInText) -> dict[tuple[str, str], Element]:
    return {child.element.identity: child.whole_element() for child in parent.children}


@pytest.mark.slow
@settings(max_examples=400)
@given(documents(), st.lists(entries, max_size=3).map(unique), styles)
def test_merging(
    document: tuple[str, list[Element], list[str]], wanted: list[Element], style: XmlStyle
) -> None:
    text, elements, texts = document
    merged = merge(text, wanted, style)

    by_identity = {element.identity: element for element in [*elements, *wanted]}
    assert element_of(parse(merged)) == by_identity
    assert merge(merged, wanted, style) == merged
    assert merge(text, elements, style) == text

    # Every other byte: without the elements that were asked for, the two are the same.
    asked = {element.identity for element in wanted}
    assert without(merged, asked) == without(text, asked)
    for element, own in zip(elements, texts, strict=True):
        assert own in merged or element.identity in asked


def without(text: str, identities: set[tuple[str, str]]) -> str:
    for place in reversed(parse(text).children):
        if place.element.identity in identities:
            text = text[: place.start] + text[place.end :]
    return "\n".join(line for line in text.split("\n") if line.strip())


@settings(max_examples=400)
@given(entries, styles)
def test_any_xml_parser_reads_it_back(element: Element, style: XmlStyle) -> None:
    def read(found: ET.Element) -> Element:
        return Element(found.tag, found.attrib, tuple(map(read, found)))

    assert read(ET.fromstring(xml_text(element, style))) == element


def test_new_entries_stand_in_the_order_of_their_keys() -> None:
    text = '<root>\n    <e key="b"/>\n    <e key="d"/>\n</root>\n'
    new = [Element("e", {"key": key}) for key in "eca"]
    merged = merge(text, new, ECLIPSE)
    assert [place.element.identity[1] for place in parse(merged).children] == list("abcde")
    assert merged == "<root>\n" + "".join(f'    <e key="{k}"/>\n' for k in "abcde") + "</root>\n"


def test_what_is_said_behind_an_entry_in_its_line_stays_with_it() -> None:
    text = '<root> <!-- ours -->\n    <e key="b"/> <!-- why --> <!-- > -->\n</root>\n'
    merged = merge(text, [Element("e", {"key": key}) for key in "ac"], ECLIPSE)
    added = text.replace("ours -->\n", 'ours -->\n    <e key="a"/>\n')
    assert merged == added.replace("> -->\n", '> -->\n    <e key="c"/>\n')


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", (1, 1), "no element found"),
        ("<a>\n  <b>\n</a>", (3, 3), "mismatched tag"),
        ("<a>&b;</a>", (1, 4), "undefined entity"),
        ("<a/>", (1, 1), "expected an element with entries"),
        ('<!DOCTYPE a SYSTEM "/etc/passwd"><a></a>', (1, 33), "a document type"),
    ],
)
def test_what_can_t_be_edited(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(XmlError, match=message) as caught:
        merge(text, [Element("b", {})], ECLIPSE)
    assert (caught.value.line, caught.value.column) == place


def test_no_entity_is_ever_read(tmp_path: Path) -> None:
    """Neither a file of the machine, nor a billion laughs."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    external = f'<!ENTITY s SYSTEM "file://{secret}">'
    for entities in (external, f'<!ENTITY l0 "ha">{laughs}'):
        with pytest.raises(XmlError, match="a document type is not expected"):
            parse(f"<!DOCTYPE a [{entities}]><a>&s;&l11;</a>")

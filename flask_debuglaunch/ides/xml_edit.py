"""Changes children of an XML element, and leaves every other byte as it was.

``merge`` puts elements among the children of one: those that differ are replaced, those that are
missing are inserted, all others stay. The parser is expat; the changing is our own code, because
the XML libraries write a whole document anew and lose its layout, quotes and order of attributes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask_debuglaunch.errors import EditRefused

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

_START_TAG = re.compile(r"<[^\s/>]+(?:\s+[^\s=]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")
_COMMENTS_IN_LINE = re.compile(r"(?:[ \t]*<!--(?:(?!-->)[^\r\n])*-->)*[ \t]*(?=\r?\n)")
_XML_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


class XmlError(EditRefused):
    """The text is not XML, or nothing that is edited here."""


@dataclass(frozen=True)
class Element:
    """An element to be written; it has no text."""

    tag: str
    attributes: Mapping[str, str]
    children: tuple[Element, ...] = ()

    @property
    def identity(self) -> tuple[str, str]:
        """What tells it from its siblings: Eclipse's entries have a key of whatever type, so that
        the tag may differ; JetBrains' options have a name, as other elements may have too."""
        key = self.attributes.get("key")
        return ("", key) if key is not None else (self.tag, self.attributes.get("name", ""))


@dataclass(eq=False)
class ElementInText:
    """An element that is there: ``text[start:end]``, its children before ``text[end_tag]``."""

    element: Element
    start: int
    end: int = 0
    end_tag: int = 0
    """Where its end tag begins; where it is empty (``<a/>``), its end."""
    children: list[ElementInText] = field(default_factory=list)

    def whole_element(self) -> Element:
        return Element(
            self.element.tag,
            self.element.attributes,
            tuple(child.whole_element() for child in self.children),
        )


@dataclass(frozen=True)
class XmlStyle:
    """How an IDE writes its XML."""

    indentation: str
    empty_element_end: str
    referenced_characters: str = ""
    """What it writes as &#NUMBER; besides control characters, as in a regular expression's []."""


ECLIPSE = XmlStyle(
    indentation="    ", empty_element_end="/>", referenced_characters="\U00010000-\U0010ffff"
)
JETBRAINS = XmlStyle(indentation="  ", empty_element_end=" />")


def merge(
    text: str,
    elements: Iterable[Element],
    style: XmlStyle,
    parent_of: Callable[[ElementInText], ElementInText] = lambda root: root,
) -> str:
    """Have each of the elements, exactly so, among the children of ``parent_of(root)``.

    Raises XmlError if the text can't be parsed.
    """
    for element in elements:
        text = _with_child_element(text, parent_of(parse(text)), element, style)
    return text


def _with_child_element(text: str, parent: ElementInText, element: Element, style: XmlStyle) -> str:
    for present in parent.children:
        if present.element.identity == element.identity:
            return _with_replaced_element(text, present, element, style)
    if parent.end_tag == parent.end:
        raise _error_at(text, parent.start, "expected an element with entries, found an empty one")
    insert_at = _end_of_comments(text, _end_of_earlier_sibling(text, parent, element))
    indent = _indent_at(text, parent.start) + style.indentation
    xml = xml_text(element, style, indent, _line_end(text))
    return f"{text[:insert_at]}{_line_end(text)}{indent}{xml}{text[insert_at:]}"


def _with_replaced_element(
    text: str, present: ElementInText, element: Element, style: XmlStyle
) -> str:
    if present.whole_element() == element:
        return text
    xml = xml_text(element, style, _indent_at(text, present.start), _line_end(text))
    return text[: present.start] + xml + text[present.end :]


def _end_of_earlier_sibling(text: str, parent: ElementInText, element: Element) -> int:
    """The IDEs keep their entries in the order of their names: where the one before ends."""
    tag, name = element.identity
    siblings = [child for child in parent.children if child.element.identity[0] == tag]
    later_sibling = next((child for child in siblings if child.element.identity[1] > name), None)
    if later_sibling is not None:
        siblings = parent.children[: parent.children.index(later_sibling)]
    return siblings[-1].end if siblings else _end_of_start_tag(text, parent)


def _end_of_comments(text: str, position: int) -> int:
    """What is said behind an element in its line belongs to it."""
    comments = _COMMENTS_IN_LINE.match(text, position)
    return comments.end() if comments else position


def xml_text(element: Element, style: XmlStyle, indent: str = "", line_end: str = "\n") -> str:
    """The element as text; its first line begins without the indent."""
    attributes = (
        f' {name}="{_escaped_attribute(value, style)}"'
        for name, value in element.attributes.items()
    )
    start_tag = f"<{element.tag}{''.join(attributes)}"
    if not element.children:
        return start_tag + style.empty_element_end
    child_indent = indent + style.indentation
    children = (
        f"{child_indent}{xml_text(child, style, child_indent, line_end)}{line_end}"
        for child in element.children
    )
    return f"{start_tag}>{line_end}{''.join(children)}{indent}</{element.tag}>"


def _escaped_attribute(value: str, style: XmlStyle) -> str:
    def character_reference(match: re.Match[str]) -> str:
        return _XML_ENTITIES.get(match[0], f"&#{ord(match[0])};")

    return re.sub(rf'[&<>"\t\r\n{style.referenced_characters}]', character_reference, value)


def _indent_at(text: str, position: int) -> str:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _end_of_start_tag(text: str, element: ElementInText) -> int:
    start_tag = _START_TAG.match(text, element.start)
    assert start_tag is not None, element  # expat has taken it for a tag
    return start_tag.end()


# Reading


def parse(text: str) -> ElementInText:
    """The root element. Raises XmlError.

    A document type is refused: none of these files has one, and its entities are the known ways
    to make a parser read other files or fill the memory.
    """
    from xml.parsers import expat

    utf8_text = text.encode("utf-8", "surrogatepass")
    parser = expat.ParserCreate("utf-8")
    reader = _ExpatReader(text, utf8_text, parser)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.Parse(utf8_text, True)
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, "")
        raise XmlError(error.lineno, error.offset + 1, reason or "not XML") from None
    assert reader.root is not None  # expat has found one
    return reader.root


class _ExpatReader:
    """Gathers the elements with their places, while expat goes through the text."""

    def __init__(self, text: str, utf8_text: bytes, parser: XMLParserType) -> None:
        self.root: ElementInText | None = None
        self._open_elements: list[ElementInText] = []
        self._text = text
        self._utf8_text = utf8_text
        self._parser = parser
        self._passed_bytes = self._passed_characters = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        element = ElementInText(Element(tag, attributes), self._position())
        if self._open_elements:
            self._open_elements[-1].children.append(element)
        else:
            self.root = element
        self._open_elements.append(element)

    def end(self, _tag: str) -> None:
        element = self._open_elements.pop()
        end_of_start_tag = _end_of_start_tag(self._text, element)
        if self._text[end_of_start_tag - 2] == "/":
            element.end_tag = element.end = end_of_start_tag
        else:
            element.end_tag = self._position()
            element.end = self._text.index(">", element.end_tag) + 1

    def refuse_doctype(self, *_: object) -> None:
        raise _error_at(self._text, self._position(), "a document type is not expected here")

    def _position(self) -> int:
        """Where expat is, in characters: it counts bytes, and only goes forward."""
        byte_index = self._parser.CurrentByteIndex
        passed = self._utf8_text[self._passed_bytes : byte_index]
        self._passed_characters += len(passed.decode("utf-8", "surrogatepass"))
        self._passed_bytes = byte_index
        return self._passed_characters


def _error_at(text: str, position: int, message: str) -> XmlError:
    line_start = text.rfind("\n", 0, position) + 1
    return XmlError(text.count("\n", 0, position) + 1, position - line_start + 1, message)

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

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

_TAG = re.compile(r"<[^\s/>]+(?:\s+[^\s=]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")
_REST_OF_LINE = re.compile(r"(?:[ \t]*<!--(?:(?!-->)[^\r\n])*-->)*[ \t]*(?=\r?\n)")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


class XmlError(ValueError):
    """The text is not XML, or nothing that is edited here; line and column count from 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column
        self.message = message


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
class Place:
    """An element that is there: ``text[start:end]``, its children before ``text[closing]``."""

    element: Element
    start: int
    end: int = 0
    closing: int = 0
    """Where its end tag begins; where it is empty (``<a/>``), its end."""
    children: list[Place] = field(default_factory=list)

    def whole(self) -> Element:
        return Element(
            self.element.tag,
            self.element.attributes,
            tuple(child.whole() for child in self.children),
        )


@dataclass(frozen=True)
class Style:
    """How an IDE writes its XML."""

    unit: str
    """Of indentation."""
    empty_end: str
    """The end of an element without children."""
    references: str = ""
    """What it writes as &#NUMBER; besides control characters, as in a regular expression's []."""


ECLIPSE = Style(unit="    ", empty_end="/>", references="\U00010000-\U0010ffff")
JETBRAINS = Style(unit="  ", empty_end=" />")


def merge(
    text: str,
    wanted: Iterable[Element],
    style: Style,
    parent_of: Callable[[Place], Place] = lambda root: root,
) -> str:
    """Have each of the wanted elements, exactly so, among the children of ``parent_of(root)``.

    Raises XmlError if the text can't be parsed.
    """
    for element in wanted:
        text = _with_child(text, parent_of(parse(text)), element, style)
    return text


def _with_child(text: str, parent: Place, element: Element, style: Style) -> str:
    present = next((c for c in parent.children if c.element.identity == element.identity), None)
    depth = _indent_at(text, parent.start) + style.unit
    if present is not None:
        if present.whole() == element:
            return text
        new = rendered(element, style, _indent_at(text, present.start), _line_end(text))
        return text[: present.start] + new + text[present.end :]
    if parent.closing == parent.end:
        raise _error_at(text, parent.start, "expected an element with entries, found an empty one")
    at = _end_of_comments(text, _end_of_earlier(text, parent, element))
    new = rendered(element, style, depth, _line_end(text))
    return f"{text[:at]}{_line_end(text)}{depth}{new}{text[at:]}"


def _end_of_earlier(text: str, parent: Place, element: Element) -> int:
    """The IDEs keep their entries in the order of their names: where the one before ends."""
    kind, name = element.identity
    alike = [child for child in parent.children if child.element.identity[0] == kind]
    later = next((child for child in alike if child.element.identity[1] > name), None)
    if later is not None:
        alike = parent.children[: parent.children.index(later)]
    return alike[-1].end if alike else _end_of_start_tag(text, parent)


def _end_of_comments(text: str, position: int) -> int:
    """What is said behind an element in its line belongs to it."""
    rest = _REST_OF_LINE.match(text, position)
    return rest.end() if rest else position


def rendered(element: Element, style: Style, indent: str = "", line_end: str = "\n") -> str:
    """The element as text; its first line begins without the indent."""
    members = (f' {name}="{_escaped(value, style)}"' for name, value in element.attributes.items())
    start = f"<{element.tag}{''.join(members)}"
    if not element.children:
        return start + style.empty_end
    inner = indent + style.unit
    children = (
        f"{inner}{rendered(child, style, inner, line_end)}{line_end}" for child in element.children
    )
    return f"{start}>{line_end}{''.join(children)}{indent}</{element.tag}>"


def _escaped(value: str, style: Style) -> str:
    def escape(match: re.Match[str]) -> str:
        return _ESCAPES.get(match[0], f"&#{ord(match[0])};")

    return re.sub(rf'[&<>"\t\r\n{style.references}]', escape, value)


def _indent_at(text: str, position: int) -> str:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _end_of_start_tag(text: str, place: Place) -> int:
    tag = _TAG.match(text, place.start)
    assert tag is not None, place  # expat has taken it for a tag
    return tag.end()


# Reading


def parse(text: str) -> Place:
    """The root element. Raises XmlError.

    A document type is refused: none of these files has one, and its entities are the known ways
    to make a parser read other files or fill the memory.
    """
    from xml.parsers import expat

    data = text.encode("utf-8", "surrogatepass")
    parser = expat.ParserCreate("utf-8")
    reader = _Reader(text, data, parser)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, "")
        raise XmlError(error.lineno, error.offset + 1, reason or "not XML") from None
    assert reader.root is not None  # expat has found one
    return reader.root


class _Reader:
    """Gathers the elements with their places, while expat goes through the text."""

    def __init__(self, text: str, data: bytes, parser: XMLParserType) -> None:
        self.root: Place | None = None
        self._open: list[Place] = []
        self._text = text
        self._data = data
        self._parser = parser
        self._bytes = self._characters = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        place = Place(Element(tag, attributes), self._position())
        if self._open:
            self._open[-1].children.append(place)
        else:
            self.root = place
        self._open.append(place)

    def end(self, _tag: str) -> None:
        place = self._open.pop()
        end = _end_of_start_tag(self._text, place)
        if self._text[end - 2] == "/":
            place.closing = place.end = end
        else:
            place.closing = self._position()
            place.end = self._text.index(">", place.closing) + 1

    def refuse_doctype(self, *_: object) -> None:
        raise _error_at(self._text, self._position(), "a document type is not expected here")

    def _position(self) -> int:
        """Where expat is, in characters: it counts bytes, and only goes forward."""
        at = self._parser.CurrentByteIndex
        passed = self._data[self._bytes : at]
        self._characters += len(passed.decode("utf-8", "surrogatepass"))
        self._bytes = at
        return self._characters


def _error_at(text: str, position: int, message: str) -> XmlError:
    line_start = text.rfind("\n", 0, position) + 1
    return XmlError(text.count("\n", 0, position) + 1, position - line_start + 1, message)

"""The format of the JetBrains IDEs' .run.xml files: one run configuration in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from flask_debuglaunch.ides.ide_interface import Refused, with_additions
from flask_debuglaunch.ides.xml_edit import Element, Place, Style, XmlError, merge, parse, rendered

STYLE = Style(unit="  ", empty_end=" />")


def edited(
    kind: Mapping[str, str],
    ours: Mapping[str, str],
    initial: Mapping[str, str],
    present: str | None,
) -> str:
    """The file of a configuration. kind: its attributes, ours and initial: its options, those that
    are put right again if they differ and those that a new one has besides. Raises Refused."""
    if present is None:
        options = tuple(_options({**ours, **initial}))
        method = Element("method", {"v": "2"})
        configuration = Element("configuration", kind, (*options, method))
        manager = {"name": "ProjectRunConfigurationManager"}
        # Without a line end, as the IDE saves it.
        return rendered(Element("component", manager, (configuration,)), STYLE)
    try:
        there = _configuration(kind["type"], parse(present)).whole()
        values = {option.identity: option.attributes.get("value") for option in there.children}
        if "PARAMETERS" in ours:
            added = with_additions(values.get("PARAMETERS"), ours["PARAMETERS"])
            ours = {**ours, "PARAMETERS": added}
        return merge(present, _options(ours), STYLE, partial(_configuration, kind["type"]))
    except XmlError as error:
        raise Refused(error.line, error.column, error.message) from None


def _configuration(kind: str, root: Place) -> Place:
    for place in root.children:
        if place.element.attributes.get("type") == kind:
            return place
    raise Refused(1, 1, f"not a run configuration of type {kind}")


def _options(values: Mapping[str, str]) -> Iterator[Element]:
    for name in sorted(values):
        yield Element("option", {"name": name, "value": values[name]})

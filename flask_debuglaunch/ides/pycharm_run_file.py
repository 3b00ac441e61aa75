"""The format of the JetBrains IDEs' .run.xml files: one run configuration in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from flask_debuglaunch.ides.ide_interface import Refused
from flask_debuglaunch.ides.xml_edit import Element, Place, Style, XmlError, merge, parse, rendered

STYLE = Style(unit="  ", empty_end=" />")


def edited(
    kind: Mapping[str, str],
    ours: Mapping[str, str],
    initial: Mapping[str, str],
    merge_parameters: Callable[[str | None], str] | None,
    present: str | None,
) -> str:
    """The file of a configuration. kind: its attributes, ours and initial: its options, those that
    are put right again if they differ and those that a new one has besides; merge_parameters makes
    its line of arguments, where it has one, from the one that is there. Raises Refused."""
    if present is None:
        parameters = {"PARAMETERS": merge_parameters(None)} if merge_parameters else {}
        options = tuple(_options({**ours, **initial, **parameters}))
        method = Element("method", {"v": "2"})
        configuration = Element("configuration", kind, (*options, method))
        manager = {"name": "ProjectRunConfigurationManager"}
        # Without a line end, as the IDE saves it.
        return rendered(Element("component", manager, (configuration,)), STYLE)
    try:
        there = _configuration(kind["type"], parse(present)).whole()
        if merge_parameters:
            ours = {**ours, "PARAMETERS": merge_parameters(_value(there, "PARAMETERS"))}
        return merge(present, _options(ours), STYLE, partial(_configuration, kind["type"]))
    except XmlError as error:
        raise Refused(error.line, error.column, error.message) from None


def _value(configuration: Element, name: str) -> str | None:
    options = (one.attributes for one in configuration.children if one.tag == "option")
    return next((one.get("value") for one in options if one.get("name") == name), None)


def _configuration(kind: str, root: Place) -> Place:
    for place in root.children:
        if place.element.attributes.get("type") == kind:
            return place
    raise Refused(1, 1, f"not a run configuration of type {kind}")


def _options(values: Mapping[str, str]) -> Iterator[Element]:
    for name in sorted(values):
        yield Element("option", {"name": name, "value": values[name]})

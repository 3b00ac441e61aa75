"""PyCharm and IntelliJ IDEA with its Python plugin: .run/*.run.xml.

Each file is one run configuration: https://www.jetbrains.com/help/pycharm/run-debug-configuration.html
(the page "Share run/debug configurations"). The IDE may save more options into it; those stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from flask_debuglaunch.ides.containers.attach_to_container import AttachTarget, attach_target
from flask_debuglaunch.ides.ide_interface import (
    MODULE,
    NOT_IN_XML,
    EditRefused,
    FileEdit,
    refuse_in_name,
)
from flask_debuglaunch.ides.launch_arguments import Word, merged_line
from flask_debuglaunch.ides.opened_project import Project

if TYPE_CHECKING:
    from flask_debuglaunch.ides.xml_edit import Element, Place

FOLDER = "$PROJECT_DIR$"

_PYTHON = {"type": "PythonConfigurationType", "factoryName": "Python"}
_DAP_ATTACH = {"type": "PythonDapAttachConfiguration"}
_DEBUG_SERVER = {
    "type": "PyRemoteDebugConfigurationType",
    "factoryName": "Python Remote Debug",
}


class PyCharm:
    marker = ".idea"
    next_step = "open this folder in PyCharm, choose `debuglaunch debug` and click Debug"
    extras: Mapping[str, str] = {
        "docker": "one that attaches to the app in a container (PyCharm 2025.3 and later)",
        "wait": "the Python Debug Server (PyCharm Pro), to which the app connects",
    }

    def files(self, project: Project, extras: Collection[str]) -> Iterator[FileEdit]:
        for path in (project.config, project.app_folder):
            refuse_in_name(path, rf"\$\w+\$|{NOT_IN_XML}", "PyCharm")
        yield _run_file(
            project.entry_name("debuglaunch debug"),
            _PYTHON,
            _STARTED,
            {**_STARTED_INITIALLY, "WORKING_DIRECTORY": project.app_folder_below(FOLDER)},
            project.arguments,
        )
        host, port = project.debug_address
        if port == 0:
            return
        address = {"remoteAddress": _address(host, port)}
        folder = project.app_folder_below(FOLDER)
        here = {"localRoot": folder, "remoteRoot": folder}
        yield _run_file(project.entry_name("debuglaunch attach"), _DAP_ATTACH, address, here)
        if "docker" in extras:
            yield _container_file(attach_target(project))
        if "wait" in extras:
            server = {"HOST": host, "PORT": str(port)}
            initial = {"REDIRECT_OUTPUT": "true", "SUSPEND_AFTER_CONNECT": "false"}
            yield _run_file(
                project.entry_name("debuglaunch debug server"), _DEBUG_SERVER, server, initial
            )

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        if project.debug_address[1] == 0:
            yield "DEBUG_PORT is 0, any free port: there is no configuration that attaches to it"
        if "wait" in extras:
            yield (
                "wait: install the pydevd-pycharm of this PyCharm's version (its Debug Server"
                " window names it), and give the app --debug-with pycharm"
            )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _container_file(target: AttachTarget) -> FileEdit:
    """This kind of configuration has one mapping; compose.debug.yaml's is put right again."""
    local, remote = next(iter(target.path_mappings), (".", "/app"))
    here = FOLDER if local == "." else f"{FOLDER}/{local}"
    address = {"remoteAddress": _address(*target.debug_address)}
    roots = {"localRoot": here, "remoteRoot": remote}
    name = "debuglaunch attach to container"
    if target.up_command:
        return _run_file(name, _DAP_ATTACH, {**address, **roots}, {})
    return _run_file(name, _DAP_ATTACH, address, roots)


def quoted(argument: str) -> str:
    r"""The argument as com.intellij.util.execution.ParametersListUtil splits it again.

    Only double quotes are special there, and \" within or without them; a backslash before the
    closing quote would take it for text, so that it goes behind.
    """
    escaped = argument.replace('"', r"\"")
    if escaped and not re.search(r"[\s|]", escaped):
        return escaped
    head = escaped.rstrip("\\")
    return f'"{head}"{escaped[len(head) :]}'


def split(line: str) -> Iterator[Word]:
    """The arguments of a line, as ParametersListUtil splits it."""
    for word in re.finditer(r'(?:"(?:\\"|[^"])*(?:"|\Z)|\\"|[^\s"])+', line):
        text = re.sub(r'(\\)?"', lambda quote: '"' if quote[1] else "", word[0])
        yield Word(*word.span(), text)


_STARTED = {"MODULE_MODE": "true", "SCRIPT_NAME": MODULE}
_STARTED_INITIALLY = {
    "ADD_CONTENT_ROOTS": "true",
    "ADD_SOURCE_ROOTS": "true",
    "EMULATE_TERMINAL": "false",
    "INPUT_FILE": "",
    "INTERPRETER_OPTIONS": "",
    "IS_MODULE_SDK": "true",
    "PARENT_ENVS": "true",
    "REDIRECT_INPUT": "false",
    "SDK_HOME": "",
    "SHOW_COMMAND_LINE": "false",
}


def _run_file(
    name: str,
    kind: Mapping[str, str],
    ours: Mapping[str, str],
    initial: Mapping[str, str],
    arguments: list[str] | None = None,
) -> FileEdit:
    """ours: the options that make it work, put right again if they differ. initial: what a new
    one has besides; from then on it is the user's."""

    def edit(present: str | None) -> str:
        def merge(line: str | None) -> str:
            return merged_line(line, arguments or [], split, quoted)

        attributes = {"default": "false", "name": name, **kind}
        parameters = None if arguments is None else merge
        return _edited(attributes, ours, initial, parameters, present)

    return FileEdit(f".run/{name}.run.xml", edit)


def _edited(
    kind: Mapping[str, str],
    ours: Mapping[str, str],
    initial: Mapping[str, str],
    merge_parameters: Callable[[str | None], str] | None,
    present: str | None,
) -> str:
    """The text of a configuration. kind: its attributes, ours and initial: its options, those that
    are put right again if they differ and those that a new one has besides; merge_parameters makes
    its line of arguments, where it has one, from the one that is there. Raises EditRefused."""
    from flask_debuglaunch.ides import xml_edit  # XML is for those who need it

    if present is None:
        parameters = {"PARAMETERS": merge_parameters(None)} if merge_parameters else {}
        options = tuple(_options({**ours, **initial, **parameters}))
        method = xml_edit.Element("method", {"v": "2"})
        configuration = xml_edit.Element("configuration", kind, (*options, method))
        manager = {"name": "ProjectRunConfigurationManager"}
        # Without a line end, as the IDE saves it.
        return xml_edit.rendered(
            xml_edit.Element("component", manager, (configuration,)), xml_edit.JETBRAINS
        )
    try:
        there = _configuration(kind["type"], xml_edit.parse(present)).whole()
        if merge_parameters:
            ours = {**ours, "PARAMETERS": merge_parameters(_value(there, "PARAMETERS"))}
        return xml_edit.merge(
            present, _options(ours), xml_edit.JETBRAINS, partial(_configuration, kind["type"])
        )
    except xml_edit.XmlError as error:
        raise EditRefused(error.line, error.column, error.message) from None


def _value(configuration: Element, name: str) -> str | None:
    options = (one.attributes for one in configuration.children if one.tag == "option")
    return next((one.get("value") for one in options if one.get("name") == name), None)


def _configuration(kind: str, root: Place) -> Place:
    for place in root.children:
        if place.element.attributes.get("type") == kind:
            return place
    raise EditRefused(1, 1, f"not a run configuration of type {kind}")


def _options(values: Mapping[str, str]) -> Iterator[Element]:
    from flask_debuglaunch.ides import xml_edit

    for name in sorted(values):
        yield xml_edit.Element("option", {"name": name, "value": values[name]})

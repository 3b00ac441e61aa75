"""PyCharm and IntelliJ IDEA with its Python plugin: .run/*.run.xml.

Each file is one run configuration: https://www.jetbrains.com/help/pycharm/run-debug-configuration.html
(the page "Share run/debug configurations"). The IDE may save more options into it; those stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from flask_debuglaunch.errors import EditRefused
from flask_debuglaunch.ides.containers.attach_to_container import AttachTarget, attach_target
from flask_debuglaunch.ides.ide_interface import (
    LAUNCHER_MODULE,
    NOT_IN_XML,
    FileEdit,
    refuse_in_paths,
)
from flask_debuglaunch.ides.launch_arguments import QuotedArgument, merged_argument_line
from flask_debuglaunch.ides.opened_project import Project

if TYPE_CHECKING:
    from flask_debuglaunch.ides.xml_edit import Element, ElementInText

PROJECT_FOLDER = "$PROJECT_DIR$"

_PYTHON_CONFIGURATION = {"type": "PythonConfigurationType", "factoryName": "Python"}
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
        refuse_in_paths(project, rf"\$\w+\$|{NOT_IN_XML}", "PyCharm")
        yield _run_file(
            project.entry_name("debuglaunch debug"),
            _PYTHON_CONFIGURATION,
            _PYTHON_OPTIONS,
            {
                **_INITIAL_PYTHON_OPTIONS,
                "WORKING_DIRECTORY": project.app_folder_below(PROJECT_FOLDER),
            },
            project.arguments,
        )
        host, port = project.debug_address
        if port == 0:
            return
        remote_address = {"remoteAddress": _remote_address(host, port)}
        app_folder = project.app_folder_below(PROJECT_FOLDER)
        same_roots = {"localRoot": app_folder, "remoteRoot": app_folder}
        attach_name = project.entry_name("debuglaunch attach")
        yield _run_file(attach_name, _DAP_ATTACH, remote_address, same_roots)
        if "docker" in extras:
            yield _attach_to_container_file(attach_target(project))
        if "wait" in extras:
            yield _run_file(
                project.entry_name("debuglaunch debug server"),
                _DEBUG_SERVER,
                {"HOST": host, "PORT": str(port)},
                {"REDIRECT_OUTPUT": "true", "SUSPEND_AFTER_CONNECT": "false"},
            )

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        if project.debug_address[1] == 0:
            yield "DEBUG_PORT is 0, any free port: there is no configuration that attaches to it"
        if "wait" in extras:
            yield (
                "wait: install the pydevd-pycharm of this PyCharm's version (its Debug Server"
                " window names it), and give the app --debug-with pycharm"
            )


def _remote_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _attach_to_container_file(target: AttachTarget) -> FileEdit:
    """This kind of configuration has one mapping; compose.debug.yaml's is put right again."""
    local, remote = next(iter(target.path_mappings), (".", "/app"))
    local_root = PROJECT_FOLDER if local == "." else f"{PROJECT_FOLDER}/{local}"
    address = {"remoteAddress": _remote_address(*target.debug_address)}
    roots = {"localRoot": local_root, "remoteRoot": remote}
    name = "debuglaunch attach to container"
    if target.up_command:
        return _run_file(name, _DAP_ATTACH, {**address, **roots}, {})
    return _run_file(name, _DAP_ATTACH, address, roots)


def quoted_argument(argument: str) -> str:
    r"""The argument as com.intellij.util.execution.ParametersListUtil splits it again.

    Only double quotes are special there, and \" within or without them; a backslash before the
    closing quote would take it for text, so that it goes behind.
    """
    escaped = argument.replace('"', r"\"")
    if escaped and not re.search(r"[\s|]", escaped):
        return escaped
    before_backslashes = escaped.rstrip("\\")
    return f'"{before_backslashes}"{escaped[len(before_backslashes) :]}'


def split_arguments(line: str) -> Iterator[QuotedArgument]:
    """The arguments of a line, as ParametersListUtil splits it."""
    for argument in re.finditer(r'(?:"(?:\\"|[^"])*(?:"|\Z)|\\"|[^\s"])+', line):
        text = re.sub(r'(\\)?"', lambda quote: '"' if quote[1] else "", argument[0])
        yield QuotedArgument(*argument.span(), text)


_PYTHON_OPTIONS = {"MODULE_MODE": "true", "SCRIPT_NAME": LAUNCHER_MODULE}
_INITIAL_PYTHON_OPTIONS = {
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
    configuration_type: Mapping[str, str],
    our_options: Mapping[str, str],
    initial_options: Mapping[str, str],
    arguments: list[str] | None = None,
) -> FileEdit:
    """our_options make it work, and are put right again if they differ. initial_options: what a new
    one has besides; from then on it is the user's."""

    def edit(present_text: str | None) -> str:
        def merged_parameters(line: str | None) -> str:
            return merged_argument_line(line, arguments or [], split_arguments, quoted_argument)

        return _edited_configuration(
            {"default": "false", "name": name, **configuration_type},
            our_options,
            initial_options,
            None if arguments is None else merged_parameters,
            present_text,
        )

    return FileEdit(f".run/{name}.run.xml", edit)


def _edited_configuration(
    attributes: Mapping[str, str],
    our_options: Mapping[str, str],
    initial_options: Mapping[str, str],
    merged_parameters: Callable[[str | None], str] | None,
    present_text: str | None,
) -> str:
    """The text of a configuration. our_options and initial_options: those that are put right again
    if they differ, and those that a new one has besides; merged_parameters makes its line of
    arguments, where it has one, from the one that is there. Raises EditRefused."""
    from flask_debuglaunch.ides import xml_edit  # XML is for those who need it

    if present_text is None:
        parameters = {"PARAMETERS": merged_parameters(None)} if merged_parameters else {}
        options = tuple(_option_elements({**our_options, **initial_options, **parameters}))
        method = xml_edit.Element("method", {"v": "2"})
        configuration = xml_edit.Element("configuration", attributes, (*options, method))
        manager = {"name": "ProjectRunConfigurationManager"}
        # Without a line end, as the IDE saves it.
        return xml_edit.xml_text(
            xml_edit.Element("component", manager, (configuration,)), xml_edit.JETBRAINS
        )
    configuration_of = partial(_configuration_of_type, attributes["type"])
    present = configuration_of(xml_edit.parse(present_text)).whole_element()
    if merged_parameters:
        parameters = {"PARAMETERS": merged_parameters(_option_value(present, "PARAMETERS"))}
        our_options = {**our_options, **parameters}
    return xml_edit.merge(
        present_text, _option_elements(our_options), xml_edit.JETBRAINS, configuration_of
    )


def _option_value(configuration: Element, name: str) -> str | None:
    for element in configuration.children:
        if element.tag == "option" and element.attributes.get("name") == name:
            return element.attributes.get("value")
    return None


def _configuration_of_type(configuration_type: str, root: ElementInText) -> ElementInText:
    for child in root.children:
        if child.element.attributes.get("type") == configuration_type:
            return child
    raise EditRefused(1, 1, f"not a run configuration of type {configuration_type}")


def _option_elements(options: Mapping[str, str]) -> Iterator[Element]:
    from flask_debuglaunch.ides import xml_edit

    for name in sorted(options):
        yield xml_edit.Element("option", {"name": name, "value": options[name]})

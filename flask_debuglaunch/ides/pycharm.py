"""PyCharm and IntelliJ IDEA with its Python plugin: .run/*.run.xml.

Each file is one run configuration: https://www.jetbrains.com/help/pycharm/run-debug-configuration.html
(the page "Share run/debug configurations"). The IDE may save more options into it; those stay.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial

from flask_debuglaunch.ides.protocol import (
    MODULE,
    File,
    Project,
    Refused,
    refuse_variables,
    with_additions,
)
from flask_debuglaunch.ides.xml_edit import Element, Place, Style, XmlError, merge, parse, rendered

FOLDER = "$PROJECT_DIR$"
STYLE = Style(unit="  ", empty_end=" />")

_PYTHON = {"type": "PythonConfigurationType", "factoryName": "Python"}
_DAP_ATTACH = {"type": "PythonDapAttachConfiguration"}
_DEBUG_SERVER = {
    "type": "PyRemoteDebugConfigurationType",
    "factoryName": "Python Remote Debug",
}


class PyCharm:
    marker = ".idea"
    extras: Mapping[str, str] = {
        "docker": "one that attaches to the app in a container (PyCharm 2025.3 and later)",
        "wait": "the Python Debug Server (PyCharm Pro), to which the app connects",
    }

    def files(self, project: Project, extras: Collection[str]) -> Iterator[File]:
        refuse_variables(project.config, r"\$\w+\$", "PyCharm")
        arguments = " ".join(map(quoted, project.arguments))
        yield _run_file("debuglaunch debug", _PYTHON, _started(arguments), _STARTED_INITIALLY)
        host, port = project.debug_address
        if port == 0:
            return
        address = {"remoteAddress": f"[{host}]:{port}" if ":" in host else f"{host}:{port}"}
        here = {"localRoot": FOLDER, "remoteRoot": FOLDER}
        yield _run_file("debuglaunch attach", _DAP_ATTACH, address, here)
        if "docker" in extras:
            local, remote = project.local_and_remote_root
            roots = {
                "localRoot": FOLDER if local == "." else f"{FOLDER}/{local}",
                "remoteRoot": remote,
            }
            yield _run_file("debuglaunch attach to container", _DAP_ATTACH, address, roots)
        if "wait" in extras:
            server = {"HOST": host, "PORT": str(port)}
            initial = {"REDIRECT_OUTPUT": "true", "SUSPEND_AFTER_CONNECT": "false"}
            yield _run_file("debuglaunch debug server", _DEBUG_SERVER, server, initial)

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        if project.debug_address[1] == 0:
            yield "DEBUG_PORT is 0, any free port: there is no configuration that attaches to it"
        if "wait" in extras:
            yield (
                "wait: install the pydevd-pycharm of this PyCharm's version (its Debug Server"
                " window names it), and give the app --debug-with pycharm"
            )


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


def _started(arguments: str) -> dict[str, str]:
    return {
        "MODULE_MODE": "true",
        "PARAMETERS": arguments,
        "SCRIPT_NAME": MODULE,
        "WORKING_DIRECTORY": FOLDER,
    }


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
    name: str, kind: Mapping[str, str], ours: Mapping[str, str], initial: Mapping[str, str]
) -> File:
    """ours: the options that make it work, put right again if they differ. initial: what a new
    one has besides; from then on it is the user's."""
    path = f".run/{name}.run.xml"
    return File(path, partial(_edited, {"default": "false", "name": name, **kind}, ours, initial))


def _edited(
    kind: Mapping[str, str],
    ours: Mapping[str, str],
    initial: Mapping[str, str],
    present: str | None,
) -> str:
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

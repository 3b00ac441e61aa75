"""Eclipse with PyDev, LiClipse and Aptana Studio: .launch files, and what a PyDev project needs.

A .launch holds Eclipse's generic keys and PyDev's own (org.python.pydev.debug.core.Constants). It
can start a file but no module, so that a script of two lines comes with it. Eclipse drops what it
does not know without a word, and writes its entries in the order of their keys.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial

from flask_debuglaunch.ides.protocol import (
    File,
    Project,
    Refused,
    refuse_variables,
    unless_there,
    with_additions,
)
from flask_debuglaunch.ides.xml_edit import Element, Style, XmlError, merge, parse, rendered

SCRIPT = "eclipse_launch.py"
LAUNCH_TYPE = "org.python.pydev.debug.regularLaunchConfigurationType"
NATURE = "org.python.pydev.pythonNature"
STYLE = Style(unit="    ", empty_end="/>")
ARGUMENTS = "org.eclipse.ui.externaltools.ATTR_TOOL_ARGUMENTS"

_FORBIDDEN_IN_NAMES = re.compile(r'[@&\\/:*?"<>|]')  # ILaunchManager.isValidLaunchConfigurationName


class Eclipse:
    marker = ".project"
    extras: Mapping[str, str] = {}

    def files(self, project: Project, extras: Collection[str]) -> Iterator[File]:
        name = _project_name(project)
        for used in (name, project.config):
            refuse_variables(used, r"\$\{[^}]*\}?|\}", "Eclipse")
        shown = _FORBIDDEN_IN_NAMES.sub("-", name)
        dial = [*project.arguments, "--debug-with=eclipse", "--debug-connection=connect"]
        yield _launch_file(f"{shown} debug.launch", name, project.arguments)
        yield _launch_file(f"{shown} debug server.launch", name, dial)
        yield File(SCRIPT, unless_there(_SCRIPT_TEXT))
        yield File(".project", unless_there(_PROJECT_TEXT.format(name=_escaped(project.name))))
        yield File(".pydevproject", unless_there(_PYDEVPROJECT_TEXT))

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        yield from _missing(project)
        yield (
            'Eclipse stops at errors only if told once: PyDev > "Manage Exception Breakpoints" >'
            ' "Suspend on uncaught exceptions"'
        )
        yield (
            "Aptana Studio 3 reads the same files and runs the app; its own debugger ends with"
            " Python 3.8, so install a current PyDev in it to debug"
        )


def quoted(argument: str) -> str:
    r"""The argument as PyDev splits it again (org.python.pydev.shared_core.process.ProcessUtils).

    It splits like a POSIX shell, and on Windows like Windows. Within double quotes the two differ
    in \\ alone, so that C:\my shop\config.yaml is right for both; \\server\shop is not, and paths
    are written with slashes.
    """
    if argument and not re.search(r"[\s\"'\\]", argument):
        return argument
    escaped = re.sub(r'\\(?=[\\"]|\Z)', r"\\\\", argument).replace('"', r"\"")
    return f'"{escaped}"'


def _project_name(project: Project) -> str:
    """The name in the .project, which need not be the folder's."""
    name = re.search(r"<name>([^<]*)</name>", project.read(".project") or "")
    return _unescaped(name[1].strip()) if name else project.name


def _launch_file(path: str, project: str, arguments: list[str]) -> File:
    return File(path, partial(_edited, project, " ".join(map(quoted, arguments))))


def _edited(project: str, arguments: str, present: str | None) -> str:
    if present is None:
        entries = [*_ours(project, arguments), *_initial()]
        entries.sort(key=lambda entry: entry.identity)
        root = Element("launchConfiguration", {"type": LAUNCH_TYPE}, tuple(entries))
        return _HEAD + rendered(root, STYLE) + "\n"
    try:
        root = parse(present).whole()
        if root.attributes.get("type") != LAUNCH_TYPE:
            raise Refused(1, 1, f"not a PyDev launch configuration ({LAUNCH_TYPE})")
        there = {entry.identity: entry.attributes.get("value") for entry in root.children}
        arguments = with_additions(there.get(ARGUMENTS), arguments)
        return merge(present, _ours(project, arguments), STYLE)
    except XmlError as error:
        raise Refused(error.line, error.column, error.message) from None


def _ours(project: str, arguments: str) -> Iterator[Element]:
    """What makes it start the app: put right again if it differs."""
    debug, tools, pydev = (
        "org.eclipse.debug.core.",
        "org.eclipse.ui.externaltools.",
        "org.python.pydev.debug.",
    )
    folder = f"${{workspace_loc:{project}}}"
    yield _list(debug + "MAPPED_RESOURCE_PATHS", f"/{project}/{SCRIPT}")
    yield _list(debug + "MAPPED_RESOURCE_TYPES", "1")  # IResource.FILE
    yield _string(tools + "ATTR_LOCATION", f"${{workspace_loc:{project}/{SCRIPT}}}")
    yield _string(tools + "ATTR_OTHER_WORKING_DIRECTORY", folder)
    yield _string(ARGUMENTS, arguments)
    yield _string(tools + "ATTR_WORKING_DIRECTORY", folder)
    yield _string(pydev + "ATTR_PROJECT", project)
    yield Element("intAttribute", {"key": pydev + "ATTR_RESOURCE_TYPE", "value": "1"})


def _initial() -> Iterator[Element]:
    """What a new one has besides; from then on it is the user's."""
    debug, ui = "org.eclipse.debug.core.", "org.eclipse.debug.ui."
    groups = (f"{ui}launchGroup.debug", f"{ui}launchGroup.run")
    yield _boolean(debug + "appendEnvironmentVariables")
    yield _boolean(debug + "capture_output")
    yield _string(ui + "ATTR_CONSOLE_ENCODING", "UTF-8")
    yield _boolean(ui + "ATTR_LAUNCH_IN_BACKGROUND")
    yield _list(ui + "favoriteGroups", *groups)
    yield _string("org.python.pydev.debug.ATTR_INTERPRETER", "__default")
    # Without it PyDev rewrites the file when it is first launched.
    factory = "org.python.pydev.debug.processfactory.PyProcessFactory"
    yield _string("process_factory_id", factory)


def _string(key: str, value: str) -> Element:
    return Element("stringAttribute", {"key": key, "value": value})


def _boolean(key: str) -> Element:
    return Element("booleanAttribute", {"key": key, "value": "true"})


def _list(key: str, *values: str) -> Element:
    entries = tuple(Element("listEntry", {"value": value}) for value in values)
    return Element("listAttribute", {"key": key}, entries)


def _missing(project: Project) -> Iterator[str]:
    """What the files that are never changed lack."""
    if NATURE not in (project.read(".project") or NATURE):
        yield (
            ".project has no PyDev nature: in Eclipse, PyDev > Set as PyDev Project in the"
            " project's menu"
        )
    if "PROJECT_SOURCE_PATH" not in (project.read(".pydevproject") or "PROJECT_SOURCE_PATH"):
        yield (
            ".pydevproject names no source folder, so that PyDev can't tell your code from"
            " libraries: add one in the project's properties, PyDev - PYTHONPATH"
        )
    if (project.read(SCRIPT) or _SCRIPT_TEXT) != _SCRIPT_TEXT:
        yield f"{SCRIPT} is another file than the one that Eclipse has to start: rename it"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'

_SCRIPT_TEXT = """\
# Eclipse starts files, not modules: this is `python -m flask_debuglaunch` for it.
from flask_debuglaunch.cli import main

if __name__ == "__main__":
    main()
"""

_PROJECT_TEXT = """\
<?xml version="1.0" encoding="UTF-8"?>
<projectDescription>
\t<name>{name}</name>
\t<comment></comment>
\t<projects>
\t</projects>
\t<buildSpec>
\t\t<buildCommand>
\t\t\t<name>org.python.pydev.PyDevBuilder</name>
\t\t\t<arguments>
\t\t\t</arguments>
\t\t</buildCommand>
\t</buildSpec>
\t<natures>
\t\t<nature>org.python.pydev.pythonNature</nature>
\t</natures>
</projectDescription>
"""

# "python 3.0" is the one version that PyDev 13 and Aptana's PyDev both take; it means Python 3.
_PYDEVPROJECT_TEXT = """\
<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<?eclipse-pydev version="1.0"?><pydev_project>
<pydev_pathproperty name="org.python.pydev.PROJECT_SOURCE_PATH">
<path>/${PROJECT_DIR_NAME}</path>
</pydev_pathproperty>
<pydev_property name="org.python.pydev.PYTHON_PROJECT_INTERPRETER">Default</pydev_property>
<pydev_property name="org.python.pydev.PYTHON_PROJECT_VERSION">python 3.0</pydev_property>
</pydev_project>
"""

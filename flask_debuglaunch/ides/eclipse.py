"""Eclipse with PyDev, and LiClipse: .launch files, and what a PyDev project needs.

A .launch can start a file but no module, so that a script of two lines comes with it. Its keys are
Eclipse's generic ones and those of org.python.pydev.debug.core.Constants. Eclipse drops what it
does not know without a word, and writes its entries in the order of their keys.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from flask_debuglaunch.errors import EditRefused, LaunchError
from flask_debuglaunch.ides.ide_interface import (
    NOT_IN_XML,
    FileEdit,
    refuse_in_name,
    refuse_in_paths,
    unless_there,
)
from flask_debuglaunch.ides.launch_arguments import QuotedArgument, merged_argument_line
from flask_debuglaunch.ides.opened_project import Project

if TYPE_CHECKING:
    from flask_debuglaunch.ides.xml_edit import Element

LAUNCH_SCRIPT = "eclipse_launch.py"
ENCODING_FILE = ".settings/org.eclipse.core.resources.prefs"
PYDEV_NATURE = "org.python.pydev.pythonNature"
FORBIDDEN_IN_LAUNCH_NAMES = r'[@&\\/:*?"<>|]'  # org.eclipse.debug.core.ILaunchManager
_JAVA_BLANKS = "".join(map(chr, range(0x21)))  # Eclipse reads the name with String.trim()
LAUNCH_TYPE = "org.python.pydev.debug.regularLaunchConfigurationType"
_DEBUG_CORE, _DEBUG_UI = "org.eclipse.debug.core.", "org.eclipse.debug.ui."
_EXTERNAL_TOOLS, _PYDEV_DEBUG = "org.eclipse.ui.externaltools.", "org.python.pydev.debug."
ARGUMENTS_KEY = _EXTERNAL_TOOLS + "ATTR_TOOL_ARGUMENTS"
WORKING_DIRECTORY_KEY = _EXTERNAL_TOOLS + "ATTR_WORKING_DIRECTORY"
OTHER_WORKING_DIRECTORY_KEY = _EXTERNAL_TOOLS + "ATTR_OTHER_WORKING_DIRECTORY"
PROJECT_KEY = _PYDEV_DEBUG + "ATTR_PROJECT"
_XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'


class Eclipse:
    marker = ".project"
    next_step = (
        "File > Open Projects from File System: open this folder, and choose its launch in the menu"
        " of the Debug button"
    )
    extras: Mapping[str, str] = {}

    def files(self, project: Project, extras: Collection[str]) -> Iterator[FileEdit]:
        eclipse_name = _project_name(project)
        refuse_in_paths(project, rf"\$\{{[^}}]*\}}?|{NOT_IN_XML}", "Eclipse")
        # The project's stands within a variable.
        refuse_in_name(eclipse_name, rf"\$\{{[^}}]*\}}?|\}}|{NOT_IN_XML}", "Eclipse")
        launch_prefix = re.sub(FORBIDDEN_IN_LAUNCH_NAMES, "-", eclipse_name)
        connecting = [*project.arguments, "--debug-with=eclipse", "--debug-connection=connect"]
        for suffix, arguments in (("debug", project.arguments), ("debug server", connecting)):
            launch_name = project.entry_name(f"{launch_prefix} {suffix}")
            yield _launch_file(launch_name, eclipse_name, project, arguments)
        yield FileEdit(project.in_app_folder(LAUNCH_SCRIPT), unless_there(_SCRIPT_TEXT))
        yield FileEdit(
            ".project", unless_there(_PROJECT_TEXT.format(name=_escaped_xml(project.name)))
        )
        yield FileEdit(".pydevproject", unless_there(_pydevproject(project)))
        yield FileEdit(ENCODING_FILE, unless_there(_ENCODING_TEXT))

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        yield from _notes_on_present_files(project)
        yield (
            'Eclipse stops at errors only if told once: PyDev > "Manage Exception Breakpoints" >'
            ' "Suspend on uncaught exceptions"'
        )
        yield (
            "Aptana Studio 3's own PyDev can't debug Python 3.9 or newer, and a newer PyDev was not"
            " tried in it: debug with Eclipse and PyDev, or LiClipse"
        )


def quoted_argument(argument: str) -> str:
    r"""The argument as PyDev splits it again (org.python.pydev.shared_core.process.ProcessUtils).

    It splits like a POSIX shell, and on Windows like Windows. Within double quotes the two differ
    in \\ alone, so that C:\my shop\config.yaml is right for both; \\server\shop is not, and paths
    are written with slashes.
    """
    if argument and not re.search(r"[\s\"'\\]", argument):
        return argument
    escaped = re.sub(r'\\(?=[\\"]|\Z)', r"\\\\", argument).replace('"', r"\"")
    return f'"{escaped}"'


def split_arguments(line: str) -> Iterator[QuotedArgument]:
    """The arguments of a line, as PyDev splits it on POSIX."""
    for argument in _ARGUMENT.finditer(line):
        text = "".join(
            re.sub(r'\\([\\"])', r"\1", double_quoted[1:-1]) + single_quoted + escaped + plain
            for double_quoted, single_quoted, escaped, plain in _QUOTED_PART.findall(argument[0])
        )
        yield QuotedArgument(*argument.span(), text)


_ARGUMENT = re.compile(r"""(?:"(?:\\[\\"]|[^"])*"|'[^']*'|\\.|[^\s"'\\])+""", re.DOTALL)
_QUOTED_PART = re.compile(
    r"""("(?:\\[\\"]|[^"])*")|'([^']*)'|\\(.)|([^\s"'\\])""",
    re.DOTALL,
)


def _project_name(project: Project) -> str:
    """The name in the .project, which need not be the folder's. Raises LaunchError if it can't be
    read."""
    from xml.etree import ElementTree  # here, because the other IDEs need no XML

    project_xml = project.read_text(".project")
    try:
        name = ElementTree.fromstring(project_xml).findtext("name") if project_xml else None
    except ElementTree.ParseError as error:
        raise LaunchError(f".project: Eclipse can't read it: {error}. Mend it first") from None
    refuse_in_name(name or project.name, NOT_IN_XML, "Eclipse")
    eclipse_name = (name or project.name).strip(_JAVA_BLANKS)
    if not eclipse_name:
        raise LaunchError(f"{project.name!r}: to Eclipse this name is empty: rename the folder")
    return eclipse_name


def _launch_file(
    launch_name: str, eclipse_name: str, project: Project, arguments: list[str]
) -> FileEdit:
    def edit(present_text: str | None) -> str:
        def merged_line(line: str | None) -> str:
            return merged_argument_line(line, arguments, split_arguments, quoted_argument)

        script = project.in_app_folder(LAUNCH_SCRIPT)
        return edited_launch(eclipse_name, script, merged_line, present_text)

    return FileEdit(f"{launch_name}.launch", edit)


def _pydevproject(project: Project) -> str:
    source_folder = project.app_folder_below("/${PROJECT_DIR_NAME}")
    return _PYDEVPROJECT_TEXT.replace("@SOURCE@", _escaped_xml(source_folder))


def _notes_on_present_files(project: Project) -> Iterator[str]:
    """What the files that are never changed lack."""
    if PYDEV_NATURE not in (project.read_text(".project") or PYDEV_NATURE):
        yield (
            ".project has no PyDev nature: in Eclipse, PyDev > Set as PyDev Project in the"
            " project's menu"
        )
    if "PROJECT_SOURCE_PATH" not in (project.read_text(".pydevproject") or "PROJECT_SOURCE_PATH"):
        yield (
            ".pydevproject names no source folder, so that PyDev can't tell your code from"
            " libraries: add one in the project's properties, PyDev - PYTHONPATH"
        )
    script = project.in_app_folder(LAUNCH_SCRIPT)
    if (project.read_text(script) or _SCRIPT_TEXT) != _SCRIPT_TEXT:
        yield f"{script} is another file than the one that Eclipse has to start: rename it"


def _escaped_xml(text: str) -> str:
    """As the text of an element; a parser would make a line feed of a bare carriage return."""
    entities = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    return re.sub(
        r"[&<>\r\n\t]",
        lambda character: entities.get(character[0], f"&#{ord(character[0])};"),
        text,
    )


# The .launch file


def edited_launch(
    eclipse_project: str,
    script: str,
    merged_line: Callable[[str | None], str],
    present_text: str | None,
) -> str:
    """The .launch that runs a script of the project; merged_line makes its line of arguments
    from the one that is there. Raises EditRefused."""
    from flask_debuglaunch.ides import xml_edit  # XML is for those who need it

    if present_text is None:
        attributes = [
            *_our_attributes(eclipse_project, script),
            *_working_directory_attributes(_workspace_location(eclipse_project, script)),
            *_initial_attributes(),
            _string_attribute(ARGUMENTS_KEY, merged_line(None)),
        ]
        attributes.sort(key=lambda attribute: attribute.identity)
        root = _element("launchConfiguration", {"type": LAUNCH_TYPE}, tuple(attributes))
        return _XML_DECLARATION + xml_edit.xml_text(root, xml_edit.ECLIPSE) + "\n"
    root = xml_edit.parse(present_text).whole_element()
    if root.attributes.get("type") != LAUNCH_TYPE:
        raise EditRefused(1, 1, f"not a PyDev launch configuration ({LAUNCH_TYPE})")
    present_values = {
        child.attributes.get("key"): child.attributes.get("value") for child in root.children
    }
    attributes = [
        *_our_attributes(eclipse_project, script),
        _string_attribute(ARGUMENTS_KEY, merged_line(present_values.get(ARGUMENTS_KEY))),
    ]
    present_folder = _workspace_location(present_values.get(PROJECT_KEY), script)
    if present_values.get(WORKING_DIRECTORY_KEY) == present_folder:
        # The project's, whatever it was called.
        folder = _workspace_location(eclipse_project, script)
        attributes += _working_directory_attributes(folder)
    return xml_edit.merge(present_text, attributes, xml_edit.ECLIPSE)


def _workspace_location(eclipse_project: str | None, script: str) -> str:
    """The script's folder, in a project of this name."""
    return f"${{workspace_loc:{posixpath.dirname(f'{eclipse_project}/{script}')}}}"


def _working_directory_attributes(folder: str) -> Iterator[Element]:
    """Eclipse has it twice."""
    yield _string_attribute(OTHER_WORKING_DIRECTORY_KEY, folder)
    yield _string_attribute(WORKING_DIRECTORY_KEY, folder)


def _our_attributes(eclipse_project: str, script: str) -> Iterator[Element]:
    """What makes it start the app: put right again if it differs."""
    resource = f"{eclipse_project}/{script}"
    yield _list_attribute(_DEBUG_CORE + "MAPPED_RESOURCE_PATHS", f"/{resource}")
    yield _list_attribute(_DEBUG_CORE + "MAPPED_RESOURCE_TYPES", "1")  # IResource.FILE
    yield _string_attribute(_EXTERNAL_TOOLS + "ATTR_LOCATION", f"${{workspace_loc:{resource}}}")
    yield _string_attribute(PROJECT_KEY, eclipse_project)
    yield _element("intAttribute", {"key": _PYDEV_DEBUG + "ATTR_RESOURCE_TYPE", "value": "1"})


def _initial_attributes() -> Iterator[Element]:
    """What a new one has besides; from then on it is the user's."""
    launch_groups = (f"{_DEBUG_UI}launchGroup.debug", f"{_DEBUG_UI}launchGroup.run")
    yield _true_attribute(_DEBUG_CORE + "appendEnvironmentVariables")
    yield _true_attribute(_DEBUG_CORE + "capture_output")
    yield _string_attribute(_DEBUG_UI + "ATTR_CONSOLE_ENCODING", "UTF-8")
    yield _true_attribute(_DEBUG_UI + "ATTR_LAUNCH_IN_BACKGROUND")
    yield _list_attribute(_DEBUG_UI + "favoriteGroups", *launch_groups)
    yield _string_attribute(_PYDEV_DEBUG + "ATTR_INTERPRETER", "__default")
    # Without it PyDev rewrites the file when it is first launched.
    yield _string_attribute("process_factory_id", _PYDEV_DEBUG + "processfactory.PyProcessFactory")


def _string_attribute(key: str, value: str) -> Element:
    return _element("stringAttribute", {"key": key, "value": value})


def _true_attribute(key: str) -> Element:
    return _element("booleanAttribute", {"key": key, "value": "true"})


def _list_attribute(key: str, *values: str) -> Element:
    list_entries = tuple(_element("listEntry", {"value": value}) for value in values)
    return _element("listAttribute", {"key": key}, list_entries)


def _element(
    tag: str, attributes: Mapping[str, str], children: tuple[Element, ...] = ()
) -> Element:
    from flask_debuglaunch.ides import xml_edit

    return xml_edit.Element(tag, attributes, children)


# The texts of new files

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

# PyDev 13.1 takes no other version than "python interpreter": it writes the file anew on import.
_PYDEVPROJECT_TEXT = """\
<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<?eclipse-pydev version="1.0"?><pydev_project>
<pydev_pathproperty name="org.python.pydev.PROJECT_SOURCE_PATH">
<path>@SOURCE@</path>
</pydev_pathproperty>
<pydev_property name="org.python.pydev.PYTHON_PROJECT_INTERPRETER">Default</pydev_property>
<pydev_property name="org.python.pydev.PYTHON_PROJECT_VERSION">python interpreter</pydev_property>
</pydev_project>
"""

# Without one Eclipse warns; this is what its own fix, "Set project encoding to UTF-8", writes.
_ENCODING_TEXT = """\
eclipse.preferences.version=1
encoding/<project>=UTF-8
"""

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

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides.ide_interface import (
    NOT_IN_XML,
    EditRefused,
    FileEdit,
    refuse_in_name,
    unless_there,
)
from flask_debuglaunch.ides.launch_arguments import Word, merged_line
from flask_debuglaunch.ides.opened_project import Project

if TYPE_CHECKING:
    from flask_debuglaunch.ides.xml_edit import Element

SCRIPT = "eclipse_launch.py"
ENCODING_FILE = ".settings/org.eclipse.core.resources.prefs"
NATURE = "org.python.pydev.pythonNature"
FORBIDDEN_IN_NAMES = r'[@&\\/:*?"<>|]'  # org.eclipse.debug.core.ILaunchManager
_JAVA_BLANKS = "".join(map(chr, range(0x21)))  # Eclipse reads the name with String.trim()
LAUNCH_TYPE = "org.python.pydev.debug.regularLaunchConfigurationType"
_TOOLS, _PYDEV = "org.eclipse.ui.externaltools.", "org.python.pydev.debug."
ARGUMENTS = _TOOLS + "ATTR_TOOL_ARGUMENTS"
FOLDER, OTHER_FOLDER = _TOOLS + "ATTR_WORKING_DIRECTORY", _TOOLS + "ATTR_OTHER_WORKING_DIRECTORY"
PROJECT = _PYDEV + "ATTR_PROJECT"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'


class Eclipse:
    marker = ".project"
    next_step = (
        "File > Open Projects from File System: open this folder, and choose its launch in the menu"
        " of the Debug button"
    )
    extras: Mapping[str, str] = {}

    def files(self, project: Project, extras: Collection[str]) -> Iterator[FileEdit]:
        name = _project_name(project)
        for path in (project.config, project.app_folder):
            refuse_in_name(path, rf"\$\{{[^}}]*\}}?|{NOT_IN_XML}", "Eclipse")
        # The project's stands within a variable.
        refuse_in_name(name, rf"\$\{{[^}}]*\}}?|\}}|{NOT_IN_XML}", "Eclipse")
        shown = re.sub(FORBIDDEN_IN_NAMES, "-", name)
        dial = [*project.arguments, "--debug-with=eclipse", "--debug-connection=connect"]
        for kind, arguments in (("debug", project.arguments), ("debug server", dial)):
            yield _launch_file(project.entry_name(f"{shown} {kind}"), name, project, arguments)
        yield FileEdit(project.in_app_folder(SCRIPT), unless_there(_SCRIPT_TEXT))
        yield FileEdit(".project", unless_there(_PROJECT_TEXT.format(name=_escaped(project.name))))
        yield FileEdit(".pydevproject", unless_there(_pydevproject(project)))
        yield FileEdit(ENCODING_FILE, unless_there(_ENCODING_TEXT))

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        yield from _missing(project)
        yield (
            'Eclipse stops at errors only if told once: PyDev > "Manage Exception Breakpoints" >'
            ' "Suspend on uncaught exceptions"'
        )
        yield (
            "Aptana Studio 3's own PyDev can't debug Python 3.9 or newer, and a newer PyDev was not"
            " tried in it: debug with Eclipse and PyDev, or LiClipse"
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


def split(line: str) -> Iterator[Word]:
    """The arguments of a line, as PyDev splits it on POSIX."""
    for word in _WORD.finditer(line):
        parts = _PART.findall(word[0])
        text = "".join(
            re.sub(r'\\([\\"])', r"\1", double[1:-1]) + single + escaped + plain
            for double, single, escaped, plain in parts
        )
        yield Word(*word.span(), text)


_WORD = re.compile(r"""(?:"(?:\\[\\"]|[^"])*"|'[^']*'|\\.|[^\s"'\\])+""", re.DOTALL)
_PART = re.compile(
    r"""("(?:\\[\\"]|[^"])*")|'([^']*)'|\\(.)|([^\s"'\\])""",
    re.DOTALL,
)


def _project_name(project: Project) -> str:
    """The name in the .project, which need not be the folder's. Raises LaunchError if it can't be
    read."""
    from xml.etree import ElementTree  # here, because the other IDEs need no XML

    text = project.read_text(".project")
    try:
        name = ElementTree.fromstring(text).findtext("name") if text else None
    except ElementTree.ParseError as error:
        raise LaunchError(f".project: Eclipse can't read it: {error}. Mend it first") from None
    refuse_in_name(name or project.name, NOT_IN_XML, "Eclipse")
    trimmed = (name or project.name).strip(_JAVA_BLANKS)
    if not trimmed:
        raise LaunchError(f"{project.name!r}: to Eclipse this name is empty: rename the folder")
    return trimmed


def _launch_file(name: str, eclipse_name: str, project: Project, arguments: list[str]) -> FileEdit:
    def edit(present: str | None) -> str:
        def merge(line: str | None) -> str:
            return merged_line(line, arguments, split, quoted)

        script = project.in_app_folder(SCRIPT)
        return edited_launch(eclipse_name, script, merge, present)

    return FileEdit(f"{name}.launch", edit)


def _pydevproject(project: Project) -> str:
    source = project.app_folder_below("/${PROJECT_DIR_NAME}")
    return _PYDEVPROJECT_TEXT.replace("@SOURCE@", _escaped(source))


def _missing(project: Project) -> Iterator[str]:
    """What the files that are never changed lack."""
    if NATURE not in (project.read_text(".project") or NATURE):
        yield (
            ".project has no PyDev nature: in Eclipse, PyDev > Set as PyDev Project in the"
            " project's menu"
        )
    if "PROJECT_SOURCE_PATH" not in (project.read_text(".pydevproject") or "PROJECT_SOURCE_PATH"):
        yield (
            ".pydevproject names no source folder, so that PyDev can't tell your code from"
            " libraries: add one in the project's properties, PyDev - PYTHONPATH"
        )
    script = project.in_app_folder(SCRIPT)
    if (project.read_text(script) or _SCRIPT_TEXT) != _SCRIPT_TEXT:
        yield f"{script} is another file than the one that Eclipse has to start: rename it"


def _escaped(text: str) -> str:
    """As the text of an element; a parser would make a line feed of a bare carriage return."""
    known = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    return re.sub(r"[&<>\r\n\t]", lambda one: known.get(one[0], f"&#{ord(one[0])};"), text)


# The .launch file


def edited_launch(
    project: str, script: str, merge_arguments: Callable[[str | None], str], present: str | None
) -> str:
    """The .launch that runs a script of the project; merge_arguments makes its line of arguments
    from the one that is there. Raises EditRefused."""
    from flask_debuglaunch.ides import xml_edit  # XML is for those who need it

    if present is None:
        entries = [
            *_ours(project, script),
            *_folder(_folder_of(project, script)),
            *_initial(),
            _string(ARGUMENTS, merge_arguments(None)),
        ]
        entries.sort(key=lambda entry: entry.identity)
        root = _element("launchConfiguration", {"type": LAUNCH_TYPE}, tuple(entries))
        return _HEAD + xml_edit.rendered(root, xml_edit.ECLIPSE) + "\n"
    try:
        root = xml_edit.parse(present).whole()
        if root.attributes.get("type") != LAUNCH_TYPE:
            raise EditRefused(1, 1, f"not a PyDev launch configuration ({LAUNCH_TYPE})")
        there = {one.attributes.get("key"): one.attributes.get("value") for one in root.children}
        wanted = [
            *_ours(project, script),
            _string(ARGUMENTS, merge_arguments(there.get(ARGUMENTS))),
        ]
        if there.get(FOLDER) == _folder_of(there.get(PROJECT), script):
            wanted += _folder(_folder_of(project, script))  # the project's, whatever it was called
        return xml_edit.merge(present, wanted, xml_edit.ECLIPSE)
    except xml_edit.XmlError as error:
        raise EditRefused(error.line, error.column, error.message) from None


def _folder_of(project: str | None, script: str) -> str:
    """The script's, in a project of this name."""
    return f"${{workspace_loc:{posixpath.dirname(f'{project}/{script}')}}}"


def _folder(folder: str) -> Iterator[Element]:
    """The working directory; Eclipse has it twice."""
    yield _string(OTHER_FOLDER, folder)
    yield _string(FOLDER, folder)


def _ours(project: str, script: str) -> Iterator[Element]:
    """What makes it start the app: put right again if it differs."""
    debug = "org.eclipse.debug.core."
    yield _list(debug + "MAPPED_RESOURCE_PATHS", f"/{project}/{script}")
    yield _list(debug + "MAPPED_RESOURCE_TYPES", "1")  # IResource.FILE
    yield _string(_TOOLS + "ATTR_LOCATION", f"${{workspace_loc:{project}/{script}}}")
    yield _string(PROJECT, project)
    yield _element("intAttribute", {"key": _PYDEV + "ATTR_RESOURCE_TYPE", "value": "1"})


def _initial() -> Iterator[Element]:
    """What a new one has besides; from then on it is the user's."""
    debug, ui = "org.eclipse.debug.core.", "org.eclipse.debug.ui."
    groups = (f"{ui}launchGroup.debug", f"{ui}launchGroup.run")
    yield _boolean(debug + "appendEnvironmentVariables")
    yield _boolean(debug + "capture_output")
    yield _string(ui + "ATTR_CONSOLE_ENCODING", "UTF-8")
    yield _boolean(ui + "ATTR_LAUNCH_IN_BACKGROUND")
    yield _list(ui + "favoriteGroups", *groups)
    yield _string(_PYDEV + "ATTR_INTERPRETER", "__default")
    # Without it PyDev rewrites the file when it is first launched.
    yield _string("process_factory_id", _PYDEV + "processfactory.PyProcessFactory")


def _string(key: str, value: str) -> Element:
    return _element("stringAttribute", {"key": key, "value": value})


def _boolean(key: str) -> Element:
    return _element("booleanAttribute", {"key": key, "value": "true"})


def _list(key: str, *values: str) -> Element:
    entries = tuple(_element("listEntry", {"value": value}) for value in values)
    return _element("listAttribute", {"key": key}, entries)


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

"""The format of Eclipse's .launch files, with the keys of PyDev.

The keys are Eclipse's generic ones and those of org.python.pydev.debug.core.Constants. Eclipse
drops what it does not know without a word, and writes its entries in the order of their keys.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator

from flask_debuglaunch.ides.ide_interface import Refused
from flask_debuglaunch.ides.xml_edit import Element, Style, XmlError, merge, parse, rendered

LAUNCH_TYPE = "org.python.pydev.debug.regularLaunchConfigurationType"
_TOOLS, _PYDEV = "org.eclipse.ui.externaltools.", "org.python.pydev.debug."
ARGUMENTS = _TOOLS + "ATTR_TOOL_ARGUMENTS"
FOLDER, OTHER_FOLDER = _TOOLS + "ATTR_WORKING_DIRECTORY", _TOOLS + "ATTR_OTHER_WORKING_DIRECTORY"
PROJECT = _PYDEV + "ATTR_PROJECT"
STYLE = Style(unit="    ", empty_end="/>", references="\U00010000-\U0010ffff")
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'


def edited(
    project: str, script: str, merge_arguments: Callable[[str | None], str], present: str | None
) -> str:
    """The .launch that runs a script of the project; merge_arguments makes its line of arguments
    from the one that is there. Raises Refused."""
    if present is None:
        entries = [
            *_ours(project, script),
            *_folder(_folder_of(project, script)),
            *_initial(),
            _string(ARGUMENTS, merge_arguments(None)),
        ]
        entries.sort(key=lambda entry: entry.identity)
        root = Element("launchConfiguration", {"type": LAUNCH_TYPE}, tuple(entries))
        return _HEAD + rendered(root, STYLE) + "\n"
    try:
        root = parse(present).whole()
        if root.attributes.get("type") != LAUNCH_TYPE:
            raise Refused(1, 1, f"not a PyDev launch configuration ({LAUNCH_TYPE})")
        there = {one.attributes.get("key"): one.attributes.get("value") for one in root.children}
        wanted = [
            *_ours(project, script),
            _string(ARGUMENTS, merge_arguments(there.get(ARGUMENTS))),
        ]
        if there.get(FOLDER) == _folder_of(there.get(PROJECT), script):
            wanted += _folder(_folder_of(project, script))  # the project's, whatever it was called
        return merge(present, wanted, STYLE)
    except XmlError as error:
        raise Refused(error.line, error.column, error.message) from None


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
    yield Element("intAttribute", {"key": _PYDEV + "ATTR_RESOURCE_TYPE", "value": "1"})


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
    return Element("stringAttribute", {"key": key, "value": value})


def _boolean(key: str) -> Element:
    return Element("booleanAttribute", {"key": key, "value": "true"})


def _list(key: str, *values: str) -> Element:
    entries = tuple(Element("listEntry", {"value": value}) for value in values)
    return Element("listAttribute", {"key": key}, entries)

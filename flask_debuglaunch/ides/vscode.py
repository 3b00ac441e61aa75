"""VS Code, and the editors made of it: .vscode/launch.json and tasks.json.

Attributes: https://code.visualstudio.com/docs/python/debugging; all others are marked as wrong in
the editor, so that there is no mark of ours in an entry: it is found by its name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from flask_debuglaunch.ides.containers.attach_to_container import AttachTarget, attach_target
from flask_debuglaunch.ides.ide_interface import MODULE, EditRefused, FileEdit, refuse_in_name
from flask_debuglaunch.ides.launch_arguments import merged
from flask_debuglaunch.ides.opened_project import Project

LAUNCH_JSON = ".vscode/launch.json"
TASKS_JSON = ".vscode/tasks.json"
FOLDER = "${workspaceFolder}"
UP = "debuglaunch: start the container"
STOP = "debuglaunch: stop the container"


class EntryFile(NamedTuple):
    """A file with a list of entries, each with a name."""

    path: str
    version: str
    entries: str
    name: str


CONFIGURATIONS = EntryFile(LAUNCH_JSON, "0.2.0", "configurations", "name")
# https://code.visualstudio.com/docs/debugtest/tasks (the schema: "Appendix")
TASKS = EntryFile(TASKS_JSON, "2.0.0", "tasks", "label")


class Entry(NamedTuple):
    """A configuration of launch.json, or a task of tasks.json."""

    name: str
    ours: Mapping[str, Any]
    """The members that make it work: put right again if they differ."""
    initial: Mapping[str, Any]
    """What a new entry has besides; from then on it is the user's."""


class VSCode:
    marker = ".vscode"
    next_step = (
        "open this folder in VS Code, take the app's environment (Python: Select Interpreter) and"
        " press F5"
    )
    extras: Mapping[str, str] = {
        "browser": "a configuration that opens the browser when the app is served",
        "docker": "one that attaches to the app in a container",
        "wait": "one that waits until the app connects (DEBUG_CONNECTION: connect)",
    }

    def files(self, project: Project, extras: Collection[str]) -> Iterator[FileEdit]:
        for path in (project.config, project.app_folder):
            refuse_in_name(path, r"\$\{[^}]*\}?", "VS Code")
        wanted = list(entries(project, extras))
        yield FileEdit(LAUNCH_JSON, partial(_edited, CONFIGURATIONS, wanted))
        tasks = list(_tasks(attach_target(project))) if "docker" in extras else []
        if tasks:
            yield FileEdit(TASKS_JSON, partial(_edited, TASKS, tasks))

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        if project.debug_address[1] == 0:
            yield "DEBUG_PORT is 0, any free port: there is no configuration that attaches to it"
        if "docker" in extras and not attach_target(project).up_command:
            port = project.debug_address[1]
            yield (
                "docker: with Compose, `ide compose SERVICE` first; else give --debug-with vscode"
                " --debug-host 0.0.0.0 --published-on 127.0.0.1 in the container, and publish the"
                f" port to this machine alone (docker run -p 127.0.0.1:{port}:{port})"
            )


def entries(project: Project, extras: Collection[str]) -> Iterator[Entry]:
    """The configurations for launch.json, in the order of VS Code's list."""
    launch = {
        "type": "debugpy",
        "request": "launch",
        "module": MODULE,
        "args": project.arguments,
    }
    folder = {"cwd": project.app_folder_below(FOLDER)}
    host, port = project.debug_address
    attach = {"type": "debugpy", "request": "attach"}
    connect = {**attach, "connect": {"host": host, "port": port}}

    yield Entry(project.entry_name("debuglaunch: debug"), launch, {**folder, **_initial(1)})
    if "browser" in extras:
        browser = {**folder, "serverReadyAction": _OPEN_BROWSER}
        yield Entry(
            project.entry_name("debuglaunch: debug with browser"),
            launch,
            {**browser, **_initial(2)},
        )
    if port == 0:
        return
    yield Entry(project.entry_name("debuglaunch: attach"), connect, _initial(3))
    if "docker" in extras:
        yield _container_entry(attach_target(project))
    if "wait" in extras:
        listen = {**attach, "listen": {"host": host, "port": port}}
        yield Entry(project.entry_name("debuglaunch: wait for the app"), listen, _initial(5))


_OPEN_BROWSER = {
    "pattern": r"Running on (https?://\S+)",  # the launcher's own ready line
    "uriFormat": "%s",
    "action": "openExternally",
}


def _initial(order: int) -> dict[str, Any]:
    # The extension turns jinja on by itself only where the module is named flask.
    return {"jinja": True, "presentation": {"group": "debuglaunch", "order": order}}


def _container_entry(target: AttachTarget) -> Entry:
    host, port = target.debug_address
    attach = {"type": "debugpy", "request": "attach", "connect": {"host": host, "port": port}}
    mappings = {"pathMappings": [_path_mapping(*one) for one in target.path_mappings]}
    name = "debuglaunch: attach to container"
    if not target.up_command:
        return Entry(name, attach, {**mappings, **_initial(4)})
    tasks = {"preLaunchTask": UP, "postDebugTask": STOP}
    return Entry(name, {**attach, **mappings, **tasks}, _initial(4))


def _path_mapping(local: str, remote: str) -> dict[str, str]:
    return {"localRoot": FOLDER if local == "." else f"{FOLDER}/{local}", "remoteRoot": remote}


def _tasks(target: AttachTarget) -> Iterator[Entry]:
    if target.up_command:
        ready = {"isBackground": True, "problemMatcher": _READY}
        yield Entry(UP, {**_command(target.up_command), **ready}, {})
        yield Entry(STOP, {**_command(target.stop_command), "problemMatcher": []}, {})


def _command(command: Sequence[str]) -> dict[str, Any]:
    # PWD is in the Compose file, and not what it is in the shell that VS Code was started from.
    options = {"cwd": FOLDER, "env": {"PWD": FOLDER}}
    return {"type": "shell", "command": command[0], "args": [*command[1:]], "options": options}


# The session begins when the launcher says that it serves; there are no problems to find.
_READY = {
    "owner": "debuglaunch",
    "pattern": {"regexp": "^never$", "file": 1, "location": 2, "message": 3},
    "background": {
        "activeOnStart": True,
        "beginsPattern": "^never$",
        "endsPattern": r"Running on https?://",
    },
}


def _edited(file: EntryFile, wanted: Sequence[Entry], present: str | None) -> str:
    from flask_debuglaunch.ides import jsonc_edit

    text = present or ""
    try:
        root = jsonc_edit.parse(text)
        there = _by_name(file, root.value if root else None)
        if root is None:
            text = jsonc_edit.merge(text, [], {"version": file.version})
        for entry in wanted:
            present_entry = there.get(entry.name)
            members = _members(entry, present_entry)
            if present_entry is None or not members.items() <= present_entry.items():
                place: jsonc_edit.Path = [file.entries, jsonc_edit.Where(file.name, entry.name)]
                text = jsonc_edit.merge(text, place, members)
    except jsonc_edit.JsoncError as error:
        raise EditRefused(error.line, error.column, error.message) from None
    return text


def _by_name(file: EntryFile, content: Any) -> dict[str, Mapping[str, Any]]:
    """The entries that are there; of those with the same name the first."""
    found = content.get(file.entries) if isinstance(content, dict) else None
    entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    name = file.name
    return {one[name]: one for one in reversed(entries) if isinstance(one.get(name), str)}


def _members(entry: Entry, present: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if present is None:
        return {**entry.ours, **entry.initial}
    args, ours = present.get("args"), entry.ours.get("args")
    if isinstance(args, list) and ours is not None:
        return {**entry.ours, "args": merged(args, ours)}
    if isinstance(args, str):  # "${command:pickArgs}": they are asked for at each start
        return {name: value for name, value in entry.ours.items() if name != "args"}
    return entry.ours

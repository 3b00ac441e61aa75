"""VS Code, and the editors made of it: .vscode/launch.json and tasks.json.

Attributes: https://code.visualstudio.com/docs/python/debugging; all others are marked as wrong in
the editor, so that there is no mark of ours in an entry: it is found by its name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from flask_debuglaunch.ides.containers.attach_to_container import AttachTarget, attach_target
from flask_debuglaunch.ides.ide_interface import (
    LAUNCHER_MODULE,
    FileEdit,
    refuse_in_paths,
)
from flask_debuglaunch.ides.launch_arguments import merged_arguments
from flask_debuglaunch.ides.opened_project import Project

LAUNCH_JSON = ".vscode/launch.json"
TASKS_JSON = ".vscode/tasks.json"
WORKSPACE_FOLDER = "${workspaceFolder}"
UP_TASK = "debuglaunch: start the container"
STOP_TASK = "debuglaunch: stop the container"


class JsonFile(NamedTuple):
    """A file with a list of entries, each with a name."""

    path: str
    version: str
    entries_key: str
    name_key: str


LAUNCH_CONFIGURATIONS = JsonFile(LAUNCH_JSON, "0.2.0", "configurations", "name")
# https://code.visualstudio.com/docs/debugtest/tasks (the schema: "Appendix")
TASKS = JsonFile(TASKS_JSON, "2.0.0", "tasks", "label")


class Entry(NamedTuple):
    """A configuration of launch.json, or a task of tasks.json."""

    name: str
    our_members: Mapping[str, Any]
    """Those that make it work: put right again if they differ."""
    initial_members: Mapping[str, Any]
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
        refuse_in_paths(project, r"\$\{[^}]*\}?", "VS Code")
        configurations = list(launch_configurations(project, extras))
        yield FileEdit(LAUNCH_JSON, partial(_edited_json, LAUNCH_CONFIGURATIONS, configurations))
        tasks = list(_container_tasks(attach_target(project))) if "docker" in extras else []
        if tasks:
            yield FileEdit(TASKS_JSON, partial(_edited_json, TASKS, tasks))

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


def launch_configurations(project: Project, extras: Collection[str]) -> Iterator[Entry]:
    """The configurations for launch.json, in the order of VS Code's list."""
    launch = {
        "type": "debugpy",
        "request": "launch",
        "module": LAUNCHER_MODULE,
        "args": project.arguments,
    }
    app_folder = {"cwd": project.app_folder_below(WORKSPACE_FOLDER)}
    host, port = project.debug_address
    attach = {"type": "debugpy", "request": "attach"}
    connect = {**attach, "connect": {"host": host, "port": port}}

    debug_name = project.entry_name("debuglaunch: debug")
    yield Entry(debug_name, launch, {**app_folder, **_initial_members(1)})
    if "browser" in extras:
        open_browser = {**app_folder, "serverReadyAction": _OPEN_BROWSER, **_initial_members(2)}
        yield Entry(project.entry_name("debuglaunch: debug with browser"), launch, open_browser)
    if port == 0:
        return
    yield Entry(project.entry_name("debuglaunch: attach"), connect, _initial_members(3))
    if "docker" in extras:
        yield _attach_to_container(attach_target(project))
    if "wait" in extras:
        listen = {**attach, "listen": {"host": host, "port": port}}
        wait_name = project.entry_name("debuglaunch: wait for the app")
        yield Entry(wait_name, listen, _initial_members(5))


_OPEN_BROWSER = {
    "pattern": r"Running on (https?://\S+)",  # the launcher's own ready line
    "uriFormat": "%s",
    "action": "openExternally",
}


def _initial_members(order: int) -> dict[str, Any]:
    # The extension turns jinja on by itself only where the module is named flask.
    return {"jinja": True, "presentation": {"group": "debuglaunch", "order": order}}


def _attach_to_container(target: AttachTarget) -> Entry:
    host, port = target.debug_address
    attach = {"type": "debugpy", "request": "attach", "connect": {"host": host, "port": port}}
    path_mappings = {"pathMappings": [_path_mapping(*roots) for roots in target.path_mappings]}
    name = "debuglaunch: attach to container"
    if not target.up_command:
        return Entry(name, attach, {**path_mappings, **_initial_members(4)})
    tasks = {"preLaunchTask": UP_TASK, "postDebugTask": STOP_TASK}
    return Entry(name, {**attach, **path_mappings, **tasks}, _initial_members(4))


def _path_mapping(local: str, remote: str) -> dict[str, str]:
    local_root = WORKSPACE_FOLDER if local == "." else f"{WORKSPACE_FOLDER}/{local}"
    return {"localRoot": local_root, "remoteRoot": remote}


def _container_tasks(target: AttachTarget) -> Iterator[Entry]:
    if target.up_command:
        until_ready = {"isBackground": True, "problemMatcher": _READY_MATCHER}
        yield Entry(UP_TASK, {**_shell_task(target.up_command), **until_ready}, {})
        yield Entry(STOP_TASK, {**_shell_task(target.stop_command), "problemMatcher": []}, {})


def _shell_task(command: Sequence[str]) -> dict[str, Any]:
    # PWD is in the Compose file, and not what it is in the shell that VS Code was started from.
    options = {"cwd": WORKSPACE_FOLDER, "env": {"PWD": WORKSPACE_FOLDER}}
    return {"type": "shell", "command": command[0], "args": [*command[1:]], "options": options}


# The session begins when the launcher says that it serves; there are no problems to find.
_READY_MATCHER = {
    "owner": "debuglaunch",
    "pattern": {"regexp": "^never$", "file": 1, "location": 2, "message": 3},
    "background": {
        "activeOnStart": True,
        "beginsPattern": "^never$",
        "endsPattern": r"Running on https?://",
    },
}


def _edited_json(file: JsonFile, entries: Sequence[Entry], present_text: str | None) -> str:
    from flask_debuglaunch.ides import jsonc_edit

    text = present_text or ""
    root = jsonc_edit.parse(text)
    present_entries = _entries_by_name(file, root.value if root else None)
    if root is None:
        text = jsonc_edit.merge(text, [], {"version": file.version})
    for entry in entries:
        present_entry = present_entries.get(entry.name)
        members = _members_to_merge(entry, present_entry)
        if present_entry is None or not members.items() <= present_entry.items():
            named_entry = jsonc_edit.ElementWithMember(file.name_key, entry.name)
            text = jsonc_edit.merge(text, [file.entries_key, named_entry], members)
    return text


def _entries_by_name(file: JsonFile, json_root: Any) -> dict[str, Mapping[str, Any]]:
    """The entries that are there; of those with the same name the first."""
    entries = json_root.get(file.entries_key) if isinstance(json_root, dict) else None
    entries = entries if isinstance(entries, list) else []
    return {
        entry[file.name_key]: entry
        for entry in reversed(entries)
        if isinstance(entry, dict) and isinstance(entry.get(file.name_key), str)
    }


def _members_to_merge(entry: Entry, present_entry: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if present_entry is None:
        return {**entry.our_members, **entry.initial_members}
    present_args, our_args = present_entry.get("args"), entry.our_members.get("args")
    if isinstance(present_args, list) and our_args is not None:
        return {**entry.our_members, "args": merged_arguments(present_args, our_args)}
    if isinstance(present_args, str):  # "${command:pickArgs}": they are asked for at each start
        return {name: value for name, value in entry.our_members.items() if name != "args"}
    return entry.our_members

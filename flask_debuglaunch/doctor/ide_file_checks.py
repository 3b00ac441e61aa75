"""Do the IDE's own files start the app as the launcher needs it?

`ides` is imported where a file is there to be looked at: it takes as long as all other checks.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.terminal_messages import shown_path

if TYPE_CHECKING:
    from flask_debuglaunch.ides.ide_interface import FileEdit

LAUNCH_JSON = ".vscode/launch.json"
LAUNCHER_MODULE = "flask_debuglaunch"

LaunchConfiguration = Mapping[str, Any]
# A flag with its value, as all three formats hold it.
_APP_FLAG_PATTERN = re.compile(r"--app[= ](?:&quot;)?([\w./-]+)")
_RUN_CONFIGURATION_FILES = (".run/*.run.xml", "*.launch", ".launches/*.launch")


def _launch_json_findings(evidence: Evidence) -> Iterator[Finding]:
    for configuration in launch_configurations_of(evidence.folder):
        is_ours = configuration.get("module") == LAUNCHER_MODULE
        yield from _sub_process_off(configuration)
        if is_ours or configuration.get("request") == "attach":
            yield from _jinja_not_set(configuration)
        if configuration.get("module") == "flask":
            yield from _flask_with_its_reloader(configuration)
        yield from _paths_not_there(configuration, evidence.folder)
    yield from _same_configuration_twice(launch_configurations_of(evidence.folder))


def launch_configurations_of(folder: Path) -> list[LaunchConfiguration]:
    """The Python configurations of launch.json; none where it is not there or does not parse."""
    if not os.path.exists(folder / LAUNCH_JSON):
        return []
    from flask_debuglaunch import atomic_file_changes
    from flask_debuglaunch.ides import jsonc_edit

    try:
        launch_json = jsonc_edit.parse(atomic_file_changes.read_text(folder / LAUNCH_JSON) or "{}")
    except (jsonc_edit.JsoncError, LaunchError):
        return []
    members = launch_json.value if launch_json and isinstance(launch_json.value, dict) else {}
    configurations = members.get("configurations")
    return [
        configuration
        for configuration in (configurations if isinstance(configurations, list) else [])
        if isinstance(configuration, dict) and configuration.get("type") in ("debugpy", "python")
    ]


def _configuration_place(configuration: LaunchConfiguration) -> str:
    return f"{LAUNCH_JSON}: {configuration.get('name', 'a configuration without a name')}"


def _edit_configuration(
    configuration: LaunchConfiguration, member: str, value: object
) -> tuple[FileEdit, ...]:
    """The edit that gives the configuration the member, and leaves every other byte."""
    from flask_debuglaunch.ides import jsonc_edit
    from flask_debuglaunch.ides.ide_interface import FileEdit

    member_path: jsonc_edit.JsonPath = [
        "configurations",
        jsonc_edit.ElementWithMember("name", str(configuration.get("name"))),
    ]

    def edit(launch_json_text: str | None) -> str:
        return jsonc_edit.merge(launch_json_text or "", member_path, {member: value})

    return (FileEdit(LAUNCH_JSON, edit),) if configuration.get("name") else ()


def _sub_process_off(configuration: LaunchConfiguration) -> Iterator[Finding]:
    if configuration.get("subProcess") is False:
        yield Finding(
            Level.ERROR,
            "subProcess is false: the debugger leaves the app's process alone after a reload",
            _configuration_place(configuration),
            '"subProcess": true',
            _edit_configuration(configuration, "subProcess", True),
        )


def _jinja_not_set(configuration: LaunchConfiguration) -> Iterator[Finding]:
    if not configuration.get("jinja"):
        yield Finding(
            Level.WARNING,
            "jinja is not set: breakpoints in templates are not hit",
            _configuration_place(configuration),
            '"jinja": true',
            _edit_configuration(configuration, "jinja", True),
        )


def _flask_with_its_reloader(configuration: LaunchConfiguration) -> Iterator[Finding]:
    """Microsoft's own recipe: with debug on, Flask's reloader hides the app from the IDE."""
    arguments = configuration.get("args") or []
    environment = configuration.get("env") or {}
    flask_debug = str(environment.get("FLASK_DEBUG", "0"))
    is_debug_mode = "--debug" in arguments or flask_debug not in ("0", "")
    if is_debug_mode and "--no-reload" not in arguments:
        yield Finding(
            Level.WARNING,
            "it starts Flask with debug mode and its reloader: a save ends the debug session, and"
            " Werkzeug's debugger takes the errors",
            _configuration_place(configuration),
            "python -m flask_debuglaunch ide vscode",
        )


def _paths_not_there(configuration: LaunchConfiguration, folder: Path) -> Iterator[Finding]:
    local_roots = [mapping.get("localRoot") for mapping in configuration.get("pathMappings") or []]
    paths_by_member = {"python": [configuration.get("python")], "cwd": [configuration.get("cwd")]}
    for member, values in {**paths_by_member, "pathMappings": local_roots}.items():
        for value in values:
            path = _path_vscode_takes(value, folder)
            if path is not None and not os.path.exists(path):
                yield Finding(
                    Level.ERROR,
                    f"{member} names what is not there: {value}",
                    _configuration_place(configuration),
                    f"Correct {member}, or delete it",
                )


def _path_vscode_takes(configured_path: object, folder: Path) -> Path | None:
    """The path that VS Code takes it for; None where only VS Code knows it."""
    if not isinstance(configured_path, str) or not re.search(r"[/\\$]", configured_path):
        return None  # a command on PATH
    in_folder = configured_path.replace("${workspaceFolder}", str(folder))
    expanded_path = in_folder.replace("${userHome}", str(Path.home()))
    if "${" in expanded_path or not expanded_path:
        return None
    return Path(os.path.expanduser(expanded_path))


def _same_configuration_twice(configurations: list[LaunchConfiguration]) -> Iterator[Finding]:
    configurations_by_content: dict[str, LaunchConfiguration] = {}
    for configuration in configurations:
        compared_members = {
            member: value
            for member, value in configuration.items()
            if member not in ("name", "presentation", "serverReadyAction")
        }
        content = json.dumps(compared_members, sort_keys=True)
        first_with_content = configurations_by_content.setdefault(content, configuration)
        is_ours = configuration.get("module") == LAUNCHER_MODULE
        if (
            first_with_content is not configuration
            and is_ours
            and not configuration.get("serverReadyAction")
        ):
            yield Finding(
                Level.NOTE,
                f"it starts the same as {first_with_content.get('name')}",
                _configuration_place(configuration),
                "Delete one of the two",
            )


def _opened_in_another_folder(evidence: Evidence) -> Iterator[Finding]:
    """VS Code reads launch.json of the folder that it has opened, and of no folder below it."""
    if not os.path.exists(evidence.folder / LAUNCH_JSON):
        return
    for parent_folder in evidence.folder.parents:
        if os.path.isdir(parent_folder / ".vscode"):
            yield Finding(
                Level.NOTE,
                f"VS Code reads it only if this folder is opened, and {parent_folder} has a"
                " .vscode too",
                LAUNCH_JSON,
                f"code {evidence.folder}",
            )
            return


def _stale_ide_files(evidence: Evidence) -> Iterator[Finding]:
    """As `ide --check`, for the IDEs whose files of ours are there."""
    for ide, (file_pattern, our_mark) in _OUR_IDE_FILES.items():
        if not any(our_mark in _ide_file_text(path) for path in evidence.folder.glob(file_pattern)):
            continue
        from flask_debuglaunch.ides import generate_files
        from flask_debuglaunch.ides.ide_interface import FileEdit

        try:
            generated = generate_files.generate([ide], [], evidence.folder, None, {})
        except LaunchError as error:
            yield Finding(Level.WARNING, str(error).partition("\n")[0], ide)
            continue
        stale_changes = [change for change in generated.changes if change.before != change.after]
        if stale_changes:
            stale_files = ", ".join(change.path for change in stale_changes)
            yield Finding(
                Level.WARNING,
                f"not what the launcher would write today: {stale_files}",
                ide,
                f"python -m flask_debuglaunch ide {ide}",
                tuple(
                    FileEdit(change.path, partial(_text_to_write, change.after))
                    for change in stale_changes
                ),
            )


# Where each IDE's files are, and what only those that we have written have in them.
_OUR_IDE_FILES = {
    "vscode": (LAUNCH_JSON, '"debuglaunch: '),
    "eclipse": ("*.launch", "eclipse_launch.py"),
    "pycharm": (".run/*.run.xml", "debuglaunch"),
}


def _text_to_write(generated_text: str, present_text: str | None) -> str:  # noqa: ARG001
    return generated_text


def _ide_file_text(path: Path) -> str:
    from flask_debuglaunch import atomic_file_changes

    try:
        return atomic_file_changes.read_text(path) or ""
    except LaunchError:
        return ""


def _configuration_of_removed_module(evidence: Evidence) -> Iterator[Finding]:
    globs = (sorted(evidence.folder.glob(pattern)) for pattern in _RUN_CONFIGURATION_FILES)
    for path in chain.from_iterable(globs):
        for app_argument in _APP_FLAG_PATTERN.findall(_ide_file_text(path)):
            if not _app_module_exists(evidence.folder, app_argument):
                fix = f"python -m flask_debuglaunch ide, or delete {shown_path(path)}"
                yield Finding(
                    Level.ERROR,
                    f"it starts {app_argument}, which is not there",
                    shown_path(path),
                    fix,
                )


def _app_module_exists(folder: Path, app_argument: str) -> bool:
    is_file = app_argument.endswith(".py")
    module_path = folder / (app_argument if is_file else app_argument.replace(".", "/"))
    return os.path.exists(module_path) or os.path.exists(module_path.with_suffix(".py"))


CHECKS = (
    Check(
        "launch-json",
        "A configuration of launch.json keeps the debugger out: `subProcess` is false, `jinja` is"
        " missing, Flask is started with its own reloader, a path is not there",
        "write what is named, or `doctor --fix`",
        _launch_json_findings,
    ),
    Check(
        "ide-folder",
        "The IDE is opened in another folder than the one with its files",
        "open the folder that is named",
        _opened_in_another_folder,
    ),
    Check(
        "ide-files-stale",
        "The IDE's files are of an older configuration",
        "`python -m flask_debuglaunch ide`, or `doctor --fix`",
        _stale_ide_files,
    ),
    Check(
        "removed-module",
        "A run configuration starts a module that was removed",
        "delete it, or write it anew",
        _configuration_of_removed_module,
    ),
)

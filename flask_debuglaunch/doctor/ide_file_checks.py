"""Do the IDE's own files start the app as the launcher needs it?

`ides` is imported where a file is there to be looked at: it takes as long as all other checks.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.terminal_messages import shown_path

if TYPE_CHECKING:
    from flask_debuglaunch.ides.ide_interface import FileEdit

LAUNCH_JSON = ".vscode/launch.json"
MODULE = "flask_debuglaunch"

Configuration = Mapping[str, Any]
# A flag with its value, as all three formats hold it.
_APP_ARGUMENT = re.compile(r"--app[= ](?:&quot;)?([\w./-]+)")
_XML_FILES = (".run/*.run.xml", "*.launch", ".launches/*.launch")


def _launch_json(evidence: Evidence) -> Iterator[Finding]:
    for each in configurations_of(evidence.folder):
        is_ours = each.get("module") == MODULE
        yield from _subprocess(each)
        if is_ours or each.get("request") == "attach":
            yield from _jinja(each)
        if each.get("module") == "flask":
            yield from _flask_itself(each)
        yield from _missing_paths(each, evidence.folder)
    yield from _twice(configurations_of(evidence.folder))


def configurations_of(folder: Path) -> list[Configuration]:
    """The Python configurations of launch.json; none where it is not there or does not parse."""
    if not os.path.exists(folder / LAUNCH_JSON):
        return []
    from flask_debuglaunch import atomic_file_changes
    from flask_debuglaunch.ides import jsonc_edit

    try:
        root = jsonc_edit.parse(atomic_file_changes.read_text(folder / LAUNCH_JSON) or "{}")
    except (jsonc_edit.JsoncError, LaunchError):
        return []
    found = root.value.get("configurations") if root and isinstance(root.value, dict) else None
    entries = found if isinstance(found, list) else []
    python = [one for one in entries if isinstance(one, dict)]
    return [one for one in python if one.get("type") in ("debugpy", "python")]


def _where(configuration: Configuration) -> str:
    return f"{LAUNCH_JSON}: {configuration.get('name', 'a configuration without a name')}"


def _put(configuration: Configuration, member: str, value: object) -> tuple[FileEdit, ...]:
    """The edit that gives the configuration the member, and leaves every other byte."""
    from flask_debuglaunch.ides import jsonc_edit
    from flask_debuglaunch.ides.ide_interface import FileEdit

    place: jsonc_edit.Path = [
        "configurations",
        jsonc_edit.Where("name", str(configuration.get("name"))),
    ]

    def edit(present: str | None) -> str:
        return jsonc_edit.merge(present or "", place, {member: value})

    return (FileEdit(LAUNCH_JSON, edit),) if configuration.get("name") else ()


def _subprocess(configuration: Configuration) -> Iterator[Finding]:
    if configuration.get("subProcess") is False:
        yield Finding(
            Level.ERROR,
            "subProcess is false: the debugger leaves the app's process alone after a reload",
            _where(configuration),
            '"subProcess": true',
            _put(configuration, "subProcess", True),
        )


def _jinja(configuration: Configuration) -> Iterator[Finding]:
    if not configuration.get("jinja"):
        yield Finding(
            Level.WARNING,
            "jinja is not set: breakpoints in templates are not hit",
            _where(configuration),
            '"jinja": true',
            _put(configuration, "jinja", True),
        )


def _flask_itself(configuration: Configuration) -> Iterator[Finding]:
    """Microsoft's own recipe: with debug on, Flask's reloader hides the app from the IDE."""
    arguments = configuration.get("args") or []
    environment = configuration.get("env") or {}
    debug = "--debug" in arguments or str(environment.get("FLASK_DEBUG", "0")) not in ("0", "")
    if debug and "--no-reload" not in arguments:
        yield Finding(
            Level.WARNING,
            "it starts Flask with debug mode and its reloader: a save ends the debug session, and"
            " Werkzeug's debugger takes the errors",
            _where(configuration),
            "python -m flask_debuglaunch ide vscode",
        )


def _missing_paths(configuration: Configuration, folder: Path) -> Iterator[Finding]:
    mapped = [one.get("localRoot") for one in configuration.get("pathMappings") or []]
    named = {"python": [configuration.get("python")], "cwd": [configuration.get("cwd")]}
    for member, values in {**named, "pathMappings": mapped}.items():
        for value in values:
            path = _on_disk(value, folder)
            if path is not None and not os.path.exists(path):
                yield Finding(
                    Level.ERROR,
                    f"{member} names what is not there: {value}",
                    _where(configuration),
                    f"Correct {member}, or delete it",
                )


def _on_disk(value: object, folder: Path) -> Path | None:
    """The path that VS Code takes it for; None where only VS Code knows it."""
    if not isinstance(value, str) or not re.search(r"[/\\$]", value):
        return None  # a command on PATH
    text = value.replace("${workspaceFolder}", str(folder)).replace("${userHome}", str(Path.home()))
    return None if "${" in text or not text else Path(os.path.expanduser(text))


def _twice(configurations: list[Configuration]) -> Iterator[Finding]:
    seen: dict[str, Configuration] = {}
    for each in configurations:
        rest = {
            k: v for k, v in each.items() if k not in ("name", "presentation", "serverReadyAction")
        }
        first = seen.setdefault(json.dumps(rest, sort_keys=True), each)
        if first is not each and each.get("module") == MODULE and not each.get("serverReadyAction"):
            yield Finding(
                Level.NOTE,
                f"it starts the same as {first.get('name')}",
                _where(each),
                "Delete one of the two",
            )


def _other_folder(evidence: Evidence) -> Iterator[Finding]:
    """VS Code reads launch.json of the folder that it has opened, and of no folder below it."""
    if not os.path.exists(evidence.folder / LAUNCH_JSON):
        return
    for parent in evidence.folder.parents:
        if os.path.isdir(parent / ".vscode"):
            yield Finding(
                Level.NOTE,
                f"VS Code reads it only if this folder is opened, and {parent} has a .vscode too",
                LAUNCH_JSON,
                f"code {evidence.folder}",
            )
            return


def _stale(evidence: Evidence) -> Iterator[Finding]:
    """As `ide --check`, for the IDEs whose files of ours are there."""
    for name, (pattern, mark) in _OURS.items():
        if not any(mark in _text(path) for path in evidence.folder.glob(pattern)):
            continue
        from flask_debuglaunch.ides import generate_files
        from flask_debuglaunch.ides.ide_interface import FileEdit

        try:
            generated = generate_files.generate([name], [], evidence.folder, None, {})
        except LaunchError as error:
            yield Finding(Level.WARNING, str(error).partition("\n")[0], name)
            continue
        stale = [one for one in generated.changes if one.before != one.after]
        if stale:
            yield Finding(
                Level.WARNING,
                f"not what the launcher would write today: {', '.join(one.path for one in stale)}",
                name,
                f"python -m flask_debuglaunch ide {name}",
                tuple(FileEdit(one.path, partial(_wanted, one.after)) for one in stale),
            )


# Where each IDE's files are, and what only those that we have written have in them.
_OURS = {
    "vscode": (LAUNCH_JSON, '"debuglaunch: '),
    "eclipse": ("*.launch", "eclipse_launch.py"),
    "pycharm": (".run/*.run.xml", "debuglaunch"),
}


def _wanted(text: str, present: str | None) -> str:  # noqa: ARG001
    return text


def _text(path: Path) -> str:
    from flask_debuglaunch import atomic_file_changes

    try:
        return atomic_file_changes.read_text(path) or ""
    except LaunchError:
        return ""


def _removed_module(evidence: Evidence) -> Iterator[Finding]:
    files = [path for pattern in _XML_FILES for path in sorted(evidence.folder.glob(pattern))]
    for path in files:
        text = _text(path)
        for app in _APP_ARGUMENT.findall(text):
            if not _has_module(evidence.folder, app):
                fix = f"python -m flask_debuglaunch ide, or delete {shown_path(path)}"
                yield Finding(
                    Level.ERROR, f"it starts {app}, which is not there", shown_path(path), fix
                )


def _has_module(folder: Path, app: str) -> bool:
    path = folder / (app if app.endswith(".py") else app.replace(".", "/"))
    return os.path.exists(path) or os.path.exists(path.with_suffix(".py"))


CHECKS = (
    Check(
        "launch-json",
        "A configuration of launch.json keeps the debugger out: `subProcess` is false, `jinja` is"
        " missing, Flask is started with its own reloader, a path is not there",
        "write what is named, or `doctor --fix`",
        _launch_json,
    ),
    Check(
        "ide-folder",
        "The IDE is opened in another folder than the one with its files",
        "open the folder that is named",
        _other_folder,
    ),
    Check(
        "ide-files-stale",
        "The IDE's files are of an older configuration",
        "`python -m flask_debuglaunch ide`, or `doctor --fix`",
        _stale,
    ),
    Check(
        "removed-module",
        "A run configuration starts a module that was removed",
        "delete it, or write it anew",
        _removed_module,
    ),
)

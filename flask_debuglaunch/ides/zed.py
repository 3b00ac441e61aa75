"""Zed: reads .vscode/launch.json where the project has no .zed/debug.json.

Writing a .zed/debug.json would hide the other from Zed, so none is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from flask_debuglaunch.ides.ide_interface import FileEdit
from flask_debuglaunch.ides.opened_project import Project
from flask_debuglaunch.ides.vscode import VSCode

ZED_DEBUG_FILE = ".zed/debug.json"


class Zed:
    marker = ".zed"
    next_step = "open this folder in Zed and choose `debuglaunch: debug` in debugger: start"
    extras: Mapping[str, str] = {"docker": VSCode.extras["docker"]}

    def files(self, project: Project, extras: Collection[str]) -> Iterator[FileEdit]:
        return VSCode().files(project, set(extras) & set(self.extras))

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        if project.read_text(ZED_DEBUG_FILE) is not None:
            yield f"{ZED_DEBUG_FILE} is there: Zed reads it instead of .vscode/launch.json"
        yield from VSCode().notes(project, set(extras) & set(self.extras))

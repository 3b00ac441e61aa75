"""Each configuration of launch.json debugs the example app, driven as VS Code drives debugpy."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ides.workspace import Workspace, written
from tests.support.dap import Editor
from tests.support.processes import TIMEOUT, Program, http_get, in_background, wait_for_port
from tests.support.requirements import require_debugger

# Not in a path of its own: the folder's name has to come through as well.
FOLDER = "my shop's $app & ünïcode"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    require_debugger("debugpy")
    workspace = Workspace.copied("vscode", tmp_path / FOLDER)
    written(workspace.folder, "vscode", "--with", "browser,docker,wait", *workspace.flags)
    return workspace


def app_alone(workspace: Workspace, *arguments: str, cwd: Path | None = None) -> Program:
    """The app as started in a terminal."""
    argv = [sys.executable, "-m", "flask_debuglaunch", *workspace.flags, *arguments]
    return Program(argv, cwd=cwd or workspace.folder)


def stops_at_the_breakpoint(workspace: Workspace, editor: Editor, word: str) -> None:
    """A request does, its variable can be read, and it is answered."""
    response = in_background(http_get, workspace.url("/hello/World"))
    stop = editor.wait_for_stop()
    assert (Path(stop.file), stop.line) == (workspace.main, workspace.line)
    assert stop.variables()["greeting"] == f"'{word}, World!'"
    stop.resume()
    assert response.result(TIMEOUT).text == f"{word}, World!"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["debuglaunch: debug", "debuglaunch: debug with browser"])
def test_launching_and_reloading(workspace: Workspace, name: str) -> None:
    breakpoints = {workspace.main: [workspace.line]}
    configuration = workspace.configuration(name)
    with Editor.launch(
        configuration, workspace=workspace.folder, breakpoints=breakpoints
    ) as editor:
        assert editor.program
        editor.program.wait_for_line(r"Running on http://127.0.0.1:\d+")
        stops_at_the_breakpoint(workspace, editor, "Hello")
        workspace.greet_with("Again")
        editor.program.wait_for_line("Reloaded")
        stops_at_the_breakpoint(workspace, editor, "Again Hello")
        editor.disconnect(terminate=True)
        editor.program.wait_exit()
        editor.program.assert_nothing_left()


def attach(workspace: Workspace, configuration: dict[str, Any]) -> Editor:
    connect = configuration["connect"]
    editor = Editor.attach(
        connect["port"],
        connect["host"],
        configuration=configuration,
        workspace=workspace.folder,
        breakpoints={workspace.main: [workspace.line]},
    )
    editor.wait_for_session(2)  # the worker's, after the supervisor's
    return editor


def test_attaching(workspace: Workspace) -> None:
    configuration = workspace.configuration("debuglaunch: attach")
    with app_alone(workspace) as program:
        program.wait_for_line("Running on")
        with attach(workspace, configuration) as editor:
            stops_at_the_breakpoint(workspace, editor, "Hello")


def test_attaching_to_a_container(tmp_path: Path) -> None:
    """The app runs from another folder than the one that is open in the editor."""
    require_debugger("debugpy")
    workspace = Workspace.copied("vscode", tmp_path / FOLDER)
    container = tmp_path / "container"
    shutil.copytree(workspace.folder, container)
    mapping = f"--path-mappings={workspace.folder}={container}"
    written(workspace.folder, "vscode", "--with", "docker", mapping, *workspace.flags)
    configuration = workspace.configuration("debuglaunch: attach to container")
    assert configuration["pathMappings"][0]["localRoot"] == "${workspaceFolder}"
    with app_alone(workspace, cwd=container) as program:
        program.wait_for_line("Running on")
        with attach(workspace, configuration) as editor:
            stops_at_the_breakpoint(workspace, editor, "Hello")


@pytest.mark.slow
def test_waiting_for_the_app(workspace: Workspace) -> None:
    configuration = workspace.configuration("debuglaunch: wait for the app")
    port = configuration["listen"]["port"]
    breakpoints = {workspace.main: [workspace.line]}
    with Editor.listen(
        port, configuration=configuration, workspace=workspace.folder, breakpoints=breakpoints
    ) as editor:
        wait_for_port(port)
        with app_alone(workspace, "--debug-connection=connect") as program:
            program.wait_for_line("Running on")
            editor.wait_for_session(1)
            stops_at_the_breakpoint(workspace, editor, "Hello")

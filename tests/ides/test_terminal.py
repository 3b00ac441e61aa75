"""In a terminal of VS Code or Cursor the IDE attaches by itself, without any launch.json.

Their Python Debugger sets a variable in each terminal: a file, which it watches, and attaches as
soon as debugpy's adapter has written an address into it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.ides.workspace import Workspace
from tests.support.dap import Editor
from tests.support.processes import TIMEOUT, Program, http_get, in_background, wait_until
from tests.support.requirements import require_debugger

VARIABLE = "VSCODE_DEBUGPY_ADAPTER_ENDPOINTS"
ASKED = "--debug-connection=listen"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    require_debugger("debugpy")
    return Workspace.copied("vscode", tmp_path / "vscode")


def in_terminal(workspace: Workspace, endpoints: Path, *flags: str) -> Program:
    argv = [sys.executable, "-m", "flask_debuglaunch", *workspace.flags, *flags]
    return Program(argv, cwd=workspace.folder, env={**os.environ, VARIABLE: str(endpoints)})


def attach_as_the_extension_does(endpoints: Path, workspace: Workspace) -> Editor:
    text = wait_until(lambda: endpoints.exists() and endpoints.read_text(), message="endpoints")
    client = json.loads(text)["client"]
    breakpoints = {workspace.main: [workspace.line]}
    return Editor.attach(client["port"], client["host"], breakpoints=breakpoints)


def test_the_ide_attaches_by_itself(workspace: Workspace, tmp_path: Path) -> None:
    endpoints = tmp_path / "endpoint-1.txt"
    with in_terminal(workspace, endpoints, ASKED) as program:
        program.wait_for_line("the IDE of this terminal attaches")
        with attach_as_the_extension_does(endpoints, workspace) as editor:
            editor.wait_for_session(2)
            response = in_background(http_get, workspace.url("/hello/World"))
            stop = editor.wait_for_stop()
            assert stop.line == workspace.line
            # The variable for the adapter is not left to the app.
            assert (
                stop.evaluate("__import__('os').environ.get('DEBUGPY_ADAPTER_ENDPOINTS')") == "None"
            )
            stop.resume()
            assert response.result(TIMEOUT).status == 200


def test_only_if_it_is_asked_for(workspace: Workspace, tmp_path: Path) -> None:
    endpoints = tmp_path / "endpoint-1.txt"
    with in_terminal(workspace, endpoints) as program:
        program.wait_for_line("Running on")
        assert "attach the IDE to it" in program.output
    assert not endpoints.exists()


@pytest.mark.slow
def test_a_variable_that_has_outlived_the_extension(workspace: Workspace, tmp_path: Path) -> None:
    with in_terminal(workspace, tmp_path / "gone" / "endpoint-1.txt", ASKED) as program:
        program.wait_for_line("Running on")
        assert "attach the IDE to it" in program.output
        assert http_get(workspace.url("/")).status == 200

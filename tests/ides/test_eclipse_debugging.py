"""PyDev's Debug button: its command line, rebuilt from what Eclipse has loaded, and real pydevd."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.ides import real_eclipse
from tests.ides.workspace import Workspace, written
from tests.support.processes import TIMEOUT, Program, http_get, in_background
from tests.support.pydevd_ide import PyDev
from tests.support.requirements import require_debugger


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    require_debugger("pydevd")
    workspace = Workspace.copied("eclipse", tmp_path / "my shop's $app & ünïcode")
    for file in [*workspace.folder.glob("*.launch"), workspace.folder / ".project"]:
        file.unlink()  # they name the folder
    written(workspace.folder, "eclipse", *workspace.flags)
    return workspace


def loaded(workspace: Workspace, suffix: str) -> real_eclipse.Launch:
    [file] = workspace.folder.glob(f"* {suffix}.launch")
    [launch] = real_eclipse.load(workspace.folder, file.name)
    return launch


def stops_at_the_breakpoint(workspace: Workspace, ide: PyDev) -> None:
    response = in_background(http_get, workspace.url("/hello/World"))
    stop = ide.wait_for_stop()
    assert (Path(stop.file), stop.line) == (workspace.main, workspace.line)
    assert stop.variables()["greeting"] == "'Hello, World!'"
    stop.resume()
    assert response.result(TIMEOUT).text == "Hello, World!"


def test_debugging(workspace: Workspace) -> None:
    launch = loaded(workspace, "debug")
    with PyDev(breakpoints={workspace.main: [workspace.line]}) as ide:
        program = ide.launch(launch.location, *launch.arguments, cwd=launch.working_directory)
        program.wait_for_line("Running on")
        stops_at_the_breakpoint(workspace, ide)


def test_the_debug_server(workspace: Workspace) -> None:
    """Started with Run, while the IDE's debug server listens."""
    launch = loaded(workspace, "debug server")
    breakpoints = {workspace.main: [workspace.line]}
    with PyDev(breakpoints=breakpoints, port=workspace.debug_port) as ide, run(launch) as program:
        program.wait_for_line("Running on")
        stops_at_the_breakpoint(workspace, ide)


def test_the_debug_server_that_is_not_there(workspace: Workspace) -> None:
    with run(loaded(workspace, "debug server")) as program:
        assert program.wait_exit() == 2
        assert "Start Debug Server" in program.output


def run(launch: real_eclipse.Launch) -> Program:
    """The Run button: PyDev's command line without its debugger."""
    argv = [sys.executable, "-u", launch.location, *launch.arguments]
    return Program(argv, cwd=launch.working_directory)

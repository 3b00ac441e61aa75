"""A real VS Code opens the example workspace and debugs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ides.real_vscode import VSCode, opened
from tests.ides.workspace import Workspace, written
from tests.support.browser import browser
from tests.support.processes import (
    TIMEOUT,
    Program,
    http_get,
    in_background,
    is_listening,
    wait_until,
)
from tests.support.requirements import require_debugger

# What `ide compose` writes for the tasks that start the container and stop it.
COMPOSE = """\
x-debuglaunch:
  debug_port: 5678
  path_mappings: {".": /app}
  up: [podman-compose, up]
  stop: [podman-compose, stop]
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    require_debugger("debugpy")
    workspace = Workspace.copied("vscode", tmp_path_factory.mktemp("open") / "vscode")
    (workspace.folder / "compose.debug.yaml").write_text(COMPOSE)
    written(workspace.folder, "vscode", "--with", "browser,docker,wait", *workspace.flags)
    return workspace


@pytest.fixture(scope="module")
def vscode(workspace: Workspace) -> Iterator[VSCode]:
    with opened(workspace.folder) as vscode:
        vscode.ask("breakpoint", file=str(workspace.main), line=workspace.line)
        yield vscode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "line"), [("launch.json", '"request": "launch",'), ("tasks.json", '"type": "shell",')]
)
def test_it_marks_nothing_in_our_files(
    vscode: VSCode, workspace: Workspace, name: str, line: str
) -> None:
    file = str(workspace.folder / ".vscode" / name)
    marked = vscode.ask("problems", file=file, find=line)
    assert len(marked["withMistake"]) == 1
    assert marked["without"] == []


@pytest.mark.slow
def test_it_debugs_with_a_save_and_reload_in_between(vscode: VSCode, workspace: Workspace) -> None:
    assert vscode.ask("start", name="debuglaunch: debug") is True
    vscode.ask("armed", count=2)  # the supervisor's session and the worker's
    stops_and_goes_on(vscode, workspace, "Hello, World!")

    old = vscode.ask("selected")
    assert old.startswith("Subprocess")
    change = {"find": 'greeting = f"{', "text": 'greeting = f"Again {'}
    vscode.ask("edit", file=str(workspace.main), **change)
    vscode.ask("armed", count=3)  # the new worker's
    wait_until(lambda: vscode.ask("selected") != old, message="the last worker's session has ended")
    # Not the supervisor's, which is the root session: Pause and the Debug Console are the app's.
    pid = vscode.ask("console", expression='__import__("os").getpid()')
    assert vscode.ask("selected") == f"Subprocess {pid}"
    stops_and_goes_on(vscode, workspace, "Again Hello, World!")

    vscode.ask("stop")
    wait_until(lambda: not is_listening(workspace.port), message="the server ends with Stop")
    vscode.ask("edit", file=str(workspace.main), find=change["text"], text=change["find"])


@pytest.mark.slow
def test_it_attaches(vscode: VSCode, workspace: Workspace) -> None:
    with app_attached_to(vscode, workspace):
        stops_and_goes_on(vscode, workspace, "Hello, World!")
        vscode.ask("stop")
        assert http_get(workspace.url("/hello/World")).status == 200


@pytest.mark.slow
def test_it_listens_before_the_app_starts(vscode: VSCode, workspace: Workspace) -> None:
    file = workspace.folder / ".vscode" / "launch.json"
    ours = file.read_text()
    listen = workspace.configuration("debuglaunch: attach") | {"name": "listen"}
    listen["listen"] = listen.pop("connect")
    file.write_text(json.dumps({"version": "0.2.0", "configurations": [listen]}))
    started = in_background(vscode.ask, "start", name="listen")
    argv = [sys.executable, "-m", "flask_debuglaunch", "--debug-connection", "connect"]
    try:
        wait_until(lambda: is_listening(workspace.debug_port), message="VS Code listens")
        with Program([*argv, *workspace.flags], cwd=workspace.folder) as program:
            program.wait_for_line("Running on")
            vscode.ask("armed", count=2)
            stops_and_goes_on(vscode, workspace, "Hello, World!")
            assert started.result(TIMEOUT) is True
    finally:
        file.write_text(ours)
    vscode.ask("ended")


@pytest.mark.slow
def test_it_debugs_a_gevent_app(vscode: VSCode, workspace: Workspace) -> None:
    pytest.importorskip("gevent")
    file = workspace.folder / ".vscode" / "launch.json"
    ours = file.read_text()
    gevent = workspace.configuration("debuglaunch: debug") | {"name": "gevent", "gevent": True}
    file.write_text(json.dumps({"version": "0.2.0", "configurations": [gevent]}))
    patch = "import gevent.monkey; gevent.monkey.patch_all(); import yaml"
    vscode.ask("edit", file=str(workspace.main), find="import yaml", text=patch)
    try:
        assert vscode.ask("start", name="gevent") is True
        vscode.ask("armed", count=2)
        stops_and_goes_on(vscode, workspace, "Hello, World!")
        change = {"find": 'greeting = f"{', "text": 'greeting = f"Again {'}
        vscode.ask("edit", file=str(workspace.main), **change)
        vscode.ask("armed", count=3)
        stops_and_goes_on(vscode, workspace, "Again Hello, World!")
        vscode.ask("stop")
        wait_until(lambda: not is_listening(workspace.port), message="the server ends with Stop")
        vscode.ask("edit", file=str(workspace.main), find=change["text"], text=change["find"])
    finally:
        file.write_text(ours)
        vscode.ask("edit", file=str(workspace.main), find=patch, text="import yaml")


CHILD = """\
answer = "from the child"
print(answer)
"""
RUN_CHILD = "import subprocess, sys; return subprocess.check_output([sys.executable, 'child.py'])"


@pytest.mark.slow
def test_a_save_while_it_stops_in_a_child_of_the_app(vscode: VSCode, workspace: Workspace) -> None:
    child = workspace.folder / "child.py"
    child.write_text(CHILD)
    vscode.ask("breakpoint", file=str(child), line=2)
    vscode.ask("edit", file=str(workspace.main), find="abort(404)", text=RUN_CHILD)
    with app_attached_to(vscode, workspace) as program:
        response = in_background(http_get, workspace.url("/missing"))
        stop = vscode.ask("stopped")
        assert (Path(stop["file"]), stop["line"]) == (child, 2)
        assert stop["variables"]["answer"] == "'from the child'"
        vscode.ask("edit", file=str(workspace.main), find=RUN_CHILD, text="abort(404)")
        program.wait_for_line(r"reload waits: stopped at child\.py:2")
        vscode.ask("continue")
        assert response.result(TIMEOUT).text == "from the child\n"
        program.wait_for_line("Reloaded in")
        vscode.ask("armed", count=4)  # the supervisor's, the worker's, the child's, the new one's
        stops_and_goes_on(vscode, workspace, "Hello, World!")
        vscode.ask("stop")


@pytest.mark.slow
def test_it_stops_at_an_earlier_error_for_a_click(
    vscode: VSCode, workspace: Workspace, tmp_path: Path
) -> None:
    """The error comes while VS Code is not attached; the button is pressed in a real browser."""
    argv = [sys.executable, "-m", "flask_debuglaunch", *workspace.flags]
    with Program(argv, cwd=workspace.folder) as program, browser(tmp_path) as page:
        program.wait_for_line("Running on")
        page.open(workspace.url("/error"))
        assert page.text("h1") == "KeyError"
        page.click("button")
        assert f"Attach the IDE to 127.0.0.1:{workspace.debug_port}" in page.text("p")
        assert vscode.ask("start", name="debuglaunch: attach") is True
        stops_at_the_error(vscode, workspace)

        page.click("button")  # once more, while it is attached
        assert page.text("p") == "The debugger stops at KeyError in GET /error: see the IDE."
        stops_at_the_error(vscode, workspace)
        vscode.ask("stop")


@contextmanager
def app_attached_to(vscode: VSCode, workspace: Workspace) -> Iterator[Program]:
    argv = [sys.executable, "-m", "flask_debuglaunch", *workspace.flags]
    with Program(argv, cwd=workspace.folder) as program:
        program.wait_for_line("Running on")
        assert vscode.ask("start", name="debuglaunch: attach") is True
        vscode.ask("armed", count=2)
        yield program


def stops_at_the_error(vscode: VSCode, workspace: Workspace) -> None:
    """The server serves all the while."""
    stop = vscode.ask("stopped")
    assert (stop["reason"], Path(stop["file"])) == ("exception", workspace.main)
    assert 'prices["coffee"]' in workspace.main.read_text().splitlines()[stop["line"] - 1]
    assert stop["variables"]["prices"] == "{'tea': 3}"
    assert http_get(workspace.url("/missing")).status == 404
    vscode.ask("continue")


def stops_and_goes_on(vscode: VSCode, workspace: Workspace, greeting: str) -> None:
    response = in_background(http_get, workspace.url("/hello/World"))
    stop = vscode.ask("stopped")
    assert (stop["reason"], stop["line"]) == ("breakpoint", workspace.line)
    assert Path(stop["file"]) == workspace.main
    assert stop["variables"]["greeting"] == f"'{greeting}'"
    vscode.ask("continue")
    assert response.result(TIMEOUT).text == greeting


@pytest.mark.slow
def test_stop_at_a_breakpoint_ends_the_app(vscode: VSCode, workspace: Workspace) -> None:
    vscode.ask("start", name="debuglaunch: debug")
    vscode.ask("armed", count=2)
    in_background(http_get, workspace.url("/hello/World"))
    vscode.ask("stopped")
    vscode.ask("press", button="stop")
    vscode.ask("ended")
    wait_until(lambda: not is_listening(workspace.port), message="the server ends with Stop")


@pytest.mark.slow
def test_disconnect_at_a_breakpoint_leaves_the_app_alone(
    vscode: VSCode, workspace: Workspace
) -> None:
    argv = [sys.executable, "-m", "flask_debuglaunch", *workspace.flags]
    with Program(argv, cwd=workspace.folder) as program:
        program.wait_for_line("Running on")
        for _ in range(2):
            vscode.ask("start", name="debuglaunch: attach")
            vscode.ask("armed", count=2)
            response = in_background(http_get, workspace.url("/hello/World"))
            vscode.ask("stopped")
            vscode.ask("press", button="disconnect")
            vscode.ask("ended")
            assert response.result(TIMEOUT).status == 200
        program.wait_for_line("The IDE has left the app's process")

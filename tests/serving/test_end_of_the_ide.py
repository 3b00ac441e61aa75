"""The IDE ends, or its Stop button is pressed, at the worst moment of a reload.

What the IDE has launched ends with it, and nothing is left; an app that it has attached to goes on,
and it may attach again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..support.dap import Editor
from ..support.debug_session import python_m
from ..support.processes import (
    Program,
    free_port,
    http_get,
    in_background,
    is_listening,
)
from .project import READY, Project, Served

if sys.platform != "linux":
    pytest.skip("finding the processes of a program needs Linux", allow_module_level=True)

APP = """\
import time
from pathlib import Path
from flask import Flask

print("importing {text}", flush=True)
while Path(__file__).with_name("import-lasts").exists():
    time.sleep(0.01)
app = Flask(__name__)


@app.get("/")
def hello():
    return "{text}"
"""
VIEW_LINE = 13


@dataclass(frozen=True)
class Scene:
    project: Project
    program: Program
    ide: Editor
    is_launched: bool

    def save(self, text: str) -> None:
        self.project.save("main.py", APP.format(text=text))

    def save_and_reach_hand_over(self) -> None:
        """The IDE is asked to take a process over, and does not come to it."""
        self.ide.awake.clear()
        self.save("two")
        self.ide.wait_for(lambda: self._asked() == 2, "request to take the next process over")

    def save_and_reach_import(self) -> None:
        self._import_lasts.touch()
        self.save("two")
        self.program.wait_for_line("importing two")

    def let_import_end(self) -> None:
        self._import_lasts.unlink(missing_ok=True)

    def press_stop(self) -> None:
        """And don't wait for what it does. Where the IDE has attached, it is called Disconnect."""
        for session in self.ide.live_sessions[:1] if self.is_launched else self.ide.live_sessions:
            in_background(session.end, "terminate" if self.is_launched else "disconnect")

    @property
    def _import_lasts(self) -> Path:
        return self.project.root / "import-lasts"

    def _asked(self) -> int:
        events = [event for session in self.ide.sessions for event in [*session.events]]
        return sum(event.get("command") == "startDebugging" for event in events)


def killed_at_hand_over(scene: Scene) -> None:
    scene.save_and_reach_hand_over()
    scene.ide.vanish()


def killed_in_import(scene: Scene) -> None:
    scene.save_and_reach_import()
    scene.ide.vanish()


def stop_at_hand_over(scene: Scene) -> None:
    scene.save_and_reach_hand_over()
    scene.press_stop()


def stop_in_import(scene: Scene) -> None:
    scene.save_and_reach_import()
    scene.press_stop()


def stop_twice(scene: Scene) -> None:
    """VS Code disconnects where it has asked the program to end already."""
    root = scene.ide.sessions[0]
    scene.press_stop()
    in_background(root.end, "disconnect", terminateDebuggee=scene.is_launched)


def stop_and_save(scene: Scene) -> None:
    scene.save("two")
    scene.press_stop()


ATTACKS = [
    killed_at_hand_over, killed_in_import, stop_at_hand_over, stop_in_import, stop_twice,
    stop_and_save,
]  # fmt: skip
Attack = Callable[[Scene], None]


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_nothing_is_left_of_what_the_ide_has_launched(project: Project, attack: Attack) -> None:
    pytest.importorskip("debugpy")
    project.save("main.py", APP.format(text="one"))
    arguments = ["--debug", "--reload", "--port", str(port := free_port())]
    module = {"module": "flask_debuglaunch", "args": arguments, "cwd": str(project.root)}
    with Editor.launch(module) as ide:
        assert ide.program
        ide.program.wait_for_line(READY)
        ide.wait_for_session(2)
        attack(scene := Scene(project, ide.program, ide, is_launched=True))
        ide.program.wait_exit(timeout=15)
        ide.program.assert_nothing_left(timeout=10)
        assert not is_listening(port)
        assert "Traceback" not in scene.program.output


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_app_that_the_ide_has_attached_to_goes_on(project: Project, attack: Attack) -> None:
    pytest.importorskip("debugpy")
    project.save("main.py", APP.format(text="one"))
    listening = ["--debug", "--port", "0", "--debug-with", "debugpy", "--debug-port"]
    with project.served(command=python_m([*listening, str(debug_port := free_port())])) as served:
        with Editor.attach(debug_port) as ide:
            ide.wait_for_session(2)
            attack(scene := Scene(project, served.program, ide, is_launched=False))
            ide.wait_for_end()
        scene.let_import_end()
        scene.save("three")
        served.wait_for_text("three")
        stops_again(served, Editor.attach(debug_port, breakpoints={project.main: [VIEW_LINE]}))
        assert "Traceback" not in served.program.output


def stops_again(served: Served, ide: Editor) -> None:
    with ide:
        ide.wait_for_session(2)
        response = in_background(http_get, served.url)
        ide.wait_for_stop().resume()
        assert response.result(30).text == "three"

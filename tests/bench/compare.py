"""What an IDE gets from each way to start a Flask app: which errors stop it, and what a save does.

    python tests/bench/compare.py [--saves 5]     prints the table of the README

Needs `pip install -e ".[test,bench]"`. PyCharm's debugger overwrites pydevd's files, so it is
installed into a folder of its own, as PyCharm brings it along. Each IDE has the boxes ticked that
are ticked in a fresh installation.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.dap import Editor
from tests.support.ide import Ide
from tests.support.processes import (
    Program,
    Response,
    free_port,
    http_get,
    in_background,
    wait_for_port,
    wait_until,
)
from tests.support.pydevd_ide import PyCharm

APP = """\
from flask import Flask, render_template_string

app = Flask(__name__)


@app.get("/")
def index():
    version = "{version}"
    return version


@app.get("/unhandled")
def unhandled():
    raise ValueError("nobody handles this")


@app.get("/handled")
def handled():
    raise LookupError("a handler answers this")


@app.errorhandler(LookupError)
def answer(error):
    return "handled", 404


@app.get("/template")
def template():
    return render_template_string("{{{{ 1 // 0 }}}}")
"""
ASGI = """\
from app import app as flask_app
from asgiref.wsgi import WsgiToAsgi

asgi = WsgiToAsgi(flask_app)
"""
MODULE_LINE, VIEW_LINE, RAISING_LINE = 3, 9, 14
PATIENCE = 20.0
"""How many seconds a way has to do what it can do."""


@dataclass
class Project:
    """A folder with the app, and the ports of one way to start it."""

    folder: Path
    port: int = field(default_factory=free_port)
    debug_port: int = field(default_factory=free_port)
    version: int = 0

    @property
    def app(self) -> Path:
        return self.folder / "app.py"

    def save(self) -> float:
        """Save the next version; returns when."""
        self.version += 1
        new = self.folder / ".app.py"
        new.write_text(APP.format(version=self.version))
        os.replace(new, self.app)
        return time.perf_counter()

    def get(self, path: str = "/") -> Response:
        return http_get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE)

    def answer(self) -> str:
        """Empty while nobody answers."""
        try:
            return self.get().text
        except OSError:
            return ""


Start = Callable[[Project], Ide[Any]]


def launched(module: str, *arguments: str, **members: Any) -> Start:
    """F5 in VS Code."""

    def start(project: Project) -> Ide[Any]:
        args = [one.format(port=project.port) for one in arguments]
        folder = {"cwd": str(project.folder), "jinja": True}
        return Editor.launch({"module": module, "args": args, **folder, **members})

    return start


def attached(*command: str) -> Start:
    """A terminal, and VS Code's attach."""

    def start(project: Project) -> Ide[Any]:
        ports = {"port": project.port, "debug_port": project.debug_port}
        argv = [sys.executable, *(one.format(**ports) for one in command)]
        program = Program(argv, cwd=project.folder)
        wait_for_port(project.debug_port, PATIENCE)
        ide = Editor.attach(project.debug_port)
        ide.program = program
        return ide

    return start


def pycharm(pysrc: Path, module: str, *arguments: str) -> Start:
    """Debug in PyCharm."""

    def start(project: Project) -> Ide[Any]:
        ide = PyCharm(pysrc=pysrc)
        args = [one.format(port=project.port) for one in arguments]
        ide.launch(module, *args, cwd=project.folder, module=True)
        return ide

    return start


def ways(pysrc: Path) -> dict[str, Start]:
    run = ("run", "--port", "{port}")
    flask_debug = {"env": {"FLASK_DEBUG": "1"}}
    ours = ("flask_debuglaunch", "--debug", "--port", "{port}")
    debugpy = ("-m", "debugpy", "--listen", "{debug_port}")
    return {
        "`flask-debuglaunch`, attached": attached(
            "-m", *ours, "--debug-with", "vscode", "--debug-port", "{debug_port}"
        ),
        "`flask-debuglaunch`, F5": launched(*ours),
        "VS Code's Flask configuration": launched(
            "flask", *run, "--no-debugger", "--no-reload", **flask_debug
        ),
        "the same, without `--no-reload`": launched("flask", *run, "--no-debugger", **flask_debug),
        "`debugpy -m flask run --debug`": attached(*debugpy, "-m", "flask", *run, "--debug"),
        "`debugpy -m uvicorn_hmr`": attached(
            *debugpy, "-m", "uvicorn_hmr", "asgi:asgi", "--host", "127.0.0.1", "--port", "{port}"
        ),
        "PyCharm's debugger, `flask run`": pycharm(pysrc, "flask", *run),
        "the same, with `--debug`": pycharm(pysrc, "flask", *run, "--debug"),
    }  # fmt: skip


def examine(start: Start, saves: int) -> list[str]:
    """The cells of a way's row."""
    return [
        measured(start, partial(stop_at, "/unhandled")),
        measured(start, partial(stop_at, "/template")),
        measured(start, partial(stop_at, "/handled")),
        measured(start, partial(saves_to_stops, saves)),
        measured(start, save_while_stopped),
    ]


def measured(start: Start, question: Callable[[Project, Ide[Any]], str]) -> str:
    """The answer to one question, in a run of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        project = Project(Path(folder).resolve())
        (project.folder / "asgi.py").write_text(ASGI)
        project.save()
        with start(project) as ide:
            program = ide.program
            try:
                wait_for_answer(project)
                return question(project, ide)
            finally:
                if program is not None:
                    program.kill()


def wait_for_answer(project: Project) -> None:
    wait_until(lambda: project.answer() == str(project.version), 2 * PATIENCE, "served")


def stop_at(path: str, project: Project, ide: Ide[Any]) -> str:
    """Where the IDE stops at the page's error."""
    answer = in_background(project.get, path)
    stop = next_stop(ide, answer)
    if stop is None:
        return "no stop"
    file, line = os.path.basename(stop.file), stop.line
    stop.resume()
    if path == "/template":
        return f"stops in {'the template' if file == '<template>' else file}"
    return "stops at the line" if (file, line) == ("app.py", RAISING_LINE) else f"stops in {file}"


def next_stop(ide: Ide[Any], answer: Future[Any] | None = None) -> Any | None:
    """The next stop; None if there is none before the answer, or in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            return ide.wait_for_stop(0.5)
        except AssertionError:
            if answer is not None and answer.done():
                return None
    return None


def saves_to_stops(saves: int, project: Project, ide: Ide[Any]) -> str:
    """From a save to a breakpoint that the new code hits as it is imported."""
    ide.set_breakpoints(project.app, [MODULE_LINE])
    seconds = []
    for _ in range(saves + 1):
        began = project.save()
        stop = next_stop(ide)
        if stop is None:
            return "never in the new code"
        seconds.append(time.perf_counter() - began)
        stop.resume()
        wait_for_answer(project)
    return f"{statistics.median(seconds[1:]):.2f} s"  # the first reload is not like the rest


def save_while_stopped(project: Project, ide: Ide[Any]) -> str:
    """Does the stop live on, does its request get its answer, is the new code served then?"""
    ide.set_breakpoints(project.app, [VIEW_LINE])
    answer = in_background(project.answer)
    stop = next_stop(ide)
    if stop is None:
        return "no breakpoint is hit"
    before = project.version
    project.save()
    time.sleep(3)  # longer than any of them takes to see a save
    try:
        stop.evaluate("version")
        ide.set_breakpoints(project.app, [])
        stop.resume()
    except Exception:
        return "ends the request"
    if answer.result(PATIENCE) != str(before):
        return "ends the request"
    try:
        wait_for_answer(project)
    except AssertionError:
        return "waits; the old code goes on"
    return "waits, then reloads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--saves", type=int, default=5)
    parser.add_argument("--only", default="", help="ways whose name contains this")
    options = parser.parse_args()
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    print("| | unhandled error | error in a template | handled error | save to breakpoint"
          " | a save while stopped |\n|---|---|---|---|---|---|")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        subprocess.run([*pip, "pydevd-pycharm"], check=True, timeout=300)
        for name, start in ways(Path(folder)).items():
            if "uvicorn_hmr" in name and importlib.util.find_spec("uvicorn_hmr") is None:
                print("uvicorn-hmr is not installed: it needs Python 3.12", file=sys.stderr)
            elif options.only in name:
                print("|", " | ".join([name, *examine(start, options.saves)]), "|", flush=True)


if __name__ == "__main__":
    main()

"""The launcher and an IDE together, in each way that they can meet."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..support.dap import Editor
from ..support.debugging import launch, listening_ide
from ..support.ide import Ide, Stop
from ..support.processes import Program, Response, free_port, http_get
from ..support.requirements import require_debugger

READY = r"Running on (http://\S+)"
START = Path(__file__).parent / "failing_app" / "start_launcher.py"

WAYS = [
    ("debugpy", "listen"),
    ("debugpy", "launched"),
    ("pydevd", "connect"),
    ("pydevd", "launched"),
    ("pydevd-pycharm", "connect"),
    ("pydevd-pycharm", "launched"),
]


@dataclass(frozen=True)
class Meeting:
    """An app that runs with an IDE attached."""

    ide: Ide[Any]
    program: Program
    url: str

    def get(self, path: str) -> tuple[Response | None, list[Stop]]:
        """Ask for a page, continuing each stop on the way. None: the connection was dropped."""
        return self.ide.resuming_stops(get, self.url + path)

    def take_stop(self) -> Stop:
        """The next stop, continued; one that comes after the response."""
        stop = self.ide.wait_for_stop()
        stop.remember()
        stop.resume()
        return stop


def get(url: str) -> Response | None:
    try:
        return http_get(url)
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return None


@contextmanager
def meet(
    debugger: str,
    way: str,
    app: Path,
    *flags: str,
    filters: Iterable[str] = ("uncaught",),
    debug: bool = True,
    reload: bool = False,
) -> Iterator[Meeting]:
    """Serve the file's app with the debugger's IDE attached, the boxes `filters` ticked."""
    flags = ("--debug" if debug else "--no-debug", "--reload" if reload else "--no-reload", *flags)
    with begin(debugger, way, app, *flags) as (ide, program):
        url = program.wait_for_line(READY)[1]
        if reload and debugger == "debugpy":
            ide.wait_for_session(2)
        # Only now: PyCharm's "on raise" also stops at what Python's own start-up catches.
        ide.set_exception_filters(*filters)
        yield Meeting(ide, program, url)


@contextmanager
def begin(
    debugger: str, way: str, app: Path, *flags: str, filters: Iterable[str] = ()
) -> Iterator[tuple[Ide[Any], Program]]:
    """Start the launcher in one of the WAYS; it need not come to serving."""
    require_debugger(debugger)
    start = {"listen": _listening, "connect": _connecting, "launched": _launched}[way]
    command = ["run", "--app", app.name, "--port", "0", *flags]
    with start(debugger, app, command, filters) as (ide, program):
        yield ide, program


def python_m(command: list[str]) -> list[str]:
    return [sys.executable, "-m", "flask_debuglaunch", *command]


@contextmanager
def _listening(
    debugger: str, app: Path, command: list[str], filters: Iterable[str]
) -> Iterator[tuple[Ide[Any], Program]]:
    port = free_port()
    flags = ["--debug-with", debugger, "--debug-connection", "listen", "--debug-port", str(port)]
    with Program(python_m([*command, *flags]), cwd=app.parent) as program:
        program.wait_for_line(READY)
        with Editor.attach(port, filters=filters) as ide:
            yield ide, program


@contextmanager
def _connecting(
    debugger: str, app: Path, command: list[str], filters: Iterable[str]
) -> Iterator[tuple[Ide[Any], Program]]:
    with listening_ide(debugger, filters=filters) as ide:
        flags = ["--debug-with", debugger, "--debug-connection", "connect"]
        port = ["--debug-port", str(ide.port)]
        with Program(python_m([*command, *flags, *port]), cwd=app.parent) as program:
            yield ide, program


@contextmanager
def _launched(
    debugger: str, app: Path, command: list[str], filters: Iterable[str]
) -> Iterator[tuple[Ide[Any], Program]]:
    # PyDev can only run files.
    module = debugger != "pydevd"
    target = "flask_debuglaunch" if module else str(START)
    with launch(debugger, target, *command, module=module, cwd=app.parent, filters=filters) as ide:
        program = ide.program
        assert program
        yield ide, program

"""The launcher and an IDE together, in each way that they can meet."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .dap import Editor
from .debugging import launch, listening_ide
from .ide import Breakpoints, Ide, Stop
from .processes import Program, Response, free_port, http_get
from .requirements import require_debugger

READY = r"Running on (https?://\S+)"

CONNECTIONS = [
    ("debugpy", "present"),
    ("debugpy", "listen"),
    ("debugpy", "connect"),
    ("pydevd", "present"),
    ("pydevd", "connect"),
    ("pydevd-pycharm", "present"),
    ("pydevd-pycharm", "connect"),
]
"""Each debugger and each way to meet it; present: the IDE starts the launcher under it."""


class Launcher(Protocol):
    """How a test starts the launcher on its app."""

    def start(self, settings: Mapping[str, object]) -> Program:
        """In a shell, with these settings of the debugger: DEBUG_WITH, DEBUG_PORT."""

    def press_debug(
        self, debugger: str, breakpoints: Breakpoints | None, filters: Iterable[str] | None
    ) -> Ide[Any]:
        """By the Debug button of the debugger's IDE."""


@dataclass(frozen=True)
class CommandLine:
    """`python -m flask_debuglaunch run --app APP FLAG...`, in the app's folder."""

    app: Path
    flags: tuple[str, ...] = ()

    def start(self, settings: Mapping[str, object]) -> Program:
        given = [
            word
            for name, value in settings.items()
            for word in (f"--{name.lower().replace('_', '-')}", str(value))
        ]
        return Program(python_m([*self._command, *given]), cwd=self.app.parent)

    def press_debug(
        self, debugger: str, breakpoints: Breakpoints | None, filters: Iterable[str] | None
    ) -> Ide[Any]:
        module = debugger != "pydevd"  # PyDev can only run files.
        target = "flask_debuglaunch" if module else Path(__file__).with_name("start_launcher.py")
        return launch(
            debugger, target, *self._command, module=module, cwd=self.app.parent,
            breakpoints=breakpoints, filters=filters,
        )  # fmt: skip

    @property
    def _command(self) -> list[str]:
        return ["run", "--app", self.app.name, "--port", "0", *self.flags]


def python_m(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "flask_debuglaunch", *arguments]


@dataclass(frozen=True)
class DebugSession:
    """An app that runs with an IDE attached."""

    ide: Ide[Any]
    program: Program
    debug_port: int = 0
    """Where the two meet; 0 if the debugger is present."""

    @property
    def url(self) -> str:
        return self.program.wait_for_line(READY)[1]

    def get(self, path: str) -> tuple[Response | None, list[Stop]]:
        """Ask for a page, continuing each stop on the way. None: the connection was dropped."""
        return self.ide.resuming_stops(_get, self.url + path)

    def take_stop(self) -> Stop:
        """The next stop, continued; one that comes after the response."""
        stop = self.ide.wait_for_stop()
        stop.remember()
        stop.resume()
        return stop

    def wait_for_reload(self) -> None:
        self.program.wait_for_line("Reloaded in")


def _get(url: str) -> Response | None:
    try:
        return http_get(url)
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return None


@contextmanager
def debug_session(
    debugger: str,
    connection: str,
    launcher: Launcher,
    *,
    breakpoints: Breakpoints | None = None,
    filters: Iterable[str] | None = None,
) -> Iterator[DebugSession]:
    """Start the launcher with an IDE in one of the CONNECTIONS. Only with `listen` it has come to
    serve the app. filters: None for what the IDE ticks by default."""
    require_debugger(debugger)
    settings = {"DEBUG_WITH": debugger, "DEBUG_CONNECTION": connection}
    if connection == "present":
        with launcher.press_debug(debugger, breakpoints, filters) as ide:
            assert ide.program
            yield DebugSession(ide, ide.program)
    elif connection == "connect":
        with (
            listening_ide(debugger, breakpoints=breakpoints, filters=filters) as ide,
            launcher.start(settings | {"DEBUG_PORT": ide.port}) as program,
        ):
            yield DebugSession(ide, program, ide.port)
    else:
        port = free_port()
        with launcher.start(settings | {"DEBUG_PORT": port}) as program:
            program.wait_for_line(READY)
            with Editor.attach(port, breakpoints=breakpoints, filters=filters) as ide:
                yield DebugSession(ide, program, port)


@contextmanager
def debug_app(
    debugger: str,
    connection: str,
    app: Path,
    *flags: str,
    filters: Iterable[str] = ("uncaught",),
    debug: bool = True,
    reload: bool = False,
) -> Iterator[DebugSession]:
    """Serve the file's app with the debugger's IDE attached, the boxes `filters` ticked."""
    flags = ("--debug" if debug else "--no-debug", "--reload" if reload else "--no-reload", *flags)
    with debug_session(debugger, connection, CommandLine(app, flags), filters=()) as session:
        session.program.wait_for_line(READY)
        if reload and debugger == "debugpy":
            session.ide.wait_for_session(2)
        # Only now: PyCharm's "on raise" also stops at what Python's own start-up catches.
        session.ide.set_exception_filters(*filters)
        yield session

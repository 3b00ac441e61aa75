"""The app that the debuggers stop in, and its config.yaml."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..support.debug_session import DebugSession, debug_session
from ..support.debugging import launch
from ..support.ide import Breakpoints, Ide, Stop
from ..support.processes import TIMEOUT, Program, http_get, in_background
from ..support.sources import marked_line

MAIN = """\
import dataclasses

import flask_debuglaunch
from flask import Flask, request
from flask_debuglaunch.debuggers.known_debuggers import present_debugger

app = Flask(__name__)  # @bp:module


@app.get("/greet/<name>")
def greet(name):
    greeting = "Hello"
    answer = f"{greeting}, {name}!"  # @bp
    return answer


@app.get("/present")
def present():
    return dataclasses.asdict(found := present_debugger()) | {"debugger": found.debugger.name}


if __name__ == "__main__":
    flask_debuglaunch.run(app)
"""


class Shop:
    """A folder with an app, main.py, and its config.yaml."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.main = self._save("main.py", MAIN)
        self.configure()
        # PyDev can only run files.
        self._starter = self._save("starter.py", "from flask_debuglaunch.cli import main\nmain()\n")

    def configure(self, **settings: object) -> None:
        """Write the launcher's block: WAIT=5, RELOAD=True. The port is a free one."""
        content = {"FLASK": {"DEBUG": True}, "DEBUGLAUNCH": {"PORT": 0, **settings}}
        self._save("config.yaml", yaml.safe_dump(content))

    def origin_of(self, setting: str) -> str:
        """Where it stands: "config.yaml:3"."""
        lines = (self.root / "config.yaml").read_text(encoding="utf-8").splitlines()
        number = next(n for n, line in enumerate(lines, 1) if line.lstrip().startswith(setting))
        return f"config.yaml:{number}"

    def greet_with(self, greeting: str) -> None:
        """Change the code; no line moves."""
        self._save("main.py", MAIN.replace("Hello", greeting))

    def begin_main_with(self, statement: str) -> None:
        """Have `python main.py` run it before anything of ours."""
        before = 'if __name__ == "__main__":\n'
        self._save("main.py", MAIN.replace(before, f"{before}    {statement}\n"))

    def add_view(self, code: str) -> None:
        """Put it in front of `if __name__`; the lines above stay."""
        before = '\n\nif __name__ == "__main__":\n'
        self._save("main.py", MAIN.replace(before, f"{code}{before}"))

    def _save(self, name: str, text: str) -> Path:
        file = self.root / name
        unfinished = self.root.parent / f"{name}.unfinished"  # not in a folder that is watched
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, file)
        return file

    def breakpoint(self, mark: str = "") -> Breakpoints:
        return {self.main: [marked_line(self.main, mark)]}

    def start(
        self, *flags: str, env: Mapping[str, str] | None = None, own_main: bool = False
    ) -> Program:
        """In a shell: `python -m flask_debuglaunch`, or the app's own `python main.py`."""
        what = ["main.py"] if own_main else ["-m", "flask_debuglaunch", *flags]
        environment = {**os.environ, **(env or {})}
        return Program([sys.executable, *what], cwd=self.root, env=environment)

    def press_debug(
        self,
        debugger: str,
        *flags: str,
        env: Mapping[str, str] | None = None,
        breakpoints: Breakpoints | None = None,
        filters: Iterable[str] | None = None,
        own_main: bool = False,
    ) -> Ide[Any]:
        """The same by the Debug button of the debugger's IDE."""
        module = not own_main and debugger != "pydevd"
        target = "flask_debuglaunch" if module else self.main if own_main else self._starter
        return launch(
            debugger, target, *flags, module=module, cwd=self.root, env=env,
            breakpoints=breakpoints, filters=filters,
        )  # fmt: skip

    def stop_in_view(self, session: DebugSession, greeting: str = "Hello") -> Stop:
        """Ask for a page whose view has a breakpoint; the stop, when all that was seen is right
        and the client has its response."""
        response = in_background(http_get, f"{session.url}/greet/World?times=2")
        stop = session.ide.wait_for_stop()
        assert (stop.reason, stop.function) == ("breakpoint", "greet"), stop.stack()
        assert stop.variables() == {"greeting": repr(greeting), "name": "'World'"}
        assert stop.evaluate("request.path") == "'/greet/World'"
        assert stop.evaluate("request.args['times']") == "'2'"
        stop.resume()
        assert response.result(TIMEOUT).text == f"{greeting}, World!"
        return stop


@dataclass(frozen=True)
class ShopLauncher:
    """The launcher in the shop, configured by its config.yaml."""

    shop: Shop
    settings: Mapping[str, object]
    env: Mapping[str, str] | None
    own_main: bool

    def start(self, settings: Mapping[str, object]) -> Program:
        self.shop.configure(**settings, **self.settings)
        return self.shop.start(env=self.env, own_main=self.own_main)

    def press_debug(
        self, debugger: str, breakpoints: Breakpoints | None, filters: Iterable[str] | None
    ) -> Ide[Any]:
        self.shop.configure(**self.settings)
        return self.shop.press_debug(
            debugger, env=self.env, breakpoints=breakpoints, filters=filters, own_main=self.own_main
        )


@contextmanager
def debug_shop(
    shop: Shop,
    debugger: str,
    connection: str,
    *,
    breakpoints: Breakpoints | None = None,
    env: Mapping[str, str] | None = None,
    own_main: bool = False,
    reload: bool = False,
    **settings: object,
) -> Iterator[DebugSession]:
    """Serve the shop with the debugger's IDE attached and its breakpoints set.

    reload: is it expected that the app runs in a worker?
    """
    launcher = ShopLauncher(shop, settings, env, own_main)
    breakpoints = shop.breakpoint() if breakpoints is None else breakpoints
    with debug_session(debugger, connection, launcher, breakpoints=breakpoints) as session:
        if connection == "listen":
            session.ide.wait_for_session(2 if reload else 1)
        yield session


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port where nobody listens, nor can start to: it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]

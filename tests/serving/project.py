"""A project in a folder of its own, and the launcher serving it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..support.processes import Program, http_get, wait_until

READY = r"Running on (https?://\S+)"
RELOADED = r"Reloaded in "

HELLO = """\
from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return "{text}"
"""


def launcher() -> list[str]:
    return [sys.executable, "-m", "flask_debuglaunch", "--debug", "--port", "0"]


class Project:
    """Files below a folder; main.py is a hello app unless something else is written there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.say("one")

    @property
    def main(self) -> Path:
        return self.root / "main.py"

    def say(self, text: str) -> None:
        """Have the app answer / with this text."""
        self.save("main.py", HELLO.format(text=text))

    def save(self, name: str, text: str) -> Path:
        """Save in one step, so that no test sees a file half written unless it wants to."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # The folder of the temporary file is not watched: only the replacement is seen.
        temporary = path.parent / f".{path.name}.saving"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
        return path

    @contextmanager
    def served(
        self,
        *flags: str,
        command: list[str] | None = None,
        env: Mapping[str, str] | None = None,
        terminal: bool = False,
    ) -> Iterator[Served]:
        """Serve it, in debug mode and on a free port unless the flags say otherwise."""
        argv = command or launcher()
        environment = {**os.environ, **(env or {})}
        with Program([*argv, *flags], cwd=self.root, env=environment, terminal=terminal) as program:
            yield Served(program, program.wait_for_line(READY)[1])


class Served:
    """A program that serves."""

    def __init__(self, program: Program, url: str) -> None:
        self.program = program
        self.url = url

    def text(self, path: str = "/") -> str:
        try:
            return http_get(self.url + path).text
        except TimeoutError as error:
            raise AssertionError(f"no answer: {self.program.output}") from error

    def wait_for_text(self, text: str, path: str = "/") -> None:
        wait_until(
            lambda: text in self.text(path), message=lambda: f"{text}: {self.program.output}"
        )

    @property
    def reloads(self) -> int:
        return sum(RELOADED in line for line in self.program.lines)

    def wait_for_reload(self, number: int) -> None:
        wait_until(
            lambda: self.reloads >= number,
            message=lambda: f"reload {number}: {self.program.output}",
        )

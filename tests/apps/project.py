"""A folder with an app, and the launcher started in it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..support.processes import Program, Response, http_get

LAUNCHER = (sys.executable, "-m", "flask_debuglaunch")
NO_RELOAD = ("--debug", "--no-reload")
RELOAD = ("--debug", "--reload")
READY = r"Running on (https?://\S+)"


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def saying(text: str, name: str = "app") -> str:
    """The code of an app that answers / with the text."""
    return f"""\
import flask

{name} = flask.Flask(__name__)


@{name}.get("/")
def hello():
    return {text!r}
"""


@dataclass(frozen=True)
class Served:
    """A program that serves at the URL of its ready line."""

    program: Program
    url: str

    def get(self, path: str = "/") -> Response:
        return http_get(self.url + path)

    def text(self, path: str = "/") -> str:
        return self.get(path).text


def without_rights(*capabilities: str) -> tuple[str, ...]:
    """The launcher as an ordinary user has it: for root, with these capabilities taken away."""
    if os.geteuid() != 0:
        return LAUNCHER
    if shutil.which("setpriv") is None:
        pytest.skip("root may do everything, and there is no setpriv to take that away")
    dropped = ",".join(f"-{name}" for name in capabilities)
    return ("setpriv", f"--bounding-set={dropped}", *LAUNCHER)


@contextmanager
def served(
    folder: Path,
    *flags: str | Path,
    command: Sequence[str | Path] = LAUNCHER,
    env: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """The launcher (or another command) in the folder, on a free port, as soon as it is ready."""
    argv = [*command, "--port", "0", *flags]
    with Program(argv, cwd=folder, env={**os.environ, **(env or {})}) as program:
        yield Served(program, program.wait_for_line(READY)[1])


@dataclass(frozen=True)
class Ended:
    """A program that has ended, with its output after the banner."""

    status: int
    output: str

    @property
    def message(self) -> str:
        """The one line of an `Error:`; fails if there is anything else."""
        found = re.fullmatch(r"Error: (.+)", self.output)
        assert found, f"expected one line with an error, not:\n{self.output}"
        return found[1]


def ended(
    folder: Path,
    *flags: str | Path,
    command: Sequence[str | Path] = LAUNCHER,
    env: Mapping[str, str] | None = None,
) -> Ended:
    """What the launcher says when it can't start."""
    # By the weakest source, because the flags may name a port: 5000 may be somebody else's.
    environment = {"FLASK_RUN_PORT": "0", **os.environ, **(env or {})}
    with Program([*command, *flags], cwd=folder, env=environment) as program:
        status = program.wait_exit()
        program.assert_nothing_left()
    said = [
        line
        for line in program.lines
        if not re.match(r" \* (debug=|Why: |Debugger: |Next: )", line)
    ]
    return Ended(status, "\n".join(said))

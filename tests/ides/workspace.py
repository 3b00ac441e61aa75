"""The example workspaces, copied to where a test may change them, and the command under test."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import TIMEOUT, free_port

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    status: int
    stdout: str
    stderr: str


def ide(folder: Path, *arguments: str) -> Outcome:
    """Give the `ide` command in the folder."""
    argv = [sys.executable, "-m", "flask_debuglaunch", "ide", *arguments]
    done = subprocess.run(argv, cwd=folder, capture_output=True, encoding="utf-8", timeout=TIMEOUT)
    return Outcome(done.returncode, done.stdout, done.stderr)


def written(folder: Path, *arguments: str) -> Outcome:
    """The same, and it has to succeed."""
    outcome = ide(folder, *arguments)
    assert outcome.status == 0, outcome
    return outcome


@dataclass(frozen=True)
class Workspace:
    """A copy of an example workspace, on ports of its own."""

    folder: Path
    port: int
    debug_port: int

    @classmethod
    def copied(cls, name: str, folder: Path) -> Workspace:
        shutil.copytree(ROOT / name, folder)
        return cls(folder, free_port(), free_port())

    @property
    def main(self) -> Path:
        return self.folder / "main.py"

    @property
    def line(self) -> int:
        """That the example's comment recommends for a breakpoint."""
        lines = self.main.read_text().splitlines()
        return next(n for n, line in enumerate(lines, 1) if "a good line for a breakpoint" in line)

    @property
    def flags(self) -> list[str]:
        return [f"--port={self.port}", f"--debug-port={self.debug_port}"]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def configuration(self, name: str) -> dict[str, Any]:
        """An entry of its launch.json."""
        entries = json.loads((self.folder / ".vscode/launch.json").read_text())["configurations"]
        found: dict[str, Any] = next(entry for entry in entries if entry["name"] == name)
        return found

    def greet_with(self, word: str) -> None:
        """Edit and save main.py."""
        text = self.main.read_text().replace('greeting = f"{app', f'greeting = "{word} " + f"{{app')
        self.main.write_text(text)

"""A project of a test's own, and the doctor's answer on it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..apps.project import LAUNCHER

APP = "from flask import Flask\n\napp = Flask(__name__)\n"
VSCODE = "FLASK:\n  DEBUG: True\n  DEBUG_WITH_VSCODE: True\n"
ECLIPSE = "FLASK:\n  DEBUG: True\n  DEBUG_WITH_ECLIPSE: True\n"


def doctor(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = LAUNCHER,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "doctor", *arguments],
        cwd=folder, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def findings(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = LAUNCHER,
) -> list[dict[str, Any]]:
    """All but what is fine."""
    done = doctor(folder, "--json", *arguments, env=env, command=command)
    assert done.stdout, done.stderr
    return [one for one in json.loads(done.stdout)["findings"] if one["level"] != "ok"]


def only(found: list[dict[str, Any]], check: str) -> dict[str, Any]:
    """The one finding of the check."""
    matching = [one for one in found if one["check"] == check]
    assert len(matching) == 1, found
    return matching[0]


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in {"app.py": APP, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder

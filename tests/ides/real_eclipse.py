"""Eclipse's own launch manager, as the setup of eclipse_check/ has installed it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.requirements import require

HOME = Path(os.environ.get("TESTS_ECLIPSE", "~/.cache/flask-debuglaunch/eclipse")).expanduser()
TIMEOUT = 120


@dataclass(frozen=True)
class Launch:
    """A .launch file as Eclipse has understood it."""

    type: str
    attributes: dict[str, tuple[str, Any]]
    """By key: the Java type, and the value."""
    mapped: dict[str, bool]
    """The resources it belongs to, and whether the project has them."""
    location: str
    working_directory: str
    arguments: list[str]
    """Variables replaced, and split as PyDev splits them."""
    same_bytes: bool
    """Did Eclipse's own save leave the file as it was?"""


def load(project: Path, *names: str) -> list[Launch]:
    """Open the folder as a project, and load and save these launch files in it.

    Skips the test if Eclipse is not installed.
    """
    missing = None if (HOME / "built").exists() else "run tests/ides/eclipse_check/setup first"
    require("eclipse", missing=missing)
    with tempfile.TemporaryDirectory() as temporary:
        configuration = Path(temporary, "configuration")
        configuration.mkdir()
        (configuration / "config.ini").write_bytes((HOME / "config.ini").read_bytes())
        launcher = HOME / "plugins" / "org.eclipse.equinox.launcher.jar"
        quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        folders = ["-configuration", str(configuration), "-data", f"{temporary}/workspace"]
        done = subprocess.run(
            ["java", *quick, "-jar", launcher, "-nosplash", *folders, project, *names],
            env={**os.environ, "LC_ALL": "C.UTF-8"},  # java's encoding of file names
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        logs = [log.read_text() for log in configuration.glob("*.log")]
    assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *logs])
    return [_launch(json.loads(line)) for line in done.stdout.splitlines()]


def _launch(report: dict[str, Any]) -> Launch:
    attributes = {key: (kind, value) for key, (kind, value) in report.pop("attributes").items()}
    return Launch(attributes=attributes, **report)

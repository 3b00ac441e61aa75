"""A full disk, a file size limit, a file system that is read-only, all of them real: what cannot be
written is said with what helps, and every file stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import which

import pytest

from ..support.namespaces import in_namespace
from ..support.processes import TIMEOUT

if sys.platform != "linux":
    pytest.skip("a file system for a moment needs Linux", allow_module_level=True)

IN_NEW_FILE_SYSTEM = """
set -e
room=$1 files=$2 after=$3; shift 3
mkdir mounted
mount -t tmpfs -o size=1m tmpfs mounted
cp -r "$files/." mounted
cd mounted
case $room in
    none) dd if=/dev/zero of=../fill bs=64k count=32 status=none; cat ../fill >fill 2>&1 || true ;;
    one) dd if=/dev/zero of=../fill bs=64k count=32 status=none; cat ../fill >fill 2>&1 || true
        truncate -s -4096 fill ;;
    small) ulimit -S -f 1 ;;
    locked) mount -o remount,ro,bind . ;;
esac
status=0
"$@" || status=$?
ulimit -S -f unlimited
rm -f fill 2>/dev/null || true
cp -r . "$after"
exit $status
"""
SAYS = {
    "none": "the disk is full: free some space on it",
    "one": "the disk is full: free some space on it",
    "small": r"raise its limit (ulimit -f)",
    "locked": "the file system is read-only",
}
APP = "from flask import Flask\n\napp = Flask(__name__)\n"
CONFIGURATION = "FLASK:\n  DEBUG: true\n"
DOCKERFILE = "FROM python:3.11-slim\nWORKDIR /app\nCOPY . .\nCMD flask run\n"
LAUNCH = """\
{
    // mine {0}
    "configurations": [
        {
            "name": "Flask", "type": "debugpy", "request": "launch",
            "module": "flask_debuglaunch", "subProcess": false
        }
    ]
}
""".replace("{0}", 1000 * "x")
COMMANDS: dict[str, Mapping[str, str]] = {
    "init": {"app.py": APP},
    "ide vscode": {
        "app.py": APP,
        "flask-debuglaunch.yaml": CONFIGURATION,
        ".vscode/launch.json": LAUNCH,
    },
    "ide eclipse pycharm": {"app.py": APP, "flask-debuglaunch.yaml": CONFIGURATION},
    "ide compose": {
        "app.py": APP,
        "compose.yaml": "services: {web: {build: .}}\n",
        "Dockerfile": DOCKERFILE,
    },
    "doctor --fix": {"app.py": APP, ".vscode/launch.json": LAUNCH},
}


CASES = [(command, room) for command in COMMANDS for room in ("none", "small", "locked")]
SEVERAL_FILES = [("init", "one"), ("ide vscode", "one"), ("ide eclipse pycharm", "one")]


@pytest.mark.parametrize(("command", "room"), [*CASES, *SEVERAL_FILES], ids=" in ".join)
def test_what_can_t_be_written_is_said_and_all_stays(
    tmp_path: Path, command: str, room: str
) -> None:
    contain = in_namespace()
    if "compose" in command and not (which("docker") or which("podman-compose")):
        pytest.skip("no Compose here")
    files = tmp_path / "files"
    for name, text in COMMANDS[command].items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)
    after = tmp_path / "after"
    launcher = [sys.executable, "-B", "-m", "flask_debuglaunch", *command.split()]
    argv = [*contain, "sh", "-c", IN_NEW_FILE_SYSTEM, "sh", room, files, after, *launcher]
    done = subprocess.run(
        argv,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert SAYS[room] in said
    assert said.rstrip().endswith("Nothing is changed")
    assert "Traceback" not in said
    assert contents(after) == contents(files)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if not path.is_dir())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}

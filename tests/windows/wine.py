"""Windows' Python under wine, in the Debian that .ci/install-windows has made."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask_debuglaunch

from ..support.processes import Program, in_background
from ..support.requirements import require

ROOT = Path(os.environ.get("WINDOWS_ROOT", "/var/lib/windows-check"))
INTERPRETERS = {"base": "/win/python/python.exe", "venv": "/win/venv/Scripts/python.exe"}
"""venv: its python.exe is the redirector that Windows' virtual environments have."""
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "XDG_RUNTIME_DIR": "/tmp",
    "LANG": "C.UTF-8",
    "WINEDEBUG": "-all",
    "WINEPREFIX": "/win/prefix",
    "PYTHONUNBUFFERED": "1",
    "DEBUGPY_PROCESS_SPAWN_TIMEOUT": "120",  # seconds; of itself 15, and wine starts slowly
}
SLOW = 240.0
"""Seconds: an interpreter starts slowly under wine."""
CHANGE_FOLDER_AND_RUN = 'cd "$0" && exec wine "$@"'


def require_windows() -> None:
    installed = sys.platform == "linux" and (ROOT / "win/venv/pyvenv.cfg").exists()
    missing = None if installed else "no Windows' Python under wine (.ci/install-windows)"
    require("windows", missing=missing)
    require("windows", missing=None if os.geteuid() == 0 else "chroot needs root")


def windows_path(file: Path) -> str:
    """As Windows has it: Z: is the Debian's root."""
    return "Z:\\" + str(file.relative_to(ROOT)).replace("/", "\\")


def bring_project_to(site: Path) -> None:
    """Install the package as it is here: the files, and the entry points that Flask looks for."""
    package = Path(flask_debuglaunch.__file__).parent
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, site / package.name, ignore=leave)
    distribution: Any = importlib.metadata.distribution("flask-debuglaunch")
    leave = shutil.ignore_patterns("RECORD", "direct_url.json")
    shutil.copytree(distribution._path, site / distribution._path.name, ignore=leave)


@dataclass(frozen=True)
class Windows:
    """A folder that Windows sees, with the launcher installed for what runs there."""

    folder: Path
    site: Path
    interpreter: str = "base"

    def start(self, *arguments: str, **variables: str) -> Program:
        """`python ARGUMENTS` in the folder."""
        inside = "/" + str(self.folder.relative_to(ROOT))
        environment = {**ENVIRONMENT, "PYTHONPATH": windows_path(self.site), **variables}
        python = [INTERPRETERS[self.interpreter], "-X", "utf8", *arguments]
        chroot = ["chroot", str(ROOT), "sh", "-c", CHANGE_FOLDER_AND_RUN, inside]
        return Program([*chroot, *python], cwd="/", env=environment)

    def run(self, *arguments: str) -> tuple[int, str]:
        """The same to its end: the exit status, and all that it said."""
        with self.start(*arguments) as program:
            return program.wait_exit(SLOW), program.output

    def launch(self, *arguments: str, **variables: str) -> Program:
        return self.start("-m", "flask_debuglaunch", *arguments, **variables)

    def save(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")  # in place, as VS Code does
        return file


@contextmanager
def wine_running() -> Iterator[None]:
    """Wine's own processes: started here, they are no test's, and stay until the end."""
    command = ["chroot", str(ROOT), "wine", INTERPRETERS["base"], "-c", KEEP]
    keeper = subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert keeper.stdin
    assert keeper.stdout
    try:
        with keeper.stdin, keeper.stdout:
            assert in_background(keeper.stdout.readline).result(SLOW).strip() == b"running"
            yield
        keeper.wait(SLOW)
    finally:
        keeper.kill()  # a hanging Wine keeps nobody waiting


KEEP = "import sys; print('running', flush=True); sys.stdin.read()"

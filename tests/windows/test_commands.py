"""The commands that only read and write files: on Windows the same as on Linux, byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flask_debuglaunch.ides.generate_files import IDES

from .test_serving import APP
from .wine import SLOW, Windows

pytestmark = pytest.mark.slow

YAML = """\
FLASK:
  DEBUG: True
  DEBUG_WITH_VSCODE: True

DEBUGLAUNCH:
  PORT: 8000
"""


@pytest.fixture
def shop(windows: Windows) -> Windows:
    windows.save("src/shop.py", APP.format(text="shop"))
    windows.save("config.yaml", YAML)
    return windows


def ours(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The same command on Linux."""
    command = [sys.executable, "-m", "flask_debuglaunch", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=SLOW)


def files(folder: Path) -> dict[str, bytes]:
    found = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def test_explain(shop: Windows) -> None:
    status, said = shop.run("-m", "flask_debuglaunch", "explain", "--json")
    assert status == 0, said
    on_linux = json.loads(ours(shop.folder, "explain", "--json").stdout)
    told = json.loads(said)
    assert told.keys() == on_linux.keys()
    assert "debugpy" in said


def test_init(windows: Windows) -> None:
    windows.save("main.py", APP.format(text="hello"))
    status, said = windows.run("-m", "flask_debuglaunch", "init")
    assert status == 0, said
    written = files(windows.folder)
    for name in written.keys() - {"main.py"}:
        (windows.folder / name).unlink()
    assert ours(windows.folder, "init").returncode == 0
    assert files(windows.folder) == written


def test_ide_writes_the_same_bytes(shop: Windows) -> None:
    """For every IDE, with an app that is named as Windows names files."""
    before = files(shop.folder)
    flags = ("ide", *IDES, "--app=src/shop.py:create()")
    status, said = shop.run("-m", "flask_debuglaunch", *flags)
    assert status == 0, said
    written = files(shop.folder)
    assert written.keys() > before.keys()
    for name in written.keys() - before.keys():
        (shop.folder / name).unlink()
    done = ours(shop.folder, *flags)
    assert done.returncode == 0, done.stderr
    assert files(shop.folder) == written


def test_a_diff_has_the_line_ends_of_the_files(shop: Windows) -> None:
    status, said = shop.run("-c", DIFF_AS_BYTES)
    assert status == 0, said
    assert "\\r" not in said
    assert ".vscode/launch.json" in said


DIFF_AS_BYTES = """
import subprocess, sys
print(subprocess.run(
    [sys.executable, "-m", "flask_debuglaunch", "ide", "vscode", "--diff"],
    check=True, capture_output=True,
).stdout)
"""


def test_a_folder_is_no_configuration(shop: Windows) -> None:
    status, said = shop.run("-m", "flask_debuglaunch", "explain", "--config", "src")
    assert status == 2
    assert "src: cannot be read: it is a folder" in said, said

"""What is in the wheel, and that it runs where it is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import flask_debuglaunch

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


def run(*argv: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(one) for one in argv], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    sources = (ROOT / "flask_debuglaunch").rglob("*.py")
    ours = {str(file.relative_to(ROOT)) for file in sources} | {"flask_debuglaunch/py.typed"}
    info = f"flask_debuglaunch-{flask_debuglaunch.__version__}.dist-info"
    made = {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == ours | made


@pytest.mark.slow
def test_it_runs_from_another_folder_when_installed(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment)
    scripts = environment / ("Scripts" if sys.platform == "win32" else "bin")
    run(scripts / "python", "-m", "pip", "install", "--quiet", wheel)
    project = tmp_path / "project"
    project.mkdir()
    (project / "config.yaml").write_text("FLASK: {DEBUG: true}\n")
    for command in (
        [scripts / "python", "-m", "flask_debuglaunch"],
        [scripts / "flask-debuglaunch"],
        [scripts / "flask", "debuglaunch"],
    ):
        assert "config.yaml:1" in run(*command, "explain", cwd=project)
    assert flask_debuglaunch.__version__ in run(*command, "--version", cwd=project)

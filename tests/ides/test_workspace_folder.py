"""A repository of several projects: the IDE opens its root, the app is further down."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from flask_debuglaunch.ides.opened_project import workspace_folder
from tests.ides.workspace import ide, written


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """A folder of a repository, which the IDEs have opened at its root."""
    backend = tmp_path / "shop" / "backend"
    backend.mkdir(parents=True)
    (backend / "config.yaml").write_text("FLASK: {DEBUG: true}\n")
    for name in (".git", ".vscode", ".idea"):
        (backend.parent / name).mkdir()
    (backend.parent / ".project").write_text(
        "<projectDescription><name>shop</name></projectDescription>"
    )
    return backend


def test_vscode_starts_the_app_in_its_own_folder(backend: Path) -> None:
    outcome = written(backend, "vscode", "--port=8000")
    entries = json.loads((backend.parent / ".vscode/launch.json").read_text())["configurations"]
    debug = entries[0]
    assert debug["name"] == "debuglaunch: debug (backend)"
    assert debug["cwd"] == "${workspaceFolder}/backend"
    assert debug["args"] == ["--config", "config.yaml", "--port=8000"]
    assert (backend / "flask-debuglaunch.schema.json").exists()
    assert not (backend / ".vscode").exists()
    assert f"the files are in {backend.parent}" in outcome.stderr
    assert ide(backend, "vscode", "--port=8000", "--check").status == 0


def test_two_apps_of_one_repository(backend: Path) -> None:
    other = backend.with_name("api")
    other.mkdir()
    written(backend, "vscode")
    written(other)  # those that the root is opened in
    launch = json.loads((backend.parent / ".vscode/launch.json").read_text())
    names = [entry["name"] for entry in launch["configurations"]]
    assert [
        f"debuglaunch: {kind} ({app})" for app in ("backend", "api") for kind in ("debug", "attach")
    ] == names
    assert (backend.parent / ".run/debuglaunch debug (api).run.xml").exists()


def test_pycharm_starts_the_app_in_its_own_folder(backend: Path) -> None:
    written(backend, "pycharm")
    file = backend.parent / ".run" / "debuglaunch debug (backend).run.xml"
    options = {one.get("name"): one.get("value") for one in ET.parse(file).getroot().iter("option")}
    assert options["WORKING_DIRECTORY"] == "$PROJECT_DIR$/backend"
    assert options["PARAMETERS"] == "--config config.yaml"


def test_eclipse_starts_the_app_in_its_own_folder(backend: Path) -> None:
    written(backend, "eclipse")
    file = backend.parent / "shop debug (backend).launch"
    values = {one.get("key"): one.get("value") for one in ET.parse(file).getroot()}
    tools = "org.eclipse.ui.externaltools.ATTR_"
    assert values[f"{tools}WORKING_DIRECTORY"] == "${workspace_loc:shop/backend}"
    assert values[f"{tools}LOCATION"] == "${workspace_loc:shop/backend/eclipse_launch.py}"
    assert (backend / "eclipse_launch.py").exists()
    assert (
        "<path>/${PROJECT_DIR_NAME}/backend</path>"
        in (backend.parent / ".pydevproject").read_text()
    )


def test_which_folder_it_is(backend: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = backend.parent
    assert workspace_folder(backend, [".vscode"]) == root
    assert workspace_folder(backend, [".zed"]) == backend
    (root.parent / ".vscode").mkdir()
    (root / ".vscode").rmdir()
    assert workspace_folder(backend, [".vscode"]) == backend  # above the repository
    (root / ".vscode").mkdir()
    monkeypatch.setenv("HOME", str(root))
    assert workspace_folder(backend, [".vscode"]) == backend  # VS Code's own files
    monkeypatch.delenv("HOME")
    (backend / ".vscode").mkdir()
    assert workspace_folder(backend, [".vscode"]) == backend


def test_a_repository_whose_root_no_ide_has_opened(backend: Path) -> None:
    (backend.parent / ".vscode").rmdir()
    outcome = written(backend, "vscode")
    assert (backend / ".vscode" / "launch.json").exists()
    assert f"Where it opens {backend.parent}, have its own folder there first" in outcome.stderr

"""A save of whatever the app is made from reloads it, wherever that is and however it is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import flask_debuglaunch

from .project import Project

APP = """\
import os

from flask import Flask
{imports}

app = Flask(__name__)


@app.get("/")
def hello():
    return {answer}
"""


def save(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def site_packages(base: Path) -> Path:
    """The folder that Python takes for the user's installed packages, with PYTHONUSERBASE there."""
    ask = [sys.executable, "-c", "import site; print(site.getusersitepackages())"]
    env = {**os.environ, "PYTHONUSERBASE": str(base)}
    return Path(subprocess.run(ask, env=env, capture_output=True, text=True).stdout.strip())


@pytest.mark.slow
def test_files_that_are_elsewhere(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    installed = site_packages(elsewhere / "base")
    save(elsewhere / "common.py", "V = 1\n")
    (project.root / "linked.py").symlink_to(elsewhere / "common.py")
    save(elsewhere / "dev.env", "COLOR=1\n")
    (project.root / ".env").symlink_to(elsewhere / "dev.env")
    # As `flit install --symlink`: a link to the package's folder.
    save(elsewhere / "flit/flitted/__init__.py", "V = 1\n")
    installed.mkdir(parents=True)
    (installed / "flitted").symlink_to(elsewhere / "flit/flitted")
    # As setuptools' strict editable installs: a folder of links to each file.
    save(elsewhere / "src/strict.py", "V = 1\n")
    (elsewhere / "editable").mkdir()
    (elsewhere / "editable/strict.py").symlink_to(elsewhere / "src/strict.py")
    save(installed / "plain/__init__.py", "V = 1\n")
    zipped(elsewhere / "zipped.zip", 1)
    names = ("linked", "flitted", "strict", "plain", "zipped")
    project.save(
        "main.py",
        APP.format(
            imports=f"import {', '.join(names)}",
            answer=f"' '.join([os.environ['COLOR'], {', '.join(f'str({n}.V)' for n in names)}])",
        ),
    )
    paths = [installed, elsewhere / "editable", elsewhere / "zipped.zip"]
    env = {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONUSERBASE": str(elsewhere / "base"),
    }
    with project.served(env=env) as served:
        assert served.text() == "1 1 1 1 1 1"
        save(elsewhere / "dev.env", "COLOR=22\n")
        served.wait_for_text("22 1 1 1 1 1")
        save(elsewhere / "common.py", "V = 22\n")
        served.wait_for_text("22 22 1 1 1 1")
        save(elsewhere / "flit/flitted/__init__.py", "V = 22\n")
        served.wait_for_text("22 22 22 1 1 1")
        save(elsewhere / "src/strict.py", "V = 22\n")
        served.wait_for_text("22 22 22 22 1 1")
        save(installed / "plain/__init__.py", "V = 22\n")
        served.wait_for_text("22 22 22 22 22 1")
        zipped(elsewhere / "zipped.zip", 22)
        served.wait_for_text("22 22 22 22 22 22")
        served.wait_for_reload(6)
    assert served.reloads == 6, served.program.output


def zipped(file: Path, value: int) -> None:
    new = file.with_suffix(".new")
    with zipfile.ZipFile(new, "w") as archive:
        archive.writestr("zipped.py", f"V = {value}\n")
    new.replace(file)


@pytest.mark.slow
def test_a_configmap_whose_data_are_swapped(project: Project) -> None:
    """As the kubelet does it: config.yaml -> ..data/config.yaml, ..data -> ..v1, then ..v2."""
    mount = project.root / "mount"
    for version, port in (("..v1", 1), ("..v2", 2)):
        save(mount / version / "settings.yaml", f"FLASK: {{DEBUG: true, NUMBER: {port}}}\n")
    (mount / "..data").symlink_to("..v1")
    (mount / "settings.yaml").symlink_to("..data/settings.yaml")
    with project.served("--config", "mount/settings.yaml", "--app", "main.py") as served:
        (mount / "..data_tmp").symlink_to("..v2")
        (mount / "..data_tmp").rename(mount / "..data")
        shutil.rmtree(mount / "..v1")
        served.wait_for_reload(1)
        save(mount / "..v2/settings.yaml", "FLASK: {DEBUG: true, NUMBER: 33}\n")
        served.wait_for_reload(2)


@pytest.mark.slow
def test_a_broken_package_that_is_elsewhere_is_mended(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Modules whose import failed are not in sys.modules: the error names them."""
    library = tmp_path_factory.mktemp("library")
    save(library / "shop/__init__.py", "from .cart import V\n")
    save(library / "shop/cart.py", "V = 1\n")
    project.save("main.py", APP.format(imports="import shop", answer="str(shop.V)"))
    with project.served(env={"PYTHONPATH": str(library)}) as served:
        served.wait_for_text("1")
        save(library / "shop/cart.py", "V = (\n")  # a syntax error
        served.wait_for_text("SyntaxError")
        save(library / "shop/cart.py", "from .prices import V\n")  # a module that is not there
        served.wait_for_text("No module named")
        save(library / "shop/prices.py", "V = 1 / 0\n")
        served.wait_for_text("ZeroDivisionError")
        save(library / "shop/prices.py", "V = 55\n")
        served.wait_for_text("55")
        save(project.main, APP.format(imports="import store", answer="str(store.V)"))
        served.wait_for_text("No module named")
        save(library / "store.py", "V = 66\n")
        served.wait_for_text("66")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shop", "."])
def test_a_folder_that_is_removed_and_restored(project: Project, name: str) -> None:
    """As `git switch` does; also the one that the launcher was started in."""
    project.save("shop/__init__.py", "V = 1\n")
    project.save("main.py", APP.format(imports="import shop", answer="str(shop.V)"))
    folder = (project.root / name).resolve()
    away = project.root.with_name(f"{project.root.name}-away")
    with project.served() as served:
        served.wait_for_text("1")
        shutil.copytree(folder, away)
        shutil.rmtree(folder)
        if name == ".":
            served.program.wait_for_line("is gone")
        else:
            served.wait_for_text("ModuleNotFoundError")
        away.rename(folder)
        served.wait_for_text("1")
        for number in (22, 333, 4444):
            project.save("shop/__init__.py", f"V = {number}\n")
            served.wait_for_text(str(number))
        served.program.wait_for_line(r"Reloaded in .* \(shop/__init__.py\)")


def test_a_folder_that_goes_file_by_file(project: Project) -> None:
    """Without its __init__.py it is a package still, of which nothing is left but the folder."""
    project.save("shop/__init__.py", "V = 1\n")
    project.save("main.py", APP.format(imports="import shop", answer="str(shop.V)"))
    with project.served() as served:
        served.wait_for_text("1")
        (project.root / "shop/__init__.py").unlink()
        served.wait_for_text("AttributeError")
        shutil.rmtree(project.root / "shop")
        served.wait_for_text("ModuleNotFoundError")
        project.save("shop/__init__.py", "V = 22\n")
        served.wait_for_text("22")


def test_a_project_whose_folder_begins_with_our_package_s_name(tmp_path: Path) -> None:
    package = Path(flask_debuglaunch.__file__).parent
    shutil.copytree(package, tmp_path / package.name)
    project = Project(tmp_path / f"{package.name}_shop")
    with project.served(env={"PYTHONPATH": str(tmp_path)}) as served:
        for text in ("two", "three"):
            project.say(text)
            served.wait_for_text(text)


def test_what_stands_beside_an_env_file_further_up_does_not_count(tmp_path: Path) -> None:
    project = Project(tmp_path / "shop")
    save(tmp_path / ".env", "COLOR=1\n")
    save(tmp_path / "stray.py", "x = 1\n")
    project.save("main.py", APP.format(imports="", answer="os.environ['COLOR']"))
    with project.served() as served:
        assert served.text() == "1"
        save(tmp_path / "stray.py", "x = 22\n")
        assert served.text() == "1"
        save(tmp_path / ".env", "COLOR=2\n")
        served.wait_for_text("2")
        served.wait_for_reload(1)  # said after the worker has begun to serve
        told = [line for line in served.program.lines if "Reloaded in" in line]
        assert len(told) == 1
        assert told[0].endswith(".env)"), "more than that file"

"""The `ide` command: what it prints, writes and returns."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from flask_debuglaunch.ides.generate_files import IDES
from tests.ides.workspace import ROOT, ide, written

WORKSPACES = {"vscode": ["vscode"], "eclipse": ["eclipse"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("FLASK: {DEBUG: true}\n")
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    found = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


# The example workspaces


@pytest.mark.parametrize(("name", "ides"), WORKSPACES.items())
def test_an_example_holds_what_is_generated(name: str, ides: list[str], tmp_path: Path) -> None:
    """To write them anew: python -m flask_debuglaunch ide NAME, in the folder NAME."""
    present = {path: data for path, data in files(ROOT / name).items() if "__pycache__" not in path}
    by_hand = ("config.yaml", "main.py", "README.md", "templates/index.html")
    folder = tmp_path / name
    for path in by_hand:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(present[path])
    written(folder, *ides)
    assert files(folder) == present
    assert "MODELINE" not in ide(folder, *ides, "--dry-run").stderr


@pytest.mark.parametrize("name", WORKSPACES)
def test_the_schema_of_an_example_takes_its_yaml_and_finds_mistakes(name: str) -> None:
    first, *_ = (ROOT / name / "config.yaml").read_text().splitlines()
    _, _, schema_name = first.partition("# yaml-language-server: $schema=")
    schema = json.loads((ROOT / name / schema_name).read_text())
    validator = jsonschema.Draft7Validator(schema)
    validator.check_schema(schema)
    validator.validate(yaml.safe_load((ROOT / name / "config.yaml").read_text()))
    for mistake in ("FLASK: {DEBUG: 'yes'}", "DEBUGLAUNCH: {PROT: 5000}", "DEBUGLAUNCH: {PORT: x}"):
        assert not validator.is_valid(yaml.safe_load(mistake)), mistake


# What it does


def test_writing(folder: Path) -> None:
    outcome = written(folder, "vscode")
    assert outcome.stdout.splitlines() == [
        ".vscode/launch.json: created",
        "flask-debuglaunch.schema.json: created",
    ]
    (folder / "config.yaml").rename(folder / "config.yml")
    assert ".vscode/launch.json: changed" in written(folder, "vscode").stdout


@pytest.mark.parametrize("name", IDES)
def test_once_more_changes_nothing(folder: Path, name: str) -> None:
    written(folder, name)
    before = files(folder)
    outcome = written(folder, name)
    assert files(folder) == before
    assert all(line.endswith(": as it should be") for line in outcome.stdout.splitlines())


@pytest.mark.parametrize("option", ["--check", "--diff", "--stdout", "--dry-run"])
def test_looking_writes_nothing(folder: Path, option: str) -> None:
    before = files(folder)
    outcome = ide(folder, *IDES, option)
    assert files(folder) == before
    assert ".vscode/launch.json" in outcome.stdout
    assert outcome.status == (1 if option == "--check" else 0)


def test_checking(folder: Path) -> None:
    written(folder, "vscode", "eclipse", "pycharm")
    assert (outcome := ide(folder, "vscode", "eclipse", "pycharm", "--check")).status == 0
    assert outcome.stdout == ""
    launch_json = folder / ".vscode" / "launch.json"
    launch_json.write_text(launch_json.read_text().replace("config.yaml", "other.yaml"))
    outcome = ide(folder, "vscode", "--check")
    assert outcome.status == 1
    assert '-                "other.yaml"\n+                "config.yaml"\n' in outcome.stdout


def test_the_diff_is_one_that_git_applies(folder: Path) -> None:
    diff = written(folder, "vscode", "eclipse", "pycharm", "--diff").stdout
    apply = ["git", "apply", "--whitespace=nowarn", "-"]
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    subprocess.run(apply, cwd=folder, input=diff.encode(), env=environment, check=True, timeout=60)
    assert ide(folder, "vscode", "eclipse", "pycharm", "--check").status == 0


def test_one_file_on_stdout_is_the_file(tmp_path: Path) -> None:
    assert json.loads(written(tmp_path, "vscode", "--stdout").stdout)["version"] == "0.2.0"


def test_several_files_on_stdout_have_titles(folder: Path) -> None:
    titles = [
        line for line in written(folder, "vscode", "--stdout").stdout.splitlines() if "==>" in line
    ]
    assert titles == ["==> .vscode/launch.json <==", "==> flask-debuglaunch.schema.json <=="]


# Which IDE


def test_the_ides_that_the_folder_is_opened_in(folder: Path) -> None:
    for name in (".idea", ".vscode"):
        (folder / name).mkdir()
    lines = written(folder).stdout.splitlines()
    assert {line.split("/")[0] for line in lines[:-1]} == {".run", ".vscode"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which IDE? Name one or more of vscode, eclipse, pycharm, neovim, zed"),
        (["emacs"], "argv:emacs: no such IDE. Known are vscode, eclipse"),
        (["vscode", "--with", "dokcer"], "no such extra: dokcer. Known are:\n  browser: a config"),
        (["eclipse", "--with", "docker"], "eclipse: no such extra: docker. There is nothing"),
        (["vscode", "--port", "x"], "argv:--port: must be a port"),
        (["vscode", "--config", "none.yaml"], "none.yaml"),
    ],
)
def test_wrong_words(folder: Path, arguments: list[str], message: str) -> None:
    outcome = ide(folder, *arguments)
    assert outcome.status == 2
    assert message in outcome.stderr
    assert list(files(folder)) == ["config.yaml"]


def test_extras_of_one_of_several_ides(folder: Path) -> None:
    ides = ["vscode", "pycharm", "eclipse", "zed"]  # the last edits what the first has edited
    written(folder, *ides, "--with", "browser,wait", "--with=docker")
    assert (folder / ".run/debuglaunch debug server.run.xml").exists()
    assert "serverReadyAction" in (folder / ".vscode/launch.json").read_text()


# What the files name


def arguments_in(folder: Path) -> list[str]:
    launch = json.loads((folder / ".vscode" / "launch.json").read_text())
    found: list[str] = launch["configurations"][0]["args"]
    return found


def test_the_flags_that_are_given(folder: Path) -> None:
    flags = ["--app", "src/shop.py:create()", "--port", "8000", "--no-reload", "--env-file=my.env"]
    (folder / "my.env").write_text("")
    written(folder, "vscode", *flags)
    assert arguments_in(folder) == [
        *("--config", "config.yaml"),
        *("--app=src/shop.py:create()", "--port=8000", "--no-reload", "--env-file=my.env"),
    ]


@pytest.mark.parametrize("name", IDES)
def test_the_files_are_the_same_on_two_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = []
    for user, umask in (("ann", 0o022), ("bob", 0o077)):
        home = tmp_path / user
        project = home / user / "shop"
        (project / "src").mkdir(parents=True)
        (project / "config.yaml").write_text("DEBUGLAUNCH: {DEBUG_PORT: 7000}\n")
        for file in (home / "my.env", project / "src" / "key.pem"):
            file.write_text("")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("LC_ALL", {"ann": "C", "bob": "C.UTF-8"}[user])
        monkeypatch.setenv("PYTHONHASHSEED", str(umask))
        before = os.umask(umask)
        written(
            project, name, "--config", str(project / "config.yaml"), "--env-file", f"{home}/my.env",
            f"--key={project}/src/key.pem", "--extra-files", f"{project}/a:{home}/b:/etc/hosts",
            f"--app={project}/src/shop.py:create('~')", "--path-mappings", f"{project}=/srv",
        )  # fmt: skip
        os.umask(before)
        found.append(files(project))
    assert found[0] == found[1]
    text = b"".join(found[0].values())
    assert b"ann" not in text
    assert b"~/my.env" in text
    assert b"=src/shop.py:create(" in text


def test_nothing_of_this_shells_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(folder, "vscode")
    monkeypatch.setenv("DEBUGLAUNCH_DEBUG_PORT", "7777")
    monkeypatch.setenv("FLASK_APP", "other")
    assert ide(folder, "vscode", "--check").status == 0


def test_a_yaml_somewhere_else(folder: Path) -> None:
    project = folder / "app"
    project.mkdir()
    (project / "conf").mkdir()
    (project / "conf" / "debug.yaml").write_text("")
    written(project, "vscode", "-c", "conf/debug.yaml")
    assert arguments_in(project) == ["--config", "conf/debug.yaml"]
    assert (project / "conf" / "flask-debuglaunch.schema.json").exists()
    written(project, "vscode", "-c", str(folder / "config.yaml"))
    assert arguments_in(project) == ["--config", "../config.yaml"]
    assert not (folder / "flask-debuglaunch.schema.json").exists()  # it is not in the project


def test_no_yaml_at_all(tmp_path: Path) -> None:
    outcome = written(tmp_path, "vscode")
    assert arguments_in(tmp_path) == []
    assert "`python -m flask_debuglaunch init` writes one" in outcome.stderr
    assert list(files(tmp_path)) == [".vscode/launch.json"]


def test_the_line_that_makes_editors_check_the_yaml(folder: Path) -> None:
    note = "# yaml-language-server: $schema=flask-debuglaunch.schema.json"
    assert note in written(folder, "vscode").stderr
    config = folder / "config.yaml"
    config.write_text(f"{note}\n{config.read_text()}")
    assert note not in written(folder, "vscode").stderr


def test_the_container_note_says_how(folder: Path) -> None:
    outcome = written(folder, "vscode", "--with", "docker", "--debug-port", "7000")
    assert "docker run -p 127.0.0.1:7000:7000" in outcome.stderr

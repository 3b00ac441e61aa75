"""launch.json: what VS Code knows, what the user has in it, and editors with stricter rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.ides.workspace import Outcome, ide, written

EXTENSION = Path(__file__).with_name("vscode_check") / "extension" / "package.json"
# What VS Code itself takes in every entry: src/vs/workbench/contrib/debug/common/debugSchemas.ts.
OF_VS_CODE = {
    "name": {"type": "string"},
    "type": {"const": "debugpy"},
    "request": {"enum": ["launch", "attach"]},
    "presentation": {
        "properties": {
            "hidden": {"type": "boolean"},
            "group": {"type": "string"},
            "order": {"type": "number"},
        },
        "additionalProperties": False,
    },
    "serverReadyAction": {
        "properties": {
            "action": {"enum": ["openExternally", "debugWithChrome", "debugWithEdge"]},
            "pattern": {"type": "string"},
            "uriFormat": {"type": "string"},
        },
        "required": ["action"],
        "additionalProperties": False,
    },
}
MINE = """\
\ufeff// My own, since 2019.
{
  "version": "0.2.0",\r
  "configurations": [
    {"name": "mine", "type": "node", "request": "launch", /* here */ "program": "x.js"},
    {
      "name": "debuglaunch: debug", // renamed never
      "type": "debugpy",
      "request": "launch",
      "module": "flask_debuglaunch",
      "args": ["--config", "old.yaml"], // was old
      "cwd": "${workspaceFolder}",
      "jinja": false,
      "justMyCode": false, // I want it so
    },
  ],
  "compounds": [],
}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("FLASK: {DEBUG: true}\n")
    return tmp_path


def launch_json(folder: Path) -> Path:
    return folder / ".vscode" / "launch.json"


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    found = json.loads(launch_json(folder).read_text())["configurations"]
    return {entry["name"]: entry for entry in found}


def with_text(folder: Path, text: str) -> Path:
    file = launch_json(folder)
    file.parent.mkdir()
    file.write_bytes(text.encode())
    return file


def test_the_yaml_and_the_entry_are_named_and_nothing_it_says(folder: Path) -> None:
    (folder / "config.yaml").write_text("DEBUGLAUNCH: {PORT: 8123, APP: shop, RELOAD: true}\n")
    written(folder, "vscode", "--with", "browser")
    debug = entries(folder)["debuglaunch: debug"]
    assert debug["module"] == "flask_debuglaunch"
    assert debug["args"] == ["--config", "config.yaml"]
    text = launch_json(folder).read_text()
    assert "8123" not in text
    assert "shop" not in text
    assert str(folder) not in text


def test_vs_code_knows_every_member(folder: Path) -> None:
    """additionalProperties is false: VS Code marks whatever the extension does not declare."""
    [debugger] = json.loads(EXTENSION.read_text())["contributes"]["debuggers"]
    written(folder, "vscode", "--with", "browser,docker,wait")
    found = entries(folder)
    assert len(found) == 5
    for entry in found.values():
        known = debugger["configurationAttributes"][entry["request"]]["properties"]
        schema = {"properties": {**OF_VS_CODE, **known}, "additionalProperties": False}
        jsonschema.Draft7Validator(schema).validate(entry)
        # The extension turns it on by itself for `module: flask` alone.
        assert entry["jinja"] is True
        assert entry["presentation"]["group"] == "debuglaunch"


def test_the_browser_opens_on_our_own_ready_line(folder: Path) -> None:
    written(folder, "vscode", "--with=browser")
    action = entries(folder)["debuglaunch: debug with browser"]["serverReadyAction"]
    match = re.search(action["pattern"], " * Running on https://[::1]:5000")
    assert match
    assert action["uriFormat"] % match[1] == "https://[::1]:5000"


def test_only_ours_is_changed_and_only_where_it_must_be(folder: Path) -> None:
    file = with_text(folder, MINE)
    written(folder, "vscode")
    text = file.read_bytes().decode()
    changed = MINE.replace('["--config", "old.yaml"]', '["--config", "config.yaml"]')
    head, tail = changed.split("    },\n  ],\n")
    assert text.startswith(head)
    assert text.endswith(tail)
    added = text[len(head) : -len(tail)]
    assert '"name": "debuglaunch: attach"' in added
    assert "justMyCode" not in added


def test_running_twice_changes_nothing(folder: Path) -> None:
    file = with_text(folder, MINE)
    written(folder, "vscode")
    once = file.read_bytes()
    assert "as it should be" in written(folder, "vscode").stdout
    assert file.read_bytes() == once
    assert ide(folder, "vscode", "--check").status == 0


def test_what_a_person_has_added_stays_wherever_it_stands(folder: Path) -> None:
    written(folder, "vscode")
    file = launch_json(folder)
    text = file.read_text()
    mine = text.replace(
        """[
                "--config",
                "config.yaml"
            ]""",
        """[
                "--port=8000", // in front
                "--config", /* ours */
                // why not
                "config.yaml", // theirs, too
                "--debug", 8
            ]""",
    ).replace('"${workspaceFolder}"', '"${workspaceFolder}/backend"')
    assert "in front" in mine
    file.write_text(mine)
    written(folder, "vscode")
    assert file.read_text() == mine
    written(folder, "vscode", "--port=9000", "--no-reload")
    assert file.read_text() == mine.replace("=8000", "=9000").replace(
        '"--debug", 8\n', '"--debug", 8, "--no-reload"\n'
    )


def test_arguments_that_are_asked_for_at_each_start_stay(folder: Path) -> None:
    written(folder, "vscode")
    file = launch_json(folder)
    text = re.sub(r'"args": \[[^]]*\]', '"args": "${command:pickArgs}"', file.read_text())
    file.write_text(text)
    assert "pickArgs" in text
    written(folder, "vscode", "--port=8000")
    assert file.read_text() == text


def test_they_stay_where_there_is_no_yaml(tmp_path: Path) -> None:
    written(tmp_path, "vscode", "eclipse", "pycharm")
    files = [
        launch_json(tmp_path),
        *tmp_path.glob("* debug.launch"),
        *tmp_path.glob(".run/*debug.*"),
    ]
    assert len(files) == 3
    for file in files:
        text = file.read_text().replace('"args": []', '"args": ["--debug"]')
        text = re.sub(r'(ARGUMENTS|PARAMETERS)" value=""', r'\1" value="--debug"', text)
        assert "--debug" in text
        file.write_text(text)
    assert ide(tmp_path, "vscode", "eclipse", "pycharm", "--check").status == 0


@pytest.mark.parametrize(
    ("mapping", "local", "remote"),
    [
        ("", "${workspaceFolder}", "/app"),
        ("{src: /srv/shop}", "${workspaceFolder}/src", "/srv/shop"),
        ("{'${workspaceFolder}': /srv}", "${workspaceFolder}", "/srv"),
        ("{/elsewhere: /srv}", "${workspaceFolder}", "/app"),
    ],
)
def test_the_folder_in_the_container(folder: Path, mapping: str, local: str, remote: str) -> None:
    if mapping:
        (folder / "config.yaml").write_text(f"DEBUGLAUNCH: {{PATH_MAPPINGS: {mapping}}}")
    written(folder, "vscode", "--with", "docker")
    entry = entries(folder)["debuglaunch: attach to container"]
    assert entry["pathMappings"] == [{"localRoot": local, "remoteRoot": remote}]


def test_what_a_new_entry_has_besides_is_the_users_from_then_on(folder: Path) -> None:
    written(folder, "vscode", "--with", "docker")
    file = launch_json(folder)
    text = (
        file.read_text().replace('"/app"', '"/srv/shop"').replace('"jinja": true', '"jinja": false')
    )
    file.write_text(text)
    written(folder, "vscode", "--with", "docker")
    assert file.read_text() == text


def test_the_debug_port_follows_the_yaml(folder: Path) -> None:
    written(folder, "vscode")
    (folder / "config.yaml").write_text("DEBUGLAUNCH: {DEBUG_PORT: 7000, DEBUG_HOST: '::'}\n")
    assert ide(folder, "vscode", "--check").status == 1
    written(folder, "vscode")
    assert entries(folder)["debuglaunch: attach"]["connect"] == {"host": "::1", "port": 7000}


def test_no_attaching_to_any_free_port(folder: Path) -> None:
    (folder / "config.yaml").write_text("DEBUGLAUNCH: {DEBUG_PORT: 0}\n")
    outcome = written(folder, "vscode", "--with", "docker,wait")
    assert list(entries(folder)) == ["debuglaunch: debug"]
    assert "DEBUG_PORT is 0" in outcome.stderr


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{\n  "configurations": [,]\n}', "launch.json:2:22: expected"),
        ('{"configurations": {}}', "launch.json:1:20: expected an array"),
        ("[]", "launch.json:1:1: expected an object"),
    ],
)
def test_a_file_that_can_t_be_edited_is_refused(folder: Path, text: str, place: str) -> None:
    file = with_text(folder, text)
    outcome = ide(folder, "vscode", "eclipse")
    assert outcome.status == 2
    assert place in outcome.stderr
    assert '"name": "debuglaunch: debug"' in outcome.stderr  # what to paste
    assert file.read_text() == text
    assert not (folder / ".project").exists()  # nothing at all is written


def test_neovim_and_zed_get_what_they_can_read(folder: Path) -> None:
    written(folder, "neovim", "zed", "--with", "docker")
    text = launch_json(folder).read_text()
    found = json.loads(text)  # no comments, no trailing commas
    assert list(found) == ["version", "configurations"]  # nvim-dap knows no compounds
    for entry in found["configurations"]:
        assert entry["type"] == "debugpy"  # of which Zed knows that it is its Debugpy
        assert entry["request"] == "launch" or set(entry["connect"]) == {"host", "port"}
        assert not entry.keys() & {"listen", "processId"}  # nvim-dap-python fails on them
    variables = set(re.findall(r"\$\{.*?\}", text))
    assert variables == {"${workspaceFolder}"}


def test_neovim_is_told_of_trailing_commas(folder: Path) -> None:
    with_text(folder, MINE)
    note = written(folder, "neovim").stderr
    assert ".vscode/launch.json:14: nvim-dap can't read the comma" in note


def test_zed_is_told_of_the_file_that_hides_ours(folder: Path) -> None:
    (folder / ".zed").mkdir()
    (folder / ".zed" / "debug.json").write_text("[]")
    assert ".zed/debug.json is there" in written(folder, "zed").stderr


def test_a_variable_of_vs_code_in_a_name_is_refused(folder: Path) -> None:
    (folder / "${env:HOME}.yaml").write_text("")
    outcome = ide(folder, "vscode", "--config", "${env:HOME}.yaml")
    assert refused(outcome, "VS Code would not take '${env:HOME}'")
    assert not launch_json(folder).exists()


def refused(outcome: Outcome, why: str) -> bool:
    return outcome.status == 2 and why in outcome.stderr

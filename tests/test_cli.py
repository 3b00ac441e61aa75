"""The commands that do not serve: explain, init, schema; and what they say to mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import flask_debuglaunch
from flask_debuglaunch.configuration.json_schema import yaml_schema
from flask_debuglaunch.configuration.settings import DECLARATIONS

RECIPE = "FLASK:\n  DEBUG: True\n  DEBUG_WITH_APTANA: True\n"


def launch(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask_debuglaunch", *arguments],
        cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def explained(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> Any:
    done = launch("explain", "--json", *arguments, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(RECIPE)
    return tmp_path


def test_explain_json(project: Path) -> None:
    found = explained("--port", "8000", cwd=project, env={"DEBUGLAUNCH_WAIT": "3"})
    assert found["schema"] == 1
    assert found["plan"]["debugger"] == {"value": "pydevd", "reason": "asked for (config.yaml:3)"}
    assert found["plan"]["use_debugger"]["value"] is False
    assert found["settings"]["debug"] == {"value": True, "origin": "config.yaml:2"}
    assert found["settings"]["port"] == {"value": 8000, "origin": "argv:--port"}
    assert found["settings"]["wait"] == {"value": 3.0, "origin": "env:DEBUGLAUNCH_WAIT"}
    assert found["settings"]["host"] == {"value": "127.0.0.1", "origin": "default"}
    assert found["settings"].keys() == DECLARATIONS.keys()
    assert {"path": str(project / "config.yaml"), "found": True} in found["files"]


def test_explain_is_also_a_function(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert flask_debuglaunch.explain() == explained(cwd=project)


def test_explain_shows_what_was_given_and_what_follows(project: Path) -> None:
    (project / "config.yaml").write_text("FLASK:\n  DEBUG: True\n")
    text = launch("explain", "--port", "80", cwd=project).stdout
    decisions, settings, files, hint = text.rstrip("\n").split("\n\n")
    assert [line.split()[0] for line in decisions.splitlines()] == [
        "decision", "debug", "debugger", "use_debugger", "use_reloader", "reload", "preload",
        "app_directory", "port",
    ]  # fmt: skip
    assert [line.split() for line in settings.splitlines()] == [
        ["setting", "value", "origin"], ["port", "80", "argv:--port"], ["debug", "true", "config.yaml:2"],
    ]  # fmt: skip
    assert files == "files looked for\n  config.yaml: read"
    assert hint == "--all shows what is left at its default, too."
    (project / "config.yaml").write_text(RECIPE)
    assert "debug_port" not in launch("explain", cwd=project).stdout
    assert "\nconnection " in launch("explain", cwd=project).stdout


def test_explain_all_shows_every_setting_decision_and_file(project: Path) -> None:
    text = launch("explain", "--all", cwd=project).stdout
    for name in [*DECLARATIONS, "use_reloader", "flask-debuglaunch.yaml: not there"]:
        assert name in text
    assert "reload             false" not in text  # columns are as wide as they must be
    assert "config.yaml:3" in text


def test_whatever_is_shown_has_an_end(project: Path) -> None:
    (project / "config.yaml").write_text(f"DEBUGLAUNCH:\n  APP: main:{'x' * 100_000}\n")
    done = launch("explain", cwd=project)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) < 20_000
    assert "more characters)" in done.stdout
    done = launch("run", "--app", "main:" + "x(" * 50_000, cwd=project)
    assert done.returncode == 2
    assert len(done.stderr) < 10_000


@pytest.mark.parametrize("key", ["reload", "RELOAD", "--reload"])
def test_explain_one_key(project: Path, key: str) -> None:
    done = launch("explain", "--", key, cwd=project)
    assert done.stdout.splitlines()[1].startswith("reload    false  as Flask's docs say for pydevd")
    assert "port" not in done.stdout
    assert explained("use_debugger", cwd=project)["plan"].keys() == {"use_debugger"}


def test_explain_unknown_key(project: Path) -> None:
    done = launch("explain", "relaod", cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: argv:relaod: no such setting or decision. Did you mean reload?\n"


SECRET_FLAGS = (
    "--app=main:create_app('postgres://me:hunter2@db/x', secret_key='hunter2', pwd=\"hunter2\")",
    '--extra-files=["https://u:hunter2@h/"]',
    '--path-mappings={"https://u:hunter2@h/": "/b"}',
)


@pytest.mark.parametrize("arguments", [["explain"], ["explain", "--json"]])
def test_explain_shows_no_secret(project: Path, arguments: list[str]) -> None:
    done = launch(*arguments, *SECRET_FLAGS, cwd=project)
    assert done.returncode == 0
    assert "hunter2" not in done.stdout + done.stderr
    assert "me:***@db" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--app", "main:create_app(password='hunter2' + x)"],
        ["run", "main:create_app(password='hunter2')"],
        ["main:create_app(password='hunter2')"],
        ["run", "--config", "https://u:hunter2@h/config.yaml"],
        ["run", "--env-file", "auth=hunter2"],
        ["run", "--extra-files", "https://u:hunter2@h/"],
        ["run", "--editor", "javascript:" + "x" * 50 + "?password=" + "hunter2" * 3],
        ["explain", "password=hunter2"],
        ["ide", "vscode", "--app", "main:create_app(password='hunter2')"],
    ],
)
def test_messages_show_no_secret(project: Path, arguments: list[str]) -> None:
    done = launch(*arguments, cwd=project)
    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert not (project / ".vscode").exists()


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        (["--port", "http"], {}, "Error: argv:--port: must be a port from 0 (any free one) to 65535, not 'http'\n"),
        (["--config", "no.yaml"], {}, "Error: no.yaml: no such file. Write one with: python -m flask_debuglaunch init\n"),
        (["--debugger"], {}, "Error: argv:--debugger: Werkzeug's debugger can't run beside pydevd (asked for (config.yaml:3)): it would catch the error first. Remove one of the two\n"),
        ([], {"FLASK_DEBUG": "off"}, "Error: env:FLASK_DEBUG: must be 0, 1, true or false, not 'off': Flask takes every other word, off too, for true\n"),
        (["--debug-host", "0.0.0.0"], {}, "Error: argv:--debug-host: DEBUG_HOST 0.0.0.0 lets other machines reach the debugger"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["explain", "run"])
def test_mistakes_end_with_one_message_and_status_2(
    project: Path, command: str, arguments: list[str], env: dict[str, str], message: str
) -> None:
    done = launch(command, *arguments, cwd=project, env=env)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_unknown_command_and_flag(project: Path) -> None:
    assert "No such command 'explian'" in launch("explian", cwd=project).stderr
    done = launch("--prot", "80", cwd=project)
    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "--port" in done.stderr


def test_help_names_every_flag(tmp_path: Path) -> None:
    text = launch("run", "--help", cwd=tmp_path).stdout
    for declaration in DECLARATIONS.values():
        assert declaration.flag in text
        assert declaration.off_flag is None or declaration.off_flag in text


def test_version(tmp_path: Path) -> None:
    assert flask_debuglaunch.__version__ in launch("--version", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "spelling", [["--reload"], ["--no-reload"], ["-p", "80", "-h", "localhost"]]
)
def test_flasks_own_flag_names(project: Path, spelling: list[str]) -> None:
    assert explained(*spelling, cwd=project)


def test_flask_subcommand(project: Path) -> None:
    """`flask debuglaunch` is the same code; Flask's own --app, --debug and --env-file count."""
    (project / "config.yaml").unlink()
    (project / "x.env").write_text("DEBUGLAUNCH_PORT=8001\n")
    flask = [sys.executable, "-m", "flask", "--app", "shop", "--debug", "--env-file", "x.env"]
    done = subprocess.run(
        [*flask, "debuglaunch", "explain", "--json"],
        cwd=project, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["settings"]["app"] == {"value": "shop", "origin": "argv:--app"}
    assert found["settings"]["debug"]["value"] is True
    assert found["settings"]["port"]["value"] == 8001
    assert found["notes"] == []


def test_run_options_for_people_who_keep_app_run(project: Path) -> None:
    config = project / "config.yaml"
    assert flask_debuglaunch.run_options(config, host="0.0.0.0") == {
        "debug": True,
        "use_debugger": False,
        "use_reloader": False,
        "host": "0.0.0.0",
    }
    config.write_text("FLASK: {DEBUG: True}\n")
    with pytest.raises(
        flask_debuglaunch.LaunchError, match=r"^call:host: HOST 0\.0\.0\.0 lets other"
    ):
        flask_debuglaunch.run_options(config, host="0.0.0.0")
    with pytest.raises(
        flask_debuglaunch.LaunchError, match=r"^call:prot: no such setting\. Did you mean port\?"
    ):
        flask_debuglaunch.run_options(config, prot=80)
    with pytest.raises(flask_debuglaunch.LaunchError, match="call:port: must be a port"):
        flask_debuglaunch.run_options(config, port="80")


# init and schema


def app_files(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "app"),
    [
        ({"app.py": "from flask import Flask\napp = Flask(__name__)\nraise SystemExit"}, "app"),
        ({"wsgi.py": "from shop import app"}, "wsgi"),
        ({"main.py": "def create_app(config): ..."}, "main"),
        ({"app.py": "import nothing", "shop/__init__.py": "def create_app(): ..."}, "shop"),
        ({"src/shop/__init__.py": "import flask\nx = flask.Flask('x')"}, "src/shop"),
        ({"server.py": "api = Flask('api')", "broken.py": "def ("}, "server"),
        ({}, "main:app"),
    ],
)
def test_init_finds_the_app_without_importing_it(
    tmp_path: Path, files: dict[str, str], app: str
) -> None:
    app_files(tmp_path, files)
    done = launch("init", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    starter = yaml.safe_load((tmp_path / "flask-debuglaunch.yaml").read_text())
    assert starter == {"FLASK": {"DEBUG": True}, "DEBUGLAUNCH": {"APP": app}}
    assert explained(cwd=tmp_path)["settings"]["app"]["origin"].startswith(
        "flask-debuglaunch.yaml:"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_init_reads_no_app_that_would_keep_it_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "app.py")
    done = launch("init", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "next: name the app in flask-debuglaunch.yaml" in done.stderr


def test_the_starter_shows_every_setting_with_its_default(tmp_path: Path) -> None:
    """Uncommented, it is a valid file that changes nothing."""
    launch("init", cwd=tmp_path)
    file = tmp_path / "flask-debuglaunch.yaml"
    lines = file.read_text().splitlines()
    assert lines[0] == "# yaml-language-server: $schema=flask-debuglaunch.schema.json"
    keys = {one.key for one in DECLARATIONS.values() if one.in_files}
    settings = [
        line.replace("# ", "", 1) for line in lines if line.strip("# ").split(":")[0] in keys
    ]
    assert {line.split(":")[0].strip() for line in settings} == keys
    given = [line for line in settings if not line.endswith(":")]
    file.write_text("\n".join(["FLASK:", "DEBUGLAUNCH:", *given]))
    settled = explained(cwd=tmp_path)["settings"]
    file.unlink()
    untouched = explained(cwd=tmp_path)["settings"]
    assert {n: s["value"] for n, s in settled.items() if n != "app"} == {
        n: s["value"] for n, s in untouched.items() if n != "app"
    }


def test_init_never_overwrites(project: Path) -> None:
    done = launch("init", cwd=project)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: config.yaml: is here already")
    assert (project / "config.yaml").read_text() == RECIPE
    assert not (project / "flask-debuglaunch.yaml").exists()
    assert launch("init", "--force", cwd=project).returncode == 0
    assert launch("init", cwd=project).returncode == 2


def test_schema_accepts_what_the_launcher_accepts(tmp_path: Path) -> None:
    schema = json.loads(launch("schema", cwd=tmp_path).stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema == yaml_schema()
    validator = jsonschema.Draft7Validator(schema)
    good = ["", RECIPE, "FLASK: {DEBUG: true, OTHER: [1]}", "DEBUGLAUNCH: {WAIT: off, RELOAD: auto}",
            "DEBUGLAUNCH: {PATH_MAPPINGS: {a: b}, EXTRA_FILES: x, PORT: 80, DEBUG_WITH: off}"]  # fmt: skip
    bad = ["FLASK: {DEBUG: 'True'}", "DEBUGLAUNCH: {PROT: 80}", "DEBUGLAUNCH: {PORT: 70000}",
           "DEBUGLAUNCH: {WAIT: soon}", "FLASK: {DEBUG_WITH_VSCODE: 1}"]  # fmt: skip
    for text in good:
        assert validator.is_valid(yaml.safe_load(text) or {}), text
    for text in bad:
        assert not validator.is_valid(yaml.safe_load(text)), text


def test_a_tree_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "flask-debuglaunch.schema.json").mkdir()
    done = launch("init", cwd=tmp_path)
    assert done.returncode == 2
    assert "flask-debuglaunch.schema.json: can't be read: it is a folder" in done.stderr
    assert not (tmp_path / "flask-debuglaunch.yaml").exists()

"""What a person meets at the terminal: help, completion, colours, hints, and the first lines."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flask_debuglaunch.cli import main
from flask_debuglaunch.configuration.settings import DEBUG_WITH_NAMES, DECLARATIONS
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS
from flask_debuglaunch.ides.generate_files import IDE_OF
from tests.support.processes import Program, free_port

MODULE = [sys.executable, "-m", "flask_debuglaunch"]
SCRIPT = [str(Path(sys.executable).with_name("flask-debuglaunch"))]
APP = "from flask import Flask\napp = Flask(__name__)\n"


def given(
    *arguments: str, cwd: Path, program: list[str] = MODULE, **variables: str
) -> subprocess.CompletedProcess[str]:
    environ = {name: text for name, text in os.environ.items() if name not in COLOURS}
    return subprocess.run(
        [*program, *arguments], cwd=cwd, env={**environ, "COLUMNS": "80", **variables},
        capture_output=True, encoding="utf-8", timeout=60,
    )  # fmt: skip


COLOURS = ("NO_COLOR", "FORCE_COLOR")

# Help


@pytest.mark.parametrize("command", ["", *main.commands])
def test_help_fits_and_shows_examples_of_this_program(tmp_path: Path, command: str) -> None:
    text = given(*command.split(), "--help", cwd=tmp_path).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.replace("[ARGS]...", "").replace("[IDE]...", "").replace(",...", "")
    assert "rule table" not in text
    if command != "schema":
        assert "\nExamples:\n  python -m flask_debuglaunch " in text
    for line in text.splitlines():
        if line.startswith("  python -m flask_debuglaunch "):
            words = line.split()[3:]
            name = words[0] if words[0] in main.commands else "run"
            context = main.commands[name].make_context(name, [w for w in words if w != name])
            assert context.command.name == name


def test_help_under_flask_names_that(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    flask = [sys.executable, "-m", "flask"]
    text = given("debuglaunch", "--help", cwd=tmp_path, program=flask).stdout
    assert "debuglaunch explain reload\n" in text
    assert "flask_debuglaunch" not in text


# Completion


def completed(line: str, cwd: Path) -> list[str]:
    """What a bash would offer at the end of the line."""
    words = line.split(" ")
    done = given(
        cwd=cwd, program=SCRIPT, COMP_WORDS=line, COMP_CWORD=str(len(words) - 1),
        _FLASK_DEBUGLAUNCH_COMPLETE="bash_complete",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [one.partition(",")[2] or one.partition(",")[0] for one in done.stdout.split()]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("", ["doctor", "explain", "ide", "init", "run", "schema"]),
        ("--debug-w", ["--debug-with"]),
        ("explain --no-re", ["--no-reload"]),
        ("--debug-with py", ["pydevd", "pydev", "pydevd-pycharm", "pycharm"]),
        ("run --debug --stop-on-errors ", ["unhandled", "all", "off"]),
        ("--editor cur", ["cursor"]),
        ("ide wi", ["windsurf"]),
        ("explain use_r", ["use_reloader"]),
        ("--config ", ["file"]),
        ("init --app ", ["file"]),
    ],
)
def test_the_shell_completes(tmp_path: Path, line: str, offered: list[str]) -> None:
    assert completed(f"flask-debuglaunch {line}", tmp_path) == offered


# Hints


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explian"], "No such command 'explian'. Did you mean explain?"),
        (["shop.py"], "No such command 'shop.py'. To start this app: --app shop.py"),
        (["my.yaml"], "To use this configuration: --config my.yaml"),
        (["explain", "--debug-with", "vscod"], "not 'vscod'. Did you mean vscode?"),
        (["explain", "--stop-on-errors=al"], "not 'al'. Did you mean all?"),
        (["ide", "cursr"], "argv:cursr: no such IDE. Known are vscode, eclipse"),
        (["ide", "cursr"], "Did you mean cursor?"),
        (["ide", "debugpy"], "argv:debugpy: is a debugger: name the IDE, vscode, cursor"),
    ],
)
def test_a_word_that_is_not_quite_right(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = given(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_hint_is_there_whatever_the_source(tmp_path: Path) -> None:
    hint = "not 'lisen'. Did you mean listen?"
    assert hint in given("explain", cwd=tmp_path, DEBUGLAUNCH_DEBUG_CONNECTION="lisen").stderr
    (tmp_path / "config.yaml").write_text("DEBUGLAUNCH: {DEBUG_CONNECTION: lisen}")
    assert hint in given("explain", cwd=tmp_path).stderr


def test_flags_in_front_of_a_command(tmp_path: Path) -> None:
    flags = ["--debug", "-p", "8000", "--wait", "--debug-with=vscode"]
    behind = given("explain", *flags, "reload", cwd=tmp_path)
    assert behind.returncode == 0
    assert given(*flags, "explain", "reload", cwd=tmp_path).stdout == behind.stdout
    assert "8000" in given("-p", "8000", "ide", "vscode", "--stdout", cwd=tmp_path).stdout


# Names of IDEs


def test_ide_takes_what_debug_with_takes(tmp_path: Path) -> None:
    assert {name for one in DEBUGGERS.values() for name in one.ides} == IDE_OF.keys()
    assert IDE_OF.keys() < set(DEBUG_WITH_NAMES)
    done = given("ide", "Cursor", "LiClipse", "IntelliJ", "VSCode", "--dry-run", cwd=tmp_path)
    created = {line.split(":")[0] for line in done.stdout.splitlines()}
    assert {".vscode/launch.json", ".run/debuglaunch debug.run.xml", ".project"} <= created


@pytest.mark.parametrize(
    ("variables", "file"),
    [
        ({"TERM_PROGRAM": "vscode"}, ".vscode/launch.json"),
        ({"CURSOR_TRACE_ID": "1"}, ".vscode/launch.json"),
        ({"TERMINAL_EMULATOR": "JetBrains-JediTerm"}, ".run/debuglaunch debug.run.xml"),
        ({"NVIM": "/run/nvim"}, ".vscode/launch.json"),
    ],
)
def test_ide_knows_the_terminal(tmp_path: Path, variables: dict[str, str], file: str) -> None:
    environ = dict.fromkeys(("TERM_PROGRAM", "TERMINAL_EMULATOR"), "xterm") | variables
    done = given("ide", cwd=tmp_path, **environ)
    assert (tmp_path / file).exists(), done.stderr
    assert "note: next: open " in done.stderr


# init


def test_init_takes_flags(tmp_path: Path) -> None:
    flags = [
        "--debug-with=vscode", "--app=shop.web:create('a: b')", "--no-reload", "--wait=3", "-p8000",
        "--extra-files", "a:b", "--env-file=my #.env", "--no-debug", "--block", "SHOP",
        "--host=0.0.0.0", "--preload=off",
    ]  # fmt: skip
    (tmp_path / "my #.env").write_text("")
    by_flags = given("explain", *flags, "--json", cwd=tmp_path).stdout
    done = given("init", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "`python -m flask_debuglaunch` starts it" in done.stderr
    by_file = given("explain", "--json", cwd=tmp_path).stdout
    assert values_in(by_file) == values_in(by_flags)
    origins = origins_in(by_file)
    assert all(origins[name].startswith("flask-debuglaunch.yaml:") for name in ("port", "debug"))


def values_in(explained: str) -> dict[str, object]:
    return {name: one["value"] for name, one in json.loads(explained)["settings"].items()}


def origins_in(explained: str) -> dict[str, str]:
    return {name: one["origin"] for name, one in json.loads(explained)["settings"].items()}


def test_init_where_the_app_is_further_down(tmp_path: Path) -> None:
    for name in ("backend", "api"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(APP)
    done = given("init", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        "no app in this folder, but in api, backend. Give the command there (cd api)" in done.stderr
    )
    assert {one.name for one in tmp_path.iterdir()} == {"backend", "api"}
    assert given("init", "--app=backend/app.py", cwd=tmp_path).returncode == 0


def test_init_twice(tmp_path: Path) -> None:
    assert given("init", cwd=tmp_path).returncode == 0
    again = given("init", cwd=tmp_path)
    assert again.returncode == 2
    assert "flask-debuglaunch.yaml: is here already" in again.stderr
    assert "--force replaces it" in again.stderr


def test_init_beside_another_tools_config(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("- hosts: all\n  tasks: []\n")
    assert given("init", cwd=tmp_path).returncode == 0


# Colours and the first lines


def test_colours_where_they_are_wanted(tmp_path: Path) -> None:
    wrong = ["explain", "--port", "x"]
    assert "\x1b" not in given(*wrong, cwd=tmp_path).stderr
    assert given(*wrong, cwd=tmp_path, FORCE_COLOR="1").stderr.startswith("\x1b[31m\x1b[1mError:")
    assert "\x1b" not in given(*wrong, cwd=tmp_path, FORCE_COLOR="1", NO_COLOR="1").stderr


def first_lines(folder: Path, *arguments: str, program: list[str] = MODULE) -> list[str]:
    (folder / "app.py").write_text(APP)
    with Program([*program, *arguments], cwd=folder) as started:
        started.wait_for_line("Press CTRL")
        return [line for line in started.lines if line.startswith(" * ")]


@pytest.mark.skipif(sys.platform != "linux", reason="tells writes apart by a packet for each")
def test_nothing_of_another_process_comes_into_a_line() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = "from flask_debuglaunch.terminal_messages import say; say('it')"
    with ours, theirs:
        subprocess.run([sys.executable, "-u", "-c", code], stderr=theirs, check=True)
        assert ours.recv(100) == b" * it\n"


def test_who_gave_nothing_is_told_what_to_give(tmp_path: Path) -> None:
    (tmp_path / ".flaskenv").write_text("FLASK_RUN_PORT=0\n")
    lines = first_lines(tmp_path)
    assert not any("Next:" in line for line in lines)
    port = free_port()
    lines = first_lines(tmp_path, f"--port={port}")
    assert f" * Why: python -m flask_debuglaunch explain --port={port}" in lines
    assert max(map(len, lines)) <= 80


def test_who_asks_for_reload_in_vain_is_told_why(tmp_path: Path) -> None:
    lines = first_lines(tmp_path, f"--port={free_port()}", "--reload")
    assert " * No reload (argv:--reload): debug must be True for it to have any value" in lines
    assert max(map(len, lines)) <= 80


def test_following_why_shows_this_very_start(tmp_path: Path) -> None:
    port = free_port()
    flags = ["--port", str(port), "--debug", "--app", "app:app", "--debug-with", "off"]
    [why] = [line for line in first_lines(tmp_path, *flags) if "Why: " in line]
    words = why.split("explain", 1)[1].split()
    assert words == flags
    flask = [sys.executable, "-m", "flask", "--app", "app", "--debug", "debuglaunch"]
    lines = first_lines(tmp_path, "--port", str(port), program=flask)
    [why] = [line for line in lines if "Why: " in line]
    assert why.endswith(f" --app app --debug debuglaunch explain --port {port}")


def test_where_others_find_it(tmp_path: Path) -> None:
    port = free_port()
    lines = first_lines(tmp_path, "--host", "0.0.0.0", f"--port={port}")
    at = lines.index(f" * Running on http://127.0.0.1:{port}")
    others = [line for line in lines[at + 1 :] if line.startswith(" * Other machines find it at")]
    for line in others:  # none on a machine without a network
        assert line.endswith(f":{port}")
        assert "0.0.0.0" not in line


def test_every_flag_of_init_is_a_setting_of_the_yaml() -> None:
    flags = {one.name for one in main.commands["init"].params}
    assert flags - {"force", "stdout"} == {d.name for d in DECLARATIONS.values() if not d.argv_only}

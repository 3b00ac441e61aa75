"""The variables that the app sees: from env files as under Flask, and nothing of ours."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from ..support.processes import free_port, http_get, is_listening, wait_until
from .project import NO_RELOAD, RELOAD, ended, saying, served, write

FLASK = (sys.executable, "-m", "flask")

TELLING = """
import os
import subprocess
import sys

import flask

on_import = dict(os.environ)
app = flask.Flask(__name__)


@app.get("/on-import")
def seen_on_import():
    return on_import


@app.get("/")
def seen():
    return dict(os.environ)


@app.get("/inherited")
def inherited():
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    return subprocess.check_output([sys.executable, "-c", code])


@app.get("/debug")
def debug():
    return f"{app.debug} {app.config['DEBUG']} {app.jinja_env.auto_reload}"
"""

ENV_FILES = {
    "main.py": TELLING,
    "named.env": "A=named\nB=named\nC=named\nREAL=named\n",
    ".env": 'B=.env\nC=.env\nD=.env\nREAL=.env\nQUOTED="two words"\nGERMAN=größe\nTWICE=${D}${D}\n',
    ".flaskenv": "C=.flaskenv\nD=.flaskenv\nE=.flaskenv\nREAL=.flaskenv\n",
}
NAMES = ("A", "B", "C", "D", "E", "REAL", "QUOTED", "GERMAN", "TWICE")
REAL = {"REAL": "real"}


def test_env_files_as_under_flask(tmp_path: Path, mode: tuple[str, ...]) -> None:
    write(tmp_path, ENV_FILES)
    with served(tmp_path, *mode, "--env-file", "named.env", env=REAL) as launched:
        ours = json.loads(launched.text("/on-import"))
    peer_command = (*FLASK, "--env-file", "named.env", "run")
    write(tmp_path, {"app.py": "from main import app\n"})
    with served(tmp_path, command=peer_command, env=REAL) as peer:
        flasks = json.loads(peer.text("/on-import"))
    assert {name: ours[name] for name in NAMES} == {name: flasks[name] for name in NAMES}
    assert (ours["REAL"], ours["GERMAN"], ours["TWICE"]) == ("real", "größe", ".env.env")


def test_env_file_of_the_yaml_is_relative_to_it(tmp_path: Path) -> None:
    write(tmp_path / "shop", {"main.py": TELLING, "its.env": "A=its\n"})
    write(tmp_path / "shop", {"c.yaml": "DEBUGLAUNCH: {APP: main, ENV_FILE: its.env}\n"})
    with served(tmp_path, "--config", "shop/c.yaml") as launched:
        assert json.loads(launched.text())["A"] == "its"


def test_found_in_a_folder_above(tmp_path: Path) -> None:
    write(tmp_path, {".env": "A=above\n", "shop/main.py": TELLING})
    with served(tmp_path / "shop") as launched:
        assert json.loads(launched.text())["A"] == "above"


def test_flask_skip_dotenv(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": TELLING, ".env": "A=1\n", ".flaskenv": "B=1\n", "n.env": "C=1\n"})
    skip = {"FLASK_SKIP_DOTENV": "1"}
    with served(tmp_path, "--env-file", "n.env", env=skip) as launched:
        seen = json.loads(launched.text())
    assert [name for name in "ABC" if name in seen] == ["C"]


@pytest.mark.parametrize(
    ("flaskenv", "flags", "seen"),
    [
        ("FLASK_DEBUG=1\n", ("--no-reload",), "True True True 1"),
        ("FLASK_DEBUG=true\n", ("--no-reload",), "True True True 1"),
        ("FLASK_DEBUG=1\n", (), "True True True 1"),
        ("FLASK_DEBUG=0\n", (), "False False False 0"),
        ("FLASK_DEBUG=1\n", ("--no-debug",), "False False False 0"),
        ("", (), "False False False 0"),
        ("", NO_RELOAD, "True True True 1"),
    ],
)
def test_debug_is_on_from_the_first_line_of_the_app(
    tmp_path: Path, flaskenv: str, flags: tuple[str, ...], seen: str
) -> None:
    write(tmp_path, {"main.py": TELLING, ".flaskenv": flaskenv})
    with served(tmp_path, *flags) as launched:
        variable = json.loads(launched.text("/on-import"))["FLASK_DEBUG"]
        assert f"{launched.text('/debug')} {variable}" == seen


@pytest.mark.parametrize("where", ["main.py", "factory.py"])
def test_a_debug_mode_that_the_app_sets_itself_gives_way(tmp_path: Path, where: str) -> None:
    """As under `flask run`: the command decides."""
    own = (
        "app.config['DEBUG'] = True\n"
        if where == "main.py"
        else "\ndef make():\n    app.debug = True\n    return app\n"
    )
    write(tmp_path, {where: TELLING + own})
    app = "main" if where == "main.py" else "factory:make"
    with served(tmp_path, "--app", app) as launched:
        assert launched.text("/debug").startswith("False False")


def test_nothing_of_ours_leaks(tmp_path: Path, mode: tuple[str, ...]) -> None:
    """The app sees what the launcher was started with, and what Flask and Werkzeug set."""
    write(tmp_path, {"main.py": TELLING})
    with served(tmp_path, *mode) as launched:
        seen, on_import = (json.loads(launched.text(path)) for path in ("/", "/on-import"))
        inherited = json.loads(launched.text("/inherited"))
        given = {*os.environ, "PYTHONUNBUFFERED", launched.program.family.VARIABLE, "FLASK_DEBUG"}
    given -= {"LC_CTYPE"}  # Python may set it (PEP 538)
    run_main = {"WERKZEUG_RUN_MAIN"} if mode == RELOAD else set()
    assert set(seen) - {"LC_CTYPE"} == given | run_main
    assert set(on_import) - {"LC_CTYPE"} == given | run_main | {"FLASK_RUN_FROM_CLI"}
    assert set(inherited) - {"LC_CTYPE"} == given


CHILD = """
import flask
app = flask.Flask(__name__)
@app.get("/")
def hello():
    return "child"
if __name__ == "__main__":
    app.run(port={port})
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, *{arguments!r}])
"""


@pytest.mark.parametrize(
    "arguments", [["child.py"], ["-m", "flask", "--app", "child", "run", "--port"]],
    ids=["app.run", "flask run"],
)  # fmt: skip
def test_a_server_that_the_app_starts_serves(
    tmp_path: Path, mode: tuple[str, ...], arguments: list[str]
) -> None:
    port = free_port()
    command = [*arguments, str(port)] if "--port" in arguments else arguments
    write(
        tmp_path,
        {
            "child.py": CHILD.format(port=port),
            "main.py": saying("parent") + PARENT.format(arguments=command),
        },
    )
    with served(tmp_path, *mode) as launched:
        assert launched.text() == "parent"
        wait_until(
            lambda: is_listening(port),
            message=lambda: f"the child serves: {launched.program.output}",
        )
        assert http_get(f"http://127.0.0.1:{port}/").text == "child"


STALE = {
    "WERKZEUG_RUN_MAIN": "true",
    "WERKZEUG_SERVER_FD": "3",
    "FLASK_RUN_FROM_CLI": "true",
}


def test_what_another_server_left_is_dropped_and_said(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    """With them the server would not start, or app.run() of a program would do nothing."""
    write(tmp_path, {"main.py": TELLING})
    with served(tmp_path, *mode, env=STALE) as launched:
        seen = set(json.loads(launched.text("/inherited")))
    assert not seen & set(STALE)
    for name in STALE:
        said = f" * env:{name}: left by another server, dropped"
        assert launched.program.lines.count(said) == 1


def test_a_program_that_starts_itself_with_them(tmp_path: Path) -> None:
    guarded = "\nif __name__ == '__main__':\n    import flask_debuglaunch\n    flask_debuglaunch.run(app, port=0)\n"
    write(tmp_path, {"main.py": saying("served") + guarded})
    with served(tmp_path, command=(sys.executable, "main.py"), env=STALE) as launched:
        assert launched.text() == "served"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"FLASK_DEBUG": "off"},
            "env:FLASK_DEBUG: must be 0, 1, true or false, not 'off':"
            " Flask takes every other word, off too, for true",
        ),
        ({"DEBUGLAUNCH_PROT": "80"}, "env:DEBUGLAUNCH_PROT: no such setting. Did you mean DEBUGLAUNCH_PORT?"),
        ({"FLASK_RUN_PORT": "web"}, "env:FLASK_RUN_PORT: must be a port from 0 (any free one) to 65535, not 'web'"),
    ],
)  # fmt: skip
def test_variables_that_do_not_fit(tmp_path: Path, env: dict[str, str], message: str) -> None:
    write(tmp_path, {"main.py": saying("never")})
    refused = ended(tmp_path, env=env)
    assert (refused.status, refused.message) == (2, message)


def test_env_files_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": saying("never"), ".env": "FLASK_DEBUG=off\n"})
    assert ended(tmp_path).message.startswith(".env:FLASK_DEBUG: must be 0, 1, true or false")
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\xfd\n")
    refused = ended(tmp_path)
    assert refused.status == 2
    assert refused.message.startswith(".env: not UTF-8 text")
    (tmp_path / ".env").unlink()
    refused = ended(tmp_path, "--env-file", "nosuch.env")
    assert refused.message == f"argv:--env-file: no such env file: {tmp_path}/nosuch.env"

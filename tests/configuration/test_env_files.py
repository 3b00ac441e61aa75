"""What the env files add to the environment, beside what the installed Flask adds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flask_debuglaunch.configuration.environment_and_env_files import load_env_files
from flask_debuglaunch.configuration.load_settings import load_settings

from ..support.processes import TIMEOUT

TELLS_ITS_ENVIRONMENT = """
import json, os
import flask
app = flask.Flask(__name__)
app.cli.command("tell")(lambda: print(json.dumps(dict(os.environ))))
"""
ENVIRON = {"REAL": "real", "PORT": "1"}
FILES = {
    "named.env": """
        REAL=named
        A=named
        OWN=${A}
        OTHERS=${DOT} ${FLASKENV} ${REAL}
        REFUSED
        TWICE=1
        BETWEEN=${TWICE}
        TWICE=2
    """,
    ".env": """
        A=.env
        DOT=.env
        REAL=.env
        FROM_REAL="${REAL} ${PORT}"
        FROM_OTHERS=${FLASKENV:-none} ${A} ${NOWHERE} ${NOWHERE:-default}
        NOT_THESE='${A}' $A $PORT
        HIDES
    """,
    ".flaskenv": """
        A=.flaskenv
        DOT=.flaskenv
        FLASKENV=.flaskenv
        SEEN=${A} ${DOT} ${REAL}
        HIDES=hidden
        REFUSED=refused
    """,
}


@pytest.mark.parametrize("named", [True, False], ids=["named", "defaults"])
@pytest.mark.parametrize("skip", ["", "1"], ids=["", "skip"])
def test_as_under_the_installed_flask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool, skip: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.replace("    ", ""))
    environ = {**ENVIRON, "FLASK_SKIP_DOTENV": skip}
    given = {"env_file": "named.env"} if named else {}
    settings = load_settings(None, given, environ, tmp_path)
    ours = {**settings.variables, **environ}
    flasks = environment_under_flask(tmp_path, environ, ("--env-file", "named.env")[: 2 * named])
    assert ours == flasks


def environment_under_flask(
    folder: Path, environ: dict[str, str], flags: tuple[str, ...]
) -> dict[str, str]:
    """As an app's command sees it, without what Flask and Python add themselves."""
    (folder / "app.py").write_text(TELLS_ITS_ENVIRONMENT)
    command = [sys.executable, "-m", "flask", *flags, "tell"]
    told = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, timeout=TIMEOUT, check=True
    )
    seen: dict[str, str] = json.loads(told.stdout)
    added = ("FLASK_RUN_FROM_CLI", "LC_CTYPE")
    return {name: text for name, text in seen.items() if name not in added}


def test_both_ways_of_flask(tmp_path: Path) -> None:
    """Only one of them is that of the installed version."""
    strong, weak = tmp_path / "strong.env", tmp_path / "weak.env"
    strong.write_text("A=strong\nHIDES\nREAL=strong\n")
    weak.write_text("A=weak\nSEEN=${A} ${REAL}\nREAL=weak\nHIDES=weak\n")
    combined = load_env_files((strong, weak), {"REAL": "real"}, combine=True)
    assert combined[weak] == {"SEEN": "weak real"}
    one_by_one = load_env_files((strong, weak), {"REAL": "real"}, combine=False)
    assert one_by_one[weak] == {"SEEN": "strong real", "HIDES": "weak"}
    assert combined[strong] == one_by_one[strong] == {"A": "strong", "REAL": "strong"}

"""The recipe of Flask's docs ("Working with Debuggers"), literally, by every way to start it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .support.processes import Program, free_port, http_get

CONFIG = "FLASK:\n  DEBUG: True\n  DEBUG_WITH_APTANA: True\n"

# The docs' entry point; what is served tells what the app was started with.
FACTORY = """
import sys
import yaml
from flask import Flask, jsonify

def create_app(config):
    app = Flask(__name__)
    with open(config) as file:
        app.config.from_mapping(yaml.safe_load(file)["FLASK"])

    @app.get("/")
    def index():
        from werkzeug.debug import DebuggedApplication
        from werkzeug.serving import is_running_from_reloader
        return jsonify(
            debug=app.debug,
            use_debugger=DebuggedApplication in seen,
            use_reloader=is_running_from_reloader(),
        )
    return app

seen = []
import werkzeug.debug
original = werkzeug.debug.DebuggedApplication.__init__
def noted(self, *args, **kwargs):
    seen.append(type(self))
    original(self, *args, **kwargs)
werkzeug.debug.DebuggedApplication.__init__ = noted
"""
WITH_RUN = """
if __name__ == "__main__":
    import flask_debuglaunch
    flask_debuglaunch.run(create_app(config="config.yaml"), config="config.yaml", port=int(sys.argv[1]))
"""
WITH_APP_RUN = """
if __name__ == "__main__":
    import flask_debuglaunch
    create_app(config="config.yaml").run(
        port=int(sys.argv[1]), **flask_debuglaunch.run_options("config.yaml", host="0.0.0.0")
    )
"""
ORIGINAL = """
if __name__ == "__main__":
    # To allow aptana to receive errors, set use_debugger=False
    app = create_app(config="config.yaml")

    use_debugger = app.debug and not(app.config.get('DEBUG_WITH_APTANA'))
    app.run(use_debugger=use_debugger, debug=app.debug,
            use_reloader=use_debugger, host='0.0.0.0')
"""


def project(tmp_path: Path, ending: str) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "main.py").write_text(FACTORY + ending)
    return tmp_path


LAUNCHER = ["-m", "flask_debuglaunch", "--host", "0.0.0.0", "--port"]


@pytest.mark.parametrize(
    ("ending", "command"),
    [
        (ORIGINAL, LAUNCHER),
        (WITH_RUN, LAUNCHER),
        (WITH_RUN, ["main.py"]),
        (WITH_APP_RUN, ["main.py"]),
    ],
    ids=["the docs' main.py", "run, launched", "run", "app.run(**run_options)"],
)
def test_the_docs_recipe(tmp_path: Path, ending: str, command: list[str]) -> None:
    """Neither pydevd nor Eclipse need be there: the app is served all the same."""
    port = free_port()
    folder = project(tmp_path, ending)
    with Program([sys.executable, *command, str(port)], cwd=folder) as program:
        program.wait_for_line("Running on")
        served = json.loads(http_get(f"http://127.0.0.1:{port}/").text)
    assert served == {"debug": True, "use_debugger": False, "use_reloader": False}


def test_what_is_missing_is_said_with_its_fix(tmp_path: Path) -> None:
    """pydevd may be here, but nobody listens for it: said, and served without."""
    port = free_port()
    arguments = ["-m", "flask_debuglaunch", "--port", str(port), "--debug-port", str(free_port())]
    with Program([sys.executable, *arguments], cwd=project(tmp_path, "")) as program:
        program.wait_for_line("Running on")
        assert http_get(f"http://127.0.0.1:{port}/").status == 200
    assert "pip install pydevd" in program.output or "Start Debug Server" in program.output


def test_asked_for_it_is_fatal(tmp_path: Path) -> None:
    ports = ["--port", "0", "--debug-port", str(free_port())]
    arguments = ["--debug-connection", "connect", *ports]
    command = [sys.executable, "-m", "flask_debuglaunch", *arguments]
    with Program(command, cwd=project(tmp_path, "")) as program:
        assert program.wait_exit() == 2
    assert "Running on" not in program.output


def test_the_banner_is_said_once(tmp_path: Path) -> None:
    """Printed once, also with reload, and whatever the app does to logging."""
    silent = "\nimport logging\nlogging.disable(logging.CRITICAL)\n"
    folder = project(tmp_path, silent)
    (folder / "config.yaml").write_text("FLASK:\n  DEBUG: True\n")
    port = free_port()
    command = [sys.executable, "-m", "flask_debuglaunch", "--port", str(port)]
    with Program(command, cwd=folder) as program:
        program.wait_for_line("Running on")
        assert http_get(f"http://127.0.0.1:{port}/").status == 200
    banner = [line for line in program.lines if line.startswith(" * ")]
    assert banner[:5] == [
        " * debug=True use_debugger=True use_reloader=True reload=on",
        f" * Why: python -m flask_debuglaunch explain --port {port}",
        " * Debugger: Werkzeug's, in the browser",
        f" * Running on http://127.0.0.1:{port}",
        " * Press CTRL+C to quit",
    ]

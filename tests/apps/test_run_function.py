"""run(app): a program that hands its app over, however it is started, and where it must not serve."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.apache import apache_with_mod_wsgi
from ..support.processes import Program, free_port, http_get
from .project import LAUNCHER, READY, ended, saying, served, write

PYTHON = sys.executable
RUN = "\nimport flask_debuglaunch\nflask_debuglaunch.run(app, port=0)\n"
GUARDED = (
    '\nif __name__ == "__main__":\n    import flask_debuglaunch\n'
    "    flask_debuglaunch.run(app, port=0)\n"
)
CONFIG = "FLASK: {DEBUG: true}\n"

# From each of them the program has to find itself again, to be started anew.
STARTS = {
    "file": (["run.py"], "run.py", ""),
    "file in a folder": (["bin/serve.py"], "bin/serve.py", ""),
    "package": (["-m", "shop"], "shop/__main__.py", ""),
    "folder": (["shop"], "shop/__main__.py", ""),
    "code": (["-c", "from web import app" + RUN], "web.py", ""),
    "after chdir": (["run.py"], "run.py", "import os, flask_debuglaunch\nos.chdir('data')\n"),
    "with arguments": (["-X", "dev", "run.py", "--port", "x"], "run.py", ""),
}


@pytest.mark.parametrize("start", STARTS)
def test_any_program_serves_its_app_and_reloads(tmp_path: Path, start: str) -> None:
    arguments, name, before = STARTS[start]
    ending = "" if start == "code" else GUARDED
    write(tmp_path, {name: before + saying("one") + ending, "config.yaml": CONFIG})
    write(tmp_path, {"data/config.yaml": CONFIG})
    with Program([PYTHON, *arguments], cwd=tmp_path) as program:
        url = program.wait_for_line(READY)[1]
        assert http_get(url + "/").text == "one"
        write(tmp_path, {name: before + saying("two") + ending})
        program.wait_for_line("Reloaded")
        assert http_get(url + "/").text == "two"
        program.signal(signal.SIGINT)
        assert program.wait_exit() == 130
        program.assert_nothing_left()


TELLING = """
import os
import flask

def variables():
    names = ("FROM_ENV", "WERKZEUG_RUN_MAIN", "FLASK_DEBUG")
    return {name: os.environ.get(name) for name in names}

on_import = variables()
app = flask.Flask(__name__)

@app.get("/")
def seen():
    return {
        "import": on_import, "request": variables(), "debug": app.debug,
        "auto_reload": app.jinja_env.auto_reload, "folder": os.getcwd(),
    }

@app.get("/bad")
def bad():
    raise ValueError("seen in the debugger")
"""
APP_RUN = (
    '\nif __name__ == "__main__":\n    import flask_debuglaunch\n'
    "    app.run(**flask_debuglaunch.run_options(port={port}))\n"
)


def told(url: str) -> dict[str, object]:
    page = http_get(url + "/bad").text
    return {**json.loads(http_get(url + "/").text), "console": "EVALEX = true" in page}


def test_one_law_for_every_way_in(tmp_path: Path) -> None:
    """The docs' law: what the app sees is the same, whoever starts it."""
    files = {"config.yaml": CONFIG, ".env": "FROM_ENV=yes\n"}
    write(tmp_path, {**files, "app.py": TELLING, "run.py": "from app import app\n" + GUARDED})
    kept = APP_RUN.format(port=free_port())
    write(tmp_path, {"kept.py": "from app import app\n" + kept})
    seen = []
    for command in (
        [*LAUNCHER, "--port", "0"],
        [PYTHON, "run.py"],
        [PYTHON, "-m", "flask", "debuglaunch", "run", "--port", "0"],
        [PYTHON, "kept.py"],
    ):
        with Program(command, cwd=tmp_path) as program:
            seen.append(told(program.wait_for_line(READY)[1]))
    variables = {"FROM_ENV": "yes", "WERKZEUG_RUN_MAIN": "true", "FLASK_DEBUG": "1"}
    law = {
        "import": variables, "request": variables, "debug": True, "auto_reload": True,
        "folder": str(tmp_path), "console": True,
    }  # fmt: skip
    assert seen[:3] == [law, law, law]
    # Flask sets no FLASK_DEBUG for app.run(debug=True).
    without = {**variables, "FLASK_DEBUG": None}
    assert seen[3] == {**law, "import": without, "request": without}


def test_without_reload_debug_mode_is_applied_to_the_app(tmp_path: Path) -> None:
    """The variables come too late for the import, as with app.run()."""
    call = (
        "\nimport flask_debuglaunch\nflask_debuglaunch.run(app, port=0, debug=True, reload=False)"
    )
    write(tmp_path, {"run.py": TELLING + call, ".env": "FROM_ENV=yes\n"})
    with Program([PYTHON, "run.py"], cwd=tmp_path) as program:
        found = told(program.wait_for_line(READY)[1])
        program.signal(signal.SIGTERM)
        assert program.wait_exit() == 143
    nothing = {"FROM_ENV": None, "WERKZEUG_RUN_MAIN": None, "FLASK_DEBUG": None}
    assert found == {
        "import": nothing, "request": {**nothing, "FROM_ENV": "yes", "FLASK_DEBUG": "1"},
        "debug": True, "auto_reload": True, "folder": str(tmp_path), "console": True,
    }  # fmt: skip


# The main thread waits: once it has ended, Python 3.12.0 and 3.12.1 start no other for a request
# (python/cpython#113964).
IN_THREAD = """
import threading, flask_debuglaunch
thread = threading.Thread(target=flask_debuglaunch.run, args=(app,), kwargs={options})
thread.start()
thread.join()
"""


def test_in_a_thread_it_serves_without_reload(tmp_path: Path) -> None:
    options = "{'port': 0, 'debug': True}"
    write(tmp_path, {"run.py": saying("one") + IN_THREAD.format(options=options)})
    with Program([PYTHON, "run.py"], cwd=tmp_path) as program:
        assert http_get(program.wait_for_line(READY)[1] + "/").text == "one"
        assert "reload=off" in program.lines[0]
    options = "{'port': 0, 'debug': True, 'reload': True}"
    write(tmp_path, {"run.py": saying("one") + IN_THREAD.format(options=options)})
    refused = ended(tmp_path, command=[PYTHON, "run.py"])
    assert refused.message.startswith("call:reload: there is no reload outside of the main thread")


# Where somebody else serves the app


def test_unguarded_it_is_ignored_where_the_app_is_only_imported(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": saying("one") + RUN})
    place = f"{tmp_path}/main.py:11: "
    with served(tmp_path) as launched:
        assert launched.text() == "one"
        assert launched.program.output.count(f" * {place}app.run() is ignored") == 1
    routes = subprocess.run(
        [PYTHON, "-m", "flask", "--app", "main", "routes"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "hello" in routes.stdout
    assert f"{place}run() is ignored inside of the command `flask`" in routes.stderr


def test_unguarded_it_is_refused_inside_a_production_server(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    write(tmp_path, {"wsgi.py": saying("never") + RUN})
    gunicorn = [PYTHON, "-m", "gunicorn", "--bind", "127.0.0.1:0", "wsgi:app"]
    with Program(gunicorn, cwd=tmp_path) as program:
        program.wait_for_line(
            rf"LaunchError: {tmp_path}/wsgi.py:11: run\(\) was called inside of gunicorn, which has"
        )
        assert program.wait_exit() == 3  # gunicorn's: a worker can't boot
    assert "Running on" not in program.output


def test_unguarded_it_is_refused_inside_of_mod_wsgi(tmp_path: Path) -> None:
    write(tmp_path, {"web.py": saying("never", "application") + RUN.replace("app", "application")})
    with apache_with_mod_wsgi(tmp_path / "web.py") as (program, address):
        assert http_get(address).status == 500
        program.wait_for_line(
            rf"LaunchError: {tmp_path}/web.py:11: run\(\) was called inside of mod_wsgi, which has"
        )


def test_pips_mod_wsgi_is_no_server(tmp_path: Path) -> None:
    """Its package is there outside of Apache as well."""
    write(tmp_path, {"mod_wsgi/__init__.py": ""})
    write(tmp_path, {"main.py": "import mod_wsgi\n" + saying("one") + RUN})
    with served(tmp_path, command=[PYTHON, "main.py"]) as launched:
        assert launched.text() == "one"


@pytest.mark.slow
def test_unguarded_it_is_refused_inside_tests(tmp_path: Path) -> None:
    write(tmp_path, {"web.py": saying("never") + RUN, "test_web.py": "import web\n"})
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_web.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"{tmp_path}/web.py:11: run() was called inside of pytest" in done.stdout + done.stderr

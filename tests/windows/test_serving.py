"""What serves and reloads on Windows."""

from __future__ import annotations

import dataclasses
import re
import signal

import pytest

from ..support.processes import Program, free_port, http_get, wait_until
from .wine import SLOW, Windows, windows_path

pytestmark = pytest.mark.slow

READY = r"Running on (https?://\S+)"

APP = """\
from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return "{text}"
"""
OWN_MAIN = """

if __name__ == "__main__":
    import flask_debuglaunch

    flask_debuglaunch.run(app, debug=True)
"""


def url_of(program: Program) -> str:
    return program.wait_for_line(READY, SLOW)[1]


def expect_reload(windows: Windows, program: Program, url: str, text: str, more: str = "") -> None:
    said = len(program.lines)
    windows.save("main.py", APP.format(text=text) + more)
    program.wait_for_line("Reloaded in", SLOW, since=said)
    assert http_get(url, timeout=SLOW).text == text


@pytest.mark.parametrize("interpreter", ["base", "venv"])
def test_two_saves(windows: Windows, interpreter: str) -> None:
    """In a virtual environment too, whose python.exe is not the process that serves."""
    windows = dataclasses.replace(windows, interpreter=interpreter)
    windows.save("main.py", APP.format(text="one"))
    with windows.launch("--debug", "--port", "0") as program:
        url = url_of(program)
        assert http_get(url).text == "one"
        expect_reload(windows, program, url, "two")
        expect_reload(windows, program, url, "three")


PREPARED = """\
import sys

ahead = "click.testing" in sys.modules
import click.testing
from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return f"{text} ahead={{ahead}}"
"""


def test_the_next_worker_has_the_packages_imported_ahead(windows: Windows) -> None:
    windows.save("main.py", PREPARED.format(text="one"))
    with windows.launch("--debug", "--port", "0") as program:
        url = url_of(program)
        assert http_get(url).text == "one ahead=False"
        processes = program.family.members
        wait_until(lambda: len(processes()) == 3, SLOW, "launcher, worker, and one that waits")
        windows.save("main.py", PREPARED.format(text="two"))
        program.wait_for_line("Reloaded in", SLOW)
        assert http_get(url).text == "two ahead=True"


def test_changes_are_polled_where_watchfiles_can_t_be_imported(windows: Windows) -> None:
    broken = windows.save("broken/watchfiles.py", "raise ImportError('no Rust library')\n").parent
    windows.save("main.py", APP.format(text="one"))
    path = f"{windows_path(broken)};{windows_path(windows.site)}"
    with windows.launch("--debug", "--port", "0", PYTHONPATH=path) as program:
        url = url_of(program)
        expect_reload(windows, program, url, "two")
        expect_reload(windows, program, url, "three")
    said = [line for line in program.lines if "several times a second" in line]
    assert len(said) == 1
    assert "no Rust library" in said[0]


def test_a_broken_save_is_told_and_mended(windows: Windows) -> None:
    windows.save("main.py", APP.format(text="one"))
    with windows.launch("--debug", "--port", "0") as program:
        url = url_of(program)
        windows.save("main.py", "import nosuchthing\n")
        program.wait_for_line("ModuleNotFoundError", SLOW)
        assert http_get(url).status == 500
        expect_reload(windows, program, url, "two")


def test_run_in_a_program_of_ones_own(windows: Windows) -> None:
    windows.save("main.py", APP.format(text="one") + OWN_MAIN)
    windows.save("config.yaml", "DEBUGLAUNCH: {PORT: 0}\n")
    with windows.start("main.py") as program:
        url = url_of(program)
        assert http_get(url).text == "one"
        expect_reload(windows, program, url, "two", OWN_MAIN)


def test_flask_debuglaunch(windows: Windows) -> None:
    windows.save("app.py", APP.format(text="by flask"))
    with windows.start("-m", "flask", "debuglaunch", "--port", "0") as program:
        assert http_get(url_of(program)).text == "by flask"


def test_https(windows: Windows) -> None:
    windows.save("main.py", APP.format(text="safe"))
    with windows.launch("--debug", "--port", "0", "--cert", "adhoc") as program:
        url = url_of(program)
        assert url.startswith("https://")
        assert http_get(url).text == "safe"
        expect_reload(windows, program, url, "safe again")


def test_a_port_in_use(windows: Windows) -> None:
    windows.save("main.py", APP.format(text="never"))
    port = str(free_port())
    with windows.launch("--port", port) as first:
        url_of(first)
        with windows.launch("--port", port) as second:
            assert second.wait_exit(SLOW) == 1
            assert re.search(rf"Error: .*{port}.*in use", second.output), second.output


def test_the_worker_ends_with_its_supervisor(windows: Windows) -> None:
    windows.save("main.py", APP.format(text="one"))
    with windows.launch("--debug", "--port", "0") as program:
        url_of(program)
        program.signal(signal.SIGKILL)
        program.assert_nothing_left(SLOW)

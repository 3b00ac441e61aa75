"""An error that happened while no IDE was attached: the debugger stops at it later, by a click."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from ..support.dap import Editor
from ..support.ide import Stop
from ..support.processes import Program, Response, free_port, http_get
from ..support.pydevd_ide import PyCharm, PyDev
from ..support.requirements import require_debugger
from ..support.sources import marked_line
from .error_session import READY, python_m

APP = """\
from flask import Flask, request

app = Flask(__name__)


@app.get("/view")
def view():
    basket = ["apple"]
    raise ValueError("view")  # @bp
"""
BUTTON = re.compile(
    r'<form method=post action="(/__debuglaunch__/errors/\w+)">'
    r'<input type=hidden name=token value="([\w-]+)">'
)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Served:
    app: Path
    program: Program
    url: str
    debug_port: int

    def fail(self) -> tuple[str, str]:
        """Have an error; where its button leads, and the token."""
        page = http_get(f"{self.url}/view")
        assert page.status == 500
        return self.button_in(page)

    def button_in(self, page: Response) -> tuple[str, str]:
        found = BUTTON.search(page.text)
        assert found, page.text
        return found[1], found[2]

    def click(self, path: str, token: str, **headers: str) -> Response:
        body = urlencode({"token": token}).encode()
        return http_get(self.url + path, method="POST", body=body, headers={**FORM, **headers})

    def is_the_error(self, stop: Stop) -> None:
        assert (Path(stop.file), stop.line) == (self.app, marked_line(self.app))
        assert "ValueError" in stop.exception_info().type
        assert "['apple']" in stop.variables()["basket"]
        assert stop.evaluate("request.path").endswith("'/view'")


@contextmanager
def served(folder: Path, debugger: str, *flags: str, port: int | None = None) -> Iterator[Served]:
    require_debugger(debugger)
    app = folder / "app.py"
    app.write_text(APP)
    debug_port = port or free_port()
    command = ["run", "--debug", "--port", "0", "--debug-with", debugger, *flags]
    with Program(python_m([*command, "--debug-port", str(debug_port)]), cwd=folder) as program:
        yield Served(app, program, program.wait_for_line(READY)[1], debug_port)


@pytest.mark.parametrize("reload", ["--reload", "--no-reload"])
def test_attach_after_the_error(tmp_path: Path, reload: str) -> None:
    with served(tmp_path, "debugpy", reload) as app:
        path, token = app.fail()
        link = app.program.wait_for_line(r"ValueError in GET /view: to stop .* open (http\S+)")[1]
        assert app.button_in(http_get(link)) == (path, token)
        assert f"Attach the IDE to 127.0.0.1:{app.debug_port}" in app.click(path, token).text
        with Editor.attach(app.debug_port) as editor:
            stop = editor.wait_for_stop()
            app.is_the_error(stop)
            stop.resume()
            assert "The debugger stops at ValueError in GET /view" in app.click(path, token).text
            again = editor.wait_for_stop()  # two clicks, two stops
            app.is_the_error(again)
            again.resume()
            assert http_get(f"{app.url}/no-such-page").status == 404


@pytest.mark.parametrize("debugger", ["pydevd", "pydevd-pycharm"])
def test_the_click_dials_an_ide_that_was_started_after_the_app(
    tmp_path: Path, debugger: str
) -> None:
    with served(tmp_path, debugger) as app:
        path, token = app.fail()
        assert "no IDE listens on" in app.click(path, token).text
        kind = PyDev if debugger == "pydevd" else PyCharm
        with kind(port=app.debug_port, filters=["uncaught"]) as ide:
            assert "The debugger stops at" in app.click(path, token).text
            stop = ide.wait_for_stop()
            app.is_the_error(stop)
            stop.resume()


def test_attacks(tmp_path: Path) -> None:
    """Nothing of these stops anything, or tells the token."""
    with served(tmp_path, "debugpy", "--reload") as app:
        path, token = app.fail()
        elsewhere = {"Host": "attacker.example"}  # DNS rebinding
        forged = {"X-Forwarded-For": "127.0.0.1"}
        attacks = {
            "no token": app.click(path, ""),
            "a guess": app.click(path, "x" * len(token)),
            "half of it": app.click(path, token[:-1]),
            "cross-site": app.click(path, "", Origin="http://attacker.example"),
            "rebinding": app.click(path, token, **elsewhere),
            "forged": app.click(path, token, **forged),
            "list without token": http_get(f"{app.url}/__debuglaunch__/errors"),
            "list by rebinding": http_get(
                f"{app.url}/__debuglaunch__/errors?open={token}", headers=elsewhere
            ),
        }
        expected = [403, 403, 403, 403, 404, 404, 403, 404]
        assert [answer.status for answer in attacks.values()] == expected
        assert not any(token in answer.text for answer in attacks.values())
        evil = http_get(f"{app.url}/view", headers=elsewhere)
        assert token not in evil.text
        assert not any(token in line and "attacker" in line for line in app.program.lines)
        with Editor.attach(app.debug_port) as editor:
            editor.wait_for_session(2)
            query = f"{app.url}{path}?open={token}"
            assert editor.without_stop(http_get, query).status == 200  # a GET only lists
        app.app.write_text(APP + "\n")  # replay after a reload
        app.program.wait_for_line("Reloaded in")
        assert app.click(path, token).status == 403


def test_the_links_of_a_host(tmp_path: Path) -> None:
    with served(tmp_path, "debugpy", "--no-reload", "--host", "0.0.0.0") as app:
        app.fail()
        link = app.program.wait_for_line(r"open (http\S+)")[1]
        assert urlsplit(link).hostname == "127.0.0.1"

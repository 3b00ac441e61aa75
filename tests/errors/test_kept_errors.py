"""An error that happened while no IDE was attached: the debugger stops at it later, by a click."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from ..support.dap import Editor
from ..support.debug_session import CONNECTIONS, READY, debug_app, python_m
from ..support.debugging import listening_ide
from ..support.ide import Ide, Stop
from ..support.processes import (
    TIMEOUT,
    Program,
    Response,
    free_port,
    http_get,
    in_background,
    wait_until,
)
from ..support.requirements import require_debugger
from ..support.sources import marked_line

APP = """\
from flask import Flask, request

app = Flask(__name__)


@app.get("/view")
def view():
    basket = ["apple"]
    raise ValueError("view")  # @bp


@app.get("/")
def index():
    return "served all the while"  # @bp:index
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
        thread = stop.evaluate("__import__('threading').current_thread().name")
        assert thread.endswith("'ValueError in GET /view'")

    def stops_at_once(self, ide: Ide[Any], path: str, token: str) -> None:
        """For a click, and the server serves all the while."""
        said = self.click(path, token).text
        assert "The debugger stops at ValueError in GET /view: see the IDE" in said, said
        stop = ide.wait_for_stop()
        self.is_the_error(stop)
        assert http_get(f"{self.url}/").text == "served all the while"
        stop.resume()


@contextmanager
def served(
    folder: Path, debugger: str, *flags: str, port: int | None = None, more: str = ""
) -> Iterator[Served]:
    require_debugger(debugger)
    app = folder / "app.py"
    app.write_text(APP + more)
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
            app.stops_at_once(editor, path, token)  # two clicks, two stops


def test_what_else_stops_while_an_error_is_shown(tmp_path: Path) -> None:
    with served(tmp_path, "debugpy", "--no-reload") as app:
        path, token = app.fail()
        index = marked_line(app.app, "index")
        with Editor.attach(app.debug_port, breakpoints={app.app: [index]}) as editor:
            app.click(path, token)
            first = editor.wait_for_stop()
            app.click(path, token)
            second = editor.wait_for_stop()
            asked = in_background(http_get, f"{app.url}/")
            breakpoint_ = editor.wait_for_stop()
            assert (breakpoint_.reason, breakpoint_.line) == ("breakpoint", index)
            app.is_the_error(first)
            app.is_the_error(second)
            breakpoint_.resume()  # and with it all
            assert asked.result(TIMEOUT).text == "served all the while"
            editor.set_breakpoints(app.app, [])
            app.stops_at_once(editor, path, token)


@pytest.mark.parametrize("debugger", ["pydevd", "pydevd-pycharm"])
def test_the_click_dials_an_ide_that_was_started_after_the_app(
    tmp_path: Path, debugger: str
) -> None:
    with served(tmp_path, debugger) as app:
        path, token = app.fail()
        assert "no IDE listens on" in app.click(path, token).text
        with listening_ide(debugger, app.debug_port, filters=["uncaught"]) as ide:
            app.stops_at_once(ide, path, token)


@pytest.mark.slow
@pytest.mark.parametrize("debugger", ["debugpy", "pydevd", "pydevd-pycharm"])
def test_the_click_dials_an_ide_that_was_started_again(tmp_path: Path, debugger: str) -> None:
    with ExitStack() as running:
        with listening_ide(debugger) as first:
            connect = ["--debug-connection", "connect"]
            app = running.enter_context(served(tmp_path, debugger, *connect, port=first.port))
            first.disconnect()
        # It takes the app a moment to see that the IDE has gone.
        wait_until(lambda: BUTTON.search(http_get(f"{app.url}/view").text) is not None)
        path, token = app.fail()
        wait_until(lambda: "no IDE listens on" in app.click(path, token).text)
        with listening_ide(debugger, app.debug_port, filters=["uncaught"]) as second:
            app.stops_at_once(second, path, token)


SLOW_TO_LEAVE = """

import pathlib, time
from pydevd import PyDB

leave = PyDB.dispose_and_kill_all_pydevd_threads


def leave_slowly(*how, **more):
    while not pathlib.Path("second-ide-listens").exists():
        time.sleep(0.01)
    time.sleep(0.5)
    return leave(*how, **more)


PyDB.dispose_and_kill_all_pydevd_threads = leave_slowly
"""


def test_a_click_while_the_debugger_still_takes_leave_of_the_ide_before(tmp_path: Path) -> None:
    with ExitStack() as running:
        with listening_ide("debugpy") as first:
            connect = ["--debug-connection", "connect", "--no-reload"]
            app = running.enter_context(
                served(tmp_path, "debugpy", *connect, port=first.port, more=SLOW_TO_LEAVE)
            )
            first.disconnect()
        wait_until(lambda: BUTTON.search(http_get(f"{app.url}/view").text) is not None)
        path, token = app.fail()
        with listening_ide("debugpy", app.debug_port, filters=["uncaught"]) as second:
            (tmp_path / "second-ide-listens").touch()
            app.stops_at_once(second, path, token)


@pytest.mark.slow
@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_an_ide_whose_settings_exclude_the_error(
    tmp_path: Path, debugger: str, connection: str
) -> None:
    file = tmp_path / "app.py"
    file.write_text(APP)
    with debug_app(debugger, connection, file, filters=[]) as session:
        app = Served(file, session.program, session.url, 0)
        path, token = session.ide.without_stop(app.fail)
        assert "not set to stop at a ValueError" in app.click(path, token).text
        session.ide.set_exception_filters("uncaught")
        app.stops_at_once(session.ide, path, token)


@pytest.mark.slow
def test_a_reload_waits_for_the_stop(tmp_path: Path) -> None:
    with served(tmp_path, "debugpy", "--reload") as app:
        path, token = app.fail()
        with Editor.attach(app.debug_port) as editor:
            editor.wait_for_session(2)
            app.click(path, token)
            stop = editor.wait_for_stop()
            app.app.write_text(APP.replace("served", "reloaded"))
            app.program.wait_for_line(rf"reload waits: stopped at app\.py:{marked_line(app.app)}")
            assert "['apple']" in stop.variables()["basket"]
            waiting = in_background(http_get, f"{app.url}/")
            stop.resume()
            app.program.wait_for_line("Reloaded in")
            assert waiting.result(TIMEOUT).text == "reloaded all the while"


@pytest.mark.slow
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


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
def test_a_client_that_shows_no_page(tmp_path: Path, accept: str) -> None:
    """Such as curl, or an app's front end: the link is in the terminal, and nothing of it here."""
    with served(tmp_path, "debugpy", "--no-reload") as app:
        answer = http_get(f"{app.url}/view", headers={"Accept": accept})
        link = app.program.wait_for_line(r"ValueError in GET /view: to stop .* open (http\S+)")[1]
        path, token = app.button_in(http_get(link))
        is_json = accept == "application/json"
        assert (token in answer.text) is not is_json  # curl is no different from a browser
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        app.click(path, token)
        with Editor.attach(app.debug_port) as editor:
            stop = editor.wait_for_stop()
            app.is_the_error(stop)
            stop.resume()


def test_the_links_of_a_host(tmp_path: Path) -> None:
    with served(tmp_path, "debugpy", "--no-reload", "--host", "0.0.0.0") as app:
        app.fail()
        link = app.program.wait_for_line(r"open (http\S+)")[1]
        assert urlsplit(link).hostname == "127.0.0.1"

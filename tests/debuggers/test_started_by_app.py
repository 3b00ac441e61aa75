"""An app that starts a debugger by itself: noticed, named with its line, and not done twice."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.dap import Editor
from ..support.debug_session import READY
from ..support.debugging import listening_ide
from ..support.processes import (
    TIMEOUT,
    Program,
    free_port,
    http_get,
    in_background,
    is_listening,
    wait_for_port,
    wait_until,
)
from ..support.requirements import require_debugger
from ..support.sources import marked_line
from .shop import Shop

APP = """\
{start}  # @bp:start

from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return "{text}"


@app.route("/bad")
def bad():
    raise ValueError("x")  # @bp:bad
"""
LISTEN = 'import debugpy; debugpy.listen(("127.0.0.1", {port}))'
CONNECT = 'import debugpy; debugpy.connect(("127.0.0.1", {port}))'
SETTRACE = 'import {module}; {module}.settrace("127.0.0.1", port={port}, suspend=False)'


class OwnDebugger:
    """The app, and the port that is in its call."""

    def __init__(self, shop: Shop, start: str) -> None:
        self._shop, self._start = shop, start
        self.save("one")

    def save(self, text: str) -> None:
        self._shop._save("main.py", APP.format(start=self._start, text=text))

    def stops_at_the_error(self, ide: Editor, url: str) -> None:
        response = in_background(http_get, f"{url}/bad")
        stop = ide.wait_for_stop()
        assert (Path(stop.file), stop.line) == (
            self._shop.main,
            marked_line(self._shop.main, "bad"),
        )
        stop.resume()
        assert response.result(TIMEOUT).status == 500

    def reloads(self, program: Program, url: str) -> None:
        self.save("two")
        program.wait_for_line("Reloaded in")
        assert http_get(url).text == "two"


# Python 3.13.0 to 3.13.2 may end so beside any debugger of pydevd's kin, if a thread that it has
# looked at ends at the same moment (python/cpython#130522).
THREAD_LOST_AT_EXIT = re.compile(
    r"Exception ignored in: <function _DeleteDummyThreadOnDel\.__del__ [^\n]*\n"
    r"Traceback [^\n]*\n  File [^\n]*\n"
    r"TypeError: 'NoneType' object does not support the context manager protocol"
)


def ends_clean(program: Program) -> None:
    program.signal(signal.SIGINT)
    program.wait_exit()
    program.assert_nothing_left()
    said = THREAD_LOST_AT_EXIT.sub("", program.output)
    assert said.count("Traceback") == said.count("ValueError: x")


@pytest.mark.slow
@pytest.mark.parametrize(("call", "same_port"), [(LISTEN, True), (LISTEN, False), (CONNECT, False)])
def test_beside_the_launchers_debugger(shop: Shop, call: str, same_port: bool) -> None:
    require_debugger("debugpy")
    port, own_port = free_port(), free_port()
    app = OwnDebugger(shop, call.format(port=port if same_port else own_port))
    shop.configure(DEBUG_WITH="debugpy", DEBUG_PORT=port)
    with shop.start() as program:
        url = program.wait_for_line(READY)[1]
        name = call.split("(")[0].split()[-1]
        program.wait_for_line(rf"main.py:1: {name}\(\) is ignored, the launcher has the debugger")
        assert not is_listening(own_port)
        with Editor.attach(port) as editor:
            editor.wait_for_session(2)
            app.reloads(program, url)
            editor.wait_for_session(3)
            app.stops_at_the_error(editor, url)
        assert program.output.count("is ignored") == 1
        ends_clean(program)


@pytest.mark.slow
@pytest.mark.parametrize("reload", [True, False])
def test_an_app_that_listens_where_no_debugger_is_planned(shop: Shop, reload: bool) -> None:
    require_debugger("debugpy")
    port = free_port()
    app = OwnDebugger(shop, LISTEN.format(port=port))
    shop.configure(RELOAD=reload)
    with shop.start() as program:
        url = program.wait_for_line(READY)[1]
        program.wait_for_line(r"main.py:1: debugpy.listen\(\) is the app's own, .* DEBUG_WITH")
        with Editor.attach(port) as editor:
            app.stops_at_the_error(editor, url)
            if reload:
                app.reloads(program, url)
                editor.wait_for_end()
        if reload:
            wait_for_port(port)
            with Editor.attach(port) as editor:
                app.stops_at_the_error(editor, url)
        ends_clean(program)


@pytest.mark.parametrize("debugger", ["pydevd", "pydevd-pycharm"])
def test_an_app_that_calls_settrace(shop: Shop, debugger: str) -> None:
    require_debugger(debugger)
    with listening_ide(debugger) as ide:
        module = debugger.replace("-", "_")
        app = OwnDebugger(shop, SETTRACE.format(module=module, port=ide.port))
        with shop.start() as program:
            url = program.wait_for_line(READY)[1]
            program.wait_for_line(r"main.py:1: pydevd.settrace\(\) is the app's own")
            ide.set_exception_filters("uncaught")
            app.stops_at_the_error(ide, url)
            app.reloads(program, url)
            ends_clean(program)


@pytest.fixture
def refusing() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("debugger", "call"),
    [("debugpy", CONNECT), ("pydevd", SETTRACE), ("pydevd-pycharm", SETTRACE)],
)
def test_an_ide_that_does_not_listen(shop: Shop, refusing: int, debugger: str, call: str) -> None:
    require_debugger(debugger)
    start = call.format(module=debugger.replace("-", "_"), port=refusing)
    app = OwnDebugger(shop, start)
    with shop.start() as program:
        url = program.wait_for_line(READY)[1]
        program.wait_for_line(
            r"main.py:1: .*\(\): no IDE listens on .*The app is served without it"
        )
        app.reloads(program, url)
        wait_until(lambda: http_get(url).text == "two")
        ends_clean(program)

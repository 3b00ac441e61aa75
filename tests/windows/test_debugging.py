"""debugpy on Windows: breakpoints, also after reloads, and an error stop, with the IDE's paths as Windows has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.dap import Editor
from ..support.processes import Response, free_port, http_get, in_background, wait_for_port
from .test_serving import url_of
from .wine import SLOW, Windows, windows_path

pytestmark = pytest.mark.slow

APP = """\
from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    answer = "{text}"
    return answer


@app.get("/wrong")
def wrong():
    return str(1 / 0)
"""
VIEW_LINE, ERROR_LINE = 9, 14


def get(url: str) -> Response:
    return http_get(url, timeout=SLOW)


def test_a_breakpoint_and_an_error(windows: Windows) -> None:
    main = windows.save("main.py", APP.format(text="one"))
    theirs = Path(windows_path(main))
    port = free_port()
    debug = ("--debug", "--no-reload", "--debug-with", "debugpy", "--debug-port", str(port))
    with windows.launch(*debug, "--port", "0") as program:
        url = url_of(program)
        wait_for_port(port, SLOW)
        with Editor.attach(port, breakpoints={theirs: [VIEW_LINE]}) as editor:
            response = in_background(get, url)
            stop = editor.wait_for_stop(SLOW)
            assert (stop.file, stop.line) == (str(theirs), VIEW_LINE)
            assert stop.variables()["answer"] == "'one'"
            stop.resume()
            assert response.result(SLOW).text == "one"
            response = in_background(get, f"{url}/wrong")
            stop = editor.wait_for_stop(SLOW)
            assert (stop.file, stop.line, stop.reason) == (str(theirs), ERROR_LINE, "exception")
            assert stop.exception_info().type == "ZeroDivisionError"
            stop.resume()
            assert response.result(SLOW).status == 500


def test_a_breakpoint_in_each_worker(windows: Windows) -> None:
    main = windows.save("main.py", APP.format(text="one"))
    theirs = Path(windows_path(main))
    port = free_port()
    debug = ("--debug", "--debug-with", "debugpy", "--debug-port", str(port))
    with windows.launch(*debug, "--port", "0") as program:
        url = url_of(program)
        wait_for_port(port, SLOW)
        with Editor.attach(port, breakpoints={theirs: [VIEW_LINE]}) as editor:
            for text in ("two", "three"):
                said = len(program.lines)
                windows.save("main.py", APP.format(text=text))
                program.wait_for_line("Reloaded in", SLOW, since=said)
                response = in_background(get, url)
                stop = editor.wait_for_stop(SLOW)
                assert (stop.file, stop.line) == (str(theirs), VIEW_LINE)
                assert stop.variables()["answer"] == repr(text)
                stop.resume()
                assert response.result(SLOW).text == text

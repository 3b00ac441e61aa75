"""debugpy on Windows: breakpoints, error stops, and both again after reloads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ..support.dap import Editor
from ..support.processes import Response, free_port, http_get, in_background, wait_for_port
from .test_serving import SLOW, url_of
from .wine import Windows, windows_path

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


@pytest.mark.parametrize("interpreter", ["base", "venv"])
def test_stops_before_and_after_reloads(windows: Windows, interpreter: str) -> None:
    windows = dataclasses.replace(windows, interpreter=interpreter)
    main = windows.save("main.py", APP.format(text="one"))
    theirs = Path(windows_path(main))
    port = free_port()
    debug = ("--debug", "--debug-with", "debugpy", "--debug-port", str(port))
    with windows.launch(*debug, "--port", "0") as program:
        program.wait_for_line("debugpy listens", SLOW)
        wait_for_port(port, SLOW)
        with Editor.attach(port, breakpoints={theirs: [VIEW_LINE]}) as editor:
            url = url_of(program)
            for number, text in enumerate(["one", "two", "three"], start=2):
                if text != "one":
                    said = len(program.lines)
                    windows.save("main.py", APP.format(text=text))
                    program.wait_for_line("Reloaded in", SLOW, since=said)
                editor.wait_for_session(number, SLOW)
                response = in_background(get, url)
                stop = editor.wait_for_stop(SLOW)
                assert (stop.file, stop.line) == (str(theirs), VIEW_LINE)
                assert stop.variables()["answer"] == repr(text)
                stop.resume()
                assert response.result(SLOW).text == text
                response = in_background(get, f"{url}/wrong")
                stop = editor.wait_for_stop(SLOW)
                assert (stop.file, stop.line, stop.reason) == (str(theirs), ERROR_LINE, "exception")
                assert stop.exception_info().type == "ZeroDivisionError"
                stop.resume()
                assert response.result(SLOW).status == 500

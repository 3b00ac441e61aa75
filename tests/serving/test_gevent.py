"""An app that has gevent patch the standard library: reloaded and debugged as any other."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flask_debuglaunch.serving.app.kept_errors import LIST_PATH

from ..support.dap import Editor
from ..support.processes import command_line, free_port, http_get, in_background, wait_until
from ..support.requirements import require_debugger
from .project import Project, Served

APP = """\
import gevent.monkey
gevent.monkey.patch_all()

import threading

from flask import Flask

app = Flask(__name__)
threads = [thread.name for thread in threading.enumerate()]


@app.get("/")
def hello():
    answer = "{text}"
    return answer


@app.get("/threads")
def list_threads():
    return threads
"""
VIEW_LINE = 15
BUSY = """

@app.get("/busy")
def busy():
    import time

    print("busy", flush=True)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        pass
    return ""
"""
FAILS = """

@app.get("/fails")
def fails():
    raise ValueError
"""
SAID = "Each reload starts a new interpreter: gevent has patched the standard library"


@contextmanager
def debugged(project: Project) -> Iterator[tuple[Served, Editor]]:
    """Serve it with a breakpoint in the view, as debugpy wants it for gevent."""
    require_debugger("debugpy")
    port = free_port()
    flags = ("--debug-with", "debugpy", "--debug-port", str(port))
    project.save("main.py", APP.format(text="one"))
    with (
        project.served(*flags, env={"GEVENT_SUPPORT": "True"}) as served,
        Editor.attach(port, breakpoints={project.main: [VIEW_LINE]}) as editor,
    ):
        editor.wait_for_session(2)
        yield served, editor


@pytest.mark.slow
@pytest.mark.parametrize("preload", ["packages", "modules"])
def test_it_is_reloaded(project: Project, preload: str) -> None:
    project.save("main.py", APP.format(text="one"))
    with project.served("--preload", preload) as served:
        assert served.text() == "one"
        served.program.wait_for_line(SAID)
        for text in ("two", "three"):
            project.save("main.py", APP.format(text=text))
            served.wait_for_text(text)
        assert served.program.output.count(SAID) == 1
        assert json.loads(served.text("/threads")) == ["MainThread"]
        served.program.signal_group(signal.SIGINT)  # as a terminal does for Ctrl-C
        assert served.program.wait_exit(timeout=10) == 130
        served.program.assert_nothing_left(timeout=5)
        for never in ("Traceback", "The next save starts it again"):
            assert never not in served.program.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_request_takes_the_signal_that_ends_it(project: Project, number: signal.Signals) -> None:
    """Without reload nobody else ends it; what a handler raises would end the greenlet that runs."""
    project.save("main.py", APP.format(text="one") + BUSY)
    with project.served("--no-reload") as served:
        in_background(http_get, served.url + "/busy")
        served.program.wait_for_line("busy")
        served.program.signal(number)
        assert served.program.wait_exit(timeout=10) == 128 + number
        assert "Traceback" not in served.program.output


@pytest.mark.slow
def test_it_is_debugged_and_reloaded(project: Project) -> None:
    with debugged(project) as (served, editor):
        for number, text in enumerate(("two", "three"), 1):
            project.save("main.py", APP.format(text=text))
            served.wait_for_reload(number)
            response = in_background(served.text)
            stop = editor.wait_for_stop()
            assert (stop.line, stop.variables()["answer"]) == (VIEW_LINE, repr(text))
            stop.resume()
            assert response.result(30) == text


@pytest.mark.slow
def test_it_ends_with_the_supervisor_while_it_is_stopped(project: Project) -> None:
    with debugged(project) as (served, editor):
        in_background(http_get, served.url)
        worker = editor.wait_for_stop().process_id
        served.program.signal(signal.SIGKILL)
        wait_until(lambda: not command_line(worker), timeout=1, message="the worker has ended")


@pytest.mark.slow
def test_it_waits_while_it_is_stopped(project: Project) -> None:
    with debugged(project) as (served, editor):
        response = in_background(served.text)
        stop = editor.wait_for_stop()
        editor.breakpoints = {project.main: []}  # for the next worker
        project.save("main.py", APP.format(text="two"))
        served.program.wait_for_line(rf"reload waits: stopped at main\.py:{VIEW_LINE}")
        stop.resume()
        assert response.result(30) == "one"
        served.wait_for_text("two")


@pytest.mark.slow
def test_it_serves_while_a_click_waits_for_the_ide(project: Project) -> None:
    require_debugger("debugpy")
    project.save("main.py", APP.format(text="one") + FAILS)
    flags = ("--debug-with", "debugpy", "--debug-port", str(free_port()))
    with project.served(*flags, env={"GEVENT_SUPPORT": "True"}) as served:
        assert http_get(served.url + "/fails").status == 500
        link = served.program.wait_for_line(r"open (http\S+\?open=(\S+))")
        action = re.search(f'action="({LIST_PATH}/[0-9a-f]+)"', http_get(link[1]).text)
        assert action is not None
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = f"token={link[2]}".encode()
        clicked = http_get(served.url + action[1], method="POST", headers=form, body=body)
        assert "the debugger stops as soon as it is there" in clicked.text
        assert served.text() == "one"


@pytest.mark.slow
def test_a_debugger_that_was_not_told_of_gevent(project: Project) -> None:
    require_debugger("debugpy")
    project.save("main.py", APP.format(text="one"))
    flags = ("--debug-with", "debugpy", "--debug-port", str(free_port()))
    with project.served(*flags, env={"GEVENT_SUPPORT": ""}) as served:
        served.program.wait_for_line(r"a breakpoint would hang the app. Set GEVENT_SUPPORT=True")

"""The test support against the real debuggers, without this package."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from tests.support import debugging
from tests.support.dap import Children, Editor
from tests.support.ide import EvaluationError, Frame
from tests.support.processes import (
    TIMEOUT,
    Program,
    free_port,
    http_get,
    in_background,
    wait_for_port,
)
from tests.support.pydevd_ide import PyCharm, PyDev
from tests.support.requirements import require_debugger
from tests.support.sources import marked_line

APP = """
    import sys
    import threading

    from flask import Flask

    app = Flask(__name__)


    @app.get("/greet/<name>")
    def greet(name):
        greeting = "Hello"
        answer = f"{greeting}, {name}!"  # @bp
        return answer  # @bp:return


    @app.get("/plain")
    def plain():
        return "plain"


    idle = threading.Event()


    @app.get("/busy")
    def busy():
        while not idle.wait(0.01):
            pass
        return "was busy"


    @app.get("/idle")
    def end_busy():
        idle.set()
        return "idle"


    def make_thread():
        return threading.Thread(target=die)


    def die():
        cause = 42
        raise ValueError("broken")  # @bp:raise


    @app.get("/thread")
    def thread():
        dying = make_thread()  # @bp:call
        dying.start()
        dying.join()
        return "survived"


    if __name__ == "__main__":
        app.run(port=int(sys.argv[1]), debug="debug" in sys.argv, use_debugger=False)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    file = tmp_path / "app.py"
    file.write_text(textwrap.dedent(APP))
    return file


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.fixture(params=debugging.DEBUGGERS)
def debugger(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Every debugger, launched as its IDE does


def test_breakpoint_is_hit_and_the_response_delivered(
    debugger: str, app: Path, port: int, url: str
) -> None:
    line = marked_line(app)
    with debugging.launch(debugger, app, str(port), breakpoints={app: [line]}) as ide:
        wait_for_port(port)
        response = in_background(http_get, f"{url}/greet/World")
        stop = ide.wait_for_stop()
        assert stop.reason == "breakpoint"
        assert stop.stack()[0] == Frame(str(app), line, "greet")
        assert stop.variables() == {"greeting": "'Hello'", "name": "'World'"}
        assert stop.evaluate("len(name) + 1") == "6"
        with pytest.raises(EvaluationError, match="nonsense"):
            stop.evaluate("nonsense")
        stop = stop.step_over()
        assert (stop.reason, stop.line) == ("step", marked_line(app, "return"))
        stop.resume()
        assert response.result(TIMEOUT).text == "Hello, World!"
        assert len(ide.stops) == 2


@pytest.mark.slow
def test_module_is_launched(debugger: str, app: Path, port: int, url: str) -> None:
    if debugger == "pydevd":
        pytest.skip("PyDev can only run files")
    line = marked_line(app)
    arguments = ["--app", "app", "run", "--port", str(port)]
    with debugging.launch(
        debugger, "flask", *arguments, module=True, cwd=app.parent, breakpoints={app: [line]}
    ) as ide:
        wait_for_port(port)
        response, stops = ide.resuming_stops(http_get, f"{url}/greet/World")
        assert [stop.line for stop in stops] == [line]
        assert response.text == "Hello, World!"


@pytest.mark.slow
def test_reloader_child_is_debugged_before_and_after_a_save(
    debugger: str, app: Path, port: int, url: str
) -> None:
    line = marked_line(app)
    with debugging.launch(debugger, app, str(port), "debug", breakpoints={app: [line]}) as ide:
        first = ide.wait_for_session(2)
        wait_for_port(port)
        response, stops = ide.resuming_stops(http_get, f"{url}/greet/World")
        assert [stop.process_id for stop in stops] == [first.process_id]
        assert response.text == "Hello, World!"
        app.write_text(app.read_text().replace('"Hello"', '"Bye"'))
        second = ide.wait_for_session(3)
        wait_for_port(port)
        response, stops = ide.resuming_stops(http_get, f"{url}/greet/World")
        assert [stop.process_id for stop in stops] == [second.process_id]
        assert response.text == "Bye, World!"


@pytest.mark.slow
def test_breakpoints_are_changed_later(debugger: str, app: Path, port: int, url: str) -> None:
    before, after = marked_line(app), marked_line(app, "return")
    with debugging.launch(debugger, app, str(port), breakpoints={app: [before]}) as ide:
        wait_for_port(port)
        ide.set_breakpoints(app, [before, after])
        _, stops = ide.resuming_stops(http_get, f"{url}/greet/World")
        assert [stop.line for stop in stops] == [before, after]
        ide.set_breakpoints(app, [after])
        _, stops = ide.resuming_stops(http_get, f"{url}/greet/World")
        assert [stop.line for stop in stops] == [after]
        ide.set_breakpoints(app, [])
        assert ide.without_stop(http_get, f"{url}/greet/World").status == 200


def test_unexpected_stop_fails_at_once(debugger: str, app: Path, port: int, url: str) -> None:
    with debugging.launch(debugger, app, str(port), breakpoints={app: [marked_line(app)]}) as ide:
        wait_for_port(port)
        with pytest.raises(AssertionError, match=r"stopped: breakpoint at .*app\.py"):
            ide.without_stop(http_get, f"{url}/greet/World")
        ide.wait_for_stop().resume()
        assert ide.without_stop(http_get, f"{url}/plain").text == "plain"


@pytest.mark.slow
def test_uncaught_exception_stops_where_it_was_raised(
    debugger: str, app: Path, port: int, url: str
) -> None:
    # pydevd ignores exception settings as long as it has no breakpoint at all.
    breakpoints = {app: [marked_line(app)]}
    with debugging.launch(
        debugger, app, str(port), breakpoints=breakpoints, filters=["uncaught"]
    ) as ide:
        wait_for_port(port)
        response = in_background(http_get, f"{url}/thread")
        stop = ide.wait_for_stop()
        assert (stop.reason, stop.line) == ("exception", marked_line(app, "raise"))
        assert stop.variables()["cause"] == "42"
        info = stop.exception_info()
        assert info.type.removeprefix("builtins.") == "ValueError"
        assert info.message == "broken"
        assert info.break_mode == "unhandled"
        stop.resume()
        assert response.result(TIMEOUT).text == "survived"


@pytest.mark.slow
def test_without_exception_filters_there_is_no_stop(
    debugger: str, app: Path, port: int, url: str
) -> None:
    with debugging.launch(
        debugger, app, str(port), breakpoints={app: [marked_line(app)]}, filters=[]
    ) as ide:
        wait_for_port(port)
        assert ide.without_stop(http_get, f"{url}/thread").text == "survived"
        ide.set_exception_filters("uncaught")
        _, stops = ide.resuming_stops(http_get, f"{url}/thread")
        assert [stop.reason for stop in stops] == ["exception"]


@pytest.mark.slow
def test_steps_in_and_out(debugger: str, app: Path, port: int, url: str) -> None:
    breakpoints = {app: [marked_line(app, "call")]}
    with debugging.launch(debugger, app, str(port), breakpoints=breakpoints, filters=[]) as ide:
        wait_for_port(port)
        response = in_background(http_get, f"{url}/thread")
        stop = ide.wait_for_stop().step_in()
        assert stop.function == "make_thread"
        stop = stop.step_out()
        assert stop.function == "thread"
        stop.resume()
        assert response.result(TIMEOUT).status == 200


@pytest.mark.slow
def test_pause(debugger: str, app: Path, port: int, url: str) -> None:
    with debugging.launch(debugger, app, str(port), breakpoints={app: [marked_line(app)]}) as ide:
        wait_for_port(port)
        response = in_background(http_get, f"{url}/busy")
        assert http_get(f"{url}/plain").text == "plain"
        ide.pause()
        stop = ide.wait_for_stop()
        assert stop.reason in ("pause", "step")  # pydevd pauses by a step and may call it so
        stop.resume()
        assert http_get(f"{url}/idle").text == "idle"
        assert response.result(TIMEOUT).text == "was busy"


@pytest.mark.slow
def test_red_square_leaves_nothing(debugger: str, app: Path, port: int) -> None:
    with debugging.launch(debugger, app, str(port), "debug") as ide:
        ide.wait_for_session(2)
        wait_for_port(port)
        assert ide.program
        ide.disconnect(terminate=True)
        ide.program.assert_nothing_left()
        ide.wait_for_end()


# debugpy


def debugpy_listening(debug_port: int, app: Path, port: int) -> Program:
    require_debugger("debugpy")
    listen = ["-Xfrozen_modules=off", "-m", "debugpy", "--listen", str(debug_port)]
    return Program([sys.executable, *listen, app, str(port)])


@pytest.mark.slow
def test_editor_attaches_detaches_and_comes_back(app: Path, port: int, url: str) -> None:
    breakpoints = {app: [marked_line(app)]}
    with debugpy_listening(debug_port := free_port(), app, port):
        wait_for_port(port)
        for _ in range(2):
            wait_for_port(debug_port)  # debugpy does not listen while an editor is attached
            with Editor.attach(debug_port, breakpoints=breakpoints) as editor:
                _, stops = editor.resuming_stops(http_get, f"{url}/greet/World")
                assert len(stops) == 1
                editor.disconnect()
                assert not editor.live_sessions
            assert http_get(f"{url}/greet/World").text == "Hello, World!"


@pytest.mark.slow
def test_debuggee_outlives_an_editor_that_vanishes(app: Path, port: int, url: str) -> None:
    with debugpy_listening(debug_port := free_port(), app, port):
        wait_for_port(port)
        with Editor.attach(debug_port, breakpoints={app: [marked_line(app)]}) as editor:
            response = in_background(http_get, f"{url}/greet/World")
            editor.wait_for_stop()
            editor.vanish()
            assert response.result(TIMEOUT).text == "Hello, World!"


@pytest.mark.slow
@pytest.mark.parametrize("children", ["startDebugging", "debugpyAttach"])
def test_both_ways_of_hearing_of_children(
    children: Children, app: Path, port: int, url: str
) -> None:
    require_debugger("debugpy")
    configuration = {"program": str(app), "args": [str(port), "debug"]}
    breakpoints = {app: [marked_line(app)]}
    with Editor.launch(configuration, breakpoints=breakpoints, children=children) as editor:
        editor.wait_for_event(children)
        editor.wait_for_session(2)
        wait_for_port(port)
        _, stops = editor.resuming_stops(http_get, f"{url}/greet/World")
        assert len(stops) == 1


@pytest.mark.slow
def test_client_that_ignores_children(app: Path, port: int) -> None:
    require_debugger("debugpy")
    configuration = {"program": str(app), "args": [str(port), "debug"]}
    with Editor.launch(configuration, children="ignored") as editor:
        editor.wait_for_event("startDebugging")
        editor.settle()
        assert len(editor.sessions) == 1


@pytest.mark.slow
def test_console_of_the_editor(app: Path, port: int, url: str) -> None:
    require_debugger("debugpy")
    configuration = {"program": str(app), "args": [str(port)], "console": "internalConsole"}
    with Editor.launch(configuration, breakpoints={app: [marked_line(app)]}) as editor:
        wait_for_port(port)
        editor.resuming_stops(http_get, f"{url}/greet/World")
        editor.wait_for(lambda: "GET /greet/World" in editor.output, "line of the access log")
        assert editor.program is None


@pytest.mark.slow
def test_program_dials_in_with_debugpy_connect(app: Path, port: int, url: str) -> None:
    require_debugger("debugpy")
    with Editor.listen(breakpoints={app: [marked_line(app)]}) as editor:
        connect = ["-m", "debugpy", "--connect", f"127.0.0.1:{editor.port}"]
        with Program([sys.executable, "-Xfrozen_modules=off", *connect, app, str(port)]):
            editor.wait_for_session(1)
            wait_for_port(port)
            response, stops = editor.resuming_stops(http_get, f"{url}/greet/World")
            assert len(stops) == 1
            assert response.text == "Hello, World!"


# pydevd


@pytest.mark.parametrize("ide_class", [PyDev, PyCharm])
def test_program_dials_in_with_settrace(
    ide_class: type[PyDev] | type[PyCharm], app: Path, port: int, url: str
) -> None:
    require_debugger("pydevd" if ide_class is PyDev else "pydevd-pycharm")
    module = "pydevd" if ide_class is PyDev else "pydevd_pycharm"
    with ide_class(breakpoints={app: [marked_line(app) + 3]}) as ide:
        settrace = (
            f"import {module}\n{module}.settrace('127.0.0.1', port={ide.port}, suspend=False)"
        )
        app.write_text(f"{settrace}\n\n{app.read_text()}")
        with Program([sys.executable, "-Xfrozen_modules=off", app, str(port)]):
            ide.wait_for_session(1)
            wait_for_port(port)
            response, stops = ide.resuming_stops(http_get, f"{url}/greet/World")
            assert len(stops) == 1
            assert response.text == "Hello, World!"
            ide.disconnect()
            assert http_get(f"{url}/greet/World").text == "Hello, World!"

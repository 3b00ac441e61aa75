"""Breakpoints and reload at the same time, with every debugger, in every way that they can meet."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time

import pytest

from ..support.dap import DapSession, Editor
from ..support.debug_session import CONNECTIONS, DebugSession, debug_app
from ..support.debugging import listening_ide
from ..support.processes import (
    Program,
    command_line,
    free_port,
    http_get,
    in_background,
    wait_until,
)
from ..support.pydevd_ide import PydevdIde
from .project import Project, launcher

APP = """\
from flask import Flask

at_import = "{text}"
app = Flask(__name__)


@app.get("/")
def hello():
    answer = at_import
    return answer
"""
MODULE_LINE, VIEW_LINE = 4, 10


class Debugged:
    """A project that is served with an IDE attached; every worker stops at the module's line."""

    def __init__(self, project: Project, session: DebugSession) -> None:
        self.project, self.ide, self.program, self.url = (
            project, session.ide, session.program, session.url,
        )  # fmt: skip

    def save(self, text: str) -> None:
        self.project.save("main.py", APP.format(text=text))

    def expect_stops_in_new_code(self, text: str) -> None:
        """At the module's line while it is imported, then in the view."""
        stop = self.ide.wait_for_stop()
        assert (stop.line, stop.reason) == (MODULE_LINE, "breakpoint")
        assert stop.variables()["at_import"] == repr(text)
        stop.resume()
        response = in_background(http_get, self.url)
        stop = self.ide.wait_for_stop()
        assert (stop.line, stop.variables()["answer"]) == (VIEW_LINE, repr(text))
        stop.resume()
        assert response.result(30).text == text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="there is no fork server")
@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_breakpoints_hit_in_a_worker_that_was_a_fork_server(
    project: Project,
    debugger: str,
    connection: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And could not be one, because a package has started a thread."""
    packages = tmp_path_factory.mktemp("venv") / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(packages))
    project.save("main.py", "import threaded\n" + APP.format(text="one"))
    with debug_app(
        debugger, connection, project.main, "--host", "127.0.0.1", reload=True
    ) as session:
        session.program.wait_for_line("Not kept imported between reloads: threaded")
        session.ide.set_breakpoints(project.main, [MODULE_LINE + 1])
        project.save("main.py", "import threaded\n" + APP.format(text="two"))
        stop = session.ide.wait_for_stop()
        assert (stop.line, stop.reason) == (MODULE_LINE + 1, "breakpoint")
        stop.resume()


@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_breakpoints_hit_in_each_worker(project: Project, debugger: str, connection: str) -> None:
    project.save("main.py", APP.format(text="one"))
    with debug_app(
        debugger, connection, project.main, "--host", "127.0.0.1", reload=True
    ) as session:
        debugged = Debugged(project, session)
        session.ide.set_breakpoints(project.main, [MODULE_LINE, VIEW_LINE])
        for text in ("two", "three", "four"):
            debugged.save(text)
            debugged.expect_stops_in_new_code(text)
        session.program.signal_group(signal.SIGINT)
        # Launched by VS Code, the program that the terminal sees is debugpy's launcher.
        assert session.program.wait_exit() in ((130, -2) if connection == "present" else (130,))
        assert_no_server_left(session.program)
    assert sum("Reloaded in" in line for line in session.program.lines) == 3


@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_a_reload_waits_while_a_thread_is_stopped(
    project: Project, debugger: str, connection: str
) -> None:
    project.save("main.py", APP.format(text="one"))
    with debug_app(debugger, connection, project.main, reload=True) as session:
        session.ide.set_breakpoints(project.main, [VIEW_LINE])
        response = in_background(http_get, session.url)
        stop = session.ide.wait_for_stop()
        project.save("main.py", APP.format(text="two"))
        session.program.wait_for_line(rf"reload waits: stopped at main\.py:{VIEW_LINE}")
        # The session lives: the stopped thread can be looked at, and goes on as if nothing were.
        assert stop.variables()["answer"] == "'one'"
        assert stop.evaluate("answer.upper()") == "'ONE'"
        stop.resume()
        assert response.result(30).text == "one"
        session.program.wait_for_line("Reloaded in")
        session.ide.set_breakpoints(project.main, [])
        wait_until(lambda: http_get(session.url).text == "two")
    assert sum("reload waits" in line for line in session.program.lines) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_ctrl_c_ends_at_once_while_a_thread_is_stopped(
    project: Project, debugger: str, connection: str
) -> None:
    project.save("main.py", APP.format(text="one"))
    with debug_app(debugger, connection, project.main, reload=True) as session:
        session.ide.set_breakpoints(project.main, [VIEW_LINE])
        in_background(http_get, session.url)
        session.ide.wait_for_stop()
        session.program.signal_group(signal.SIGINT)
        session.program.wait_exit(timeout=5)
        assert_no_server_left(session.program)


def assert_no_server_left(program: Program) -> None:
    """Only the adapter may stay, which is the IDE's own process where the IDE has launched us."""

    def servers() -> list[list[str]]:
        lines = [command_line(pid) for pid in program.family.members()]
        return [line for line in lines if line and not any("adapter" in one for one in line)]

    wait_until(lambda: not servers(), timeout=5, message=lambda: f"left: {servers()}")


def _listening(port: int) -> list[str]:
    return [*launcher(), "--debug-with", "debugpy", "--debug-port", str(port)]


@pytest.fixture
def debug_port() -> int:
    pytest.importorskip("debugpy")
    return free_port()


@pytest.mark.slow
def test_an_ide_attaches_late_detaches_and_comes_back(project: Project, debug_port: int) -> None:
    project.save("main.py", APP.format(text="one"))
    with project.served(command=_listening(debug_port)) as served:
        project.save("main.py", APP.format(text="two"))
        served.wait_for_reload(1)
        for text in ("three", "four"):
            with Editor.attach(debug_port, breakpoints={project.main: [MODULE_LINE]}) as editor:
                editor.wait_for_session(2)
                project.save("main.py", APP.format(text=text))
                stop = editor.wait_for_stop()
                assert stop.variables()["at_import"] == repr(text)
                stop.resume()
                served.wait_for_text(text)
                editor.disconnect()
            assert served.text() == text


@pytest.mark.slow
def test_the_ide_s_stop_ends_everything(project: Project, debug_port: int) -> None:
    with (
        project.served(command=_listening(debug_port)) as served,
        Editor.attach(debug_port) as editor,
    ):
        editor.wait_for_session(2)
        editor.disconnect(terminate=True)
        served.program.wait_exit()
        assert_no_server_left(served.program)


@pytest.mark.slow
def test_the_ide_s_pause_of_the_supervisor_keeps_nobody_from_reloading(
    project: Project, debug_port: int
) -> None:
    with (
        project.served(command=_listening(debug_port)) as served,
        Editor.attach(debug_port) as editor,
    ):
        editor.wait_for_session(2)
        editor.sessions[0].pause()  # its one ordinary thread sleeps, so no stop is told of
        project.say("two")
        served.wait_for_text("two")


def test_stepping_out_of_a_view_never_lands_in_our_frames(
    project: Project, debug_port: int
) -> None:
    project.save("main.py", APP.format(text="one"))
    with (
        project.served(command=_listening(debug_port)) as served,
        Editor.attach(debug_port, breakpoints={project.main: [VIEW_LINE]}) as editor,
    ):
        editor.wait_for_session(2)
        response = in_background(http_get, served.url)
        stop = editor.wait_for_stop()
        assert not any("flask_debuglaunch" in frame.file for frame in stop.stack()[:1])
        stop._request("stepOut")  # Stop.step_out would wait for one more stop
        assert response.result(30).text == "one"
        assert len(editor.stops) == 1


@pytest.mark.slow
def test_an_ide_that_ignores_child_processes(project: Project, debug_port: int) -> None:
    with (
        project.served(command=_listening(debug_port)) as served,
        Editor.attach(debug_port, children="ignored") as editor,
    ):
        project.say("two")
        served.program.wait_for_line("has not taken the new process over")
        served.wait_for_text("two")
        editor.children = "startDebugging"  # it was only busy
        project.say("three")
        editor.wait_for_session(2)
        served.wait_for_text("three")


@pytest.mark.slow
@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_a_slow_hand_over_takes_no_debugger_away(
    project: Project, debugger: str, connection: str
) -> None:
    """Neither from the worker that waits for the IDE, nor from the next one."""
    project.save("main.py", APP.format(text="one"))
    with debug_app(debugger, connection, project.main, reload=True) as session:
        debugged = Debugged(project, session)
        session.ide.set_breakpoints(project.main, [MODULE_LINE, VIEW_LINE])
        debugged.save("two")
        debugged.expect_stops_in_new_code("two")
        session.ide.awake.clear()
        debugged.save("three")
        session.program.wait_for_line("has not taken the new process over within 10 s, as it did")
        session.ide.awake.set()
        debugged.expect_stops_in_new_code("three")
        debugged.save("four")
        debugged.expect_stops_in_new_code("four")
        assert not any("without the debugger" in line for line in session.program.lines)


@pytest.mark.parametrize("debugger", ["pydevd", "pydevd-pycharm"])
def test_the_ide_may_stop_its_debug_server_and_start_it_again(
    project: Project, debugger: str
) -> None:
    """Though the connection was asked for: only the first start can fail for want of it."""
    project.save("main.py", APP.format(text="one"))
    with debug_app(debugger, "connect", project.main, reload=True) as session:
        assert isinstance(session.ide, PydevdIde)
        session.ide.close()
        project.save("main.py", APP.format(text="two"))
        session.program.wait_for_line(
            "no IDE listens on .* Until the next reload the app is served without the debugger"
        )
        wait_until(lambda: http_get(session.url).text == "two")
        lines = {project.main: [MODULE_LINE]}
        with listening_ide(debugger, session.debug_port, breakpoints=lines) as ide:
            project.save("main.py", APP.format(text="three"))
            stop = ide.wait_for_stop()
            assert stop.variables()["at_import"] == repr("three")
            stop.resume()
            wait_until(lambda: http_get(session.url).text == "three")


@pytest.mark.slow
def test_our_own_end_is_no_stop(project: Project, debug_port: int) -> None:
    """VS Code stops at a SystemExit that is not zero."""
    with (
        project.served(command=_listening(debug_port)) as served,
        Editor.attach(debug_port, filters=["uncaught", "raised"]) as editor,
    ):
        editor.wait_for_session(2)
        project.say("two")
        served.wait_for_reload(1)
        served.program.signal(signal.SIGINT)
        assert served.program.wait_exit() == 130
        assert [stop for stop in editor.stops if "flask_debuglaunch" in stop.file] == []


@pytest.mark.parametrize("reload", [True, False], ids=["reload", "no reload"])
@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_each_answer_comes_at_once(
    project: Project, debugger: str, connection: str, reload: bool
) -> None:
    """TCP_NODELAY is set on the socket of the debugger that serves the request: looked up in the
    process itself, not timed."""
    show = "[d.sock.getsockopt(6, 1) for d in [__import__('pydevd').get_global_debugger().writer]]"
    project.save("main.py", APP.format(text="one"))
    with debug_app(debugger, connection, project.main, reload=reload) as session:
        session.ide.set_breakpoints(project.main, [VIEW_LINE])
        response = in_background(http_get, session.url)
        stop = session.ide.wait_for_stop()
        assert re.search(r"\[[1-9]\d*\]$", stop.evaluate(show))  # pydevd names the type first
        stop.resume()
        response.result(30)


@pytest.mark.slow
def test_a_breakpoint_that_is_hit_over_and_over_does_not_hold_a_reload(
    project: Project, debug_port: int
) -> None:
    """Under load each resumed request would be followed by the next one that stops."""
    project.save("main.py", APP.format(text="one"))
    with (
        project.served(command=_listening(debug_port)) as served,
        Editor.attach(debug_port, breakpoints={project.main: [VIEW_LINE]}) as editor,
    ):
        editor.wait_for_session(2)
        first = in_background(http_get, served.url)
        stop = editor.wait_for_stop()
        project.save("main.py", APP.format(text="two"))
        served.program.wait_for_line("reload waits")
        others = [in_background(http_get, served.url) for _ in range(4)]
        editor.breakpoints = {project.main: []}  # for the next worker; this one keeps them
        stop.resume()
        assert first.result(30).text == "one"
        assert [other.result(30).text for other in others] == ["two"] * 4
        assert len(editor.stops) == 1


@pytest.mark.slow
@pytest.mark.parametrize("reload", [True, False], ids=["reload", "no reload"])
def test_the_debugger_s_own_log_does_not_take_the_lock_of_the_redirected_stderr(
    project: Project, reload: bool
) -> None:
    """It is written with the debugger's locks held: with requests at the same time, one stopped in
    the middle of its access log line, nothing would ever go on."""
    log = "__import__('_pydev_bundle.pydev_log').pydev_log.critical('own log')"
    project.save("main.py", APP.format(text="one"))
    with debug_app("debugpy", "listen", project.main, reload=reload) as session:
        assert isinstance(session.ide, Editor)
        session.ide.set_breakpoints(project.main, [VIEW_LINE])
        response = in_background(http_get, session.url)
        stop = session.ide.wait_for_stop()
        assert stop.evaluate("type(__import__('sys').stderr).__name__") == "'IORedirector'"
        stop.evaluate(log)
        stop.resume()
        response.result(30)
        session.program.wait_for_line("own log")
        assert "own log" not in session.ide.output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the next worker waits until this one is gone")
def test_the_next_worker_s_session_begins_before_the_last_one_s_ends(
    project: Project, debug_port: int
) -> None:
    """Else VS Code selects the supervisor's, where Pause does nothing. Only one that starts within
    two seconds is waited for, and the first ones may be slower."""
    with (
        project.served(command=_listening(debug_port)) as served,
        Editor.attach(debug_port) as editor,
    ):
        old = editor.wait_for_session(2)
        for number in range(10):
            project.say(f"save {number}")
            new = editor.wait_for_session(3 + number)
            if not old.has_ended:
                break
            served.wait_for_text(f"save {number}")
            old = new
        else:
            pytest.fail("the last one's session always ends first")
        editor.wait_for(lambda: old.has_ended, "end of the last one")


SUSPENDED_SECONDS = 15.0
"""Longer than every deadline that a reload has."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finding the processes needs Linux")
@pytest.mark.parametrize("after", [0.0, 0.2])
def test_a_suspended_laptop(project: Project, debug_port: int, after: float) -> None:
    """Everything but the IDE is suspended in the middle of a reload, then at a breakpoint."""
    project.save("main.py", APP.format(text="one"))
    lines = {project.main: [VIEW_LINE]}
    with (
        project.served(command=_listening(debug_port)) as served,
        Editor.attach(debug_port, breakpoints=lines) as editor,
    ):
        editor.wait_for_session(2)
        project.save("main.py", APP.format(text="two"))
        time.sleep(after)  # the moment in the reload
        _suspend(served.program)
        served.wait_for_reload(1)
        response = in_background(served.text)
        stop = editor.wait_for_stop()
        assert stop.variables()["answer"] == "'two'"
        project.save("main.py", APP.format(text="three"))
        served.program.wait_for_line("reload waits")
        _suspend(served.program)
        stop.resume()
        assert response.result(30) == "two"
        served.wait_for_reload(2)
        response = in_background(served.text)
        stop = editor.wait_for_stop()
        assert stop.variables()["answer"] == "'three'"
        assert len(editor.live_sessions) == 2
        served.program.signal(signal.SIGINT)
        served.program.wait_exit(timeout=5)
        served.program.assert_nothing_left(timeout=5)
        assert "without the debugger" not in served.program.output
        assert "Traceback" not in served.program.output


def _suspend(program: Program) -> None:
    processes = program.family.members()
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        if number == signal.SIGSTOP:
            time.sleep(SUSPENDED_SECONDS)


def _stop_in(session: DapSession) -> None:
    """What VS Code's Stop button sends while the worker's session is selected."""
    session.end("disconnect")


@pytest.mark.slow
def test_stop_at_a_breakpoint_ends_what_the_ide_has_launched(project: Project) -> None:
    marker = project.root / "went-on"
    project.save(
        "main.py",
        APP.format(text="one")
        + f"\n\nimport atexit\natexit.register(open, {str(marker)!r}, 'w')\n",
    )
    with debug_app("debugpy", "present", project.main, reload=True) as session:
        session.ide.set_breakpoints(project.main, [VIEW_LINE])
        in_background(http_get, session.url)
        _stop_in(session.ide.wait_for_stop().session)
        session.program.wait_exit(timeout=10)
        assert_no_server_left(session.program)
    assert not marker.exists()  # killed as it stood


@pytest.mark.slow
@pytest.mark.parametrize("selected", [0, 1], ids=["launcher", "app"])
def test_one_disconnect_ends_all_sessions_and_the_ide_may_attach_again(
    project: Project, debug_port: int, selected: int
) -> None:
    project.save("main.py", APP.format(text="one"))
    lines = {project.main: [VIEW_LINE]}
    with project.served(command=_listening(debug_port)) as served:
        for number, text in enumerate(("one", "two")):
            with Editor.attach(debug_port, breakpoints=lines) as editor:
                editor.wait_for_session(2)
                response = in_background(served.text)
                editor.wait_for_stop()
                editor.sessions[selected].end("disconnect")
                editor.wait_for_end()
                assert response.result(30) == text
            project.save("main.py", APP.format(text="two"))
            served.wait_for_reload(number + 1)
        left = [line for line in served.program.lines if "The IDE has left the app" in line]
        assert len(left) == 2


@pytest.mark.slow
def test_disconnect_from_the_app_where_the_ide_listens_is_told_of_and_it_gets_the_next_worker(
    project: Project,
) -> None:
    project.save("main.py", APP.format(text="one"))
    with debug_app("debugpy", "connect", project.main, reload=True) as session:
        session.ide.set_breakpoints(project.main, [VIEW_LINE])
        response = in_background(http_get, session.url)
        _stop_in(session.ide.wait_for_stop().session)
        assert response.result(30).text == "one"
        session.program.wait_for_line("The IDE has left the app's process")
        project.save("main.py", APP.format(text="two"))
        session.program.wait_for_line("Reloaded in")
        response = in_background(http_get, session.url)
        stop = session.ide.wait_for_stop()
        stop.resume()
        assert response.result(30).text == "two"


CHILD = """\
def work():
    answer = "from the child"
    return answer


if __name__ == "__main__":
    print(work(), flush=True)
"""
CHILD_LINE = 3
# Read, not waited for: a debugged interpreter takes its time to end.
RUN = "subprocess.Popen([sys.executable, {}], stdout=subprocess.PIPE, text=True).stdout.readline()"
POOL = (
    "concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context({}))"
    ".submit(child.work).result()"
)
STARTS_CHILD = {
    "script": RUN.format("'child.py'"),
    "module": RUN.format("'-m', 'child'"),
    "code": RUN.format("'-c', 'import child; print(child.work(), flush=True)'"),
    "fork": POOL.format("'fork'"),
    "spawn": POOL.format("'spawn'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS_CHILD)
def test_a_stop_in_a_child_of_the_app_holds_the_reload(
    project: Project, debug_port: int, start: str
) -> None:
    child = project.save("child.py", CHILD)
    imports = "import child, concurrent.futures, multiprocessing, subprocess, sys\n"
    project.save(
        "main.py",
        imports
        + APP.format(text="one").replace(
            "at_import\n    return", f"{STARTS_CHILD[start]}\n    return"
        ),
    )
    with (
        project.served(command=_listening(debug_port)) as served,
        Editor.attach(debug_port, breakpoints={child: [CHILD_LINE]}) as editor,
    ):
        editor.wait_for_session(2)
        response = in_background(http_get, served.url)
        stop = editor.wait_for_stop()
        assert (stop.line, stop.variables()["answer"]) == (CHILD_LINE, "'from the child'")
        assert not any("flask_debuglaunch" in frame.file for frame in stop.stack())
        process = stop.process_id
        names = {one.process_id: one.configuration["name"] for one in editor.sessions[1:]}
        worker, *children = names
        assert process in children
        assert names == {
            worker: f"Worker {worker}",
            **{child: f"Subprocess {child}" for child in children},
        }
        project.save("main.py", APP.format(text="two"))
        served.program.wait_for_line(rf"reload waits: stopped at child\.py:{CHILD_LINE}")
        stop.resume()
        assert response.result(30).text.strip() == "from the child"
        served.wait_for_text("two")
        wait_until(lambda: not command_line(process), message="the child has ended")

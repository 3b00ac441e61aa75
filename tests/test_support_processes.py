"""The test support that knows no debugger: programs, requests, marks, requirements, launch.json."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support import launch_json, requirements
from tests.support.processes import (
    Program,
    free_port,
    http_get,
    in_background,
    is_listening,
    wait_until,
)
from tests.support.sources import marked_line, marked_lines

needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def python(code: str, *, terminal: bool = False) -> Program:
    return Program([sys.executable, "-c", code], terminal=terminal)


# Programs


def test_waits_for_a_line_and_for_the_end() -> None:
    with python("print('port 50', flush=True); import sys; sys.exit(3)") as program:
        assert program.wait_for_line(r"port (\d+)")[1] == "50"
        assert program.wait_exit() == 3
        assert program.exit_status == 3


def test_both_streams_are_one_log() -> None:
    with python("import os; os.write(1, b'one\\n'); os.write(2, b'two')") as program:
        program.wait_for_line("two")
        assert program.lines == ["one", "two"]


def test_lines_that_were_seen_can_be_passed_over() -> None:
    with python("print('go 1'); print('go 2')") as program:
        program.wait_for_line("go 2")
        assert program.wait_for_line("go (.)", since=1)[1] == "2"


def test_missing_line_fails_when_the_program_ends() -> None:
    with (
        python("print('something else')") as program,
        pytest.raises(AssertionError, match="something else"),
    ):
        program.wait_for_line("ready")


def test_missing_line_fails_at_the_deadline() -> None:
    with (
        python("import time; time.sleep(60)") as program,
        pytest.raises(AssertionError, match=r"not within 0\.1 s"),
    ):
        program.wait_for_line("ready", timeout=0.1)


def test_program_that_does_not_end_fails_at_the_deadline() -> None:
    with (
        python("import time; time.sleep(60)") as program,
        pytest.raises(AssertionError, match=r"not ended within 0\.1 s"),
    ):
        program.wait_exit(timeout=0.1)


LEAVES_A_CHILD = """
import subprocess, sys
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
child = subprocess.Popen(sleep, start_new_session=True)
print("child", child.pid, flush=True)
"""


@needs_linux
def test_child_that_left_the_process_group_is_found_and_killed() -> None:
    with python(LEAVES_A_CHILD) as program:
        child = int(program.wait_for_line(r"child (\d+)")[1])
        program.wait_exit()
        assert program.family.members() == [child]
        with pytest.raises(AssertionError, match=f"there is .*{child}"):
            program.assert_nothing_left(timeout=0.1)
    assert program.family.members() == []


@needs_linux
def test_nothing_is_left_of_a_program_that_ended() -> None:
    with python("pass") as program:
        program.assert_nothing_left()


SAYS_HOW_IT_ENDS = """
import signal, sys, time
signal.signal(signal.SIGHUP, lambda *_: sys.exit(7))
print(sys.stdout.isatty(), flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(5)
"""


def test_signal_reaches_the_program() -> None:
    with python(SAYS_HOW_IT_ENDS) as program:
        program.wait_for_line("False")
        program.signal(signal.SIGINT)
        assert program.wait_exit() == 5


def test_signal_reaches_the_group() -> None:
    with python(SAYS_HOW_IT_ENDS) as program:
        program.wait_for_line("False")
        program.signal_group(signal.SIGINT)
        assert program.wait_exit() == 5


def test_ctrl_c_is_typed_into_the_terminal() -> None:
    with python(SAYS_HOW_IT_ENDS, terminal=True) as program:
        program.wait_for_line("True")
        program.type_keys("\x03")
        assert program.wait_exit() == 5


def test_closed_terminal_hangs_up() -> None:
    with python(SAYS_HOW_IT_ENDS, terminal=True) as program:
        program.wait_for_line("True")
        program.close_terminal()
        assert program.wait_exit() == 7


# Waiting


def test_wait_until_gives_the_value_or_the_message() -> None:
    values = iter([0, None, "ready"])
    assert wait_until(lambda: next(values)) == "ready"
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: the cows are home"):
        wait_until(lambda: False, 0.05, "the cows are home")


def test_error_in_the_background_is_raised_by_the_future() -> None:
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 // 0).result(5)


# Requests

SERVER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    connection.recv(65536)
    connection.sendall(sys.argv[2].encode().decode("unicode_escape").encode())
    connection.close()
"""


@pytest.mark.parametrize(
    ("raw", "status", "body", "complete"),
    [
        (r"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
        (r"HTTP/1.1 500 No\r\nX-A: b\r\nContent-Length: 9\r\n\r\nhi", 500, b"hi", False),
    ],
)
def test_response_that_breaks_off_is_told_from_a_whole_one(
    raw: str, status: int, body: bytes, complete: bool
) -> None:
    port = free_port()
    with Program([sys.executable, "-c", SERVER, str(port), raw]):
        wait_until(lambda: is_listening(port))
        response = http_get(f"http://127.0.0.1:{port}/")
    assert (response.status, response.body, response.complete) == (status, body, complete)
    assert response.headers["x-a"] == "b"


@needs_linux
def test_free_port_has_no_listener() -> None:
    assert not is_listening(free_port())


# Marks


def test_marked_lines(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("a = 1  # @bp\nb = '# @bp'\nc = 3  # @bp:three\n")
    assert marked_lines(file) == [1, 3]
    assert marked_line(file) == 1
    assert marked_line(file, "three") == 3
    with pytest.raises(AssertionError, match="'four'"):
        marked_line(file, "four")


# Requirements


def test_missing_part_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(requirements.VARIABLE, raising=False)
    requirements.require("eclipse", missing=None)
    with pytest.raises(pytest.skip.Exception, match="no Eclipse"):
        requirements.require("eclipse", missing="no Eclipse")


def test_missing_part_that_is_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(requirements.VARIABLE, "debugpy, eclipse")
    with pytest.raises(pytest.fail.Exception, match="eclipse, but no Eclipse"):
        requirements.require("eclipse", missing="no Eclipse")


def test_debugger_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(requirements.VARIABLE, raising=False)
    assert requirements.is_installed("pytest")
    with pytest.raises(pytest.skip.Exception, match="no-such-debugger is not installed"):
        requirements.require_debugger("no-such-debugger")


# launch.json


def test_launch_configuration_is_resolved_as_in_vscode(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    resolved = launch_json.resolve(
        {
            "name": "x",
            "type": "debugpy",
            "request": "launch",
            "module": "flask",
            "args": ["--config", "${workspaceFolder}/config.yaml"],
            "env": {"B": "own"},
        },
        tmp_path,
    )
    assert resolved == {
        "name": "x",
        "type": "debugpy",
        "request": "launch",
        "module": "flask",
        "args": ["--config", f"{tmp_path}/config.yaml"],
        "env": {"A": "file", "B": "own"},
        "cwd": str(tmp_path),
        "workspaceFolder": str(tmp_path),
        "console": "integratedTerminal",
        "internalConsoleOptions": "neverOpen",
        "python": sys.executable,
        "debugLauncherPython": sys.executable,
        "clientOS": "unix",
        "justMyCode": True,
        "showReturnValue": True,
        "redirectOutput": False,
        "debugOptions": ["ShowReturnValue", "Jinja"],
    }


def test_attach_configuration_is_resolved_as_in_vscode(tmp_path: Path) -> None:
    resolved = launch_json.resolve({"request": "attach", "connect": {"port": 5678}}, tmp_path)
    assert resolved["debugOptions"] == ["ShowReturnValue", "RedirectOutput"]
    assert "pathMappings" not in resolved


def test_unknown_variable_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "NAME", "value")
    assert launch_json.substitute("${env:NAME}", tmp_path) == "value"
    with pytest.raises(KeyError, match="nonsense"):
        launch_json.substitute(["${nonsense}"], tmp_path)

"""How it is started and how it ends: commands, signals, exit statuses, nothing left behind."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from ..support.processes import Program, is_listening
from .project import LAUNCHER, NO_RELOAD, READY, RELOAD, saying, served, write

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]

CLEANS_UP = """
import atexit
import pathlib
atexit.register(pathlib.Path("cleaned").touch)
"""


@pytest.mark.parametrize(("number", "status"), SIGNALS, ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int, status: int) -> None:
    write(tmp_path, {"main.py": saying("served") + CLEANS_UP})
    with served(tmp_path, *NO_RELOAD) as launched:
        assert launched.text() == "served"
        port = int(launched.url.rpartition(":")[2])
        launched.program.signal(number)
        assert launched.program.wait_exit() == status
        launched.program.assert_nothing_left()
        assert not is_listening(port)
    assert (tmp_path / "cleaned").exists()
    assert "Traceback" not in launched.program.output


@pytest.mark.parametrize(("number", "status"), SIGNALS, ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_while_the_app_is_imported(
    tmp_path: Path, mode: tuple[str, ...], number: int, status: int
) -> None:
    slow = "import threading\nprint('importing', flush=True)\nthreading.Event().wait()\n"
    write(tmp_path, {"main.py": slow})
    with Program([*LAUNCHER, "--port", "0", *mode], cwd=tmp_path) as program:
        program.wait_for_line("importing")
        program.signal(number)
        assert program.wait_exit() == status
        program.assert_nothing_left()
    assert "Traceback" not in program.output


def test_ctrl_c_in_a_terminal(tmp_path: Path, mode: tuple[str, ...]) -> None:
    write(tmp_path, {"main.py": saying("served")})
    with Program([*LAUNCHER, "--port", "0", *mode], cwd=tmp_path, terminal=True) as program:
        program.wait_for_line(READY)
        program.type_keys("\x03")
        assert program.wait_exit() == 130
        program.assert_nothing_left()
    assert "Traceback" not in program.output


def test_an_app_that_catches_the_exit(tmp_path: Path) -> None:
    """A server thread of the app's, or a bare `except`, does not keep it from ending."""
    stubborn = """
import threading
forever = threading.Event()
threading.Thread(target=forever.wait, daemon=True).start()

@app.get("/wait")
def wait():
    try:
        forever.wait()
    except BaseException:
        pass
    return "no"
"""
    write(tmp_path, {"main.py": saying("served") + stubborn})
    with served(tmp_path, *NO_RELOAD) as launched:
        assert launched.text() == "served"
        launched.program.signal(signal.SIGTERM)
        assert launched.program.wait_exit() == 143


@pytest.mark.parametrize(
    "command",
    [
        LAUNCHER,
        (*LAUNCHER, "run"),
        ("flask-debuglaunch",),
        ("flask", "debuglaunch", "run"),
        ("flask", "debuglaunch"),
        (sys.executable, "-m", "flask", "debuglaunch", "run"),
    ],
    ids=lambda one: " ".join(one).replace(sys.executable, "python"),
)
def test_every_command_serves(tmp_path: Path, command: tuple[str, ...]) -> None:
    """With reload: the worker is started by the same command again."""
    program = Path(sys.executable).parent / command[0]
    if not program.exists():
        pytest.skip(f"{command[0]} is not installed in this environment")
    write(tmp_path, {"main.py": saying("served")})
    with served(tmp_path, *RELOAD, command=(program, *command[1:])) as launched:
        assert launched.text() == "served"
        launched.program.signal(signal.SIGINT)
        assert launched.program.wait_exit() == 130
        launched.program.assert_nothing_left()
    assert "left by another server" not in launched.program.output


def test_flasks_own_options_count_for_the_subcommand(tmp_path: Path) -> None:
    write(tmp_path, {"shop.py": saying("shop"), "main.py": saying("main"), "its.env": "A=1\n"})
    flask = (sys.executable, "-m", "flask", "--app", "shop", "--debug", "--env-file", "its.env")
    with served(tmp_path, command=(*flask, "debuglaunch", "run")) as launched:
        assert launched.text() == "shop"
        assert "debug=True" in launched.program.lines[0]

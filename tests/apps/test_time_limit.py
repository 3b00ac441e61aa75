"""A run that ends by itself, and debug mode in production, which needs one (`--for`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.processes import Program, http_get, in_background
from .project import LAUNCHER, NO_RELOAD, RELOAD, ended, saying, served, write

PRODUCTION = {"FLASK_ENV": "production", "SSH_CONNECTION": "198.51.100.7 50022 203.0.113.9 22"}
BUSY = """
import time

@app.get("/busy")
def busy():
    time.sleep(300)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path, {"main.py": saying("served") + BUSY})


@pytest.mark.slow
def test_it_ends_by_itself_and_says_so_before(project: Path, mode: tuple[str, ...]) -> None:
    with Program([*LAUNCHER, *mode, "--port", "0", "--for", "4s"], cwd=project) as program:
        program.wait_for_line(r"^ \* Ends by itself in 4s$")
        program.wait_for_line(r"^ \* Ends by itself in [0-2] s$")
        program.wait_for_line(r"^ \* The time that --for gives is over$")
        assert program.wait_exit() == 0
        program.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize("flags", [RELOAD, (*NO_RELOAD, "--without-threads")], ids=" ".join)
def test_a_view_that_never_answers_does_not_keep_it(project: Path, flags: tuple[str, ...]) -> None:
    with served(project, *flags, "--for", "20s") as launched:
        in_background(http_get, launched.url + "/busy", timeout=60)
        assert launched.program.wait_exit() == 0
        launched.program.assert_nothing_left()


def test_debug_mode_in_production_for_a_while(project: Path, mode: tuple[str, ...]) -> None:
    environment = {**PRODUCTION, "SUDO_USER": "me"}
    with served(project, *mode, "--for", "1h", env=environment) as launched:
        port = launched.url.rpartition(":")[2]
        launched.program.wait_for_line(
            f"On your own machine, to reach it there: ssh -L {port}:127.0.0.1:{port}"
            r" me@203\.0\.113\.9$"
        )
        assert launched.text() == "served"
        assert "use_debugger=False" in launched.program.output
        assert launched.get("/console").status == 404


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "argv:--debug: debug mode is on, but this is production (env:FLASK_ENV=production)"),
        (("--for", "1h", "--host", "0.0.0.0"), "argv:--host: HOST 0.0.0.0 lets other machines"),
        (
            ("--for", "1h", "--host", "0.0.0.0", "--allow-remote-debug"),
            "argv:--host: HOST 0.0.0.0 lets other machines",
        ),
        (
            ("--for=1h", "--debug-with=vscode", "--debug-host=0.0.0.0", "--allow-remote-debug"),
            "argv:--debug-host: DEBUG_HOST 0.0.0.0 lets other machines",
        ),
        (("--for", "1h", "--debugger"), "argv:--debugger: Werkzeug's debugger runs code"),
        (("--for", "15"), "argv:--for: must be a time such as 90s, 15m or 1h30m, a week at most"),
        (("--for", "0s"), "argv:--for: must be a time such as 90s, 15m or 1h30m, a week at most"),
        (("--for", "8000h"), "argv:--for: must be a time such as 90s"),
    ],
)
def test_what_is_refused(project: Path, flags: tuple[str, ...], message: str) -> None:
    refused = ended(project, "--debug", *flags, env=PRODUCTION)
    assert refused.status == 2
    assert refused.message.startswith(message)


def test_no_file_and_no_variable_can_give_it(project: Path) -> None:
    refused = ended(project, env={"DEBUGLAUNCH_RUN_FOR": "1h"})
    assert "give --for on the command line" in refused.message
    write(project, {"config.yaml": "DEBUGLAUNCH: {RUN_FOR: 1h}\n"})
    assert "give --for on the command line" in ended(project).message


def test_an_external_debugger_comes_through_the_tunnel_too(project: Path) -> None:
    pytest.importorskip("debugpy")
    flags = ("--debug-with", "vscode", "--debug-port", "0", "--for", "1h")
    with served(project, *NO_RELOAD, *flags, env=PRODUCTION, command=LAUNCHER) as launched:
        launched.program.wait_for_line(r"ssh -L \d+:127\.0\.0\.1:\d+ -L 0:127\.0\.0\.1:0 ")

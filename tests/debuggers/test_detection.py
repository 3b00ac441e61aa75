"""The debugger in this process is known for what it is, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from ..support.debug_session import CONNECTIONS, READY
from ..support.processes import TIMEOUT, free_port, http_get, wait_until
from ..support.requirements import is_installed, require_debugger
from .shop import Shop, debug_shop


def present_at(url: str) -> dict[str, Any]:
    """What present_debugger() finds in the process that serves the app."""
    found: dict[str, Any] = json.loads(http_get(f"{url}/present").body)
    return found


@pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])
@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_present(shop: Shop, debugger: str, connection: str, reload: bool) -> None:
    with debug_shop(shop, debugger, connection, reload=reload, RELOAD=reload) as session:
        found = present_at(session.url)
        assert (found["debugger"], found["presence"]["attached"]) == (debugger, True)
        if connection == "present":
            assert found["presence"]["follows_children"]


@pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])
def test_present_before_an_ide_attaches(shop: Shop, reload: bool) -> None:
    require_debugger("debugpy")
    shop.configure(DEBUG_WITH="debugpy", DEBUG_PORT=free_port(), RELOAD=reload)
    with shop.start() as program:
        url = program.wait_for_line(READY)[1]
        assert present_at(url)["debugger"] == "debugpy"
        # debugpy's adapter plays a client for a moment, so that a worker can go on.
        wait_until(lambda: not present_at(url)["presence"]["attached"])


MODULE = ["-m", "flask_debuglaunch", "explain", "--json"]
CODE = "from flask_debuglaunch.cli import main; main(['explain', '--json'])"
# From Python 3.14 on pdb traces by sys.monitoring, as its tool 0.
TRACING = "import sys; assert sys.gettrace() or sys.monitoring.get_tool(0)"
VSCODE_TERMINAL = {
    "TERM_PROGRAM": "vscode",
    "VSCODE_DEBUGPY_ADAPTER_ENDPOINTS": "/tmp/.noConfigDebugAdapterEndpoints/endpoint.txt",
    "BUNDLED_DEBUGPY_PATH": "/extensions/ms-python.debugpy/bundled/libs/debugpy",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
INHERITED = {
    "DEBUGPY_RUNNING": "true",
    "PYDEVD_USE_FRAME_EVAL": "NO",
    "PYDEVD_USE_CYTHON": "NO",
    "USE_LOW_IMPACT_MONITORING": "True",
    "PYCHARM_HOSTED": "1",
    "PYCHARM_DEBUG": "1",
    "IDE_PROJECT_ROOTS": "/home/me/shop",
}


def decoded(output: str) -> dict[str, Any]:
    """The JSON, whatever a profiler or pdb has printed around it."""
    found: dict[str, Any]
    found, _ = json.JSONDecoder().raw_decode(output, output.index('{\n  "schema"'))
    return found


def assert_no_debugger(
    shop: Shop, *arguments: str, env: dict[str, str] | None = None, typed: str = ""
) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=shop.root,
        env={**os.environ, **(env or {})},
        input=typed,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    assert decoded(done.stdout)["plan"]["debugger"]["value"] == "werkzeug"


@pytest.mark.parametrize("env", [VSCODE_TERMINAL, INHERITED], ids=["VS Code's terminal", "others"])
def test_not_variables(shop: Shop, env: dict[str, str]) -> None:
    assert_no_debugger(shop, *MODULE, env=env)


@pytest.mark.parametrize(
    ("debugger", "modules"),
    [
        ("debugpy", "debugpy"),
        ("debugpy", "debugpy.server.api, pydevd"),
        ("pydevd", "pydevd"),
        ("pydevd-pycharm", "pydevd_pycharm, pydevd"),
    ],
)
def test_not_an_import(shop: Shop, debugger: str, modules: str) -> None:
    require_debugger(debugger)
    assert_no_debugger(shop, "-c", f"import {modules}; {CODE}")


@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
def test_not_coverage(shop: Shop, core: str) -> None:
    if not is_installed("coverage"):
        pytest.skip("coverage is not installed")
    if core == "sysmon" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring is new in Python 3.12")
    run = ["-m", "coverage", "run", "--source", "flask_debuglaunch"]
    assert_no_debugger(shop, *run, *MODULE, env={"COVERAGE_CORE": core})
    assert any(file.name.startswith(".coverage") for file in shop.root.iterdir())


def test_not_a_profiler(shop: Shop) -> None:
    assert_no_debugger(shop, "-m", "cProfile", *MODULE)


def test_not_pdb_as_a_program(shop: Shop) -> None:
    breakpoint_kept = ["-c", "break json.dump", "-c", "continue"]
    # As a file: the pdb of Python 3.13.0 takes the arguments of a module for its own.
    file = shop.root / "explain.py"
    file.write_text(CODE)
    assert_no_debugger(shop, "-m", "pdb", *breakpoint_kept, str(file))


def test_not_pdb_in_the_code(shop: Shop) -> None:
    stop = "import pdb, json; pdb.set_trace()"
    typed = "break json.dump\ncontinue\n"  # without a breakpoint it stops tracing
    assert_no_debugger(shop, "-c", f"{stop}; {TRACING}; {CODE}", typed=typed)


def test_not_a_trace_function(shop: Shop) -> None:
    trace = "import sys; sys.settrace(lambda *event: None)"
    assert_no_debugger(shop, "-c", f"{trace}; {TRACING}; {CODE}")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in Python 3.12")
def test_not_another_monitoring_tool(shop: Shop) -> None:
    use = "from sys import monitoring as m; m.use_tool_id(m.DEBUGGER_ID, 'mine')"
    events = "m.set_events(m.DEBUGGER_ID, m.events.PY_START | m.events.LINE)"
    assert_no_debugger(shop, "-c", f"{use}; {events}; {CODE}")

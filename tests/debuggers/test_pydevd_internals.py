"""The private names of pydevd's that we use are still what they were.

Fails when a new release changes one: then pydevd_internals.py has to follow.
"""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ..support.requirements import is_installed

# Where a name is only in some of the three.
NOT_IN_PYCHARM = {"exclude_exception_by_filter", "ignore_system_exit_code", "is_attached"}


@pytest.fixture(scope="module")
def pydevd() -> Iterator[Any]:
    """The installed one: debugpy's own, pydevd, or pydevd-pycharm."""
    if is_installed("debugpy"):
        importlib.import_module("debugpy.server.api")
    if not any(is_installed(name) for name in ("debugpy", "pydevd", "pydevd-pycharm")):
        pytest.skip("no debugger is installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
        yield importlib.import_module("pydevd")


def parameters(function: object) -> list[str]:
    assert callable(function)
    return list(inspect.signature(function).parameters)


def test_modules(pydevd: Any) -> None:
    constants = importlib.import_module("_pydevd_bundle.pydevd_constants")
    assert constants.get_global_debugger() is None
    if not is_installed("pydevd-pycharm"):
        assert constants.get_protocol() in ("json", "http_json", "http", "quoted-line")
    assert pydevd.SetupHolder.setup is None
    paths = importlib.import_module("pydevd_file_utils")
    assert parameters(paths.setup_client_server_paths) == ["paths"]
    breakpoints = importlib.import_module("_pydevd_bundle.pydevd_breakpoints")
    assert parameters(breakpoints.get_exception_breakpoint) == ["exctype", "exceptions"]


def test_the_connection(pydevd: Any) -> None:
    assert parameters(pydevd.start_client) == ["host", "port"]
    assert "start_client(host, port)" in inspect.getsource(pydevd.PyDB.connect)


def test_stopping(pydevd: Any) -> None:
    wait = parameters(pydevd.PyDB.do_wait_suspend)
    assert wait[:5] == ["self", "thread", "frame", "event", "arg"]
    assert "stop_reason = thread.stop_reason" in inspect.getsource(pydevd.PyDB.do_wait_suspend)
    boxes = inspect.getsource(pydevd.PyDB.__init__)
    assert "self.break_on_uncaught_exceptions" in boxes
    assert "self.break_on_caught_exceptions" in boxes


def test_suspending_the_others(pydevd: Any) -> None:
    if not is_family(pydevd):
        pytest.skip("pydevd-pycharm suspends no others")
    variables = importlib.import_module("_pydevd_bundle.pydevd_vars")
    for module in (pydevd, variables):
        assert parameters(module.suspend_all_threads) == ["py_db", "except_thread"]
    assert "suspend_all_threads(self, except_thread=thread)" in inspect.getsource(
        pydevd.PyDB.set_suspend
    )


@pytest.mark.parametrize("name", sorted(NOT_IN_PYCHARM))
def test_methods_of_the_debugger(pydevd: Any, name: str) -> None:
    assert hasattr(pydevd.PyDB, name) is not is_installed("pydevd-pycharm")


def test_hidden_frames(pydevd: Any) -> None:
    api = importlib.import_module("_pydevd_bundle.pydevd_api").PyDevdAPI if is_family(pydevd) else 0
    if api:
        given = parameters(api.set_dont_trace_start_end_patterns)
        assert given == ["self", "py_db", "start_patterns", "end_patterns"]
        assert parameters(pydevd.PyDB.dont_trace_external_files) == ["self", "abs_path"]


def test_waiting_for_the_breakpoints(pydevd: Any) -> None:
    if not is_family(pydevd):
        pytest.skip("pydevd-pycharm waits elsewhere")
    api = importlib.import_module("_pydevd_bundle.pydevd_api").PyDevdAPI
    assert parameters(api.run) == ["self", "py_db"]
    waits = inspect.getsource(pydevd.PyDB.wait_for_ready_to_run)
    assert "_py_db_command_thread_event.wait" in waits


@pytest.mark.usefixtures("pydevd")
def test_what_debugpys_adapter_asks() -> None:
    if not is_installed("debugpy"):
        pytest.skip("debugpy is not installed")
    requests = importlib.import_module("_pydevd_bundle.pydevd_process_net_command_json")
    for name in ("on_attach_request", "on_disconnect_request"):
        function = getattr(requests.PyDevJsonCommandProcessor, name)
        assert parameters(function) == ["self", "py_db", "request"]
    schema = importlib.import_module("_pydevd_bundle._debug_adapter.pydevd_schema")
    assert schema.AttachRequestArguments(subProcessId=1).kwargs == {"subProcessId": 1}
    assert "terminateDebuggee" in parameters(schema.DisconnectArguments)


def is_family(pydevd: Any) -> bool:
    return hasattr(pydevd.PyDB, "dont_trace_external_files")


def test_the_flavours_differ(pydevd: Any) -> None:
    is_pycharms = is_installed("pydevd-pycharm")
    assert hasattr(pydevd.PyDB, "do_stop_on_unhandled_exception") is not is_pycharms


def test_its_log_and_the_redirection(pydevd: Any) -> None:
    log = importlib.import_module("_pydev_bundle.pydev_log")
    redirector = importlib.import_module("_pydevd_bundle.pydevd_io").IORedirector(None, None)
    assert redirector._redirect_to == (None, None)
    if hasattr(pydevd.PyDB, "do_stop_on_unhandled_exception"):  # pydevd-pycharm logs otherwise
        assert parameters(log.initialize_debug_stream) == ["reinitialize"]
        assert hasattr(log._LoggingGlobals, "_debug_stream")


def test_its_own_threading(pydevd: Any) -> None:
    """With GEVENT_SUPPORT, for which it has to be imported anew."""
    if not is_family(pydevd):
        pytest.skip("pydevd-pycharm keeps it elsewhere")
    library = "debugpy.server.api" if is_installed("debugpy") else "pydevd"
    look = (
        f"import threading, {library}, _pydev_bundle._pydev_saved_modules as saved\n"
        "print(saved.threading is not threading, type(saved.threading._active).__name__)"
    )
    environment = {**os.environ, "GEVENT_SUPPORT": "True", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    done = subprocess.run(
        [sys.executable, "-c", look], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "True dict\n", done.stderr


def test_marks_of_threads(pydevd: Any) -> None:
    source = inspect.getsource(pydevd)
    assert "is_pydev_daemon_thread" in source
    assert "pydev_do_not_trace" in source

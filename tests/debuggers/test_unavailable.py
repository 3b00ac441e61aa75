"""A debugger that can't be had: the message has the fix. Fatal only where it was insisted on."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..support.debug_session import READY
from ..support.debugging import DEBUGGERS
from ..support.processes import Program, free_port, http_get, in_background
from ..support.pydevd_ide import PyDev
from ..support.requirements import is_installed, require_debugger
from .shop import Shop, refusing_port

CONNECTION = {"debugpy": "listen", "pydevd": "connect", "pydevd-pycharm": "connect"}


@dataclass(frozen=True)
class Attempt:
    """To serve the shop with a debugger that can't be had, for the reason that is to be said."""

    shop: Shop
    debugger: str
    reason: str
    """A regular expression."""
    env: Mapping[str, str]
    debug_port: int

    def start(self, *flags: str) -> Program:
        debug_with = ["--debug-with", self.debugger, "--debug-port", str(self.debug_port)]
        return self.shop.start(*debug_with, *flags, env=self.env)


def try_all(attempt: Attempt, reload: str) -> None:
    """Served without it if nobody insists; otherwise the end."""
    is_served_without(attempt, reload)
    is_fatal(attempt, reload, "--debug-connection", CONNECTION[attempt.debugger])
    is_fatal(attempt, reload, "--wait", "0.1")


def is_served_without(attempt: Attempt, *flags: str) -> None:
    with attempt.start(*flags) as program:
        url = program.wait_for_line(READY)[1]
        assert http_get(f"{url}/greet/World").text == "Hello, World!"
        program.wait_for_line(rf"^ \* {attempt.reason}.*\. The app is served without it")
        assert is_said_once(attempt, program)


def is_fatal(attempt: Attempt, *flags: str) -> None:
    with attempt.start(*flags) as program:
        assert program.wait_exit() == 2
        program.wait_for_line(f"^Error: {attempt.reason}")
        assert is_said_once(attempt, program)
        program.assert_nothing_left()


def is_said_once(attempt: Attempt, program: Program) -> bool:
    said = [line for line in program.lines if re.search(attempt.reason, line)]
    return len(said) == 1 and "Traceback" not in program.output


RELOAD = pytest.mark.parametrize("reload", ["--reload", "--no-reload"])


@RELOAD
@pytest.mark.parametrize("debugger", DEBUGGERS)
def test_not_installed(shop: Shop, debugger: str, reload: str) -> None:
    if is_installed(debugger):
        pytest.skip(f"{debugger} is installed")
    fix = f"{re.escape(sys.executable)} -m pip install {debugger}"
    reason = f"{debugger} is not installed here: {fix}"
    try_all(Attempt(shop, debugger, reason, {}, free_port()), reload)


# As real ones fail: in the import of a module that Python has dropped, or, on every Python, in
# settrace() (pydevd 1.4) and configure() (debugpy before 1.6.1), which know other arguments.
DROPPED = "import module_of_an_older_python"
OLD = {
    "debugpy, import": {"debugpy/__init__.py": DROPPED},
    "debugpy, configure": {
        "debugpy/__init__.py": "def configure(**given): raise ValueError('Unknown property')",
        "debugpy/server/__init__.py": "",
        "debugpy/server/api.py": "",
    },
    "pydevd, import": {"pydevd.py": DROPPED},
    "pydevd, settrace": {"pydevd.py": "def settrace(host, port, suspend, stdoutToServer): pass"},
    "pydevd-pycharm, import": {"pydevd_pycharm.py": DROPPED},
}


@pytest.fixture
def debug_port(debugger: str) -> Iterator[int]:
    """Free where the debugger is to listen; an IDE's where it connects."""
    if CONNECTION[debugger] == "listen":
        yield free_port()
    else:
        with PyDev() as ide:
            yield ide.port


@pytest.mark.slow
@RELOAD
@pytest.mark.parametrize(
    ("debugger", "files"),
    [pytest.param(name.partition(",")[0], files, id=name) for name, files in OLD.items()],
)
def test_too_old(
    shop: Shop, tmp_path: Path, debug_port: int, debugger: str, files: dict[str, str], reload: str
) -> None:
    if debugger == "pydevd" and is_installed("pydevd-pycharm"):
        pytest.skip("every pydevd.py is taken for pydevd-pycharm's")
    for name, content in files.items():
        file = tmp_path / "old" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    python = rf"Python {sys.version_info[0]}\.{sys.version_info[1]}"
    fix = f"{re.escape(sys.executable)} -m pip install --upgrade {debugger}"
    reason = rf"the installed {debugger} is too old for {python} .*Error: .*\): {fix}"
    env = {"PYTHONPATH": str(tmp_path / "old")}
    try_all(Attempt(shop, debugger, reason, env, debug_port), reload)


@RELOAD
@pytest.mark.parametrize("debugger", ["pydevd", "pydevd-pycharm"])
def test_no_ide_listens(shop: Shop, debugger: str, reload: str) -> None:
    require_debugger(debugger)
    with refusing_port() as port:
        refused = rf"127.0.0.1:{port} \(Connection refused\)"
        reason = rf"no IDE listens on {refused}\. Start .*DEBUG_PORT"
        try_all(Attempt(shop, debugger, reason, {}, port), reload)


@pytest.mark.slow
@RELOAD
def test_the_debug_port_is_taken(shop: Shop, reload: str) -> None:
    require_debugger("debugpy")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        whose = rf"\S+ \(process {os.getpid()}\) listens there"
        reason = (
            rf"debugpy can't listen on 127.0.0.1:{port}: {whose}\. .*set DEBUG_PORT to a free port"
        )
        try_all(Attempt(shop, "debugpy", reason, {}, port), reload)


WRONG_SERVERS = {
    "silent": (b"", "it says nothing"),
    "another's greeting": (b"SSH-2.0-OpenSSH\r\n", "it says 'SSH-2.0-OpenSSH.*'"),
    "debugpy's own port": (
        b'Content-Length: 42\r\n\r\n{"seq": 1, "type": "event", "event": "output"}',
        "it is debugpy's own port, where an IDE attaches",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("debugger", DEBUGGERS)
@pytest.mark.parametrize("server", WRONG_SERVERS)
def test_what_listens_is_no_debug_server(shop: Shop, debugger: str, server: str) -> None:
    """The debugger would wait for it for ever."""
    require_debugger(debugger)
    greeting, says = WRONG_SERVERS[server]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        in_background(greet_all, listener, greeting)
        whose = rf"\(\S+ \(process {os.getpid()}\) listens there\)"
        reason = rf"127.0.0.1:{port} is no debug server of .*: {says} {whose}\. Start .*DEBUG_PORT"
        attempt = Attempt(shop, debugger, reason, {}, port)
        if debugger == "debugpy":  # it connects only where that is insisted on
            is_fatal(attempt, "--debug-connection", "connect", "--wait", "3")
        else:
            is_served_without(attempt, "--reload")
            is_fatal(attempt, "--wait", "3")


def greet_all(listener: socket.socket, greeting: bytes) -> None:
    kept = []
    while True:
        connection, _ = listener.accept()
        connection.sendall(greeting)
        kept.append(connection)

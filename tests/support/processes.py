"""Programs under test: started, read, waited for with a deadline, and gone when the test ends."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

import pytest

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds. The deadline of every wait that names none: long, for slow machines."""


# Waiting


def wait_until(
    condition: Callable[[], T], timeout: float = TIMEOUT, message: str | Callable[[], str] = ""
) -> T:
    """Poll until the condition is true and return its value. The one place that polls.

    The message says what was waited for; as a function it is called when the wait has failed.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            reason = message() if callable(message) else message
            raise AssertionError(f"not within {timeout:g} s: {reason}")
        time.sleep(0.01)
    return value


def in_background(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call the function in a thread that does not keep the test run alive."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


# Processes


class Family:
    """All processes that stem from one program, also those that left its process group.

    debugpy's adapter, for one, starts a session of its own. They are known by a variable that
    every child inherits (Linux; elsewhere the members are unknown).
    """

    VARIABLE = "TEST_FAMILY"

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**(os.environ if env is None else env), self.VARIABLE: self.name}

    def members(self) -> list[int]:
        """The living processes; a zombie is not one."""
        mark = f"{self.VARIABLE}={self.name}".encode()
        return [pid for pid in _all_processes() if mark in environment_of(pid)]

    def kill(self) -> None:
        """Kill them all, also those that are born meanwhile."""

        def all_gone() -> bool:
            members = self.members()
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not members

        wait_until(all_gone, message=f"processes {self.members()} killed")


def _all_processes() -> list[int]:
    if not sys.platform.startswith("linux"):
        return []
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone meanwhile, or another user's
        return []


def _descendants(pid: int) -> list[int]:
    children = [child for child in _all_processes() if _parent_of(child) == pid]
    return [*children, *(found for child in children for found in _descendants(child))]


def _parent_of(pid: int) -> int:
    try:
        after_the_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:  # gone meanwhile
        return 0
    return int(after_the_name.split()[1])


def command_line(pid: int) -> list[str]:
    """The arguments a process was started with (Linux); empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


# Without a controlling terminal there is neither Ctrl-C nor a hang-up, and code between fork and
# exec (preexec_fn) may deadlock in a process with threads.
RUN_IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Program:
    """A running program. Its output, both streams in one, is read line by line into a log.

        with Program([sys.executable, "app.py"], cwd=tmp_path) as program:
            url = program.wait_for_line(r"Running on (\\S+)")[1]

    At the end of the block it and all its descendants are killed. With terminal=True it runs
    in a (pseudo) terminal of its own, like a command that a person typed.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        terminal: bool = False,
        family: Family | None = None,
    ) -> None:
        self.family = family or Family()
        self._log: list[str] = []
        self._hung_up, self._hang_up = os.pipe()
        self._terminal: int | None = None
        arguments = [str(argument) for argument in argv]
        environment = self.family.environment(env)
        if terminal:
            self._popen, output = self._start_in_terminal(arguments, cwd, environment)
        else:
            self._popen, output = self._start(arguments, cwd, environment)
        self.pid = self._popen.pid
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    @staticmethod
    def _start(
        argv: list[str], cwd: Path | str | None, env: dict[str, str]
    ) -> tuple[subprocess.Popen[bytes], int]:
        output, theirs = os.pipe()
        popen = subprocess.Popen(
            argv,
            cwd=cwd,
            env={"PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        return popen, output

    def _start_in_terminal(
        self, argv: list[str], cwd: Path | str | None, env: dict[str, str]
    ) -> tuple[subprocess.Popen[bytes], int]:
        self._terminal, theirs = os.openpty()
        popen = subprocess.Popen(
            [sys.executable, "-IS", "-c", RUN_IN_TERMINAL, *argv],
            cwd=cwd,
            env={"TERM": "xterm", **env},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        return popen, self._terminal

    def _read(self, output: int) -> None:
        for line in _lines_of(output, self._hung_up):
            self._log.append(line)
        os.close(output)
        os.close(self._hung_up)

    def _stop_reading(self) -> None:
        # The reader closes what it reads: closed by another thread it would stay open, in use.
        if self._hang_up >= 0:
            os.close(self._hang_up)
            self._hang_up = -1
        self._reader.join()

    # What it says

    @property
    def lines(self) -> list[str]:
        return list(self._log)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for_line(
        self, pattern: str, timeout: float = TIMEOUT, *, since: int = 0
    ) -> re.Match[str]:
        """The first line that the pattern is found in; since: how many lines to pass over.

        Fails as soon as the program has ended without it.
        """

        def find() -> re.Match[str] | None:
            ended = self._ended()  # asked before looking, so that its last words count
            matches = (re.search(pattern, line) for line in self._log[since:])
            match = next(filter(None, matches), None)
            if ended and match is None:
                raise AssertionError(f"ended without a line like {pattern!r}{self._report()}")
            return match

        found = wait_until(find, timeout, lambda: f"a line like {pattern!r}{self._report()}")
        assert found is not None
        return found

    def _ended(self) -> bool:
        if self._popen.poll() is None:
            return False
        self._reader.join(0.2)  # a child may hold the pipe open, so it need not end
        return True

    def _report(self) -> str:
        status = self.exit_status
        state = "running" if status is None else f"exit status {status}"
        return f"\n{self._popen.args!r} ({state}) said:\n{self.output}"

    # How it ends

    @property
    def exit_status(self) -> int | None:
        """None while it runs, -N if signal N ended it."""
        return self._popen.poll()

    def wait_exit(self, timeout: float = TIMEOUT) -> int:
        """The exit status, when it has ended."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {timeout:g} s{self._report()}") from None

    def assert_nothing_left(self, timeout: float = TIMEOUT) -> None:
        """Every process that stems from it has ended, of itself and within the timeout."""
        if not sys.platform.startswith("linux"):
            pytest.skip("finding the descendants of a process needs Linux")

        def left() -> list[str]:
            return [f"{pid} {' '.join(command_line(pid))}" for pid in self.family.members()]

        wait_until(lambda: not left(), timeout, lambda: f"all ended, but there is {left()}")

    def signal(self, number: int) -> None:
        """Send a signal to the program alone."""
        os.kill(self.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to its process group, as a terminal does for Ctrl-C."""
        os.killpg(self.pid, number)

    def signal_tree(self, number: int) -> None:
        """Send a signal to it and its children and theirs, as PyCharm and PyDev do (Linux)."""
        for pid in [self.pid, *_descendants(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def type_keys(self, keys: str) -> None:
        """Type into its terminal: "\\x03" is Ctrl-C."""
        assert self._terminal is not None, "started without a terminal"
        os.write(self._terminal, keys.encode())

    def terminal_echoes(self) -> bool:
        """Does the terminal show what is typed, as a shell leaves it?"""
        import termios

        assert self._terminal is not None, "started without a terminal"
        local_modes = termios.tcgetattr(self._terminal)[3]
        return bool(local_modes & termios.ECHO and local_modes & termios.ICANON)

    def close_terminal(self) -> None:
        """Close the terminal's window: the program gets SIGHUP."""
        assert self._terminal is not None, "started without a terminal"
        self._stop_reading()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self.signal_group(signal.SIGKILL)
        self.family.kill()
        self._popen.wait(TIMEOUT)
        self._reader.join(1)  # its last words
        self._stop_reading()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


def _lines_of(output: int, hung_up: int) -> Iterator[str]:
    rest = b""
    while chunk := _read_some(output, hung_up):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")


def _read_some(output: int, hung_up: int) -> bytes:
    readable, _, _ = select.select([output, hung_up], [], [])
    if hung_up in readable:
        return b""
    try:
        return os.read(output, 65536)
    except OSError:  # a terminal ends with EIO
        return b""


# The network


NOT_HANDED_OUT = range(20_000, 32_000)
"""Ports that no kernel gives to who asks for any (ip(7), ip_local_port_range)."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago, and that debugpy's adapter of another test,
    which takes any, is not given meanwhile."""
    drawn = random.SystemRandom()  # hypothesis seeds the other one, in each process alike
    while True:
        port = drawn.choice(NOT_HANDED_OUT)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def is_listening(port: int) -> bool:
    """Does somebody listen on this TCP port? Asks the kernel: debugpy takes a probing connection
    for its client and then does not answer the real one (Linux)."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the kernel's table of listening sockets needs Linux")
    tables = [_ for _ in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if _.exists()]
    rows = [row.split() for table in tables for row in table.read_text().splitlines()]
    return any(row[3] == "0A" and row[1].endswith(f":{port:04X}") for row in rows)


def wait_for_port(port: int, timeout: float = TIMEOUT) -> None:
    wait_until(lambda: is_listening(port), timeout, f"somebody listens on port {port}")


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    complete: bool
    """False if the connection ended before the whole body had come."""

    @property
    def text(self) -> str:
        return self.body.decode()


def http_get(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: bytes | None = None,
    timeout: float = TIMEOUT,
) -> Response:
    """One request on a connection of its own. Follows no redirect, trusts every certificate."""
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.netloc, timeout)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with contextlib.closing(connection):
        connection.request(method, target, body=body, headers={**(headers or {})})
        answer = connection.getresponse()
        try:
            content, complete = answer.read(), True
        except http.client.IncompleteRead as error:
            content, complete = error.partial, False
    names = {name.lower(): value for name, value in answer.getheaders()}
    return Response(answer.status, names, content, complete)


def _connection(scheme: str, netloc: str, timeout: float) -> http.client.HTTPConnection:
    if scheme == "https":
        trusting = ssl._create_unverified_context()
        return http.client.HTTPSConnection(netloc, timeout=timeout, context=trusting)
    return http.client.HTTPConnection(netloc, timeout=timeout)

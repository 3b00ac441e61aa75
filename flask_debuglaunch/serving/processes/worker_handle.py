"""A worker as the supervisor sees it: a process, a channel, and what it has said so far."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flask_debuglaunch.debuggers.join_debug_session import children_left_alone
from flask_debuglaunch.serving.ipc_protocol import Channel
from flask_debuglaunch.serving.processes.spawn_interpreter import spawn, spawn_with

END_SECONDS = 2.0


class WorkerProcess(Protocol):
    """However it was started."""

    @property
    def channel(self) -> Channel: ...

    def kill(self) -> None:
        """End it at once."""

    def exit_status(self) -> int | None:
        """As subprocess has it, -N for signal N; waits for the end, but not for ever. None: nobody
        knows."""


@dataclass
class FreshWorker:
    """A worker in an interpreter of its own."""

    process: subprocess.Popen[bytes]
    channel: Channel

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def exit_status(self) -> int | None:
        for _ in range(2):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(END_SECONDS)
            self.kill()  # it has closed its channel, and lives
        return None


def start_fresh(
    command: list[str], environ: Mapping[str, str], listener: socket.socket
) -> FreshWorker:
    """Start the program again, to become a worker."""
    with children_left_alone():
        process, channel = spawn(command, environ, listener)
    return FreshWorker(process, channel)


def start_fresh_with(
    command: list[str], environ: Mapping[str, str], listener: socket.socket, channel: socket.socket
) -> subprocess.Popen[bytes]:
    """The same at the other end of a channel that is there already (not on Windows)."""
    with children_left_alone():
        return spawn_with(command, environ, listener, channel)


def how_it_ended(status: int | None) -> str:
    """`ended with exit status 1`, `was ended by SIGSEGV`, `has ended`."""
    if status is None:
        return "has ended"
    if status >= 0:
        return f"ended with exit status {status}"
    known = {one.value: one.name for one in signal.Signals}
    name = known.get(-status, f"signal {-status}")
    hint = " (out of memory?)" if name == "SIGKILL" and sys.platform == "linux" else ""
    return f"was ended by {name}{hint}"

"""The supervisor's handles on the processes that it has started: workers, and the fork servers that
fork some of them. Each has a channel, and is known by what it has said so far.

What a fork server itself does is in fork_server_main.py; which process becomes the next worker, in
next_worker_from_fork_servers.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from flask_debuglaunch.debuggers.subprocess_debugging import children_left_alone
from flask_debuglaunch.serving.ipc_protocol import (
    Channel,
    Exited,
    Fork,
    Forked,
    ModuleRun,
    ModulesPreloaded,
    Preload,
    Preloaded,
    Spoiled,
    Unsafe,
    channel_to_child,
)
from flask_debuglaunch.serving.processes.spawn_interpreter import spawn, spawn_with
from flask_debuglaunch.serving.watching.file_signature import Signature, changed_since, signatures

END_SECONDS = 2.0
FORK_SECONDS = 2.0
"""A fork takes some milliseconds. A fork server that does not answer is stopped, or hangs."""


# Workers


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


class ForkedWorker:
    """A worker that a fork server has forked."""

    def __init__(self, fork_server: ForkServerHandle, pid: int) -> None:
        self.fork_server = fork_server
        self._pid = pid

    def kill(self) -> None:
        _kill(self._pid)

    def signal(self, number: signal.Signals) -> None:
        _send(self._pid, number)

    def exit_status(self) -> int | None:
        return self.fork_server.status_of(self._pid)


class AwaitedWorker:
    """A worker whose process may yet have to be started: what it is told waits in its channel."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        self.channel = channel_to_child(ours)
        self.process: ForkedWorker | FreshWorker | None = None

    def begin(self, start: Callable[[socket.socket], ForkedWorker | FreshWorker]) -> None:
        """Start it at the other end of the channel. Raises OSError."""
        self.process = start(self._theirs)
        self._theirs.close()

    def kill(self) -> None:
        """Also if it has not begun: then its channel closes, as if it had ended."""
        self._theirs.close()
        if self.process is not None:
            self.process.kill()

    def exit_status(self) -> int | None:
        return None if self.process is None else self.process.exit_status()


def _kill(pid: int) -> None:
    _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


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


# Fork servers


class Stoppable(Protocol):
    """A process, as subprocess.Popen has it."""

    def kill(self) -> None: ...

    def wait(self, timeout: float) -> object: ...


class NoMoreProcesses(OSError):
    """The system allows this user none, or has no memory for one."""


class ForkServerHandle:
    """Ready once it has preloaded; unusable if its packages can't be forked."""

    def __init__(
        self, process: Stoppable, channel: Channel, patience: float, preload: Preload | None = None
    ) -> None:
        self.process = process
        self.channel = channel
        self.preload = preload
        """The packages that it was told to have; None if it has modules of the project."""
        self.due = time.monotonic() + patience
        """By then it should be ready; if it is not, no worker waits for it any more."""
        self.is_ready = False
        self.is_gone = False
        self.spoiled: Spoiled | Unsafe | None = None
        self.rest: tuple[str, str] | None = None
        self.seen_again: tuple[ModuleRun, ...] | None = None
        """What it has seen of the project's modules, if it was to have them."""
        self._has_living_worker = False
        self._files: dict[str, Signature | None] = {}
        self._pids: list[int | None] = []
        """Of workers that were forked just now."""
        self._statuses: dict[int, int] = {}

    def hear(self) -> None:
        """Take in the next message."""
        match self.channel.receive():
            case Preloaded(files, rest):
                self._files = signatures(files)
                self.rest = rest
                self.is_ready = True
            case ModulesPreloaded(runs):
                self.seen_again = runs
            case Spoiled() as spoiled:
                self._files = signatures(spoiled.files)
                self.spoiled = spoiled
            case Unsafe() as unsafe:
                self.spoiled = unsafe
            case Forked(pid):
                self._pids.append(pid)
            case Exited(pid, status):
                self._statuses[pid] = status
            case _:
                self.is_gone = True
                self.is_ready = False

    def is_fresh(self) -> bool:
        """Are the installed packages still what they were when they were preloaded?"""
        return not changed_since(self._files)

    def fork(self, channel: socket.socket, *, becomes_worker: bool = True) -> ForkedWorker:
        """Have a worker forked, at the other end of the channel. Raises NoMoreProcesses, or another
        OSError if the fork server is gone, or hangs: then it is killed, and its channel says so."""
        self._has_living_worker |= becomes_worker
        self.channel.send(Fork())
        socket.send_fds(self.channel.socket, [b"x"], [channel.fileno()])
        if not self._heard(lambda: bool(self._pids), FORK_SECONDS):
            self.is_ready = False
            self.process.kill()
            raise TimeoutError("the fork server does not answer")
        pid = self._pids.pop()
        if pid is None:
            raise NoMoreProcesses(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return ForkedWorker(self, pid)

    def become_worker(self, channel: socket.socket) -> FreshWorker:
        """Have a spoiled one become a worker itself, at the other end of the channel; that is its
        end as a fork server. Raises OSError if it is gone."""
        assert isinstance(self.process, subprocess.Popen)
        self.channel.send(Fork())
        socket.send_fds(self.channel.socket, [b"x"], [channel.fileno()])
        self.channel.close()
        return FreshWorker(self.process, self.channel)

    def status_of(self, pid: int) -> int | None:
        """The exit status of a worker that has ended or is about to; None if nobody knows it."""
        if not self._heard(lambda: pid in self._statuses, END_SECONDS):
            _kill(pid)  # it has closed its channel, and lives
            self._heard(lambda: pid in self._statuses, END_SECONDS)
        self._has_living_worker = False
        return self._statuses.pop(pid, None)

    def _heard(self, enough: Callable[[], bool], seconds: float) -> bool:
        """Take in messages until it is enough; False if it is not within the seconds."""
        deadline = time.monotonic() + seconds
        while not enough() and not self.is_gone:
            if not self.channel.has_message(within=max(0.0, deadline - time.monotonic())):
                return False
            self.hear()
        return enough()

    def retire(self) -> None:
        """Fork no more; the fork server stays to say how its last worker ends."""
        self.is_ready = False
        if not self._has_living_worker:
            self.close()

    def close(self) -> None:
        """End it."""
        self.is_gone = True
        self.channel.close()
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel holds it
            self.process.wait(END_SECONDS)


def start_fork_server(
    command: list[str],
    environ: Mapping[str, str],
    listener: socket.socket,
    preload: Preload,
    patience: float,
) -> ForkServerHandle:
    """Start the program again as a fork server; it is ready when it says so. patience: the seconds
    that a worker may wait for that."""
    with children_left_alone():
        process, channel = spawn(command, environ, listener)
    channel.tell(preload)
    return ForkServerHandle(process, channel, patience, preload)

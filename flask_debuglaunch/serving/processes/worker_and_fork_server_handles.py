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
    CannotPreload,
    Channel,
    Exited,
    Fork,
    Forked,
    ModuleRun,
    ModulesPreloaded,
    Preload,
    Preloaded,
    SpoiledForkServer,
    channel_to_child,
)
from flask_debuglaunch.serving.processes.spawn_interpreter import spawn, spawn_at_channel
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
class NewInterpreterWorker:
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


def start_interpreter(
    command: list[str], environ: Mapping[str, str], listener: socket.socket
) -> NewInterpreterWorker:
    """Start the program again, to become a worker."""
    with children_left_alone():
        process, channel = spawn(command, environ, listener)
    return NewInterpreterWorker(process, channel)


def start_interpreter_at_channel(
    command: list[str], environ: Mapping[str, str], listener: socket.socket, channel: socket.socket
) -> subprocess.Popen[bytes]:
    """The same at the other end of a channel that is there already (not on Windows)."""
    with children_left_alone():
        return spawn_at_channel(command, environ, listener, channel)


class ForkedWorker:
    """A worker that a fork server has forked."""

    def __init__(self, fork_server: ForkServerHandle, pid: int) -> None:
        self.fork_server = fork_server
        self._pid = pid

    def kill(self) -> None:
        kill_pid(self._pid)

    def signal(self, number: signal.Signals) -> None:
        signal_pid(self._pid, number)

    def exit_status(self) -> int | None:
        return self.fork_server.exit_status_of(self._pid)


class AwaitedWorker:
    """A worker whose process may yet have to be started: what it is told waits in its channel."""

    def __init__(self) -> None:
        supervisor_end, self._worker_end = socket.socketpair()
        self.channel = channel_to_child(supervisor_end)
        self.process: ForkedWorker | NewInterpreterWorker | None = None

    def begin(self, start: Callable[[socket.socket], ForkedWorker | NewInterpreterWorker]) -> None:
        """Start it at the other end of the channel. Raises OSError."""
        self.process = start(self._worker_end)
        self._worker_end.close()

    def kill(self) -> None:
        """Also if it has not begun: then its channel closes, as if it had ended."""
        self._worker_end.close()
        if self.process is not None:
            self.process.kill()

    def exit_status(self) -> int | None:
        return None if self.process is None else self.process.exit_status()


def kill_pid(pid: int) -> None:
    signal_pid(pid, signal.SIGKILL)


def signal_pid(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def how_it_ended(status: int | None) -> str:
    """`ended with exit status 1`, `was ended by SIGSEGV`, `has ended`."""
    if status is None:
        return "has ended"
    if status >= 0:
        return f"ended with exit status {status}"
    signal_names = {number.value: number.name for number in signal.Signals}
    signal_name = signal_names.get(-status, f"signal {-status}")
    hint = " (out of memory?)" if signal_name == "SIGKILL" and sys.platform == "linux" else ""
    return f"was ended by {signal_name}{hint}"


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
        self.ready_by = time.monotonic() + patience
        """By then it should be ready; if it is not, no worker waits for it any more."""
        self.is_ready_to_fork = False
        self.is_gone = False
        self.why_not_fork: SpoiledForkServer | CannotPreload | None = None
        self.first_not_preloaded: tuple[str, str] | None = None
        self.module_runs_again: tuple[ModuleRun, ...] | None = None
        """What it has seen of the project's modules, if it was to have them."""
        self._has_living_worker = False
        self._package_signatures: dict[str, Signature | None] = {}
        self._forked_pids: list[int | None] = []
        """Of workers that were forked just now."""
        self._exit_statuses: dict[int, int] = {}

    def receive_message(self) -> None:
        """Take in the next message."""
        match self.channel.receive():
            case Preloaded(package_files, first_not_preloaded):
                self._package_signatures = signatures(package_files)
                self.first_not_preloaded = first_not_preloaded
                self.is_ready_to_fork = True
            case ModulesPreloaded(module_runs):
                self.module_runs_again = module_runs
            case SpoiledForkServer() as spoiled:
                self._package_signatures = signatures(spoiled.package_files)
                self.why_not_fork = spoiled
            case CannotPreload() as unsafe:
                self.why_not_fork = unsafe
            case Forked(pid):
                self._forked_pids.append(pid)
            case Exited(pid, exit_status):
                self._exit_statuses[pid] = exit_status
            case _:
                self.is_gone = True
                self.is_ready_to_fork = False

    def has_current_packages(self) -> bool:
        """Are the installed packages still what they were when they were preloaded?"""
        return not changed_since(self._package_signatures)

    def fork(self, worker_channel: socket.socket, *, becomes_worker: bool = True) -> ForkedWorker:
        """Have a worker forked, at the other end of the channel. Raises NoMoreProcesses, or another
        OSError if the fork server is gone, or hangs: then it is killed, and its channel says so."""
        self._has_living_worker |= becomes_worker
        self.channel.send(Fork())
        socket.send_fds(self.channel.socket, [b"x"], [worker_channel.fileno()])
        if not self._hear_until(lambda: bool(self._forked_pids), FORK_SECONDS):
            self.is_ready_to_fork = False
            self.process.kill()
            raise TimeoutError("the fork server does not answer")
        pid = self._forked_pids.pop()
        if pid is None:
            raise NoMoreProcesses(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return ForkedWorker(self, pid)

    def become_worker(self, worker_channel: socket.socket) -> NewInterpreterWorker:
        """Have a spoiled one become a worker itself, at the other end of the channel; that is its
        end as a fork server. Raises OSError if it is gone."""
        assert isinstance(self.process, subprocess.Popen)
        self.channel.send(Fork())
        socket.send_fds(self.channel.socket, [b"x"], [worker_channel.fileno()])
        self.channel.close()
        return NewInterpreterWorker(self.process, self.channel)

    def exit_status_of(self, pid: int) -> int | None:
        """The exit status of a worker that has ended or is about to; None if nobody knows it."""
        if not self._hear_until(lambda: pid in self._exit_statuses, END_SECONDS):
            kill_pid(pid)  # it has closed its channel, and lives
            self._hear_until(lambda: pid in self._exit_statuses, END_SECONDS)
        self._has_living_worker = False
        return self._exit_statuses.pop(pid, None)

    def _hear_until(self, is_enough: Callable[[], bool], seconds: float) -> bool:
        """Take in messages until it is enough; False if it is not within the seconds."""
        deadline = time.monotonic() + seconds
        while not is_enough() and not self.is_gone:
            if not self.channel.has_message(within=max(0.0, deadline - time.monotonic())):
                return False
            self.receive_message()
        return is_enough()

    def retire(self) -> None:
        """Fork no more; the fork server stays to say how its last worker ends."""
        self.is_ready_to_fork = False
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
        fork_server_process, channel = spawn(command, environ, listener)
    channel.tell(preload)
    return ForkServerHandle(fork_server_process, channel, patience, preload)

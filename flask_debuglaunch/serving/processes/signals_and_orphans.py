"""Which process ends with which: signals end the supervisor, its children end with it, and process
1 of a container takes in the orphans."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from select import select
from types import FrameType, TracebackType
from typing import Any

from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.self_pipe import SelfPipe

# Signals end the supervisor

# Ctrl-C, kill and `docker stop`, the closed terminal; Ctrl-Break on Windows.
ENDING_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class TerminationSignals:
    """While entered, these signals are only noted, and make it readable for a selector."""

    def __init__(self) -> None:
        self._signals_received: list[int] = []
        self._pipe = SelfPipe()
        self._handlers_before: dict[int, Any] = {}
        self._wakeup_fd_before = -1

    def fileno(self) -> int:
        return self._pipe.fileno()

    def take(self) -> list[int]:
        """Those that have come since the last call; makes it unreadable again."""
        self._pipe.clear()
        # Python may run the handler of one that has just woken us only now.
        signals_received = self._signals_received.copy()
        del self._signals_received[: len(signals_received)]
        return signals_received

    def __enter__(self) -> TerminationSignals:
        waker = self._pipe.waker.fileno()
        self._wakeup_fd_before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (getattr(signal, name) for name in ENDING_SIGNALS if hasattr(signal, name)):
            # One that was ignored from the start (nohup) stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers_before[number] = signal.signal(number, self._note_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_fd_before)
        self._pipe.close()

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals_received.append(number)


# A child ends with its supervisor
#
# Whatever holds the child's interpreter: the kernel sees to it. The supervisor alone has the
# writing end of a pipe on which nothing is ever written. When the supervisor is gone, however that
# came, the kernel sends SIGKILL to each process that has asked for it on a reading end of its own
# (fcntl(2), F_SETSIG; Linux). PR_SET_PDEATHSIG would not do: the parent of a forked worker is the
# fork server, which may end before it.
#
# Elsewhere a child notices as soon as its interpreter lets it (worker_main.py).


@functools.cache
def lifeline() -> int:
    """The reading end of this process's pipe, for its children. The other end is never closed."""
    reading, _writing = os.pipe()
    return reading


def tie_to(lifeline: int) -> int:
    """End with the process that has made the lifeline. Returns this process's own end of it, which
    a fork can be tied to in turn; the given one is closed."""
    if sys.platform != "linux":
        return lifeline
    import fcntl

    # Opened anew: whom to signal is kept with an open file, which a fork would share.
    own_end = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(lifeline)
    fcntl.fcntl(own_end, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own_end, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(own_end, fcntl.F_SETFL, fcntl.fcntl(own_end, fcntl.F_GETFL) | os.O_ASYNC)
    if select([own_end], [], [], 0)[0]:  # it has ended before
        os._exit(1)
    return own_end


# Process 1 of a container hands signals on and takes in orphans
#
# The kernel makes it the parent of whatever outlives its own (a shell that the app started in the
# background), and ends the container with it. In a process of its own, as tini and dumb-init are:
# one that waits for any child would take the statuses that `subprocess` waits for.

INIT = 1


def needs_init(plan: Plan) -> bool:
    """Is this process 1? A debugger that is in it already would not follow."""
    return os.getpid() == INIT and plan.connection.value != "present"


def below_init(launch: Callable[[], int]) -> int:
    """Launch in a child, and be its init; returns the exit status, 128 + N after signal N.

    Only where this process has one thread: a child has no other.
    """
    # From here on signals wait for sigwait(); the kernel drops what process 1 does not handle.
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    launcher_pid = os.fork()
    if launcher_pid == 0:
        _take_terminal()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
        return launch()
    while True:
        number = signal.sigwait(signal.valid_signals())
        if number != signal.SIGCHLD:
            os.kill(launcher_pid, number)
        elif (status := _reap_orphans(launcher_pid)) is not None:
            return status if status >= 0 else 128 - status


def _take_terminal() -> None:
    """Ctrl-C is then for this process and its children, and does not come twice."""
    os.setpgid(0, 0)
    if os.isatty(0):
        os.tcsetpgrp(0, os.getpgrp())


def _reap_orphans(launcher_pid: int) -> int | None:
    """Take in all that have ended; returns the child's exit status (-N for signal N) if it has."""
    launcher_status = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return launcher_status
        if pid == 0:
            return launcher_status
        if pid == launcher_pid:
            launcher_status = os.waitstatus_to_exitcode(status)

"""What process 1 of a container owes the others: it hands signals on and takes in orphans.

The kernel makes it the parent of whatever outlives its own (a shell that the app started in the
background), and ends the container with it. In a process of its own, as tini and dumb-init are:
one that waits for any child would take the statuses that `subprocess` waits for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from flask_debuglaunch.plan import Plan

INIT = 1


def needs_init(plan: Plan) -> bool:
    """Is this process 1? A debugger that is in it already would not follow."""
    return os.getpid() == INIT and plan.connection.value != "present"


def below_init(launch: Callable[[], int]) -> int:
    """Launch in a child, and be its init; returns the exit status, 128 + N after signal N.

    Only where this process has one thread: a child has no other.
    """
    # From here on signals wait for sigwait(); the kernel drops what process 1 does not handle.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child == 0:
        _take_terminal()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return launch()
    while True:
        number = signal.sigwait(signal.valid_signals())
        if number != signal.SIGCHLD:
            os.kill(child, number)
        elif (status := _reap(child)) is not None:
            return status if status >= 0 else 128 - status


def _take_terminal() -> None:
    """Ctrl-C is then for this process and its children, and does not come twice."""
    os.setpgid(0, 0)
    if os.isatty(0):
        os.tcsetpgrp(0, os.getpgrp())


def _reap(child: int) -> int | None:
    """Take in all that have ended; returns the child's exit status (-N for signal N) if it has."""
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)

"""A child ends with its supervisor, whatever holds the child's interpreter: the kernel sees to it.

The supervisor alone has the writing end of a pipe on which nothing is ever written. When the
supervisor is gone, however that came, the kernel sends SIGKILL to each process that has asked for
it on a reading end of its own (fcntl(2), F_SETSIG; Linux). PR_SET_PDEATHSIG would not do: the
parent of a forked worker is the fork server, which may end before it.

Elsewhere a child notices as soon as its interpreter lets it (worker_main.py).
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from select import select


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
    own = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(lifeline)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
    if select([own], [], [], 0)[0]:  # it has ended before
        os._exit(1)
    return own

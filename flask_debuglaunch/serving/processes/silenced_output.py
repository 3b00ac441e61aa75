"""Nobody sees what is printed for a while, and the program does not notice."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def silenced_output() -> Iterator[None]:
    """Stdout and stderr lead nowhere, also for native code; a terminal stays a terminal, because
    packages look for one while they are imported (loguru's colours). Windows has no second
    console to be had: there it is left as it is."""
    with contextlib.ExitStack() as restore:
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            if sys.platform == "win32" and os.isatty(descriptor):
                continue
            kept = os.dup(descriptor)
            restore.callback(_put_back, descriptor, kept)
            if stream is not None:
                restore.callback(stream.flush)
            nowhere = _terminal(descriptor) if os.isatty(descriptor) else _null()
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        yield


def _put_back(descriptor: int, kept: int) -> None:
    os.dup2(kept, descriptor)
    os.close(kept)


def _null() -> int:
    return os.open(os.devnull, os.O_WRONLY)


def _terminal(like: int) -> int:
    """A terminal of the same size, of which somebody reads and throws away what is written."""
    import fcntl
    import termios

    reading, writing = os.openpty()
    size = fcntl.ioctl(like, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(writing, termios.TIOCSWINSZ, size)
    child = os.fork()
    if child == 0:
        if os.fork() == 0:  # no child of ours: nobody has to wait for it
            _read_all(reading)
        os._exit(0)
    os.close(reading)
    os.waitpid(child, 0)
    return writing


def _read_all(reading: int) -> None:
    os.closerange(0, reading)
    os.closerange(reading + 1, os.sysconf("SC_OPEN_MAX"))
    with contextlib.suppress(OSError):  # the last writer has gone
        while os.read(reading, 4096):
            pass
    os._exit(0)

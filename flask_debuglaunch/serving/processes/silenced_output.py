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
    with contextlib.ExitStack() as restore_stack:
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            if sys.platform == "win32" and os.isatty(descriptor):
                continue
            saved_descriptor = os.dup(descriptor)
            restore_stack.callback(_restore_descriptor, descriptor, saved_descriptor)
            if stream is not None:
                restore_stack.callback(stream.flush)
            sink_descriptor = (
                _open_silent_terminal(descriptor) if os.isatty(descriptor) else _open_null_device()
            )
            os.dup2(sink_descriptor, descriptor)
            os.close(sink_descriptor)
        yield


def _restore_descriptor(descriptor: int, saved_descriptor: int) -> None:
    os.dup2(saved_descriptor, descriptor)
    os.close(saved_descriptor)


def _open_null_device() -> int:
    return os.open(os.devnull, os.O_WRONLY)


def _open_silent_terminal(terminal: int) -> int:
    """A terminal of the same size, of which somebody reads and throws away what is written."""
    import fcntl
    import termios

    terminal_end, program_end = os.openpty()
    window_size = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(program_end, termios.TIOCSWINSZ, window_size)
    reader_parent = os.fork()
    if reader_parent == 0:
        if os.fork() == 0:  # no child of ours: nobody has to wait for it
            _read_and_drop(terminal_end)
        os._exit(0)
    os.close(terminal_end)
    os.waitpid(reader_parent, 0)
    return program_end


def _read_and_drop(terminal_end: int) -> None:
    os.closerange(0, terminal_end)
    os.closerange(terminal_end + 1, os.sysconf("SC_OPEN_MAX"))
    with contextlib.suppress(OSError):  # the last writer has gone
        while os.read(terminal_end, 4096):
            pass
    os._exit(0)

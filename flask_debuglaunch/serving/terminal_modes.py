"""How the terminal is set.

A worker that is killed at a prompt (pdb with readline) leaves it without echo.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

STDIN = 0


class TerminalModes:
    """Of the terminal that standard input is, if it is one."""

    def __init__(self) -> None:
        self._modes: list[Any] | None = None
        self.remember()

    def remember(self) -> None:
        """Nobody is at a prompt now: this is how it is to be."""
        self._modes = _modes()

    def restore(self) -> None:
        """Whoever was at a prompt is gone."""
        if self._modes is not None and _modes() != self._modes and _is_ours():
            import termios

            with contextlib.suppress(termios.error):  # closed meanwhile
                termios.tcsetattr(STDIN, termios.TCSADRAIN, self._modes)


@contextlib.contextmanager
def terminal_restored() -> Iterator[None]:
    """At the end the terminal is as it was."""
    modes = TerminalModes()
    try:
        yield
    finally:
        modes.restore()


def _modes() -> list[Any] | None:
    if sys.platform == "win32" or not os.isatty(STDIN):
        return None
    import termios

    with contextlib.suppress(termios.error):
        return termios.tcgetattr(STDIN)
    return None


def _is_ours() -> bool:
    """Not of a shell that has sent us to the background: setting its modes would stop us."""
    try:
        return os.tcgetpgrp(STDIN) == os.getpgrp()
    except OSError:
        return False

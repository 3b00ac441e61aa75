"""Debuggers that ask in the terminal: pdb, where no IDE takes `breakpoint()`, ipdb, pudb, and
`code.interact()`. Where they wait for an answer, how pdb works beside an attached debugger, and how
the terminal is set, which they change for their prompts."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

from flask_debuglaunch.debuggers.debugger_interface import place_of

# All of them are bdb.Bdb at heart, which calls these with the frame that is looked at.
_BDB_CALLS = ("interaction", "user_line", "user_call", "user_return", "user_exception")


def prompting_at() -> str | None:
    """Where a thread is stopped at a prompt now, as place_of() writes it."""
    if "bdb" not in sys.modules and "code" not in sys.modules:
        return None
    places = (_place_of_prompt(frame) for frame in sys._current_frames().values())
    return next((place for place in places if place is not None), None)


def _place_of_prompt(frame: FrameType | None) -> str | None:
    while frame is not None:
        debugged_frame = _frame_at_prompt(frame)
        if debugged_frame is not None:
            return place_of(debugged_frame.f_code.co_filename, debugged_frame.f_lineno)
        frame = frame.f_back
    return None


def _frame_at_prompt(frame: FrameType) -> FrameType | None:
    """The frame that the prompt is about, if this is the frame of a prompt."""
    function_name = frame.f_code.co_name
    if function_name in _BDB_CALLS and _is_method_of(frame, "bdb", "Bdb"):
        debugged_frame = frame.f_locals.get("frame")
        return debugged_frame if isinstance(debugged_frame, FrameType) else frame.f_back
    if function_name == "interact" and _is_method_of(frame, "code", "InteractiveConsole"):
        caller = frame.f_back
        is_shortcut = caller is not None and caller.f_globals.get("__name__") == "code"
        return caller.f_back if is_shortcut and caller else caller
    return None


def _is_method_of(frame: FrameType, module: str, class_name: str) -> bool:
    class_ = getattr(sys.modules.get(module), class_name, None)
    return class_ is not None and isinstance(frame.f_locals.get("self"), class_)


def let_pdb_trace() -> None:
    """From now on, where the place for debuggers is taken, let pdb trace in its older way.

    From Python 3.14 on `pdb.set_trace()` takes the one place that `sys.monitoring` has for
    debuggers, and raises ValueError where another one has it already. Its older way,
    `sys.settrace`, works beside that: as it does by itself on Python 3.12 and 3.13.
    """
    if sys.version_info < (3, 14):
        return
    import bdb

    bdb_init = bdb.Bdb.__init__
    if hasattr(bdb_init, "is_ours"):
        return

    def init_beside_debugger(
        pdb: bdb.Bdb, skip: Iterable[str] | None = None, backend: str = "settrace"
    ) -> None:
        is_taken = sys.monitoring.get_tool(sys.monitoring.DEBUGGER_ID) is not None
        bdb_init(pdb, skip, "settrace" if is_taken else backend)

    vars(init_beside_debugger)["is_ours"] = True
    setattr(bdb.Bdb, "__init__", init_beside_debugger)  # noqa: B010 - mypy takes no other


# How the terminal is set
#
# A worker that is killed at a prompt (pdb with readline) leaves it without echo.

STDIN = 0


class TerminalModes:
    """How the terminal is set that standard input is, if it is one."""

    def __init__(self) -> None:
        self._modes: list[Any] | None = None
        self.remember()

    def remember(self) -> None:
        """Nobody is at a prompt now: this is how it is to be."""
        self._modes = _terminal_modes()

    def restore(self) -> None:
        """Whoever was at a prompt is gone."""
        if self._modes is not None and _terminal_modes() != self._modes and _is_our_terminal():
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


def _terminal_modes() -> list[Any] | None:
    if sys.platform == "win32" or not os.isatty(STDIN):
        return None
    import termios

    with contextlib.suppress(termios.error):
        return termios.tcgetattr(STDIN)
    return None


def _is_our_terminal() -> bool:
    """Not of a shell that has sent us to the background: setting its modes would stop us."""
    try:
        return os.tcgetpgrp(STDIN) == os.getpgrp()
    except OSError:
        return False

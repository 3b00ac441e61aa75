"""Which import statements follow each other, with no other code in between that could do anything.

Most modules begin with many of them: between two of these nothing has to be looked at.
"""

from __future__ import annotations

import dis
import sys
from types import FrameType
from typing import Any

from flask_debuglaunch.serving.app.module_origins import IMPORTLIB, OUR_FOLDER

# What import statements are made of, and assignments of constants, in any version of Python. Not
# that of a star, which later versions have for other things, too.
INSTRUCTIONS = frozenset(
    dis.opmap[name]
    for name in (
        "CACHE", "EXTENDED_ARG", "IMPORT_FROM", "IMPORT_NAME", "LOAD_COMMON_CONSTANT",
        "LOAD_CONST", "LOAD_SMALL_INT", "NOP", "POP_TOP", "ROT_TWO", "STORE_FAST", "STORE_NAME",
        "SWAP",
    )
    if name in dis.opmap
)  # fmt: skip
INSTRUCTION_BYTES = 2


class ImportStatements:
    """Follows those of the app."""

    def __init__(self) -> None:
        self._frame: FrameType | None = None
        self._code = b""
        self._at = 0
        """The import instruction that was reached last."""
        self._passed_over: list[dict[str, Any]] = []
        """Namespaces of modules in which no code of the app runs."""

    def others_ran(self) -> bool:
        """To be asked while a statement imports something: may the app have done anything else than
        import since the last call?"""
        frame = self._importing_frame()
        if frame is self._frame and frame is not None:
            before, self._at = self._at, frame.f_lasti
            between = self._code[before + INSTRUCTION_BYTES : self._at : INSTRUCTION_BYTES]
            # One and the same statement, or a later one; not an earlier one, in a loop.
            return before > self._at or not INSTRUCTIONS.issuperset(between)
        self._frame = frame
        if frame is not None:
            self._code, self._at = frame.f_code.co_code, frame.f_lasti
        return True

    def module_runs(self) -> None:
        """One whose code may do anything."""
        self._frame = None

    def _importing_frame(self) -> FrameType | None:
        """The one whose statement asks; without our frames, importlib's, and those that pass for
        it."""
        frame: FrameType | None = sys._getframe()
        while frame is not None and self._is_passed_over(frame):
            frame = frame.f_back
        return frame

    def _is_passed_over(self, frame: FrameType) -> bool:
        # Without f_code and id() where it can be: for these Python calls all audit hooks, which
        # takes longer than all else here.
        if frame is self._frame:
            return False
        for namespace in self._passed_over:
            if frame.f_globals is namespace:
                return True
        if not frame.f_code.co_filename.startswith((IMPORTLIB, OUR_FOLDER)):
            return False
        self._passed_over.append(frame.f_globals)
        return True

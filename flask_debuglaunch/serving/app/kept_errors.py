"""The last unhandled errors that no IDE took, with their frames: to be stopped at later.

An error's traceback keeps its frames alive, with all that they hold. So they are bounded by number,
by age and by that memory; and a reload ends the process that has them.
"""

from __future__ import annotations

import contextvars
import gc
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep  # the originals: an app may patch the module (gevent)

from flask_debuglaunch.serving.app.held_memory import bytes_held_by

MOST_ERRORS = 5
MOST_BYTES = 256 * 1024 * 1024
"""Of all together, less what the app holds without them; lower bounds, see held_memory.py."""
SECONDS = 600.0
STEP_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class KeptError:
    """request: "GET /view"; context: of the request, in which `request` and `g` evaluate."""

    error: BaseException
    request: str
    context: contextvars.Context
    since: float = field(default_factory=monotonic)
    key: str = field(default_factory=lambda: secrets.token_hex(8))

    def __str__(self) -> str:
        return f"{type(self.error).__name__} in {self.request}"


class KeptErrors:
    """start_hidden_thread: starts a thread that neither the debugger nor the app sees. tell: is
    told in it what is let go for its memory."""

    def __init__(
        self,
        start_hidden_thread: Callable[[Callable[[], None]], None],
        tell: Callable[[str], None],
        *,
        seconds: float = SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.token = secrets.token_urlsafe(16)
        """Whoever has it may have the IDE stop: of this process, so not good after a reload."""
        self._start_hidden_thread = start_hidden_thread
        self._tell = tell
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._kept: tuple[KeptError, ...] = ()
        self._lock = threading.Lock()
        self._is_bounded = False
        self._is_weighed = False

    def keep(self, error: BaseException, request: str) -> KeptError:
        kept = KeptError(error, request, contextvars.copy_context())
        with self._lock:
            before = self._kept  # ends after the lock is left: their objects may have a __del__
            self._kept = (*before, kept)[-MOST_ERRORS:]
            begins, self._is_bounded, self._is_weighed = not self._is_bounded, True, False
        if begins:
            self._start_hidden_thread(self._keep_bounded)
        return kept

    def all(self) -> tuple[KeptError, ...]:
        """The newest first."""
        return self._kept[::-1]

    def find(self, *, key: str = "", error: BaseException | None = None) -> KeptError | None:
        return next((one for one in self.all() if one.key == key or one.error is error), None)

    def _keep_bounded(self) -> None:
        """Let go of each when its time has come, or at once where they hold too much; ends with
        the last one."""
        while self._is_bounded:
            sleep(STEP_SECONDS)
            oldest = monotonic() - self._seconds
            has_let_go = self._let_go([one for one in self._kept if one.since < oldest])
            if not self._is_weighed:
                self._is_weighed = True
                has_let_go |= self._let_go_of_heavy()
            if has_let_go:
                # Flask's frames hold the error that holds them: an idle app would keep both.
                gc.collect()
            with self._lock:
                self._is_bounded = bool(self._kept)

    def _let_go_of_heavy(self) -> bool:
        """Here, a moment later: while its request ran, an error alone held nothing."""
        has_let_go = False
        while (held := bytes_held_by(*self._kept)) > self._most_bytes:
            heaviest = max(self._kept, key=bytes_held_by)
            has_let_go = self._let_go([heaviest])
            self._tell(
                f"{heaviest} can't be stopped at any more: kept errors may hold"
                f" {_megabytes(self._most_bytes)}, and with this one they held {_megabytes(held)}"
            )
        return has_let_go

    def _let_go(self, those: list[KeptError]) -> bool:
        """Returns whether there are any."""
        with self._lock:  # it is the caller whose list keeps them until the lock is left
            self._kept = tuple(one for one in self._kept if one not in those)
        return bool(those)


def _megabytes(number: int) -> str:
    return f"{number / 1024**2:,.0f} MiB"

"""The last unhandled errors that no IDE took, with their frames: to be stopped at later.

An error's traceback keeps its frames alive, with all that they hold. So there are few of them, for
a while, and a reload ends the process that has them.
"""

from __future__ import annotations

import contextvars
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep  # the originals: an app may patch the module (gevent)

MOST_ERRORS = 5
SECONDS = 600.0
EXPIRY_STEP_SECONDS = 1.0


@dataclass(frozen=True)
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
    """start_hidden_thread: starts a thread that neither the debugger nor the app sees."""

    def __init__(
        self, start_hidden_thread: Callable[[Callable[[], None]], None], seconds: float = SECONDS
    ) -> None:
        self.token = secrets.token_urlsafe(16)
        """Whoever has it may have the IDE stop: of this process, so not good after a reload."""
        self._start_hidden_thread = start_hidden_thread
        self._seconds = seconds
        self._kept: list[KeptError] = []
        self._lock = threading.Lock()
        self._expires = False

    def keep(self, error: BaseException, request: str) -> KeptError:
        kept = KeptError(error, request, contextvars.copy_context())
        with self._lock:
            self._kept = [*self._kept, kept][-MOST_ERRORS:]
            begins, self._expires = not self._expires, True
        if begins:
            self._start_hidden_thread(self._expire)
        return kept

    def all(self) -> list[KeptError]:
        """The newest first."""
        with self._lock:
            return self._kept[::-1]

    def find(self, *, key: str = "", error: BaseException | None = None) -> KeptError | None:
        return next((one for one in self.all() if one.key == key or one.error is error), None)

    def _expire(self) -> None:
        """Let go of each when its time has come; ends with the last one."""
        while True:
            sleep(EXPIRY_STEP_SECONDS)
            with self._lock:
                oldest = monotonic() - self._seconds
                self._kept = [one for one in self._kept if one.since > oldest]
                if not self._kept:
                    self._expires = False
                    return

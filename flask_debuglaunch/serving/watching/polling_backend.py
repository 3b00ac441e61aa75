"""Where no event comes (a network drive, a bind mount): time to look at everything again."""

from __future__ import annotations

import time
from collections.abc import Iterable

from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.backend_interface import Events

POLL_SECONDS, LATEST_SECONDS = 0.15, 0.7
"""Between two looks: the shortest and the usual longest pause."""
SHARE = 0.019
"""Of a core, so that with the waking it is less than 2 %: a look at 2,000 files that takes 8 ms is
taken every 0.42 s. One that takes longer is taken after LATEST_SECONDS ..."""
MOST_SHARE = 0.25
"""... as long as that does not take more of a core than this."""


class PollingEvents:
    """Names its folders again and again, and what `others` name of the folders that have events."""

    def __init__(
        self, folders: Iterable[str], ended: SelfPipe, others: Events | None = None
    ) -> None:
        self._named = dict.fromkeys(folders, True)
        self._ended, self._others = ended, others
        self._next_look = time.monotonic() + POLL_SECONDS
        self._began_to_look: float | None = None

    def wait(self, seconds: float | None) -> dict[str, bool]:
        self._have_looked()
        now = time.monotonic()
        until = self._next_look if seconds is None else min(now + seconds, self._next_look)
        patience = max(0.0, until - now)
        if self._others is None:
            named: dict[str, bool] = {}
            self._ended.wait(patience)
        else:
            named = dict(self._others.wait(patience))
        if named or self._ended.is_set() or time.monotonic() < self._next_look:
            return named
        self._began_to_look = time.thread_time()
        return self._named

    def _have_looked(self) -> None:
        """The caller is back from its look. What counts is the processor's time, not what the
        caller or the file system has waited for."""
        if self._began_to_look is None:
            return
        took = time.thread_time() - self._began_to_look
        self._next_look, self._began_to_look = time.monotonic() + pause_after(took), None

    def close(self) -> None:
        if self._others is not None:
            self._others.close()


def pause_after(look: float) -> float:
    """How long to wait after a look that took so many seconds of the processor."""
    return max(POLL_SECONDS, look / MOST_SHARE, min(look / SHARE, LATEST_SECONDS))

"""Where no event comes (a network drive, a bind mount): time to look at everything again."""

from __future__ import annotations

import time
from collections.abc import Iterable

from flask_debuglaunch.serving.self_pipe import SelfPipe

POLL_SECONDS = 0.3
SHARE = 20
"""A look that takes a second is taken every so many seconds."""


class PollingEvents:
    """Names all folders again and again."""

    def __init__(self, folders: Iterable[str], ended: SelfPipe) -> None:
        self._named = dict.fromkeys(folders, True)
        self._ended = ended
        self._asked_to_look = time.monotonic()

    def wait(self, seconds: float | None) -> dict[str, bool]:
        now = time.monotonic()
        pause = max(POLL_SECONDS, SHARE * (now - self._asked_to_look))
        is_over = seconds is not None and seconds < pause
        if self._ended.wait(seconds if seconds is not None and is_over else pause) or is_over:
            return {}
        self._asked_to_look = time.monotonic()
        return self._named

    def close(self) -> None:
        pass

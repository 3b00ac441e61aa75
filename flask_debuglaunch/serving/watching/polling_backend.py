"""Where no event comes (a network drive, a bind mount): time to look at everything again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.backend_interface import Events
from flask_debuglaunch.serving.watching.file_signature import (
    Signature,
    changed_since,
    signatures,
)

POLL_SECONDS, LATEST_SECONDS = 0.15, 0.85
"""Between two looks: the shortest and the usual longest pause."""
SHARE = 0.017
"""Of a core; with the waking and the few files it is about 2 %: a look at 2,000 files that takes
8 ms is taken every 0.47 s. One that takes longer is taken after LATEST_SECONDS ..."""
MOST_SHARE = 0.25
"""... as long as that does not take more of a core than this."""


Recent = Callable[[], Mapping[str, Signature]]


class PollingEvents:
    """Names its folders again and again, and what `others` name of the folders that have events.

    recent: gives a few files, as they were at the last look: those that a person edits. A change of
    them is named after POLL_SECONDS, however long a look at everything takes.
    """

    def __init__(
        self,
        folders: Iterable[str],
        ended: SelfPipe,
        others: Events | None = None,
        recent: Recent = dict,
    ) -> None:
        self._named = dict.fromkeys(folders, True)
        self._ended, self._others, self._recent = ended, others, recent
        self._edited: dict[str, Signature | None] = dict(recent())
        self._next_look = time.monotonic() + POLL_SECONDS
        self._began_to_look: float | None = None

    def wait(self, seconds: float | None) -> dict[str, bool]:
        self._have_looked()
        end = self._next_look
        if seconds is not None:
            end = min(end, time.monotonic() + seconds)
        while True:
            named = self._wait_for_others(min(POLL_SECONDS, max(0.0, end - time.monotonic())))
            if named or self._ended.is_set():
                return named
            if time.monotonic() >= self._next_look:
                self._began_to_look = time.thread_time()
                return self._named
            if edited := changed_since(self._edited):
                self._edited |= signatures(edited)
                return dict.fromkeys(edited, True)
            if time.monotonic() >= end:
                return {}

    def _wait_for_others(self, seconds: float) -> dict[str, bool]:
        if self._others is not None:
            return dict(self._others.wait(seconds))
        self._ended.wait(seconds)
        return {}

    def _have_looked(self) -> None:
        """The caller is back from its look. What counts is the processor's time, not what the
        caller or the file system has waited for."""
        if self._began_to_look is None:
            return
        self._edited = dict(self._recent())
        took = time.thread_time() - self._began_to_look
        self._next_look, self._began_to_look = time.monotonic() + pause_after(took), None

    def close(self) -> None:
        if self._others is not None:
            self._others.close()


def pause_after(look: float) -> float:
    """How long to wait after a look that took so many seconds of the processor."""
    return max(POLL_SECONDS, look / MOST_SHARE, min(look / SHARE, LATEST_SECONDS))

"""A run without a supervisor that ends by itself (`--for`)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType

from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.attach_debugger import debugger_of
from flask_debuglaunch.terminal_messages import say

NOTICE_SECONDS = 60.0
"""So long before the end it is said; half the time where that is shorter."""
GRACE_SECONDS = 3.0
"""What stopping may take: a view that stands in the debugger never ends."""
TIME_UP = "The time that --for gives is over"


def notice_before(seconds: float) -> float:
    """How long before its end a run that lasts so long says that it ends."""
    return min(NOTICE_SECONDS, seconds / 2)


def ends_in(seconds: float) -> str:
    """The word before the end."""
    return f"Ends by itself in {round(seconds)} s"


class TimeLimit:
    """While entered, the time that the plan gives runs; nothing happens where it gives none."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.stop: Callable[[], None] = self._end_at_once
        """Makes the run end; set when there is something to stop."""
        self._left = threading.Event()

    def __enter__(self) -> TimeLimit:
        seconds = self._plan.run_for.value
        if seconds is not None:
            # A breakpoint must not stop the clock.
            debugger_of(self._plan).start_hidden_thread(partial(self._watch, seconds))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()

    def _watch(self, seconds: float) -> None:
        notice = notice_before(seconds)
        if self._left.wait(seconds - notice):
            return
        say(ends_in(notice))
        if self._left.wait(notice):
            return
        say(TIME_UP)
        self.stop()
        if not self._left.wait(GRACE_SECONDS):
            self._end_at_once()

    def _end_at_once(self) -> None:
        os._exit(0)

"""A run without a supervisor that ends by itself (`--for`)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial

from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.attach_debugger import debugger_of
from flask_debuglaunch.terminal_messages import say

NOTICE_BEFORE_END_SECONDS = 60.0
"""So long before the end it is said; half the time where that is shorter."""
STOPPING_GRACE_SECONDS = 3.0
"""What stopping may take: a view that stands in the debugger never ends."""
TIME_UP = "The time that --for gives is over"


def seconds_of_notice(seconds: float) -> float:
    """How long before its end a run that lasts so long says that it ends."""
    return min(NOTICE_BEFORE_END_SECONDS, seconds / 2)


def ends_by_itself_message(seconds: float) -> str:
    """The word before the end."""
    return f"Ends by itself in {round(seconds)} s"


class TimeLimit:
    """While entered, the time that the plan gives runs; nothing happens where it gives none."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.stop_run: Callable[[], None] = self._end_at_once
        """Makes the run end; set when there is something to stop."""
        self._has_ended = threading.Event()

    def __enter__(self) -> TimeLimit:
        run_for_seconds = self._plan.run_for.value
        if run_for_seconds is not None:
            # A breakpoint must not stop the clock.
            debugger_of(self._plan).start_hidden_thread(partial(self._run_clock, run_for_seconds))
        return self

    def __exit__(self, *error: object) -> None:
        self._has_ended.set()

    def _run_clock(self, run_for_seconds: float) -> None:
        notice_seconds = seconds_of_notice(run_for_seconds)
        if self._has_ended.wait(run_for_seconds - notice_seconds):
            return
        say(ends_by_itself_message(notice_seconds))
        if self._has_ended.wait(notice_seconds):
            return
        say(TIME_UP)
        self.stop_run()
        if not self._has_ended.wait(STOPPING_GRACE_SECONDS):
            self._end_at_once()

    def _end_at_once(self) -> None:
        os._exit(0)

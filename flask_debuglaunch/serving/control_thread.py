"""The thread of a worker that obeys its supervisor, and ends the process with it.

It is hidden from the debugger, because it has to act also while every other thread is suspended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from select import select  # the original: an app may patch the module (gevent)

from flask_debuglaunch.debuggers.stops_in_child_processes import ChildStops
from flask_debuglaunch.debuggers.terminal_prompts import prompting_at
from flask_debuglaunch.serving.attach_debugger import debugger_of
from flask_debuglaunch.serving.ipc_messages import Go, Resumed, Retire, Stopped, Task
from flask_debuglaunch.serving.processes.ipc_channel import Channel
from flask_debuglaunch.serving.server.http_server import AppServer
from flask_debuglaunch.terminal import say

STOP_POLL_SECONDS = 0.02
REPORT_SECONDS = 0.05
"""So long the first requests have the interpreter for themselves."""


class ControlThread:
    """What the supervisor has ordered so far."""

    def __init__(self, task: Task, channel: Channel) -> None:
        self._server: AppServer | None = None
        self._reports: Sequence[Callable[[], None]] = ()
        self._report_at = 0.0
        self.has_reported = False
        self.drain_seconds = 0.0
        self.may_go = False
        """Need we not stay for the IDE once we have cleaned up?"""
        self._plan = task.plan
        self._channel = channel
        self._retiring = False
        self._exit_by: float | None = None
        self._reported: str | None = None
        self.child_stops = ChildStops()
        debugger_of(task.plan).start_hidden_thread(self._listen)

    def serve_with(self, server: AppServer, reports: Sequence[Callable[[], None]]) -> None:
        """From now on there is a server to stop; the reports are made, one after the other, when
        its first requests have had their chance."""
        self._report_at = time.monotonic() + REPORT_SECONDS
        self._reports = reports  # before the server: that is what the thread looks at first
        self._server = server

    def stopped_at(self) -> str | None:
        """Where a thread is stopped: in the IDE's debugger, here or in a child of the app, or at a
        prompt in the terminal."""
        # The debugger is not kept: the app may start one later.
        here = debugger_of(self._plan).stopped_at() or prompting_at()
        return here or self.child_stops.stopped_at()

    def allow_exit(self, seconds: float) -> None:
        """From now on: end after these seconds, whatever holds the interpreter."""
        self._exit_by = time.monotonic() + seconds

    def _listen(self) -> None:
        while True:
            sources: list[Channel | ChildStops] = [self._channel, self.child_stops]
            readable = select(sources, [], [], self._patience())[0]
            if self.child_stops in readable:
                self.child_stops.hear()
            if self._channel in readable:
                self._obey(self._channel.receive())
            elif self._server is not None and time.monotonic() >= self._report_at:
                self._make_reports()
            if self._retiring:
                self._look_on()

    def _patience(self) -> float | None:
        if self._retiring:
            return STOP_POLL_SECONDS
        return REPORT_SECONDS if self._server is None or self._reports else None

    def _make_reports(self) -> None:
        """They look at objects of the app's, which may raise anything; this thread must live on."""
        reports, self._reports = self._reports, ()
        for report in reports:
            try:
                report()
            except Exception as error:
                say(f"What the app is made from is not all known: {type(error).__name__}: {error}")
        self.has_reported = True

    def _obey(self, message: object) -> None:
        if message is None:  # whatever has killed the supervisor: leave no orphan, no port
            os._exit(1)
        if isinstance(message, Go):
            self.may_go = True
        if isinstance(message, Retire):
            self.drain_seconds = message.seconds
            self._retiring = True
            if self._server is not None:
                # Also while a thread is stopped: under load a breakpoint would be hit for ever.
                self._server.stop()
                self._make_reports()  # whoever saves so soon has the next worker started by it

    def _look_on(self) -> None:
        """While retiring: say when a stopped thread holds it up."""
        where = self.stopped_at()
        if where != self._reported:
            self._reported = where
            self._channel.tell(Stopped(where) if where else Resumed())
        is_overdue = self._exit_by is not None and time.monotonic() > self._exit_by
        # Without a server the app is still being imported, from files that have changed again.
        if where is None and (self._server is None or is_overdue):
            os._exit(0)
        if where is None and self._server is not None:
            self._server.cut_off()

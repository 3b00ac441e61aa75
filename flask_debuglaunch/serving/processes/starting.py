"""Start worker processes: forked from the stem where there is one, else in fresh interpreters."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket

from flask_debuglaunch.console import say
from flask_debuglaunch.debuggers.pydevd_sessions import Session
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.messages import Learned, Preload
from flask_debuglaunch.serving.processes.command_line import own_command
from flask_debuglaunch.serving.processes.stem_process import ForkedWorker, StemProcess, start_stem
from flask_debuglaunch.serving.processes.worker_process import WorkerProcess, start_fresh


class Starter:
    """Keeps the stem. A process it starts waits for its task."""

    def __init__(self, plan: Plan, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        # As they are now: neither the app nor a debugger shall change what a worker starts with.
        self._environ = dict(os.environ)
        self._command = own_command(under_debugger=plan.connection.value == "present")
        self._stem: StemProcess | None = None
        self._told: str | None = None

    def start(self, listener: socket.socket) -> WorkerProcess:
        """A process on its way to become a worker."""
        stem = self._stem
        if stem is not None and stem.is_ready:
            if stem.is_fresh():
                with contextlib.suppress(OSError):  # somebody has killed it
                    return stem.fork()
            self.forget()  # an installed package was changed
        return start_fresh(self._command, self._environ, listener)

    def learn(
        self, learned: Learned, plan: Plan, session: Session | None, listener: socket.socket
    ) -> None:
        """Have a stem grow with what the app has imported, for the next worker."""
        if not plan.preload.value:
            return
        if learned.unsafe is not None:
            self._give_up(learned.unsafe)
            return
        known = self._stem.preload.modules if self._stem else ()
        if self._stem is not None and set(learned.modules) <= set(known):
            return
        self.forget()
        modules = tuple(dict.fromkeys((*known, *learned.modules)))
        preload = Preload(modules, plan, session)
        self._stem = start_stem(self._command, self._environ, listener, preload)
        self._selector.register(self._stem.channel, selectors.EVENT_READ, self._stem_said)

    def forget(self) -> None:
        """Start no more workers from the stem at hand."""
        if self._stem is not None:
            self._selector.unregister(self._stem.channel)
            self._stem.retire()
            self._stem = None

    def ended(self, process: WorkerProcess) -> None:
        """A worker that was started here has ended."""
        if isinstance(process, ForkedWorker) and process.stem is not self._stem:
            process.stem.close()

    def close(self) -> None:
        if self._stem is not None:
            self._stem.close()

    def _stem_said(self) -> None:
        stem = self._stem
        # In the meantime somebody may have waited for this very message (how a worker ended).
        if stem is None or not stem.channel.has_message():
            return
        stem.hear()
        if stem.unsafe is not None:
            self._give_up(stem.unsafe)
        elif stem.is_gone:
            self.forget()

    def _give_up(self, reason: str) -> None:
        self.forget()
        if reason != self._told:
            self._told = reason
            say(f"Each reload starts a new interpreter: {reason}")

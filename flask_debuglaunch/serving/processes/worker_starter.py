"""Start worker processes: forked from the fork server, else in fresh interpreters."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket

from flask_debuglaunch.debuggers.child_sessions import Session
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.environ_for_app import environ_of_worker
from flask_debuglaunch.serving.ipc_messages import Preload, Preloadable
from flask_debuglaunch.serving.processes.fork_server_handle import (
    ForkedWorker,
    ForkServerHandle,
    start_fork_server,
)
from flask_debuglaunch.serving.processes.relaunch_command import own_command
from flask_debuglaunch.serving.processes.worker_handle import WorkerProcess, start_fresh
from flask_debuglaunch.terminal import say


class WorkerStarter:
    """Keeps the fork_server. A process it starts waits for its task."""

    def __init__(self, plan: Plan, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        # As they are now: neither the app nor a debugger shall change what a worker starts with.
        self._environ = dict(os.environ)
        self._plan = plan
        self._command = own_command(under_debugger=plan.connection.value == "present")
        self._fork_server: ForkServerHandle | None = None
        self._told: str | None = None

    def start(self, listener: socket.socket) -> WorkerProcess:
        """A process on its way to become a worker."""
        fork_server = self._fork_server
        if fork_server is not None and fork_server.is_ready:
            if fork_server.is_fresh():
                with contextlib.suppress(OSError):  # somebody has killed it
                    return fork_server.fork()
            self.forget()  # an installed package was changed
        return start_fresh(self._command, environ_of_worker(self._plan, self._environ), listener)

    def follow(self, plan: Plan) -> None:
        """The configuration has changed: what is there has old variables in its environment."""
        self._plan = plan
        self.forget()

    def learn(
        self, learned: Preloadable, plan: Plan, session: Session | None, listener: socket.socket
    ) -> None:
        """Have a fork server start with what the app has imported, for the next worker."""
        if not plan.preload.value:
            return
        if learned.unsafe is not None:
            self._give_up(learned.unsafe)
            return
        known = self._fork_server.preload.modules if self._fork_server else ()
        if self._fork_server is not None and set(learned.modules) <= set(known):
            return
        self.forget()
        modules = tuple(dict.fromkeys((*known, *learned.modules)))
        preload = Preload(modules, plan, session)
        try:
            fork_server = start_fork_server(self._command, self._environ, listener, preload)
        except OSError as error:
            self._give_up(f"a fork server can't be started: {error}")
            return
        self._fork_server = fork_server
        self._selector.register(fork_server.channel, selectors.EVENT_READ, self._fork_server_said)

    def forget(self) -> None:
        """Start no more workers from the fork server at hand."""
        if self._fork_server is not None:
            self._selector.unregister(self._fork_server.channel)
            self._fork_server.retire()
            self._fork_server = None

    def ended(self, process: WorkerProcess) -> None:
        """A worker that was started here has ended."""
        if isinstance(process, ForkedWorker) and process.fork_server is not self._fork_server:
            process.fork_server.close()

    def close(self) -> None:
        if self._fork_server is not None:
            self._fork_server.close()

    def _fork_server_said(self) -> None:
        fork_server = self._fork_server
        # In the meantime somebody may have waited for this very message (how a worker ended).
        if fork_server is None or not fork_server.channel.has_message():
            return
        fork_server.hear()
        if fork_server.unsafe is not None:
            self._give_up(fork_server.unsafe)
        elif fork_server.is_gone:
            self.forget()

    def _give_up(self, reason: str) -> None:
        self.forget()
        if reason != self._told:
            self._told = reason
            say(f"Each reload starts a new interpreter: {reason}")

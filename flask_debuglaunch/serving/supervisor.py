"""Hold the port, watch the files, and replace the worker when one of them changes.

starting --Ready--> serving --a file changed--> retiring --its channel closes--> starting ...
   '--- a file changed --------------------------^
A worker that ends by itself leaves none: the next save starts one.
"""

from __future__ import annotations

import enum
import os
import selectors
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.attach_debugger import attach_supervisor, debugger_of
from flask_debuglaunch.serving.ipc_messages import (
    Attached,
    Failed,
    Preloadable,
    Ready,
    Resumed,
    Retire,
    Stopped,
    Task,
    Watch,
)
from flask_debuglaunch.serving.processes.termination_signals import TerminationSignals
from flask_debuglaunch.serving.processes.worker_handle import WorkerProcess, how_it_ended
from flask_debuglaunch.serving.processes.worker_starter import WorkerStarter
from flask_debuglaunch.serving.reloadable_plan import ReloadablePlan
from flask_debuglaunch.serving.watching.stale_bytecode import forget_bytecode
from flask_debuglaunch.serving.watching.watcher import Watcher
from flask_debuglaunch.terminal import say

DRAIN_SECONDS = 2.0
"""How long a reload waits for requests under way."""
END_DRAIN_SECONDS = 0.5
"""The same at the very end: whoever typed Ctrl-C is waiting."""
GRACE_SECONDS = 3.0
"""What a worker may take beyond that (atexit functions) before it is killed."""
ATTACH_SECONDS = 10.0
"""An IDE that knows nothing of child processes never lets a new one go on."""


class State(enum.Enum):
    STARTING = enum.auto()
    SERVING = enum.auto()
    RETIRING = enum.auto()


@dataclass
class Worker:
    """The worker at hand."""

    process: WorkerProcess
    state: State = State.STARTING
    deadline: float | None = None
    """When it is killed, or started again without the debugger; None: it may take its time."""
    stopped_at: str | None = None


@dataclass
class Pending:
    """What has changed since the serving worker was started."""

    files: set[str] = field(default_factory=set)
    since: float = 0.0

    def add(self, files: Iterable[str]) -> None:
        if not self.files:
            self.since = time.monotonic()
        self.files.update(files)


class Supervisor:
    """One run. `resolve` gives the plan anew when the configuration has changed."""

    def __init__(self, plan: Plan, resolve: Callable[[], Plan], cleanup: ExitStack) -> None:
        self._cleanup = cleanup
        self._current = ReloadablePlan(plan, resolve, cleanup)
        self._selector = cleanup.enter_context(selectors.DefaultSelector())
        self._starter = WorkerStarter(plan, self._selector)
        cleanup.callback(self._starter.close)
        self._session = attach_supervisor(plan)
        # Only now: it may wait for an IDE, and Ctrl-C must end that at once.
        self._signals = cleanup.enter_context(TerminationSignals())
        self._watcher = cleanup.enter_context(closing(Watcher(self._current.watched)))
        self._worker: Worker | None = None
        self._next: WorkerProcess | None = None
        """Started ahead, while the worker before it ends."""
        self._pending = Pending()
        self._has_served = False
        self._use_debugger = True
        self._exit_status: int | None = None

    def run(self) -> int:
        """Returns the exit status. Raises LaunchError if there is nothing to serve."""
        self._hide_from_debugger()
        self._selector.register(self._watcher, selectors.EVENT_READ, self._files_changed)
        self._selector.register(self._signals, selectors.EVENT_READ, self._signalled)
        self._start_worker()
        self._watcher.start()
        while self._exit_status is None:
            self._wait()
        self._end_worker()
        return self._exit_status

    def _hide_from_debugger(self) -> None:
        """The IDE's Pause must not freeze us; it needs one ordinary thread that it can suspend."""
        if self._session is None:
            return
        over = threading.Event()
        self._cleanup.callback(over.set)
        # First this one: pydevd ends the session when no ordinary thread is left, and it does not
        # count a daemon.
        threading.Thread(target=over.wait, name="supervisor").start()
        for thread in (threading.current_thread(), self._watcher.thread):
            debugger_of(self._current.plan).hide_thread(thread)

    def _wait(self) -> None:
        """Handle what comes next: a message, a change, a signal, or a deadline."""
        deadline = self._worker.deadline if self._worker else None
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = self._selector.select(timeout)
        for key, _ in ready:
            key.data()
        if deadline is not None and not ready:
            self._deadline_passed()

    # Signals

    def _signalled(self) -> None:
        self._signals.clear()
        if self._signals.received:
            self._exit_status = 128 + self._signals.received[0]

    def _end_worker(self) -> None:
        """Let it answer and clean up for a moment, unless it is stopped or the user insists."""
        self._discard_next()
        worker = self._worker
        if worker is None:
            return
        self._retire(END_DRAIN_SECONDS)
        insisted = len(self._signals.received) + 1
        while self._worker and len(self._signals.received) < insisted and not worker.stopped_at:
            if worker.deadline is not None and time.monotonic() > worker.deadline:
                break
            self._wait()
        if self._worker:
            worker.process.kill()
            worker.process.exit_status()

    # Files

    def _files_changed(self) -> None:
        self._pending.add(self._watcher.changed())
        if self._worker is None:
            self._start_worker()
        elif self._worker.state is not State.RETIRING:
            self._retire(DRAIN_SECONDS)
            self._next = self._next or self._starter.start(self._current.listener)

    def _retire(self, drain_seconds: float) -> None:
        assert self._worker is not None
        self._worker.state = State.RETIRING
        self._worker.deadline = time.monotonic() + drain_seconds + GRACE_SECONDS
        self._worker.process.channel.tell(Retire(drain_seconds))

    # The worker

    def _start_worker(self) -> None:
        self._follow_configuration()
        forget_bytecode(self._pending.files)
        process = self._next or self._starter.start(self._current.listener)
        self._next = None
        process.channel.tell(self._task())
        self._worker = Worker(process)
        if self._session is not None and self._use_debugger:
            self._worker.deadline = time.monotonic() + ATTACH_SECONDS
        self._selector.register(process.channel, selectors.EVENT_READ, self._worker_said)

    def _follow_configuration(self) -> None:
        if self._current.is_made_from(self._pending.files):
            self._current.resolve_anew()
            self._watcher.follow(self._current.watched)
            self._starter.follow(self._current.plan)
            self._discard_next()

    def _discard_next(self) -> None:
        if self._next is not None:
            self._next.channel.close()
            self._next.kill()
            self._starter.ended(self._next)
            self._next = None

    def _task(self) -> Task:
        return Task(
            self._current.plan,
            self._current.certificate,
            self._session,
            is_first=not self._has_served,
            serve_errors=self._outlives_errors,
            use_debugger=self._use_debugger,
        )

    @property
    def _outlives_errors(self) -> bool:
        """Does it wait for a save that mends an app which can't be started?"""
        plan = self._current.plan
        return self._has_served or plan.settings.import_errors.value == "serve"

    def _worker_said(self) -> None:
        assert self._worker is not None
        self._hear(self._worker, self._worker.process.channel.receive())

    def _hear(self, worker: Worker, message: object) -> None:
        match message:
            case None:
                self._worker_ended(worker)
            case Attached():
                worker.deadline = None
            case Preloadable():
                self._starter.learn(
                    message, self._current.plan, self._session, self._current.listener
                )
            case Watch():
                self._watcher.add(message)
            case Ready(failed):
                self._worker_serves(worker, failed)
            case Failed(text, status):
                self._worker_failed(text, status)
            case Stopped(where):
                worker.stopped_at, worker.deadline = where, None
                say(f"reload waits: stopped at {where}")
            case Resumed():
                worker.stopped_at = None
                worker.deadline = time.monotonic() + DRAIN_SECONDS + GRACE_SECONDS

    def _worker_failed(self, text: str | None, status: int) -> None:
        """The first start ends with it; later on, a save may mend it."""
        if self._outlives_errors:
            say(f"{text}")
            return
        self._exit_status = status
        if text is not None:
            raise LaunchError(text, status)

    def _worker_serves(self, worker: Worker, failed: bool) -> None:
        if worker.state is State.RETIRING:
            return
        worker.state = State.SERVING
        if not self._has_served:
            say(f"Running on {self._current.url}")
        if failed:
            say("The app could not be imported: its error is served. The next save tries again")
        elif self._has_served:
            say(f"Reloaded in {time.monotonic() - self._pending.since:.2f} s ({self._changed()})")
        self._has_served = True
        self._pending = Pending()

    def _changed(self) -> str:
        if len(self._pending.files) != 1:
            return f"{len(self._pending.files)} files"
        return os.path.relpath(*self._pending.files)

    def _worker_ended(self, worker: Worker) -> None:
        self._selector.unregister(worker.process.channel)
        worker.process.channel.close()
        status = worker.process.exit_status()
        self._starter.ended(worker.process)
        self._worker = None
        if self._exit_status is not None:
            return
        if worker.state is State.RETIRING:
            self._start_worker()
        elif self._outlives_errors:
            self._pending = Pending()
            say(f"The app's process {how_it_ended(status)}. The next save starts it again")
        else:
            self._exit_status = 2
            say(f"The app's process {how_it_ended(status)} before it could serve")

    def _deadline_passed(self) -> None:
        worker = self._worker
        assert worker is not None
        worker.deadline = None
        if worker.state is State.STARTING:
            say(
                f"The IDE has not taken the new process over within {ATTACH_SECONDS:g} s: it may"
                " know nothing of child processes. The app is served without the debugger"
            )
            self._use_debugger = False
            worker.state = State.RETIRING
        worker.process.kill()


def supervise(plan: Plan, resolve: Callable[[], Plan]) -> int:
    """Serve with reload until told to end; returns the exit status. Raises LaunchError."""
    with ExitStack() as cleanup:
        return Supervisor(plan, resolve, cleanup).run()

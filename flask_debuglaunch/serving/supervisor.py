"""Hold the port, watch the files, and replace the worker when one of them changes.

What is to be done when is decided in supervisor_states.py. Here descriptors, signals and deadlines
become its events, and its effects are carried out.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial

from flask_debuglaunch.debuggers.terminal_debuggers import TerminalModes
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.files_written_by_app import FilesWrittenByApp
from flask_debuglaunch.serving.attach_debugger import (
    attach_supervisor,
    current_session,
    debugger_of,
)
from flask_debuglaunch.serving.ipc_protocol import (
    Go,
    ModulesUnfit,
    Preloadable,
    Retire,
    Task,
    Watch,
    Writes,
)
from flask_debuglaunch.serving.processes.next_worker_from_fork_servers import WorkerStarter
from flask_debuglaunch.serving.processes.next_worker_without_fork import WaitingWorkerStarter
from flask_debuglaunch.serving.processes.signals_and_orphans import TerminationSignals
from flask_debuglaunch.serving.processes.worker_and_fork_server_handles import (
    WorkerProcess,
    how_it_ended,
)
from flask_debuglaunch.serving.reloadable_plan import ReloadablePlan
from flask_debuglaunch.serving.supervisor_states import (
    Abandon,
    AheadEnded,
    Begin,
    DiscardAhead,
    Effect,
    Ended,
    EndsSoon,
    Event,
    FollowConfiguration,
    Kill,
    LeaverOverdue,
    LetGo,
    Overdue,
    Said,
    Saved,
    Say,
    SayAddress,
    Signalled,
    Stage,
    StartAhead,
    StartWorker,
    State,
    TellToRetire,
    TimeUp,
    step,
    with_an_end,
)
from flask_debuglaunch.serving.time_limit import TIME_UP
from flask_debuglaunch.serving.watching.file_signature import forget_bytecode
from flask_debuglaunch.serving.watching.watcher import Watcher
from flask_debuglaunch.terminal_messages import say


class Supervisor:
    """One run. `resolve` gives the plan anew when the configuration has changed."""

    def __init__(self, plan: Plan, resolve: Callable[[], Plan], cleanup: ExitStack) -> None:
        serves_error = plan.settings.import_errors.value == "serve"
        state = State(serves_first_error=serves_error)
        self._state = with_an_end(state, plan.run_for.value, time.monotonic())
        self._reloadable_plan = ReloadablePlan(plan, resolve, cleanup)
        self._selector = cleanup.enter_context(selectors.DefaultSelector())
        starter = WorkerStarter if plan.can_fork else WaitingWorkerStarter
        self._worker_starter = starter(plan, self._selector)
        cleanup.callback(self._worker_starter.close)
        self._run_is_over = threading.Event()
        cleanup.callback(self._run_is_over.set)
        self._debug_session = attach_supervisor(plan, self._is_ending)
        # Only now: it may wait for an IDE, and Ctrl-C must end that at once.
        self._signals = cleanup.enter_context(TerminationSignals())
        self._terminal_modes = TerminalModes()
        self._watcher = cleanup.enter_context(closing(Watcher(self._reloadable_plan.watched)))
        self._files_written_by_app = FilesWrittenByApp()
        self._workers: dict[int, WorkerProcess] = {}
        """By their numbers: the current one, and one that may be leaving."""
        self._worker_ahead: WorkerProcess | None = None

    def run(self) -> int:
        """Returns the exit status. Raises LaunchError if there is nothing to serve."""
        self._hide_from_debugger()
        self._selector.register(self._signals, selectors.EVENT_READ, self._on_signal)
        self._selector.register(self._watcher, selectors.EVENT_READ, self._on_files_changed)
        self._take_event(Begin())
        self._watcher.start()
        while self._state.stage is not Stage.OVER:
            self._wait_for_event()
        status = self._state.exit_status
        assert status is not None
        if self._state.error is not None:
            raise LaunchError(self._state.error, status)
        return status

    def _is_ending(self) -> bool:
        return self._run_is_over.is_set() or self._state.exit_status is not None

    def _hide_from_debugger(self) -> None:
        """The IDE's Pause must not freeze us; it needs one ordinary thread that it can suspend."""
        if self._debug_session is None:
            return
        # First this one: pydevd ends the session when no ordinary thread is left, and it does not
        # count a daemon.
        threading.Thread(target=self._run_is_over.wait, name="supervisor").start()
        for thread in (threading.current_thread(), self._watcher.thread):
            debugger_of(self._reloadable_plan.plan).hide_thread(thread)

    # Events

    def _wait_for_event(self) -> None:
        """Take what comes next: a message, a change, a signal, or a deadline."""
        deadlines = (self._state.next_deadline, self._worker_starter.deadline)
        deadline = min((time_due for time_due in deadlines if time_due is not None), default=None)
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready_keys = [key for key, _ in self._selector.select(timeout)]
        # A signal first: it may be why a worker has ended. Changes last: a worker may have said
        # that it makes them.
        priority_by_source = {self._signals: 0, self._watcher: 2}
        ready_keys.sort(key=lambda key: priority_by_source.get(key.fileobj, 1))
        for key in ready_keys:
            key.data()
        self._look_at_deadlines()

    def _look_at_deadlines(self) -> None:
        now, leaver = time.monotonic(), self._state.leaver
        if leaver is not None and leaver.deadline is not None and now >= leaver.deadline:
            self._take_event(LeaverOverdue())
        if self._state.deadline is not None and now >= self._state.deadline:
            self._take_event(Overdue())
        if self._worker_starter.deadline is not None and now >= self._worker_starter.deadline:
            self._worker_starter.be_late()
        if self._state.notice_at is not None and now >= self._state.notice_at:
            self._take_event(EndsSoon())
        if self._state.ends_at is not None and now >= self._state.ends_at:
            say(TIME_UP)
            self._take_event(TimeUp())

    def _take_event(self, event: Event) -> None:
        state_and_effects = step(self._state, event, time.monotonic())
        self._state = state_and_effects.state
        for effect in state_and_effects.effects:
            self._carry_out_effect(effect)

    def _on_signal(self) -> None:
        for number in self._signals.take():
            self._take_event(Signalled(number))

    def _on_files_changed(self) -> None:
        # First all that the workers have said: they may have written them themselves.
        for number in [*self._workers]:
            while (worker := self._workers.get(number)) and worker.channel.has_message():
                self._on_worker_message(number)
        if files := self._files_written_by_app.written_by_others(self._watcher.changed()):
            self._take_event(Saved(files, self._reloadable_plan.is_made_from(files)))

    def _on_worker_message(self, number: int) -> None:
        worker = self._workers.get(number)
        if worker is None:  # it has been abandoned in this very moment
            return
        match worker.channel.receive():
            case None:
                self._worker_ended(number)
            case Preloadable() as preloadable:
                listener = self._reloadable_plan.listener
                self._worker_starter.learn(
                    preloadable, self._reloadable_plan.plan, self._debug_session, listener
                )
            case ModulesUnfit(files):
                self._worker_starter.forget_modules(files)
            case Watch() as files_to_watch:
                self._watcher.watch_more(files_to_watch)
            case Writes(path):
                self._files_written_by_app.note(path)
            case message:
                self._take_event(Said(number, message))

    def _worker_ended(self, number: int) -> None:
        worker = self._forget_worker(number)
        status = worker.exit_status()
        self._worker_starter.ended(worker)
        was_killed = status is None or status < 0
        self._take_event(Ended(number, how_it_ended(status), was_killed))

    def _on_worker_ahead_message(self) -> None:
        assert self._worker_ahead is not None
        if self._worker_ahead.channel.receive() is None:  # else it only tells how far it is
            self._discard_ahead()
            self._take_event(AheadEnded())

    # Effects

    def _carry_out_effect(self, effect: Effect) -> None:
        match effect:
            case StartAhead():
                self._start_ahead()
            case DiscardAhead():
                self._discard_ahead()
            case FollowConfiguration():
                self._reloadable_plan.resolve_anew()
                self._watcher.watch_instead(self._reloadable_plan.watched)
                self._worker_starter.follow(self._reloadable_plan.plan)
            case StartWorker():
                self._start_worker(effect)
            case TellToRetire(number, seconds):
                self._workers[number].channel.tell(Retire(seconds))
            case LetGo(number):
                self._workers[number].channel.tell(Go())
            case Kill(number):
                self._workers[number].kill()
            case Abandon(number):
                self._worker_starter.ended(self._forget_worker(number))
            case SayAddress():
                self._reloadable_plan.say_address()
            case Say(text):
                say(text)

    def _start_ahead(self) -> None:
        try:
            self._worker_ahead = self._worker_starter.start(self._reloadable_plan.listener)
        except OSError:  # none left of something; said if it still is so when a worker is due
            self._take_event(AheadEnded())
            return
        self._selector.register(
            self._worker_ahead.channel, selectors.EVENT_READ, self._on_worker_ahead_message
        )

    def _discard_ahead(self) -> None:
        if self._worker_ahead is not None:
            worker_ahead = self._release_ahead(self._worker_ahead)
            worker_ahead.channel.close()
            worker_ahead.kill()
            self._worker_starter.ended(worker_ahead)

    def _release_ahead(self, worker_ahead: WorkerProcess) -> WorkerProcess:
        self._selector.unregister(worker_ahead.channel)
        self._worker_ahead = None
        return worker_ahead

    def _start_worker(self, start_effect: StartWorker) -> None:
        forget_bytecode(start_effect.changed)
        self._terminal_modes.remember()
        try:
            worker = (
                self._release_ahead(self._worker_ahead)
                if self._worker_ahead is not None
                else self._worker_starter.start(self._reloadable_plan.listener)
            )
        except OSError as error:
            self._take_event(Ended(start_effect.number, f"could not be started: {error}"))
            return
        plan, certificate = self._reloadable_plan.plan, self._reloadable_plan.certificate
        task = Task(
            plan,
            certificate,
            current_session(),
            is_first_worker=start_effect.is_first_worker,
            serve_errors=start_effect.serve_errors,
            use_debugger=start_effect.use_debugger,
            ide_is_known=start_effect.ide_is_known,
            look_at_project_modules=self._worker_starter.wants_to_know_modules(plan),
        )
        worker.channel.tell(task)
        self._workers[start_effect.number] = worker
        on_message = partial(self._on_worker_message, start_effect.number)
        self._selector.register(worker.channel, selectors.EVENT_READ, on_message)

    def _forget_worker(self, number: int) -> WorkerProcess:
        worker = self._workers.pop(number)
        self._selector.unregister(worker.channel)
        worker.channel.close()
        if not self._workers:  # else another one may be at a prompt
            self._terminal_modes.restore()
        return worker


def supervise(plan: Plan, resolve: Callable[[], Plan]) -> int:
    """Serve with reload until told to end; returns the exit status. Raises LaunchError."""
    with ExitStack() as cleanup:
        return Supervisor(plan, resolve, cleanup).run()

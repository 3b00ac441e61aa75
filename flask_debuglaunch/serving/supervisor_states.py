"""The supervisor as a value: where it stands, what can happen, and what follows from that.

          Saved   Attaching Attached Ready Failed Misfit     IdeLeft Leaving  CleanedUp Stopped Resumed Ended   Signal  Overdue  TimeUp
DOWN      start   .         .        .     .      .          .       .        .         .       .       .       finish  .        finish
STARTING  retire  attach    import_  .     fail   begin_anew .       .        .         .       .       unborn  end     .        end
ATTACHING retire  .         import_  .     fail   .          .       .        .         .       .       unborn  end     be_late  end
IMPORTING retire  .         .        serve fail   begin_anew leave   .        .         .       .       lose    end     .        end
SERVING   retire  .         .        .     .      .          leave   .        .         .       .       lose    end     .        end
RETIRING  note    .         .        .     .      .          leave   clean_up .         hold    .       succeed end     kill     end
LEAVING   note    .         .        .     .      .          leave   .        overtake  hold    .       succeed end     overtake end
HELD      note    .         .        .     .      .          leave   .        .         .       go_on   succeed cut_off .        cut_off
KILLED    note    .         .        .     .      .          .       .        .         .       .       succeed cut_off abandon  cut_off
LOST      restart .         .        .     .      .          .       .        .         .       .       .       finish  tell     finish
ENDING    .       .         .        .     .      .          .       .        .         kill    .       finish  kill    kill     .
LAST_KILL .       .         .        .     .      .          .       .        .         .       .       finish  .       finish   .
OVER      .       .         .        .     .      .          .       .        .         .       .       .       .       .        .

`step` looks up the rule, a function below of that name; a dot leaves everything as it is. Nothing
here waits, reads a clock or knows a process: supervisor.py turns descriptors, signals and deadlines
into events, and carries the effects out.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flask_debuglaunch.serving.ipc_protocol import (
    Attached,
    Attaching,
    CleanedUp,
    Failed,
    IdeLeft,
    Leaving,
    Misfit,
    Ready,
    Resumed,
    Stopped,
)
from flask_debuglaunch.serving.time_limit import ends_by_itself_message, seconds_of_notice
from flask_debuglaunch.terminal_messages import shown_path

DRAIN_SECONDS = 2.0
"""How long a reload waits for requests under way."""
END_DRAIN_SECONDS = 0.5
"""The same at the very end: whoever typed Ctrl-C is waiting."""
CLEAN_UP_SECONDS = 0.5
"""How long the next worker waits for the threads and atexit functions of one that has nothing it
may need: what removes a file or a registration is done by then, and what flushes to a network or
finishes a job need not be waited for."""
GRACE_SECONDS = 3.0
"""What a worker may take beyond that (atexit functions) before it is killed."""
KILL_SECONDS = 2.0
"""How long a killed worker may take to be gone; the kernel may hold it (a dead network drive)."""
LOST_SECONDS = 0.2
"""Ctrl-C and the IDE's Stop reach the whole group, and the worker may be quicker to end than we to
hear of it: so long we wait with the news that it has ended."""


class Stage(enum.Enum):
    """Of the current worker."""

    DOWN = "there is none: the next save starts one"
    STARTING = "it is on its way"
    ATTACHING = "the IDE is to take it over"
    IMPORTING = "it imports the app"
    SERVING = "it serves the app, or the error of its import"
    RETIRING = "it accepts no more, answers what is under way, and ends"
    LEAVING = "it has answered everything, and has a moment to clean up"
    HELD = "the same, and a thread of it is stopped in the debugger: it has all the time it needs"
    KILLED = "it is about to be gone, and another one starts"
    LOST = "it has ended by itself, a moment ago"
    ENDING = "the run ends: the last worker has a moment to answer and to clean up"
    LAST_KILL = "the run ends, and the last worker has been killed"
    OVER = "the run has ended"


@dataclass(frozen=True)
class UnservedChanges:
    """What has changed since the serving worker was started."""

    files: frozenset[str] = frozenset()
    since: float = 0.0
    """When the first of them was noticed."""
    in_configuration: bool = False
    """Is the plan made from one of them?"""

    def __str__(self) -> str:
        return shown_path(Path(*self.files)) if len(self.files) == 1 else f"{len(self.files)} files"


class HandOver(enum.Enum):
    """Of new processes to the IDE: how it went so far."""

    UNTRIED = "no process was handed over yet"
    DONE = "the IDE takes new ones over: if it takes its time, it is busy"
    SLOW = "it did, and now it takes its time"
    FAILED = "it has not taken the last one over"


HAND_OVER_SECONDS = {
    HandOver.UNTRIED: 10.0,
    HandOver.DONE: 10.0,
    HandOver.SLOW: 50.0,
    HandOver.FAILED: 3.0,
}
"""How long the IDE may take. One that knows nothing of child processes never lets a new one go on;
after the first time each reload takes no longer than it must."""


@dataclass(frozen=True)
class Leaver:
    """A worker that still cleans up, beside the one that has taken its place."""

    worker: int
    deadline: float | None
    """When it is killed; None while a thread of it is stopped in the debugger."""


@dataclass(frozen=True)
class State:
    """Of one run, at one moment. Times are those of time.monotonic()."""

    stage: Stage = Stage.DOWN
    deadline: float | None = None
    """When the stage has taken too long; None: it may take its time."""
    worker: int = 0
    """The number of the worker that was started last; 0: none was yet."""
    is_second_try: bool = False
    """Was it started because the one before it was killed before it could do anything?"""
    leaver: Leaver | None = None
    has_ahead: bool = False
    """Has a process been started already that waits to become the next worker?"""
    changes: UnservedChanges = UnservedChanges()
    hand_over: HandOver = HandOver.UNTRIED
    is_undebugged: bool = False
    """Is the next worker served without the debugger?"""
    serves_first_error: bool = False
    """Is an app that can't be imported no reason to end, also on the first start?"""
    has_served: bool = False
    notice_at: float | None = None
    """When it is to be said that the run ends soon; None: it has been, or the run has no end."""
    ends_at: float | None = None
    """When the run is to end by itself."""
    last_words: str = ""
    """How the lost worker has ended."""
    exit_status: int | None = None
    """None as long as the run is to go on."""
    error: str | None = None
    """Why there is nothing to serve, for the user."""

    @property
    def next_deadline(self) -> float | None:
        """When something is overdue or due: the stage, the leaver, or the end of the run."""
        leaver = self.leaver.deadline if self.leaver else None
        times = (self.deadline, leaver, self.notice_at, self.ends_at)
        return min((time for time in times if time is not None), default=None)

    @property
    def outlives_errors(self) -> bool:
        """Does it wait for a save that mends an app which can't be started?"""
        return self.has_served or self.serves_first_error


# Events


@dataclass(frozen=True)
class Begin:
    """The run begins."""


@dataclass(frozen=True)
class Saved:
    """Files have changed."""

    files: frozenset[str]
    in_configuration: bool = False
    """Is the plan made from one of them?"""


@dataclass(frozen=True)
class Said:
    """A worker has sent a message."""

    worker: int
    message: (
        Attaching
        | Attached
        | IdeLeft
        | Leaving
        | CleanedUp
        | Misfit
        | Ready
        | Failed
        | Stopped
        | Resumed
    )


@dataclass(frozen=True)
class Ended:
    """A worker has ended, or could not be started."""

    worker: int
    how: str
    was_killed: bool = False
    """By a signal, or in a way that nobody knows."""


@dataclass(frozen=True)
class AheadEnded:
    """The process that was started ahead has ended."""


@dataclass(frozen=True)
class Signalled:
    """A signal asks for the end."""

    number: int


@dataclass(frozen=True)
class Overdue:
    """The deadline of the stage has passed."""


@dataclass(frozen=True)
class LeaverOverdue:
    """That of the leaver has."""


@dataclass(frozen=True)
class EndsSoon:
    """The time of a run with an end is nearly over."""


@dataclass(frozen=True)
class TimeUp:
    """It is over."""


Event = (
    Begin
    | Saved
    | Said
    | Ended
    | AheadEnded
    | Signalled
    | Overdue
    | LeaverOverdue
    | EndsSoon
    | TimeUp
)

# Effects


@dataclass(frozen=True)
class StartAhead:
    """Start a process that waits to become the next worker."""


@dataclass(frozen=True)
class DiscardAhead:
    """It has been started with what does not hold any more."""


@dataclass(frozen=True)
class FollowConfiguration:
    """Resolve the plan anew."""


@dataclass(frozen=True)
class StartWorker:
    """Make the process that was started ahead, or else a new one, a worker."""

    number: int
    changed: frozenset[str]
    """The files of which no bytecode may be used."""
    is_first_worker: bool
    serve_errors: bool
    """Serve the error of an app that can't be imported?"""
    use_debugger: bool
    ide_is_known: bool
    """Has the IDE taken a worker over before?"""


@dataclass(frozen=True)
class LetGo:
    """Tell a worker that retires not to stay for the IDE."""

    worker: int


@dataclass(frozen=True)
class TellToRetire:
    """Tell a worker to make room."""

    worker: int
    seconds: float
    """For the requests under way."""


@dataclass(frozen=True)
class Kill:
    """Kill a worker."""

    worker: int


@dataclass(frozen=True)
class Abandon:
    """Take a worker for gone, though it may not be."""

    worker: int


@dataclass(frozen=True)
class SayAddress:
    """Tell the person where the app is served."""


@dataclass(frozen=True)
class Say:
    """Tell the person."""

    text: str


Effect = (
    StartAhead
    | DiscardAhead
    | FollowConfiguration
    | StartWorker
    | TellToRetire
    | LetGo
    | Kill
    | Abandon
    | SayAddress
    | Say
)


def with_an_end(state: State, seconds: float | None, now: float) -> State:
    """The run ends by itself after so long; None: it does not."""
    if seconds is None:
        return state
    ends_at = now + seconds
    return replace(state, notice_at=ends_at - seconds_of_notice(seconds), ends_at=ends_at)


@dataclass(frozen=True)
class StateAndEffects:
    """Where an event leads to, and what is to be done, in this order."""

    state: State
    effects: tuple[Effect, ...] = ()


def step(state: State, event: Event, now: float) -> StateAndEffects:
    """What follows from the event."""
    match event:
        case Begin():
            return _next_worker(state, now)
        case AheadEnded():
            return StateAndEffects(replace(state, has_ahead=False))
        case LeaverOverdue():
            return _killing_leaver(StateAndEffects(state))
        case EndsSoon():
            return _ends_soon(state, now)
        case TimeUp():
            state = replace(state, notice_at=None, ends_at=None)
        case Said(worker) | Ended(worker) if state.leaver and worker == state.leaver.worker:
            return _after_leavers_event(state, state.leaver, event, now)
        case Said(worker) | Ended(worker) if worker != state.worker:
            return StateAndEffects(state)  # one that was abandoned
    kind = type(event.message) if isinstance(event, Said) else type(event)
    rule = RULES[state.stage].get(kind)
    return rule(state, event, now) if rule else StateAndEffects(state)


# The rules


def start(state: State, saved: Saved, now: float) -> StateAndEffects:
    noted_state = _with_saved_files(state, saved, now)
    return _next_worker(noted_state, now)


def restart(state: State, saved: Saved, now: float) -> StateAndEffects:
    started = start(state, saved, now)
    news = Say(f"The app's process {state.last_words}, and is started again")
    return replace(started, effects=(news, *started.effects))


def note(state: State, saved: Saved, now: float) -> StateAndEffects:
    """The worker that starts next will be made from it."""
    noted_state = _with_saved_files(state, saved, now)
    if noted_state.changes.in_configuration and noted_state.has_ahead:
        return StateAndEffects(replace(noted_state, has_ahead=False), (DiscardAhead(),))
    return StateAndEffects(noted_state)


def retire(state: State, saved: Saved, now: float) -> StateAndEffects:
    deadline = now + DRAIN_SECONDS + GRACE_SECONDS
    noted_step = note(_at_stage(state, Stage.RETIRING, deadline), saved, now)
    effects = (*noted_step.effects, TellToRetire(state.worker, DRAIN_SECONDS))
    if noted_step.state.has_ahead or noted_step.state.changes.in_configuration:
        return StateAndEffects(noted_step.state, effects)
    return StateAndEffects(replace(noted_step.state, has_ahead=True), (*effects, StartAhead()))


def attach(state: State, said: Said, now: float) -> StateAndEffects:
    return StateAndEffects(
        _at_stage(state, Stage.ATTACHING, now + HAND_OVER_SECONDS[state.hand_over])
    )


def import_(state: State, said: Said, now: float) -> StateAndEffects:
    assert isinstance(said.message, Attached)
    knows_of_children = said.message.by_ide or state.hand_over is HandOver.SLOW
    hand_over = HandOver.DONE if knows_of_children else state.hand_over
    let_go = (LetGo(state.leaver.worker),) if state.leaver else ()
    return StateAndEffects(replace(_at_stage(state, Stage.IMPORTING), hand_over=hand_over), let_go)


def serve(state: State, said: Said, now: float) -> StateAndEffects:
    address = () if state.has_served else (SayAddress(),)
    news: tuple[Say, ...] = ()
    if said.message == Ready(failed=True):
        text = "The app could not be imported: its error is served. The next save tries again"
        news = (Say(text),)
    elif state.has_served:
        news = (Say(f"Reloaded in {now - state.changes.since:.2f} s ({state.changes})"),)
    serving = replace(_at_stage(state, Stage.SERVING), has_served=True, changes=UnservedChanges())
    return StateAndEffects(serving, (*address, *news))


def fail(state: State, said: Said, now: float) -> StateAndEffects:
    """The first start ends with it; later on, a save may mend it."""
    failed = said.message
    assert isinstance(failed, Failed)
    if state.outlives_errors:
        return StateAndEffects(state, (Say(f"{failed.message}"),))
    return _end_run(replace(state, exit_status=failed.exit_status, error=failed.message), now)


def begin_anew(state: State, said: Said, now: float) -> StateAndEffects:
    """It ends by itself; another one, which nothing was imported in ahead, takes its place."""
    return kill(state, said, now)


def unborn(state: State, ended: Ended, now: float) -> StateAndEffects:
    """It can't be the app's fault if it is killed before it imports the app."""
    if ended.was_killed and state.outlives_errors and not state.is_second_try:
        restarted_worker = _next_worker(state, now)
        return replace(restarted_worker, state=replace(restarted_worker.state, is_second_try=True))
    return lose(state, ended, now)


def lose(state: State, ended: Ended, now: float) -> StateAndEffects:
    lost = replace(_at_stage(state, Stage.LOST, now + LOST_SECONDS), last_words=ended.how)
    return StateAndEffects(lost)


def tell(state: State, overdue: Overdue, now: float) -> StateAndEffects:
    news = f"The app's process {state.last_words}"
    if state.outlives_errors:
        down = replace(_at_stage(state, Stage.DOWN), changes=UnservedChanges())
        return StateAndEffects(down, (Say(f"{news}. The next save starts it again"),))
    over = replace(_at_stage(state, Stage.OVER), exit_status=2)
    return StateAndEffects(over, (Say(f"{news} before it could serve"),))


def be_late(state: State, overdue: Overdue, now: float) -> StateAndEffects:
    seconds = HAND_OVER_SECONDS[state.hand_over]
    late = f"The IDE has not taken the new process over within {seconds:g} s"
    if state.hand_over is HandOver.DONE:
        more = HAND_OVER_SECONDS[HandOver.SLOW]
        text = f"{late}, as it did before: is it busy? It has {more:g} s more"
        return StateAndEffects(
            replace(state, hand_over=HandOver.SLOW, deadline=now + more), (Say(text),)
        )
    was_slow = state.hand_over is HandOver.SLOW
    text = (
        f"{late}{' more' if was_slow else ': it is busy, or knows nothing of child processes'}."
        " This process is served without the debugger; the next save asks the IDE again."
        " With --no-reload there is only one process to take over"
    )
    killed = kill(state, overdue, now)
    hand_over = HandOver.DONE if was_slow else HandOver.FAILED
    return StateAndEffects(
        replace(killed.state, hand_over=hand_over, is_undebugged=True), (Say(text), *killed.effects)
    )


def leave(state: State, said: Said, now: float) -> StateAndEffects:
    assert isinstance(said.message, IdeLeft)
    if said.message.ends_run:
        return cut_off(state, Signalled(signal.SIGTERM), now)  # as good as that
    text = (
        "The IDE has left the app's process, which goes on without the debugger. Attach it again"
        " whenever you like; if it is still attached to the launcher, it gets the next process"
    )
    return StateAndEffects(state, (Say(text),))


def clean_up(state: State, said: Said, now: float) -> StateAndEffects:
    if state.leaver is not None:  # one is enough
        return StateAndEffects(state, (LetGo(state.worker),))
    return StateAndEffects(_at_stage(state, Stage.LEAVING, now + CLEAN_UP_SECONDS))


def overtake(state: State, event: Said | Overdue, now: float) -> StateAndEffects:
    """What need not wait does not."""
    leaver = Leaver(state.worker, now + GRACE_SECONDS)
    return _next_worker(replace(state, leaver=leaver), now)


def hold(state: State, said: Said, now: float) -> StateAndEffects:
    """Said once: threads that were stopped along with the first go on a moment after it."""
    assert isinstance(said.message, Stopped)
    return StateAndEffects(
        _at_stage(state, Stage.HELD), (Say(f"reload waits: stopped at {said.message.stopped_at}"),)
    )


def go_on(state: State, said: Said, now: float) -> StateAndEffects:
    return StateAndEffects(_at_stage(state, Stage.RETIRING, now + DRAIN_SECONDS + GRACE_SECONDS))


def kill(state: State, event: Event, now: float) -> StateAndEffects:
    stage = Stage.KILLED if state.exit_status is None else Stage.LAST_KILL
    return StateAndEffects(_at_stage(state, stage, now + KILL_SECONDS), (Kill(state.worker),))


def abandon(state: State, overdue: Overdue, now: float) -> StateAndEffects:
    next_one = _next_worker(state, now)
    return StateAndEffects(next_one.state, (Abandon(state.worker), *next_one.effects))


def succeed(state: State, ended: Ended, now: float) -> StateAndEffects:
    return _next_worker(state, now)


def end(state: State, event: Signalled | TimeUp, now: float) -> StateAndEffects:
    return _end_run(replace(state, exit_status=_status_of(event)), now)


def cut_off(state: State, event: Signalled | TimeUp, now: float) -> StateAndEffects:
    """It would not end of itself, or should be gone already."""
    ending = replace(state, exit_status=_status_of(event))
    return _discarding_ahead(kill(ending, event, now))


def finish(state: State, event: Event, now: float) -> StateAndEffects:
    status = _status_of(event) if isinstance(event, (Signalled, TimeUp)) else state.exit_status
    effects = (Abandon(state.worker),) if isinstance(event, Overdue) else ()
    over = StateAndEffects(replace(_at_stage(state, Stage.OVER), exit_status=status), effects)
    return _killing_leaver(_discarding_ahead(over))


Rule = Callable[[State, Any, float], StateAndEffects]

RULES: Mapping[Stage, Mapping[type, Rule]] = {
    Stage.DOWN: {Saved: start, Signalled: finish, TimeUp: finish},
    Stage.STARTING: {
        Saved: retire,
        Attaching: attach,
        Attached: import_,
        Failed: fail,
        Misfit: begin_anew,
        Ended: unborn,
        Signalled: end,
        TimeUp: end,
    },
    Stage.ATTACHING: {
        Saved: retire,
        Attached: import_,
        Failed: fail,
        Ended: unborn,
        Signalled: end,
        Overdue: be_late,
        TimeUp: end,
    },
    Stage.IMPORTING: {
        Saved: retire,
        Ready: serve,
        Failed: fail,
        Misfit: begin_anew,
        IdeLeft: leave,
        Ended: lose,
        Signalled: end,
        TimeUp: end,
    },
    Stage.SERVING: {
        Saved: retire,
        IdeLeft: leave,
        Ended: lose,
        Signalled: end,
        TimeUp: end,
    },
    Stage.RETIRING: {
        Saved: note,
        IdeLeft: leave,
        Leaving: clean_up,
        Stopped: hold,
        Ended: succeed,
        Signalled: end,
        Overdue: kill,
        TimeUp: end,
    },
    Stage.LEAVING: {
        Saved: note,
        IdeLeft: leave,
        CleanedUp: overtake,
        Stopped: hold,
        Ended: succeed,
        Signalled: end,
        Overdue: overtake,
        TimeUp: end,
    },
    Stage.HELD: {
        Saved: note,
        IdeLeft: leave,
        Resumed: go_on,
        Ended: succeed,
        Signalled: cut_off,
        TimeUp: cut_off,
    },
    Stage.KILLED: {
        Saved: note,
        Ended: succeed,
        Signalled: cut_off,
        Overdue: abandon,
        TimeUp: cut_off,
    },
    Stage.LOST: {Saved: restart, Signalled: finish, Overdue: tell, TimeUp: finish},
    Stage.ENDING: {Stopped: kill, Ended: finish, Signalled: kill, Overdue: kill},
    Stage.LAST_KILL: {Ended: finish, Overdue: finish},
    Stage.OVER: {},
}


# What several rules do


def _at_stage(state: State, stage: Stage, deadline: float | None = None) -> State:
    return replace(state, stage=stage, deadline=deadline)


def _with_saved_files(state: State, saved: Saved, now: float) -> State:
    unserved_changes = state.changes
    changes = UnservedChanges(
        unserved_changes.files | saved.files,
        unserved_changes.since if unserved_changes.files else now,
        unserved_changes.in_configuration or saved.in_configuration,
    )
    return replace(state, changes=changes)


def _next_worker(state: State, now: float) -> StateAndEffects:
    changes = state.changes
    worker = StartWorker(
        number=state.worker + 1,
        changed=changes.files,
        is_first_worker=not state.has_served,
        serve_errors=state.outlives_errors,
        use_debugger=not state.is_undebugged,
        ide_is_known=state.hand_over in (HandOver.DONE, HandOver.SLOW),
    )
    next_one = replace(
        _at_stage(state, Stage.STARTING),
        worker=worker.number,
        is_second_try=False,
        is_undebugged=False,
        has_ahead=False,
        changes=replace(changes, in_configuration=False),
    )
    follow = (FollowConfiguration(),) if changes.in_configuration else ()
    return StateAndEffects(next_one, (*follow, worker))


def _after_leavers_event(
    state: State, leaver: Leaver, event: Said | Ended, now: float
) -> StateAndEffects:
    match event:
        case Ended():
            return StateAndEffects(replace(state, leaver=None))
        case Said(_, IdeLeft(ends_run=True)):
            return step(state, Signalled(signal.SIGTERM), now)
        case Said(_, Stopped()):
            leaver = replace(leaver, deadline=None)
        case Said(_, Resumed()):
            leaver = replace(leaver, deadline=now + GRACE_SECONDS)
    return StateAndEffects(replace(state, leaver=leaver))


def _end_run(state: State, now: float) -> StateAndEffects:
    ending = _at_stage(state, Stage.ENDING, now + END_DRAIN_SECONDS + GRACE_SECONDS)
    retire = TellToRetire(state.worker, END_DRAIN_SECONDS)
    return _discarding_ahead(StateAndEffects(ending, (retire, LetGo(state.worker))))


def _discarding_ahead(step_so_far: StateAndEffects) -> StateAndEffects:
    if not step_so_far.state.has_ahead:
        return step_so_far
    return StateAndEffects(
        replace(step_so_far.state, has_ahead=False), (DiscardAhead(), *step_so_far.effects)
    )


def _killing_leaver(step_so_far: StateAndEffects) -> StateAndEffects:
    leaver = step_so_far.state.leaver
    if leaver is None:
        return step_so_far
    effects = (Kill(leaver.worker), Abandon(leaver.worker), *step_so_far.effects)
    return StateAndEffects(replace(step_so_far.state, leaver=None), effects)


def _ends_soon(state: State, now: float) -> StateAndEffects:
    told = replace(state, notice_at=None)
    if state.ends_at is None or state.exit_status is not None:
        return StateAndEffects(told)
    return StateAndEffects(told, (Say(ends_by_itself_message(state.ends_at - now)),))


def _status_of(event: Signalled | TimeUp) -> int:
    return 128 + event.number if isinstance(event, Signalled) else 0

"""The supervisor's laws, whatever happens in whatever order; no process is started here.

test_random_kills.py has the same laws for real processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flask_debuglaunch.serving import supervisor_states as states
from flask_debuglaunch.serving.ipc_protocol import (
    MESSAGES_FROM_CHILD,
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
from flask_debuglaunch.serving.supervisor_states import Stage, State

COLUMNS = {
    "Saved": states.Saved,
    "Attaching": Attaching,
    "Attached": Attached,
    "Ready": Ready,
    "Failed": Failed,
    "Misfit": Misfit,
    "IdeLeft": IdeLeft,
    "Leaving": Leaving,
    "CleanedUp": CleanedUp,
    "Stopped": Stopped,
    "Resumed": Resumed,
    "Ended": states.Ended,
    "Signal": states.Signalled,
    "Overdue": states.Overdue,
    "TimeUp": states.TimeUp,
}


def table() -> str:
    """RULES as the docstring and the README show them."""
    rows = [["", *COLUMNS]]
    for stage, rules in states.RULES.items():
        names = [rules[kind].__name__ if kind in rules else "." for kind in COLUMNS.values()]
        rows.append([stage.name, *names])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (" ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def test_the_table_is_the_one_in_the_docstring_and_the_readme() -> None:
    assert set(states.RULES) == set(Stage)
    readme = Path(__file__).parents[2] / "README.md"
    for text in (states.__doc__ or "", readme.read_text(encoding="utf-8")):
        assert text.count(table()) == 1, f"the table should be:\n{table()}"


def test_each_message_of_the_table_is_one_that_is_listened_to() -> None:
    messages = {kind for kind in COLUMNS.values() if kind.__module__ == Ready.__module__}
    assert messages <= set(MESSAGES_FROM_CHILD)


def test_changes_are_told_where_the_working_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = states.UnservedChanges(frozenset({str(tmp_path / "gone" / "main.py")}))
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    assert str(changes) == "main.py"
    (tmp_path / "gone").rmdir()
    assert str(changes) == str(tmp_path / "gone" / "main.py")


def test_a_stage_that_can_be_overdue_says_what_then() -> None:
    """The other half, that only those have a deadline, is an invariant below."""
    overdue = {stage for stage, rules in states.RULES.items() if states.Overdue in rules}
    patient = {Stage.DOWN, Stage.STARTING, Stage.IMPORTING, Stage.SERVING, Stage.HELD, Stage.OVER}
    assert overdue == set(Stage) - patient


def test_the_ide_is_asked_again_after_it_has_failed_and_has_longer_once_it_has_not() -> None:
    state, now = State(), 0.0
    asked: list[bool] = []
    known: list[bool] = []
    patience: list[float] = []

    def take(event: states.Event) -> None:
        nonlocal state
        decided = states.step(state, event, now)
        state = decided.state
        for one in decided.effects:
            if isinstance(one, states.StartWorker):
                asked.append(one.use_debugger)
                known.append(one.ide_is_known)

    def overdue() -> None:
        nonlocal now
        assert state.deadline is not None
        patience.append(state.deadline - now)
        now = state.deadline
        take(states.Overdue())

    def serve(*messages: Attaching | Attached) -> None:
        for message in (*messages, Ready(failed=False)):
            take(states.Said(state.worker, message))

    def replace() -> None:
        take(states.Saved(frozenset({"main.py"})))
        take(states.Ended(state.worker, "ended"))

    take(states.Begin())
    take(states.Said(state.worker, Attaching()))
    overdue()
    take(states.Ended(state.worker, "was killed"))
    serve(Attached())
    assert asked == [True, False]
    replace()
    serve(Attaching(), Attached(by_ide=True))
    replace()
    take(states.Said(state.worker, Attaching()))
    overdue()  # said, and it may go on
    overdue()
    take(states.Ended(state.worker, "was killed"))
    serve(Attached())
    replace()
    assert asked == [True, False, True, True, False, True]
    assert known == [False, False, False, True, True, True]
    assert patience == [10, 10, 50]


@dataclass
class Process:
    """A worker of the simulation."""

    number: int
    save: int
    """The latest save when it began."""
    is_debugged: bool
    is_asked_for: bool = False
    """Is the IDE asked to take it over?"""
    imports: bool = False
    serves: bool = False
    retires: bool = False
    is_leaving: bool = False
    """Has it answered everything?"""
    is_stopped: bool = False
    is_killed: bool = False


class Runs(RuleBasedStateMachine):
    """Every order of saves, messages, ends, signals and deadlines."""

    @initialize(
        serves_first_error=st.booleans(),
        fails_at_once=st.booleans(),
        lasts=st.sampled_from([None, 1.0, 90.0]),
    )
    def begin(self, serves_first_error: bool, fails_at_once: bool, lasts: float | None) -> None:
        self.now = 0.0
        state = State(serves_first_error=serves_first_error)
        self.state = states.with_an_end(state, lasts, self.now)
        self.process: Process | None = None
        self.leaver: Process | None = None
        """It serves nothing any more, and cleans up beside the next one."""
        self.ahead: int | None = None
        """The latest save when the process was started that waits to become the next worker."""
        self.saves = 0
        self.configured = 0
        """The latest save of the configuration."""
        self.unseen: frozenset[str] = frozenset()
        """What was saved since the last worker began: no bytecode of it may be used."""
        self.lost_after = 0
        """The latest save when a worker ended by itself."""
        self.said: list[str] = []
        self.ends_at: float | None = None
        """By then everything has to be over."""
        self.failed_hand_over: int | None = None
        """The number of the worker that the IDE did not take over."""
        self.take(states.Begin())
        if not fails_at_once:  # else most of them never come to serve
            self.it_is_attached(by_ide=False)
            self.it_is_ready(failed=False)

    def take(self, event: states.Event) -> None:
        decided = states.step(self.state, event, self.now)
        self.state = decided.state
        for effect in decided.effects:
            self.carry_out(effect)

    def carry_out(self, effect: states.Effect) -> None:
        match effect:
            case states.StartAhead():
                assert self.ahead is None
                self.ahead = self.saves
            case states.DiscardAhead():
                assert self.ahead is not None
                self.ahead = None
            case states.StartWorker():
                self.start(effect)
            case states.TellToRetire(number):
                self.one(number).retires = True
            case states.LetGo(number):
                assert self.one(number).retires or self.one(number).is_leaving
            case states.Kill(number):
                is_end = self.state.exit_status is not None
                assert is_end or not self.one(number).is_stopped, "a save kills a stopped thread"
                self.one(number).is_killed = True
            case states.Abandon(number):
                assert self.one(number).is_killed
                if self.leaver and self.leaver.number == number:
                    self.leaver = None
                else:
                    self.process = None
            case states.Say(text):
                self.said.append(text)

    def one(self, number: int) -> Process:
        found = [one for one in (self.process, self.leaver) if one and one.number == number]
        assert found, f"{number} is not there"
        return found[0]

    def start(self, wanted: states.StartWorker) -> None:
        if self.process is not None and self.process.is_leaving:
            assert self.leaver is None, "three workers"
            self.leaver, self.process = self.process, None
        assert self.process is None, "two workers"
        assert self.state.exit_status is None, "a worker is started after the end"
        if self.failed_hand_over is not None:
            # Its replacement is served without the debugger, and the one after that asks again.
            is_replacement = wanted.number == self.failed_hand_over + 1
            assert wanted.use_debugger is not is_replacement
            if not is_replacement:
                self.failed_hand_over = None
        else:
            assert wanted.use_debugger
        assert self.ahead is None or self.ahead >= self.configured, "an old environment"
        assert wanted.changed >= self.unseen
        self.unseen = frozenset()
        self.ahead = None
        self.process = Process(wanted.number, self.saves, wanted.use_debugger)

    def hear(self, message: object) -> None:
        assert self.process
        self.take(states.Said(self.process.number, message))  # type: ignore[arg-type]

    # What happens

    @precondition(lambda self: self.state.stage is Stage.OVER)
    @rule(serves_first_error=st.booleans())
    def the_next_run(self, serves_first_error: bool) -> None:
        self.begin(serves_first_error, fails_at_once=False, lasts=90.0)

    @rule(in_configuration=st.booleans(), seconds=st.sampled_from([0.0, 0.1, 1.0]))
    def a_file_is_saved(self, in_configuration: bool, seconds: float) -> None:
        limit = self.state.next_deadline
        self.now = self.now + seconds if limit is None else min(self.now + seconds, limit)
        self.saves += 1
        self.configured = self.saves if in_configuration else self.configured
        files = frozenset({f"{self.saves}.py"})
        if self.state.stage is not Stage.OVER:
            self.unseen |= files
        self.take(states.Saved(files, in_configuration))

    def lives(self) -> bool:
        return self.process is not None and not self.process.is_killed

    def may(self, *, imports: bool, serves: bool) -> bool:
        one = self.process
        return one is not None and self.lives() and (one.imports, one.serves) == (imports, serves)

    @precondition(lambda self: self.may(imports=False, serves=False))
    @rule()
    def the_ide_is_asked(self) -> None:
        assert self.process
        if self.process.is_debugged and not self.process.is_asked_for:
            self.process.is_asked_for = True
            self.hear(Attaching())

    @precondition(lambda self: self.may(imports=False, serves=False))
    @rule(by_ide=st.booleans())
    def it_is_attached(self, by_ide: bool) -> None:
        assert self.process
        self.process.imports = True
        self.hear(Attached(by_ide and self.process.is_debugged))

    @precondition(lambda self: self.may(imports=True, serves=False))
    @rule(failed=st.booleans())
    def it_is_ready(self, failed: bool) -> None:
        assert self.process
        self.process.serves = True
        self.hear(Ready(failed))

    @precondition(lambda self: self.may(imports=True, serves=False))
    @rule()
    def there_is_nothing_to_serve(self) -> None:
        self.hear(Failed("it can't be had", 2))

    @precondition(lambda self: self.lives() and not self.process.serves)
    @rule()
    def it_was_prepared_for_another_app(self) -> None:
        assert self.process
        self.process.is_stopped = False  # it says so as it ends, with whatever stopped in it
        self.hear(Misfit())

    @precondition(lambda self: self.may(imports=True, serves=True) and self.process.retires)
    @rule()
    def everything_is_answered(self) -> None:
        assert self.process
        if not self.process.is_stopped and not self.process.is_leaving:
            self.process.is_leaving = True
            self.hear(Leaving())

    @precondition(lambda self: self.lives() and self.process.is_leaving)
    @rule()
    def everything_is_cleaned_up(self) -> None:
        assert self.process
        if not self.process.is_stopped:
            self.hear(CleanedUp())

    @precondition(lambda self: self.leaver is not None and not self.leaver.is_killed)
    @rule(what=st.sampled_from(["stops", "goes on", "ends", "the IDE leaves"]))
    def something_happens_to_the_leaver(self, what: str) -> None:
        assert self.leaver
        number = self.leaver.number
        if what == "ends":
            self.leaver = None
            self.take(states.Ended(number, "ended"))
        elif what == "the IDE leaves":
            self.is_to_end()
            self.take(states.Said(number, IdeLeft(ends_run=True)))
        elif self.leaver.is_stopped != (what == "stops"):
            self.leaver.is_stopped = what == "stops"
            message = Stopped("main.py:1") if self.leaver.is_stopped else Resumed()
            self.take(states.Said(number, message))

    @precondition(lambda self: self.state.leaver and self.state.leaver.deadline is not None)
    @rule()
    def the_leaver_takes_too_long(self) -> None:
        assert self.state.next_deadline is not None
        assert self.state.leaver
        if self.state.leaver.deadline == self.state.next_deadline:
            self.now = self.state.next_deadline
            self.take(states.LeaverOverdue())

    @precondition(lambda self: self.lives() and self.process.imports)
    @rule()
    def a_thread_stops_at_a_breakpoint(self) -> None:
        assert self.process
        self.process.is_stopped = True
        self.reports_stop()

    @precondition(lambda self: self.lives() and self.process.imports)
    @rule(ends_run=st.booleans())
    def the_ide_leaves(self, ends_run: bool) -> None:
        assert self.process
        if ends_run:
            self.is_to_end()
        else:
            self.process.is_stopped = False
        self.hear(IdeLeft(ends_run))
        if not ends_run and self.process.retires:
            self.hear(Resumed())

    @precondition(lambda self: self.lives() and self.process.is_stopped)
    @rule()
    def reports_stop(self) -> None:
        """A worker that retires looks for stops all the time."""
        assert self.process
        if self.process.retires:
            self.hear(Stopped("main.py:1"))

    @precondition(lambda self: self.lives() and self.process.is_stopped)
    @rule()
    def the_person_goes_on(self) -> None:
        assert self.process
        self.process.is_stopped = False
        if self.process.retires:
            self.hear(Resumed())

    @precondition(lambda self: self.process is not None)
    @rule(was_killed=st.booleans())
    def it_ends(self, was_killed: bool) -> None:
        assert self.process
        ended, self.process = self.process, None
        outlives_errors = self.state.outlives_errors
        is_first_try = not self.state.is_second_try
        self.lost_after = self.saves
        self.take(states.Ended(ended.number, "ended", was_killed))
        if was_killed and not ended.imports and outlives_errors and is_first_try:
            assert self.process or self.state.exit_status is not None, (
                "a save is lost with its process"
            )

    @precondition(lambda self: self.ahead is not None)
    @rule()
    def the_one_started_ahead_ends(self) -> None:
        self.ahead = None
        self.take(states.AheadEnded())

    @rule(number=st.sampled_from([2, 15]))
    def a_signal_comes(self, number: int) -> None:
        self.is_to_end()
        self.take(states.Signalled(number))

    def is_to_end(self) -> None:
        limit = states.END_DRAIN_SECONDS + states.GRACE_SECONDS + states.KILL_SECONDS
        if self.state.exit_status is None:
            self.ends_at = self.now + limit

    @precondition(lambda self: self.state.notice_at is not None)
    @rule()
    def it_ends_soon(self) -> None:
        if self.state.notice_at == self.state.next_deadline:
            self.now = max(self.now, self.state.notice_at or 0.0)
            self.take(states.EndsSoon())
            if self.state.exit_status is None:
                assert "Ends by itself in" in self.said.pop()

    @precondition(lambda self: self.state.ends_at is not None)
    @rule()
    def the_time_is_up(self) -> None:
        if self.state.ends_at == self.state.next_deadline:
            self.now = max(self.now, self.state.ends_at or 0.0)
            self.is_to_end()
            asked = self.state.exit_status
            self.take(states.TimeUp())
            assert self.state.exit_status == (0 if asked is None else asked)
            assert self.state.ends_at is None

    @precondition(lambda self: self.state.deadline is not None)
    @rule()
    def the_deadline_passes(self) -> None:
        assert self.state.deadline is not None
        if self.process and self.process.is_stopped and not self.process.is_killed:
            self.reports_stop()  # it does so long before
        if self.state.deadline is None:
            return
        if self.state.deadline != self.state.next_deadline:
            return
        self.now = max(self.now, self.state.deadline)
        was_attaching = self.state.stage is Stage.ATTACHING
        self.take(states.Overdue())
        if was_attaching and self.state.stage is Stage.KILLED:
            self.failed_hand_over = self.state.worker

    # The laws

    @invariant()
    def a_deadline_is_in_the_future_and_says_what_then(self) -> None:
        assert self.state.next_deadline is None or self.state.next_deadline >= self.now
        if self.state.deadline is not None:
            assert states.Overdue in states.RULES[self.state.stage]

    @invariant()
    def no_save_is_lost(self) -> None:
        if self.state.stage is Stage.SERVING:
            assert self.process
            assert self.process.save == self.saves
        elif self.state.stage is Stage.DOWN:
            assert "The next save starts it again" in self.said[-1]
            assert self.lost_after == self.saves
        elif self.state.stage is Stage.HELD:
            assert any("reload waits" in one for one in self.said)
        elif self.process and self.process.save < self.saves:
            is_end = self.state.exit_status is not None
            assert self.process.retires or self.process.is_killed or is_end

    @invariant()
    def what_it_takes_to_be_is(self) -> None:
        assert self.state.has_ahead == (self.ahead is not None)
        without = (Stage.DOWN, Stage.LOST, Stage.OVER)
        assert (self.process is None) == (self.state.stage in without)
        assert (self.leaver is None) == (self.state.leaver is None)

    @invariant()
    def it_ends_within_its_grace(self) -> None:
        if self.ends_at is not None and self.state.stage is not Stage.OVER:
            assert self.state.deadline is not None
            assert self.state.deadline <= self.ends_at

    @invariant()
    def what_is_over_says_how(self) -> None:
        if self.state.stage is Stage.OVER:
            assert self.state.exit_status is not None
            assert self.ahead is None
            assert self.leaver is None


TestRuns = Runs.TestCase
TestRuns.settings = settings(max_examples=50, stateful_step_count=60, deadline=None)

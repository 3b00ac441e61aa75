"""The words that tests use for every IDE, whatever protocol it speaks: Ide, Stop, Frame."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar

from .processes import TIMEOUT, Program, in_background

P = ParamSpec("P")
T = TypeVar("T")
IdeT = TypeVar("IdeT", bound="Ide[Any]")
SessionT = TypeVar("SessionT", bound="Session")

Breakpoints = Mapping[Path, Iterable[int]]
"""The lines of each file to stop at."""


@dataclass(frozen=True)
class Frame:
    file: str
    line: int
    function: str


@dataclass(frozen=True)
class ExceptionInfo:
    type: str
    """The name of its class as the debugger gives it, with or without the module."""
    message: str
    break_mode: str
    """Why it stopped: always, unhandled or userUnhandled (the debug adapter protocol's words)."""


class Stop(ABC):
    """One thread stopped in the debugger. What has been asked for once is kept, so that the
    place of a stop can be read after it was resumed."""

    reason: str
    """breakpoint, exception, step or pause."""

    @property
    @abstractmethod
    def process_id(self) -> int:
        """The process that stopped."""

    @property
    def file(self) -> str:
        return self.stack()[0].file

    @property
    def line(self) -> int:
        return self.stack()[0].line

    @property
    def function(self) -> str:
        return self.stack()[0].function

    @abstractmethod
    def stack(self) -> list[Frame]:
        """All frames, the one that stopped first."""

    @abstractmethod
    def variables(self, frame: int = 0) -> dict[str, str]:
        """The local variables of a frame, each as Python's repr."""

    @abstractmethod
    def evaluate(self, expression: str, frame: int = 0) -> str:
        """The value of an expression in a frame, as Python's repr.

        Raises EvaluationError with what the IDE would show.
        """

    @abstractmethod
    def exception_info(self) -> ExceptionInfo:
        """The exception, if that is the reason of the stop."""

    @abstractmethod
    def resume(self) -> None: ...

    @abstractmethod
    def step_over(self) -> Stop: ...

    @abstractmethod
    def step_in(self) -> Stop: ...

    @abstractmethod
    def step_out(self) -> Stop: ...

    def remember(self) -> None:
        """Ask for all that can only be asked while it is stopped."""
        self.stack()
        if self.reason == "exception":
            self.exception_info()

    def __str__(self) -> str:
        return f"{self.reason} at {self.file}:{self.line} in {self.function}"


class EvaluationError(Exception):
    """The debugger could not evaluate an expression."""


class Session:
    """One debugged process, from its connection to its end."""

    process_id: int | None = None
    """Known soon after the start."""
    is_armed = False
    """It knows the breakpoints and runs; stays true when it has ended."""
    has_ended = False


class Ide(ABC, Generic[SessionT]):
    """What every IDE's side has in common: sessions and stops, counted and waited for."""

    DEFAULT_FILTERS: ClassVar[tuple[str, ...]]
    """The exception boxes that are ticked in a fresh installation."""

    def __init__(self, breakpoints: Breakpoints | None, filters: Iterable[str] | None) -> None:
        """filters: None for the default ones."""
        self.breakpoints = {Path(file): [*lines] for file, lines in (breakpoints or {}).items()}
        self.filters = self.DEFAULT_FILTERS if filters is None else tuple(filters)
        """The exception boxes that are ticked: uncaught, userUnhandled, raised (VS Code's words)."""
        self.sessions: list[SessionT] = []
        """In the order of their start, the root first; those that have ended too."""
        self.changed = threading.Condition()
        """Held to change what tests wait for; notified after each change."""
        self.program: Program | None = None
        """What was launched; it is killed at the end of the IDE's block."""
        self.port = 0
        """Where programs dial in, if this IDE listens."""
        self.awake = threading.Event()
        """While it is not set no further process is taken over: a busy or suspended machine."""
        self.awake.set()
        self._stops: list[Stop] = []
        self._taken = 0
        self._log: list[str] = []

    # Sessions

    @property
    def live_sessions(self) -> list[SessionT]:
        with self.changed:
            return [_ for _ in self.sessions if _.is_armed and not _.has_ended]

    def wait_for_session(self, number: int, timeout: float = TIMEOUT) -> SessionT:
        """The session of that number, the root being 1, when it has its breakpoints and runs.

        One that ended before it got that far is not counted.
        """

        def armed() -> list[SessionT]:
            return [_ for _ in self.sessions if _.is_armed and _.process_id]

        self.wait_for(lambda: len(armed()) >= number, f"session {number}", timeout)
        return armed()[number - 1]

    def wait_for_end(self, timeout: float = TIMEOUT) -> None:
        """Until every session has ended."""
        self.wait_for(lambda: not self.live_sessions, "end of all sessions", timeout)

    # Stops

    @property
    def stops(self) -> list[Stop]:
        """Every stop so far, those that nobody waited for too."""
        with self.changed:
            return list(self._stops)

    def wait_for_stop(self, timeout: float = TIMEOUT) -> Stop:
        """The next stop that no wait has returned yet."""
        self.wait_for(self._has_untaken_stop, "stop", timeout)
        self._taken += 1
        return self._stops[self._taken - 1]

    def without_stop(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in a thread until it returns; fail at once if a stop comes meanwhile.

        response = ide.without_stop(http_get, url)
        """
        before = len(self._stops)
        future = self._in_background(function, *args, **kwargs)
        self.wait_for(lambda: future.done() or len(self._stops) > before, "result")
        if future.done():
            self.settle()
        assert len(self._stops) == before, f"stopped: {self._stops[before]}{self.report()}"
        return future.result()

    def resuming_stops(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, list[Stop]]:
        """Call the function in a thread until it returns, resume each stop, return both.

        response, stops = ide.resuming_stops(http_get, url)
        """
        stops: list[Stop] = []
        future = self._in_background(function, *args, **kwargs)
        while self._stops_before(future):
            stop = self.wait_for_stop()
            stop.remember()
            stop.resume()
            stops.append(stop)
        return future.result(), stops

    def _stops_before(self, future: Future[T]) -> bool:
        self.wait_for(lambda: future.done() or self._has_untaken_stop(), "result or stop")
        if not self._has_untaken_stop():
            self.settle()
        return self._has_untaken_stop()

    def _has_untaken_stop(self) -> bool:
        return len(self._stops) > self._taken

    def _in_background(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        future = in_background(function, *args, **kwargs)
        future.add_done_callback(self._note_end)
        return future

    def _note_end(self, future: Future[T]) -> None:
        self.note(f"the call in the background has ended: {future.exception() or 'well'}")

    @abstractmethod
    def set_breakpoints(self, file: Path, lines: Iterable[int]) -> None:
        """Replace the breakpoints of a file, in every session."""

    @abstractmethod
    def set_exception_filters(self, *filters: str) -> None:
        """Tick exactly these boxes: uncaught, userUnhandled, raised."""

    @abstractmethod
    def pause(self) -> None:
        """Press Pause. The stop comes when the process next runs code that may be debugged."""

    @abstractmethod
    def disconnect(self, *, terminate: bool = False) -> None:
        """Press Disconnect, or with terminate the red square, which ends the debuggee too."""

    @abstractmethod
    def settle(self) -> None:
        """Come back when everything that the debuggees have said so far is here."""

    def __enter__(self: IdeT) -> IdeT:
        return self

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    # Waiting

    def wait_for(
        self, condition: Callable[[], object], what: str, timeout: float = TIMEOUT
    ) -> None:
        """Wait, without polling, for something that comes with a message of the debugger."""
        with self.changed:
            met = self.changed.wait_for(condition, timeout)
        assert met, f"no {what} within {timeout:g} s{self.report()}"

    def add_stop(self, stop: Stop) -> None:
        with self.changed:
            self._stops.append(stop)
            self.changed.notify_all()

    def note(self, text: str) -> None:
        """Keep a line for the report of a failure, and look again at what is waited for."""
        with self.changed:
            self._log.append(f"{time.monotonic():.3f} {text}")
            self.changed.notify_all()

    def report(self, lines: int = 60) -> str:
        return "\n" + "\n".join(self._log[-lines:])

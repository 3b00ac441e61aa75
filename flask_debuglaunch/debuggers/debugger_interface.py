"""What the launcher asks of a debugger, and the plain values it answers with."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PathMappings = tuple[tuple[str, str], ...]
"""Pairs of a folder as the IDE names it and the same folder as this process sees it."""


@dataclass(frozen=True)
class Endpoint:
    """A TCP address: ours to listen on, or the IDE's to connect to.

    announced_in: a file in which an IDE looks for it, to attach by itself.
    """

    host: str
    port: int
    announced_in: Path | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Presence:
    """How a debugger is present in this process.

    attached: an IDE is at its other end now. follows_children: a process started from this one
    will have the debugger again.
    """

    attached: bool
    follows_children: bool


def place_of(file: str, line: int) -> str:
    """Where code stands, as people write it: "shop/views.py:12"; the file relative to the working
    directory if it is below it."""
    relative_path = os.path.relpath(file)
    return f"{file if relative_path.startswith(os.pardir) else relative_path}:{line}"


class Debugger(Protocol):
    """One debugger. Nothing here imports the debugger's library, but for listen and connect."""

    @property
    def name(self) -> str:
        """As DEBUG_WITH takes it."""

    @property
    def ides(self) -> tuple[str, ...]:
        """The IDEs that use it; DEBUG_WITH takes their names too."""

    @property
    def flags(self) -> tuple[str, ...]:
        """The keys of the app's block that ask for it: DEBUG_WITH_APTANA."""

    @property
    def connections(self) -> tuple[str, ...]:
        """How it can meet a process, the usual way first; empty if it needs no connection."""

    @property
    def has_one_connection(self) -> bool:
        """Does the IDE take one connection, and learn of child processes through it? Else each
        process connects to the IDE by itself."""

    @property
    def package(self) -> str | None:
        """What `pip install` takes; None if it comes with Flask."""

    def presence(self) -> Presence | None:
        """How it is present in this process; None if it is not."""

    def installed(self) -> bool:
        """Could it be imported here?"""

    def map_paths(self, mappings: PathMappings) -> None:
        """Tell it which of the IDE's folders is which of ours."""

    def listen(self, endpoint: Endpoint, when_lost: Callable[[], None]) -> None:
        """Let IDEs attach at the endpoint. Raises DebuggerUnavailable.

        when_lost is called, in a thread of its own, when nobody listens there any more.
        """

    def connect(self, endpoint: Endpoint, seconds: float = 0, *, is_known: bool = False) -> None:
        """Connect to the IDE at the endpoint, waiting so long until it listens.

        is_known: an IDE has answered there before. If it says nothing now, it is busy, and is
        waited for as long as this process lives.
        Returns when the breakpoints are set. Raises DebuggerUnavailable.
        """

    def wait_for_client(self, seconds: float) -> bool:
        """Wait for an IDE to attach and set its breakpoints; False if none came in time."""

    def stop_on_error(self, error: BaseException) -> bool:
        """Stop the IDE where the caught error was raised, until the person continues.

        Does nothing if no IDE asks for it, or if it has stopped for this error by itself. Returns
        whether it has been stopped for it.
        """

    def would_stop_at(self, error: BaseException) -> bool:
        """Is an IDE attached whose settings ask for a stop at such an error?"""

    def is_attached(self) -> bool:
        """Is an IDE attached to this process, with its breakpoints set?"""

    def forget_error(self, error: BaseException) -> None:
        """The error is over. Should the same object be raised again, that is another one."""

    def stopped_at(self) -> str | None:
        """Where a thread is stopped now, as place_of() writes it."""

    def when_ide_leaves(self, callback: Callable[[], None]) -> None:
        """Call this when the IDE leaves this process by a button, before stopped threads go on."""

    def hide_thread(self, thread: threading.Thread) -> None:
        """Keep a thread of our own out of the debugger: neither listed, traced nor suspended."""

    def suspend_alone(self, thread: threading.Thread) -> None:
        """Let no stop of this thread, one of our own, suspend the app's."""

    def start_hidden_thread(self, function: Callable[[], None]) -> None:
        """Start a daemon thread of our own that neither the debugger sees nor, as far as that can
        be had, the app."""

    def settle_in(self) -> None:
        """When it has come into this process, in whatever way: answer the IDE without delays, keep
        our own frames out of its sight, stop once for an error and never for an exit."""

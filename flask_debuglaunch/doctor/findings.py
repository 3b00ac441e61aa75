"""What a check finds, and what a check is."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask_debuglaunch.doctor.evidence import Evidence
    from flask_debuglaunch.ides.ide_interface import File


class Level(enum.Enum):
    """How bad it is. An error keeps the debugger from working; a warning may."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    """A sentence without its full stop."""
    where: str = ""
    """A file with its line, a variable, a flag, an address."""
    fix: str = ""
    """One line to copy: a command, or what to write. Empty where nothing is to be done."""
    repairs: tuple[File, ...] = ()
    """The edits with which `--fix` does it; empty where a person has to."""


@dataclass(frozen=True)
class Check:
    """A cause that a debugger is of no use, and how to find it.

    name: stable, for `--json` and the README. cause and cure: for the README's table.
    look: yields what it finds; nothing where the cause can't be there.
    """

    name: str
    cause: str
    cure: str
    look: Callable[[Evidence], Iterator[Finding]]

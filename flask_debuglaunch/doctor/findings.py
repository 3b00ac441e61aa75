"""What a check is, what it finds, and how the doctor says it: as text, as JSON, as exit status."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask_debuglaunch.redaction import redact

if TYPE_CHECKING:
    from flask_debuglaunch.doctor.evidence import Evidence
    from flask_debuglaunch.ides.ide_interface import FileEdit


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
    repairs: tuple[FileEdit, ...] = ()
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


Diagnosis = Sequence[tuple[str, Finding]]
"""Each finding with the name of its check."""


# How it is said

DOCTOR_JSON_SCHEMA = 1  # the number changes when a name or a meaning does, not when one is added


def as_text(diagnosis: Diagnosis, place: str | None, *, verbose: bool) -> str:
    """The findings that matter, and last the sentence that answers. place: FILE:LINE, if asked."""
    shown_findings = [
        finding for _, finding in diagnosis if verbose or finding.level is not Level.OK
    ]
    return redact(
        "\n".join(
            [
                *(
                    finding_line
                    for finding in shown_findings
                    for finding_line in _finding_lines(finding)
                ),
                _answering_sentence(diagnosis, place),
            ]
        )
    )


def _finding_lines(finding: Finding) -> Iterator[str]:
    where = f" ({finding.where})" if finding.where else ""
    yield f"{finding.level.value}: {finding.what}{where}"
    if finding.fix:
        yield f"    fix: {finding.fix}"


def _answering_sentence(diagnosis: Diagnosis, place: str | None) -> str:
    subject = f"a breakpoint in {place}" if place else "a breakpoint of the app"
    levels = [finding.level for _, finding in diagnosis]
    errors, warnings = levels.count(Level.ERROR), levels.count(Level.WARNING)
    counts = ((errors, "reason"), (warnings, "possible reason"))
    reasons = " and ".join(_count_of_reasons(number, noun) for number, noun in counts if number)
    return f"{reasons or 'No reason'} found why {subject} would not hit"


def _count_of_reasons(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


def as_json(diagnosis: Diagnosis, place: str | None) -> dict[str, Any]:
    """What `doctor --json` prints."""
    return {
        "schema": DOCTOR_JSON_SCHEMA,
        "answer": _answering_sentence(diagnosis, place),
        "findings": [
            {
                "check": check_name,
                "level": finding.level.value,
                "what": redact(finding.what),
                "where": redact(finding.where),
                "fix": redact(finding.fix),
            }
            for check_name, finding in diagnosis
        ],
    }


def exit_status(diagnosis: Diagnosis, *, strict: bool) -> int:
    """1 if there is an error, or with strict a warning; else 0."""
    failing_levels = (Level.ERROR, Level.WARNING) if strict else (Level.ERROR,)
    return int(any(finding.level in failing_levels for _, finding in diagnosis))

"""Marked lines of test apps: a line ending in "# @bp" or "# @bp:name" can be asked for."""

from __future__ import annotations

import re
from pathlib import Path

MARK = re.compile(r"# @bp(?::(\S+))?\s*$")


def marked_line(file: Path, name: str = "") -> int:
    """The number of the one line that carries the mark of that name ("# @bp" has none)."""
    lines = [number for number, found in _marks(file) if found == name]
    assert len(lines) == 1, f"{file}: lines {lines} are marked {name!r}, there must be one"
    return lines[0]


def marked_lines(file: Path) -> list[int]:
    """The numbers of all marked lines: what to pass as the breakpoints of a file."""
    return [number for number, _ in _marks(file)]


def _marks(file: Path) -> list[tuple[int, str]]:
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    found = [(number, MARK.search(line)) for number, line in lines]
    return [(number, match[1] or "") for number, match in found if match]

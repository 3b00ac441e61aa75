"""Which EXCLUDE_PATTERNS exclude nothing: mostly a slip of the pen, so it is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from flask_debuglaunch.configuration.origins import Value, shown
from flask_debuglaunch.configuration.value_types import Patterns
from flask_debuglaunch.serving.watching.survey import survey
from flask_debuglaunch.serving.watching.watched import Watched


def unmatched_patterns(patterns: Value[tuple[str, ...]], watched: Watched) -> Iterator[str]:
    """A line for each; it may still be right, for a file that comes later."""
    if not patterns.value:
        return
    everything = survey(replace(watched, excluded=()))
    paths = [*everything.files, *everything.module_folders]
    for pattern in patterns.value:
        if not any(Patterns.matches(pattern, path) for path in paths):
            where = shown(Path(pattern))
            yield f"{patterns.origin}: EXCLUDE_PATTERNS {where} matches no watched file yet"

"""Which EXCLUDE_PATTERNS exclude nothing: mostly a slip of the pen, so it is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from flask_debuglaunch.configuration.setting_types import Patterns
from flask_debuglaunch.configuration.value_origins import Value, shown
from flask_debuglaunch.serving.watching.folder_scan import scan
from flask_debuglaunch.serving.watching.watch_rules import WatchRules


def unmatched_patterns(patterns: Value[tuple[str, ...]], watched: WatchRules) -> Iterator[str]:
    """A line for each; it may still be right, for a file that comes later."""
    if not patterns.value:
        return
    everything = scan(replace(watched, excluded=()))
    paths = [*everything.files, *everything.module_folders]
    for pattern in patterns.value:
        if not any(Patterns.matches(pattern, path) for path in paths):
            where = shown(Path(pattern))
            yield f"{patterns.origin}: EXCLUDE_PATTERNS {where} matches no watched file yet"

"""The launchers that run now, by the table of processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flask_debuglaunch.procfs import has_working_folder, parent_and_start, processes

LAUNCHER_NAMES = ("flask_debuglaunch", "flask-debuglaunch", "debuglaunch")
OTHER_COMMANDS = {"doctor", "explain", "init", "ide", "schema"}
"""Those that serve nothing."""


@dataclass(frozen=True)
class RunningLauncher:
    """pid: the supervisor's. app_began: when it, or the newest of its children, was started, in
    seconds since the epoch: what was saved before is what runs."""

    pid: int
    app_began: float


def launchers_serving(folder: Path) -> tuple[RunningLauncher, ...]:
    """Those that serve the folder; empty where the system has no such table."""
    return tuple(_find_launchers(folder))


def _find_launchers(folder: Path) -> Iterator[RunningLauncher]:
    launcher_pids = (int(process.name) for process in processes() if _is_launcher(process, folder))
    other_launchers = {pid for pid in launcher_pids if pid != os.getpid()}
    stats = {pid: stat for pid in other_launchers if (stat := parent_and_start(pid)) is not None}
    for supervisor, (parent, _) in stats.items():
        if parent not in other_launchers:
            family = (pid for pid in stats if supervisor in _launcher_ancestors(pid, stats))
            yield RunningLauncher(supervisor, app_began=max(stats[pid][1] for pid in family))


def _is_launcher(process: Path, folder: Path) -> bool:
    try:
        command_line = (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:  # another user's, or gone
        return False
    return _starts_launcher(command_line) and has_working_folder(process, folder)


def _starts_launcher(command_line: str) -> bool:
    arguments = command_line.split("\0")
    for argument, command in pairwise((*arguments, "")):
        if Path(argument).name in LAUNCHER_NAMES:
            return command not in OTHER_COMMANDS
    return False


def _launcher_ancestors(pid: int, stats: dict[int, tuple[int, float]]) -> Iterator[int]:
    while (stat := stats.get(pid)) is not None:
        yield pid
        pid, _ = stat

"""The launchers that serve a folder now, by the process table (Linux's proc(5))."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.process_table import PROC, processes, works_in


@dataclass(frozen=True)
class RunningLauncher:
    """pids: the supervisor and its children. app_began: when the newest of them was started, in
    seconds since the epoch: what was saved before is what runs."""

    pid: int
    app_began: float


def launchers_of(folder: Path) -> tuple[RunningLauncher, ...]:
    """Empty where the system has no such table."""
    return tuple(_launchers_of(folder))


def _launchers_of(folder: Path) -> Iterator[RunningLauncher]:
    found = (int(one.name) for one in processes() if _is_launcher(one, folder))
    ours = {pid for pid in found if pid != os.getpid()}
    parents = {pid: _stat(pid) for pid in ours}
    for pid, stat in parents.items():
        if stat is None or stat[0] in ours:
            continue
        family = [child for child in ours if pid in _ancestors(child, parents)]
        began = max(one[1] for child in family if (one := parents[child]) is not None)
        yield RunningLauncher(pid, began)


def _is_launcher(process: Path, folder: Path) -> bool:
    try:
        arguments = (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:  # another user's, or gone
        return False
    return _starts_us(arguments) and works_in(process, folder)


def _starts_us(arguments: str) -> bool:
    words = arguments.split("\0")
    others = ("doctor", "explain", "init", "ide", "schema")
    names = ("flask_debuglaunch", "flask-debuglaunch", "debuglaunch")
    named = next((index for index, one in enumerate(words) if Path(one).name in names), None)
    return named is not None and not set(words[named + 1 : named + 2]) & set(others)


def _stat(pid: int) -> tuple[int, float] | None:
    """The parent and the time of the start."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        booted = time.time() - float((PROC / "uptime").read_text().split()[0])
    except OSError:
        return None
    return int(fields[1]), booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _ancestors(pid: int, parents: dict[int, tuple[int, float] | None]) -> Iterator[int]:
    while (stat := parents.get(pid)) is not None:
        yield pid
        pid = stat[0]

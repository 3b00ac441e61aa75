"""What the checks look at, gathered once: nothing of it is changed, connected to or imported."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flask_debuglaunch.configuration.settings import Settings
from flask_debuglaunch.debuggers.debugger_interface import Debugger
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS
from flask_debuglaunch.detect_environment import Facts
from flask_debuglaunch.doctor.source_tree import Project, Source, look_at
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.procfs import parent_and_start, processes, works_in
from flask_debuglaunch.serving.app.app_finder import AppTarget, find_target


@dataclass(frozen=True)
class Evidence:
    """plan: None where the settings can't be read or contradict each other; refusal says why."""

    folder: Path
    environ: Mapping[str, str]
    facts: Facts
    plan: Plan | None = None
    refusal: str | None = None

    @property
    def settings(self) -> Settings:
        """As far as they are known: the defaults where the configuration can't be read."""
        return self.plan.settings if self.plan else Settings()

    @property
    def debugger(self) -> Debugger | None:
        """The external debugger that the app is to be debugged with, if any."""
        return DEBUGGERS[self.plan.debugger.value] if self.plan and self.plan.is_external else None

    @property
    def app_folder(self) -> Path:
        return self.plan.app_directory.value if self.plan else self.folder

    @cached_property
    def target(self) -> AppTarget | None:
        """What is the app; None where there is none, or the plan is not known."""
        from flask_debuglaunch.errors import LaunchError

        if self.plan is None:
            return None
        try:
            return find_target(self.plan)
        except LaunchError:
            return None

    @cached_property
    def app_file(self) -> Path | None:
        """What is imported as the app; None where it is not among the files that may be meant."""
        candidates = files_of_app(self.target.path) if self.target else ()
        return next(filter(os.path.isfile, candidates), None)

    @cached_property
    def project(self) -> Project:
        return look_at(self.app_folder)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The project's own Python files."""
        return self.project.sources

    @cached_property
    def launchers(self) -> tuple[RunningLauncher, ...]:
        """Launchers that serve this folder now."""
        return launchers_of(self.folder)


def files_of_app(path: Path) -> Iterator[Path]:
    """The files that the name of an app may stand for: shop/web.py, shop/web and shop.web."""
    for one in (path, path.parent.joinpath(*path.name.removesuffix(".py").split("."))):
        yield from (one, one.parent / f"{one.name}.py", one / "__init__.py")


# Running launchers, by the table of processes


@dataclass(frozen=True)
class RunningLauncher:
    """pid: the supervisor's. app_began: when it, or the newest of its children, was started, in
    seconds since the epoch: what was saved before is what runs."""

    pid: int
    app_began: float


def launchers_of(folder: Path) -> tuple[RunningLauncher, ...]:
    """Those that serve the folder; empty where the system has no such table."""
    return tuple(_launchers_of(folder))


def _launchers_of(folder: Path) -> Iterator[RunningLauncher]:
    found = (int(one.name) for one in processes() if _is_launcher(one, folder))
    ours = {pid for pid in found if pid != os.getpid()}
    parents = {pid: parent_and_start(pid) for pid in ours}
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


def _ancestors(pid: int, parents: dict[int, tuple[int, float] | None]) -> Iterator[int]:
    while (stat := parents.get(pid)) is not None:
        yield pid
        pid = stat[0]

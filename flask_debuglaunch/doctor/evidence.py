"""What the checks look at, gathered once: nothing of it is changed, connected to or imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flask_debuglaunch.configuration.settings import Settings
from flask_debuglaunch.debuggers.debugger_interface import Debugger
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS
from flask_debuglaunch.detect_environment import Facts, observe
from flask_debuglaunch.doctor.running_launchers import RunningLauncher, launchers_serving
from flask_debuglaunch.doctor.source_tree import SourceFile, SourceTree, read_source_tree
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
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
        if self.plan is None:
            return None
        try:
            return find_target(self.plan)
        except LaunchError:
            return None

    @cached_property
    def app_file(self) -> Path | None:
        """What is imported as the app; None where it is not among the files that may be meant."""
        app_file_candidates = files_app_may_be(self.target.path) if self.target else ()
        return next(filter(os.path.isfile, app_file_candidates), None)

    @cached_property
    def source_tree(self) -> SourceTree:
        return read_source_tree(self.app_folder)

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """The project's own Python files."""
        return self.source_tree.sources

    @cached_property
    def launchers(self) -> tuple[RunningLauncher, ...]:
        """Launchers that serve this folder now."""
        return launchers_serving(self.folder)


def gather_evidence(resolve: Callable[[], Plan], environ: Mapping[str, str]) -> Evidence:
    """resolve: gives the plan; the LaunchError that it raises becomes a finding."""
    facts = observe(environ)
    try:
        return Evidence(facts.folder, environ, facts, plan=resolve())
    except LaunchError as error:
        return Evidence(facts.folder, environ, facts, refusal=str(error))


def files_app_may_be(path: Path) -> Iterator[Path]:
    """The files that the name of an app may stand for: shop/web.py, shop/web and shop.web."""
    for path_without_suffix in (
        path,
        path.parent.joinpath(*path.name.removesuffix(".py").split(".")),
    ):
        yield from (
            path_without_suffix,
            path_without_suffix.parent / f"{path_without_suffix.name}.py",
            path_without_suffix / "__init__.py",
        )

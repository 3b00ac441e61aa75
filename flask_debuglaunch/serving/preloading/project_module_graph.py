"""Which modules of the project can be imported ahead of a worker: a pure function of what was seen
when the app was imported, and of which files were edited since.

A module is hot if it must run anew in each worker, cold if every worker can share one run of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flask_debuglaunch.serving.ipc_protocol import ModuleRun


@dataclass(frozen=True)
class ColdAndHotModules:
    """Of the modules of one import of the app."""

    cold: tuple[ModuleRun, ...]
    """In the order in which they began to run."""
    hot: Mapping[str, str]
    """Each with the reason."""


def cold_and_hot_modules(
    runs: Sequence[ModuleRun], edited: Collection[str], left_out: Mapping[str, str]
) -> ColdAndHotModules:
    """Split the modules into cold and hot ones.

    edited: paths of files. left_out: modules, and installed packages, that must not be imported
    ahead, each with the reason.
    """
    hot: dict[str, str] = {}
    importers = _importers(runs)
    pending = list(_hot_by_themselves(runs, edited, left_out))
    while pending:
        name, reason = pending.pop()
        if name not in hot:
            hot[name] = reason
            depends = reason if reason.startswith("depends on") else f"depends on {name}: {reason}"
            pending += [(one, depends) for one in importers.get(name, ())]
    return ColdAndHotModules(tuple(run for run in runs if run.name not in hot), hot)


def _hot_by_themselves(
    runs: Sequence[ModuleRun], edited: Collection[str], left_out: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    changed = {run.name for run in runs if run.is_changed_after_run}
    for run in runs:
        if changed_files := (run.files | run.asked_paths.keys()) & frozenset(edited):
            yield run.name, f"{min(changed_files)} was edited"
        if run.effect is not None:
            yield run.name, run.effect
        for one in (run.name, *dict.fromkeys(one.partition(".")[0] for one in run.imports)):
            if one in left_out:
                yield run.name, left_out[one] if one == run.name else f"imports {one}"
    for run in runs:
        for name in changed.intersection(with_parents(run.imports)) - {run.name}:
            yield run.name, f"imports {name}, of which others change objects"


def _importers(runs: Iterable[ModuleRun]) -> dict[str, list[str]]:
    importers: dict[str, list[str]] = {}
    for run in runs:
        for name in with_parents(run.imports):
            importers.setdefault(name, []).append(run.name)
    return importers


def with_parents(names: Iterable[str]) -> Iterator[str]:
    """Each name after the packages that it is in, as Python imports them; each once."""
    seen = set()
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            one = ".".join(parts[:length])
            if one not in seen:
                seen.add(one)
                yield one


def merged_runs(runs: Sequence[ModuleRun], seen: Iterable[ModuleRun]) -> tuple[ModuleRun, ...]:
    """The runs, with what was seen when some of them were made once more: one that was not the same
    gets that as its effect."""
    again = {run.name: run for run in seen}
    modules = {run.name for run in runs} | again.keys()
    return tuple(_merged_run(run, again.get(run.name, run), modules) for run in runs)


def _merged_run(run: ModuleRun, again: ModuleRun, modules: Collection[str]) -> ModuleRun:
    effect = run.effect or again.effect
    if effect is None and _edges(run, modules) != _edges(again, modules):
        effect = "does not always import the same"
    if effect is None and run.changes != again.changes:
        what = min(set(run.changes) ^ set(again.changes))[0]
        effect = f"runs when {what} is not as it is for a package"
    return replace(
        run,
        effect=effect,
        is_changed_after_run=run.is_changed_after_run or again.is_changed_after_run,
        read_paths=run.read_paths | again.read_paths,
        asked_paths={**again.asked_paths, **run.asked_paths},
    )


def _edges(run: ModuleRun, modules: Collection[str]) -> list[tuple[str, bool]]:
    return [
        (one, one in run.imported_incomplete) for one in with_parents(run.imports) if one in modules
    ]


class ImportOrderDiffers(Exception):
    """A new interpreter would come to a module in another way than the one that was recorded."""

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.module = module


@dataclass
class ImportOrderReplay:
    """What an interpreter would do now that comes to cold modules which have run elsewhere."""

    runs: Mapping[str, ModuleRun]
    finished: set[str] = field(default_factory=set)
    _running: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.edges = {
            run.name: [
                (one, one in run.imported_incomplete) for one in run.imports if one in self.runs
            ]
            for run in self.runs.values()
        }
        """Which of the modules each one imports, and whether it got that before it was complete.
        Made before the fork: most of what a module imports is none of them."""

    def import_(self, name: str) -> list[str]:
        """The modules that are there after the import and were not before, in the order in which
        they would have ended. Raises OrderDiffers."""
        ended: list[str] = []
        self._come_to(name, ended)
        return ended

    def _come_to(self, name: str, ended: list[str]) -> None:
        if name not in self.runs or name in self.finished or name in self._running:
            return
        self._running.add(name)
        for one, was_partial in self.edges[name]:
            # In a cycle somebody gets a module that is not complete: the same one as then?
            if was_partial != (one in self._running):
                raise ImportOrderDiffers(name)
            if one not in self.finished:
                self._come_to(one, ended)
        self._running.remove(name)
        self.finished.add(name)
        ended.append(name)

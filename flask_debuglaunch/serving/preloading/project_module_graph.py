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
    module_runs: Sequence[ModuleRun], edited_files: Collection[str], never_cold: Mapping[str, str]
) -> ColdAndHotModules:
    """Split the modules into cold and hot ones.

    edited: paths of files. left_out: modules, and installed packages, that must not be imported
    ahead, each with the reason.
    """
    hot: dict[str, str] = {}
    importers = _importers_by_module(module_runs)
    pending_hot = list(_hot_by_themselves(module_runs, edited_files, never_cold))
    while pending_hot:
        name, reason = pending_hot.pop()
        if name not in hot:
            hot[name] = reason
            dependency_reason = (
                reason if reason.startswith("depends on") else f"depends on {name}: {reason}"
            )
            pending_hot += [(importer, dependency_reason) for importer in importers.get(name, ())]
    return ColdAndHotModules(tuple(run for run in module_runs if run.name not in hot), hot)


def _hot_by_themselves(
    module_runs: Sequence[ModuleRun], edited_files: Collection[str], never_cold: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    changed_after_run = {run.name for run in module_runs if run.is_changed_after_run}
    for run in module_runs:
        if changed_files := (run.files | run.asked_paths.keys()) & frozenset(edited_files):
            yield run.name, f"{min(changed_files)} was edited"
        if run.effect is not None:
            yield run.name, run.effect
        if run.name in never_cold:
            yield run.name, never_cold[run.name]
        for package in dict.fromkeys(module.partition(".")[0] for module in run.imports):
            if package in never_cold and package != run.name:
                yield run.name, f"imports {package}"
    for run in module_runs:
        for name in changed_after_run.intersection(with_parents(run.imports)) - {run.name}:
            yield run.name, f"imports {name}, of which others change objects"


def _importers_by_module(module_runs: Iterable[ModuleRun]) -> dict[str, list[str]]:
    importers: dict[str, list[str]] = {}
    for run in module_runs:
        for name in with_parents(run.imports):
            importers.setdefault(name, []).append(run.name)
    return importers


def with_parents(names: Iterable[str]) -> Iterator[str]:
    """Each name after the packages that it is in, as Python imports them; each once."""
    names_so_far = set()
    for name in names:
        name_parts = name.split(".")
        for length in range(1, len(name_parts) + 1):
            parent_or_name = ".".join(name_parts[:length])
            if parent_or_name not in names_so_far:
                names_so_far.add(parent_or_name)
                yield parent_or_name


def merged_runs(
    module_runs: Sequence[ModuleRun], runs_again: Iterable[ModuleRun]
) -> tuple[ModuleRun, ...]:
    """The runs, with what was seen when some of them were made once more: one that was not the same
    gets that as its effect."""
    again_by_name = {run.name: run for run in runs_again}
    modules = {run.name for run in module_runs} | again_by_name.keys()
    return tuple(_merged_run(run, again_by_name.get(run.name, run), modules) for run in module_runs)


def _merged_run(run: ModuleRun, run_again: ModuleRun, modules: Collection[str]) -> ModuleRun:
    effect = run.effect or run_again.effect
    if effect is None and _import_edges(run, modules) != _import_edges(run_again, modules):
        effect = "does not always import the same"
    if effect is None and run.changes != run_again.changes:
        changed_state = min(set(run.changes) ^ set(run_again.changes))[0]
        effect = f"runs when {changed_state} is not as it is for a package"
    return replace(
        run,
        effect=effect,
        is_changed_after_run=run.is_changed_after_run or run_again.is_changed_after_run,
        read_paths=run.read_paths | run_again.read_paths,
        asked_paths={**run_again.asked_paths, **run.asked_paths},
    )


def _import_edges(run: ModuleRun, modules: Collection[str]) -> list[tuple[str, bool]]:
    imported_modules = [name for name in with_parents(run.imports) if name in modules]
    return [(name, name in run.imported_incomplete) for name in imported_modules]


class ImportOrderDiffers(Exception):
    """A new interpreter would come to a module in another way than the one that was recorded."""

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.module = module


@dataclass
class ImportOrderReplay:
    """What an interpreter would do now that comes to cold modules which have run elsewhere."""

    module_runs: Mapping[str, ModuleRun]
    finished_modules: set[str] = field(default_factory=set)
    _modules_running: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.edges = {
            run.name: [
                (imported, imported in run.imported_incomplete)
                for imported in run.imports
                if imported in self.module_runs
            ]
            for run in self.module_runs.values()
        }
        """Which of the modules each one imports, and whether it got that before it was complete.
        Made before the fork: most of what a module imports is none of them."""

    def import_(self, name: str) -> list[str]:
        """The modules that are there after the import and were not before, in the order in which
        they would have ended. Raises ImportOrderDiffers."""
        modules_ended: list[str] = []
        self._come_to_module(name, modules_ended)
        return modules_ended

    def _come_to_module(self, name: str, modules_ended: list[str]) -> None:
        if (
            name not in self.module_runs
            or name in self.finished_modules
            or name in self._modules_running
        ):
            return
        self._modules_running.add(name)
        for imported, was_incomplete in self.edges[name]:
            # In a cycle somebody gets a module that is not complete: the same one as then?
            if was_incomplete != (imported in self._modules_running):
                raise ImportOrderDiffers(name)
            if imported not in self.finished_modules:
                self._come_to_module(imported, modules_ended)
        self._modules_running.remove(name)
        self.finished_modules.add(name)
        modules_ended.append(name)

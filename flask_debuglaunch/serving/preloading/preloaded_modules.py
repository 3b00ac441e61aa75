"""Modules that a forked worker has already: the app must not be able to tell.

The fork server has imported them ahead of every worker. Of installed packages only those that the
app imported before its own code changed anything that a package may look at while it is imported:
then a package can't tell the difference. Modules of the project stay out of sight until the app
asks for them. So all that a module can see of others (sys.modules, a package's submodules, what a
star imports) is at each moment what it would be in a new interpreter.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

from flask_debuglaunch.serving.app.module_origins import (
    IMPORTLIB,
    is_installed,
    is_of_a_package,
    namespace_of,
    package_of,
)
from flask_debuglaunch.serving.ipc_protocol import AppImport, ModuleRun, StateChanges
from flask_debuglaunch.serving.preloading.import_code_analysis import ImportStatements
from flask_debuglaunch.serving.preloading.project_module_graph import (
    ImportOrderDiffers,
    ImportOrderReplay,
    with_parents,
)
from flask_debuglaunch.serving.preloading.state_snapshots import (
    InterpreterState,
    Snapshot,
    changed_modules,
    look,
)

OUR_NAME = package_of(__name__)
MOST_LOOKS = 20
"""So many modules may be imported by the factory of an app, each after a look at all objects."""


@dataclass(frozen=True)
class PreloadedModules:
    """What a forked worker has from the fork server, and a new interpreter would not have when it
    begins to import the app."""

    brought: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Modules that were imported, each with all that came along with it."""
    changes: StateChanges = ()
    """What the packages have changed while they were imported."""
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Packages that can't be preloaded, each with what it changes."""
    made_by_others: frozenset[str] = frozenset()
    """What packages change that are not preloaded, or not as the app does it: no other minds."""
    hidden_modules: HiddenModules | None = None
    """The project's own modules among them."""


class ImportRecorder:
    """While entered, notes the app's imports, in their order, each with what had changed by then.

    Imports that a package makes while it is imported itself are not noted: they come along with it.
    Those of a package that is left out are: what it imports can be preloaded in its place.
    In a forked worker it also sees to it that the app asks for each preloaded module before it
    changes anything. If it does not, the module was imported too early, and `start_afresh` is
    called with the module and what was changed; it does not return.
    """

    def __init__(
        self,
        preloaded: PreloadedModules,
        start_afresh: Callable[[str, str], None] = lambda module, what: None,
    ) -> None:
        self.imports: list[AppImport] = []
        self.seconds = 0.0
        """How long it was entered."""
        self._preloaded = preloaded
        self._not_asked_for = {one for all_of in preloaded.brought.values() for one in all_of}
        self._start_afresh = start_afresh
        self._begun: InterpreterState | None = None
        self._makes_server = False
        self._noted = ""
        """The module whose import was noted last."""
        self._spec: object = None
        """Its own, as soon as it is there."""
        self._is_left = False
        self._patches = contextlib.ExitStack()
        self._looks_left: int | None = None
        """At the objects of the project's modules; None: the app's module is being imported."""
        self._to_look_at: set[str] = set()
        """Modules of the project that must be as they were when that is over."""
        self._statements = ImportStatements()

    @property
    def was_forked(self) -> bool:
        """Were modules there that an interpreter would not have had yet?"""
        return bool(self._preloaded.brought)

    def __enter__(self) -> ImportRecorder:
        is_installed(__file__)  # what that needs is imported now, not while we look on
        # A finder that finds nothing: Python asks the finders in turn for every module not yet
        # imported.
        sys.meta_path.insert(0, self)
        if self._not_asked_for:
            self._patch(builtins, "__import__", passed_over(self._look_at))
            self._patch(importlib, "import_module", passed_over_import_module(self._look_at))
        self._begun, self._is_left = self._begun or look(), False
        self.seconds -= time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds += time.monotonic()
        self._is_left = True
        hidden = self._preloaded.hidden_modules
        self._statements.module_runs()
        if hidden is not None:
            self._look_at_objects(hidden, self._to_look_at)
        if hidden is not None and not any(error) and (left := hidden.never_asked_for()):
            self._start_afresh("others", f"its imports, which are without {left} now,")
        sys.meta_path.remove(self)
        self._patches.close()

    @contextlib.contextmanager
    def making_server(self) -> Iterator[None]:
        """As entered, and what is imported is imported by us."""
        self._makes_server = True
        with self:
            yield

    def _patch(self, module: ModuleType, name: str, function: Callable[..., ModuleType]) -> None:
        self._patches.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, function)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        hidden = self._preloaded.hidden_modules
        if hidden is not None and name in hidden:
            return hidden.spec_of(name, partial(self._reveal, hidden))
        self._statements.module_runs()
        if not self._is_within_package():
            self._noted, self._spec = name, None
            if package_of(name) not in self._preloaded.left_out:
                self.imports.append(AppImport(name, self._changes(), self._is_ours(name)))
        return None

    def _reveal(self, hidden: HiddenModules, name: str) -> None:
        """Let the app see it, unless a new interpreter might get another one."""
        assert self._begun is not None
        if self._statements.others_ran():
            for what, _ in look().changes_since(self._begun)[:1]:
                self._start_afresh(name, what)
            hidden.app_ran()
        try:
            relied_on = hidden.reveal(name)
        except ImportOrderDiffers:
            self._start_afresh(name, "the order of its imports")
        else:
            self._rely_on(hidden, relied_on)

    def app_is_imported(self) -> None:
        """From now on it is a factory of the app that imports, and changes what it likes: what it
        changes after the last import concerns no module."""
        if self._preloaded.hidden_modules is not None:
            self._look_at_objects(self._preloaded.hidden_modules, self._to_look_at)
        self._to_look_at.clear()
        self._looks_left = MOST_LOOKS

    def _rely_on(self, hidden: HiddenModules, modules: Collection[str]) -> None:
        """These must be now as they were: in a factory that is looked at now, else in the end."""
        if modules and self._looks_left:
            self._looks_left -= 1
            self._look_at_objects(hidden, modules)
        else:
            self._to_look_at.update(modules)

    def _look_at_objects(self, hidden: HiddenModules, modules: Collection[str]) -> None:
        changed = hidden.changed(modules)
        if changed is not None:
            self._start_afresh("others", f"objects of {changed}")

    def _is_within_package(self) -> bool:
        """Is the module that was noted last one of a package, and is its import under way?"""
        # Kept, for cv2 takes itself out of sys.modules while it is imported.
        self._spec = _spec_of(self._noted) or self._spec
        if package_of(self._noted) in self._preloaded.left_out:
            return False
        return bool(namespace_of(self._spec).get("_initializing")) and is_of_a_package(self._spec)

    def _is_ours(self, module: str) -> bool:
        """Does it look at nothing that the app may have changed?"""
        return self._makes_server or package_of(module) == OUR_NAME

    def _changes(self) -> StateChanges:
        assert self._begun is not None
        return merged_changes(self._preloaded.changes, look().changes_since(self._begun))

    def _look_at(self, module: str, names: Sequence[str]) -> None:
        if self._is_left:  # somebody has kept import_module
            return
        asked_for = [*with_parents([module]), *(f"{module}.{name}" for name in names)]
        for one in self._not_asked_for.intersection(asked_for):
            self._not_asked_for -= {one, *self._preloaded.brought.get(one, ())}
            assert self._begun is not None
            changed = {what for what, _ in look().changes_since(self._begun)}
            if (of_app := changed - self._preloaded.made_by_others) and not self._is_ours(one):
                self._start_afresh(one, min(of_app))
        hidden = self._preloaded.hidden_modules
        if hidden is not None:
            # Python's own way to them, by our finder, takes several times as long.
            for one in filter(hidden.shown_by_import_of, asked_for):
                self._reveal(hidden, one)


def merged_changes(first: StateChanges, then: StateChanges) -> StateChanges:
    return tuple(sorted({**dict(first), **dict(then)}.items()))


def _spec_of(module: str) -> object:
    return namespace_of(sys.modules.get(module)).get("__spec__")


# The project's modules, out of sight


class HiddenModules:
    """Made from modules that have just run, it hides them."""

    def __init__(self, runs: Sequence[ModuleRun], snapshots: Mapping[str, Snapshot]) -> None:
        self._modules: dict[str, ModuleType] = {}
        unchanged = {run.name for run in runs if not run.is_changed_after_run}
        self._snapshots = {name: one for name, one in snapshots.items() if name in unchanged}
        for run in runs:
            self._modules[run.name] = sys.modules.pop(run.name)
        for run in runs:
            package, _, name = run.name.rpartition(".")
            names = namespace_of(self._modules.get(package))
            # While its package ran it was put there by that: it belongs to what the package is.
            if (
                package not in run.imported_incomplete
                and names.get(name) is self._modules[run.name]
            ):
                del names[name]
        self._runs = {run.name: run for run in runs}
        self._replay = ImportOrderReplay(self._runs)
        self._since_app_ran: set[str] = set()
        """The modules that have come into sight since code of the app ran."""
        self._exposed: set[str] = set()
        """Those that were there when it ran: it may have changed their objects."""
        self._looked_through: set[str] = set()
        """Those of which it is known since then on which exposed ones they depend."""

    def touch(self) -> None:
        """Have the kernel copy what a fork shares with its parent and will write to once the app
        asks for the modules: Python counts references in the objects themselves."""
        for name, module in self._modules.items():
            spec = namespace_of(module).get("__spec__")
            _ = namespace_of(spec).get("_initializing"), dict(self._replay.edges[name])

    def module_of(self, file: str) -> str | None:
        """The name of the one that is made from the file."""
        for name, module in self._modules.items():
            if namespace_of(module).get("__file__") == file:
                return name
        return None

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def never_asked_for(self) -> str | None:
        """One that the app does without now: what it has registered elsewhere must not be there."""
        return next(iter(self._modules), None)

    def shown_by_import_of(self, name: str) -> bool:
        """Would Python import it now, and as this one?"""
        if name not in self._modules or name in sys.modules:
            return False
        package, _, last = name.rpartition(".")
        return not package or _is_without(sys.modules.get(package), last)

    def spec_of(self, name: str, reveal: Callable[[str], None]) -> ModuleSpec:
        """With which Python's import finds the module, as it is. reveal: called to bring it, and
        what it had imported, into sight."""
        loader: Any = _Revealing(self._modules[name], reveal)
        return ModuleSpec(name, loader)

    def app_ran(self) -> None:
        """Code of the app has run, and may have changed the objects of what is there."""
        self._exposed |= self._since_app_ran
        self._since_app_ran.clear()
        self._looked_through.clear()

    def changed(self, names: Collection[str]) -> str | None:
        """One of these modules whose objects the app has changed since it ran.

        Those that were seen to be changed do not count: no module that is here has imported them.
        """
        snapshots = {name: self._snapshots[name] for name in names if name in self._snapshots}
        return next(changed_modules(snapshots), None)

    def reveal(self, name: str) -> Collection[str]:
        """What is there after this module's import, and was not before. Returns the exposed modules
        on which that depends. Raises OrderDiffers."""
        ended = self._replay.import_(name)
        relied_on = self._exposed_below(ended) if self._exposed else ()
        self._since_app_ran.update(ended)
        for one in ended:
            module = self._modules.pop(one)
            sys.modules[one] = module
            package, _, last = one.rpartition(".")
            if package in sys.modules:
                setattr(sys.modules[package], last, module)
        return relied_on

    def _exposed_below(self, names: Sequence[str]) -> Collection[str]:
        """Without those that were told of since code of the app ran."""
        pending, found = [*names], []
        while pending:
            one = pending.pop()
            if one in self._runs and one not in self._looked_through:
                self._looked_through.add(one)
                pending += (name for name, _ in self._replay.edges[one])
                if one in self._exposed:
                    found.append(one)
        return found


def _is_without(package: object, name: str) -> bool:
    """Does the package have nothing of that name, and is it certain without asking it?"""
    names = namespace_of(package)
    return type(package) is ModuleType and name not in names and "__getattr__" not in names


class _Revealing:
    """A loader of a module that has run already."""

    def __init__(self, module: ModuleType, reveal: Callable[[str], None]) -> None:
        self._reveal = reveal
        self._module = module
        self._spec = namespace_of(module)["__spec__"]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        namespace_of(module)["__spec__"] = self._spec
        self._reveal(self._spec.name)


# Looking on at imports

F = TypeVar("F", bound=Callable[..., Any])


def passed_over(look_at: Callable[[str, Sequence[str]], None]) -> Callable[..., ModuleType]:
    """A __import__ that looks at what is asked for."""
    original = builtins.__import__

    def _call_with_frames_removed(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        look_at(absolute_name(name, globals, level), fromlist or ())
        return original(name, globals, locals, fromlist or (), level)

    return as_importlib(_call_with_frames_removed)


def passed_over_import_module(
    look_at: Callable[[str, Sequence[str]], None],
) -> Callable[..., ModuleType]:
    """The same for importlib.import_module."""
    original = importlib.import_module

    def _call_with_frames_removed(name: str, package: str | None = None) -> ModuleType:
        dots = len(name) - len(name.lstrip("."))
        look_at(absolute_name(name[dots:], {"__package__": package}, dots), ())
        return original(name, package)

    return as_importlib(_call_with_frames_removed)


def as_importlib(function: F) -> F:
    """By the name of its file Python takes a function for importlib's own: no warning is blamed on
    it (warnings.py), no debugger steps into it, and no traceback shows it, if it is called as
    importlib's `_call_with_frames_removed` or from there (Python/import.c,
    remove_importlib_frames)."""
    own: Any = function
    own.__code__ = own.__code__.replace(co_filename=f"{IMPORTLIB}._bootstrap>")
    return function


def absolute_name(name: str, names: Mapping[str, Any] | None, level: int) -> str:
    if level == 0:
        return name
    package = (names or {}).get("__package__") or ""
    return ".".join(filter(None, [package.rsplit(".", level - 1)[0], name]))


# What can be preloaded


def installed_imports(imports: Iterable[AppImport]) -> Iterator[AppImport]:
    """Those that are of modules of installed packages (this one, however it is installed) or of the
    standard library."""
    for one in imports:
        spec = _spec_of(one.module)
        if is_of_a_package(spec):
            yield one


def merged_imports(
    preloaded: Sequence[AppImport], new_imports: Iterable[AppImport]
) -> tuple[AppImport, ...]:
    """What a worker has from before it, and what it has imported on top."""
    preloaded_names = {preloaded_import.module for preloaded_import in preloaded}
    return (*preloaded, *(one for one in new_imports if one.module not in preloaded_names))


def own_files(imports: Iterable[AppImport]) -> frozenset[str]:
    """Those of the other ones, which are the project's."""
    modules = [one.module for one in imports if not is_of_a_package(_spec_of(one.module))]
    files = [namespace_of(sys.modules.get(one)).get("__file__") for one in modules]
    return frozenset(os.path.abspath(one) for one in files if isinstance(one, str))

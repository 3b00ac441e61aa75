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
from typing import Any, Protocol, TypeVar

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
from flask_debuglaunch.serving.preloading.replayed_changes import put_filters_in_front
from flask_debuglaunch.serving.preloading.state_snapshots import (
    InterpreterState,
    Snapshot,
    changed_modules,
    interpreter_state,
)

LAUNCHER_PACKAGE = package_of(__name__)
MOST_SNAPSHOT_COMPARISONS = 20
"""So many modules may be imported by the factory of an app, each after a look at all objects."""


class StartAfresh(Protocol):
    """The module must not have been there, because of what the app does before it imports it: a
    verb and what follows; change: the name of a change that is unlike what it was."""

    def __call__(self, module: str, deed: str, *, change: str | None = None) -> None: ...


@dataclass(frozen=True)
class PreloadedModules:
    """What a forked worker has from the fork server, and a new interpreter would not have when it
    begins to import the app."""

    brought_along: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Modules that were imported, each with all that came along with it."""
    changes: StateChanges = ()
    """What the packages have changed while they were imported."""
    changes_of_app: Mapping[str, StateChanges] = field(default_factory=dict)
    """For imports before which the app had changed something: what that was."""
    warnings_filters: Mapping[str, list[Any]] = field(default_factory=dict)
    """Those that imports are to put in front, when the app has put its own there."""
    left_out_packages: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Packages that can't be preloaded, each with what it changes."""
    changes_of_others: frozenset[str] = frozenset()
    """What packages change that are not preloaded, or not as the app does it: no other minds."""
    hidden_modules: HiddenModules | None = None
    """The project's own modules among them."""

    def imports_after_changes(self) -> dict[str, str]:
        """For modules that were imported when the app had changed something: with which import."""
        return {
            module: app_import
            for app_import in self.changes_of_app
            for module in self.brought_along[app_import]
        }


class ImportRecorder:
    """While entered, notes the app's imports, in their order, each with what had changed by then.

    Imports that a package makes while it is imported itself are not noted: they come along with it.
    Those of a package that is left out are: what it imports can be preloaded in its place.
    In a forked worker it also sees to it that the app, when it asks for a preloaded module, has
    changed what was changed before that was imported, and nothing else. If not, the module must not
    be there, and `start_afresh` is called, which does not return.
    """

    def __init__(
        self,
        preloaded: PreloadedModules,
        start_afresh: StartAfresh = lambda module, deed, *, change=None: None,
    ) -> None:
        self.imports: list[AppImport] = []
        self.seconds = 0.0
        """How long it was entered."""
        self._preloaded = preloaded
        self._preloaded_not_asked_for = set().union(*preloaded.brought_along.values())
        self._imports_after_changes = preloaded.imports_after_changes()
        self._warnings_filters = dict(preloaded.warnings_filters)
        self._start_afresh = start_afresh
        self._state_before_app: InterpreterState | None = None
        self._is_making_server = False
        self._noted_module = ""
        """The module whose import was noted last."""
        self._spec_of_noted: object = None
        """Its own, as soon as it is there."""
        self._has_exited = False
        self._restored_functions = contextlib.ExitStack()
        self._comparisons_left: int | None = None
        """At the objects of the project's modules; None: the app's module is being imported."""
        self._modules_to_compare: set[str] = set()
        """Modules of the project that must be as they were when that is over."""
        self._import_statements = ImportStatements()

    @property
    def was_forked(self) -> bool:
        """Were modules there that an interpreter would not have had yet?"""
        return bool(self._preloaded.brought_along)

    def __enter__(self) -> ImportRecorder:
        is_installed(__file__)  # what that needs is imported now, not while we look on
        # A finder that finds nothing: Python asks the finders in turn for every module not yet
        # imported.
        sys.meta_path.insert(0, self)
        if self._preloaded_not_asked_for:
            self._patch(builtins, "__import__", looking_at_import(self._check_preloaded))
            self._patch(importlib, "import_module", looking_at_import_module(self._check_preloaded))
        self._state_before_app, self._has_exited = (
            self._state_before_app or interpreter_state(),
            False,
        )
        self.seconds -= time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds += time.monotonic()
        self._has_exited = True
        hidden_modules = self._preloaded.hidden_modules
        self._import_statements.module_runs()
        if hidden_modules is not None:
            self._compare_objects(hidden_modules, self._modules_to_compare)
        if hidden_modules is not None and not any(error):
            left_over = hidden_modules.never_asked_for()
            if left_over is not None:
                self._start_afresh(
                    "others", f"changes its imports, which are without {left_over} now,"
                )
        sys.meta_path.remove(self)
        self._restored_functions.close()

    @contextlib.contextmanager
    def making_server(self) -> Iterator[None]:
        """As entered, and what is imported is imported by us."""
        self._is_making_server = True
        with self:
            yield

    def _patch(self, module: ModuleType, name: str, function: Callable[..., ModuleType]) -> None:
        self._restored_functions.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, function)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        hidden_modules = self._preloaded.hidden_modules
        if hidden_modules is not None and name in hidden_modules:
            return hidden_modules.spec_of(name, partial(self._reveal_hidden_module, hidden_modules))
        self._import_statements.module_runs()
        if not self._is_within_package():
            self._noted_module, self._spec_of_noted = name, None
            if package_of(name) not in self._preloaded.left_out_packages:
                is_by_launcher = self._is_import_of_launcher(name)
                self.imports.append(AppImport(name, self._changes_since_start(), is_by_launcher))
        return None

    def _reveal_hidden_module(self, hidden_modules: HiddenModules, name: str) -> None:
        """Let the app see it, unless a new interpreter might get another one."""
        assert self._state_before_app is not None
        if self._import_statements.others_ran():
            for changed_state, _ in interpreter_state().changes_since(self._state_before_app)[:1]:
                self._start_afresh(name, f"changes {changed_state}")
            hidden_modules.app_ran()
        try:
            relied_on = hidden_modules.reveal(name)
        except ImportOrderDiffers:
            self._start_afresh(name, "changes the order of its imports")
        else:
            self._compare_exposed(hidden_modules, relied_on)

    def app_is_imported(self) -> None:
        """From now on it is a factory of the app that imports, and changes what it likes: what it
        changes after the last import concerns no module."""
        if self._preloaded.hidden_modules is not None:
            self._compare_objects(self._preloaded.hidden_modules, self._modules_to_compare)
        self._modules_to_compare.clear()
        self._comparisons_left = MOST_SNAPSHOT_COMPARISONS

    def _compare_exposed(self, hidden_modules: HiddenModules, modules: Collection[str]) -> None:
        """These must be now as they were: in a factory that is looked at now, else in the end."""
        if modules and self._comparisons_left:
            self._comparisons_left -= 1
            self._compare_objects(hidden_modules, modules)
        else:
            self._modules_to_compare.update(modules)

    def _compare_objects(self, hidden_modules: HiddenModules, modules: Collection[str]) -> None:
        changed_module = hidden_modules.changed_module(modules)
        if changed_module is not None:
            self._start_afresh("others", f"changes objects of {changed_module}")

    def _is_within_package(self) -> bool:
        """Is the module that was noted last one of a package, and is its import under way?"""
        # Kept, for cv2 takes itself out of sys.modules while it is imported.
        spec = self._spec_of_noted = _spec_of(self._noted_module) or self._spec_of_noted
        if package_of(self._noted_module) in self._preloaded.left_out_packages:
            return False
        return bool(namespace_of(spec).get("_initializing")) and is_of_a_package(spec)

    def _is_import_of_launcher(self, module: str) -> bool:
        """Does it look at nothing that the app may have changed?"""
        return self._is_making_server or package_of(module) == LAUNCHER_PACKAGE

    def _changes_since_start(self) -> StateChanges:
        assert self._state_before_app is not None
        return merged_changes(
            self._preloaded.changes, interpreter_state().changes_since(self._state_before_app)
        )

    def _check_preloaded(self, module: str, names: Sequence[str]) -> None:
        if self._has_exited:  # somebody has kept import_module
            return
        asked_for = [*with_parents([module]), *(f"{module}.{name}" for name in names)]
        # Looked up anew each time: what came along with a package has been asked for with it. A
        # package itself is imported before its modules.
        for preloaded in filter(self._preloaded_not_asked_for.__contains__, asked_for):
            brought_along = self._preloaded.brought_along.get(preloaded, ())
            self._preloaded_not_asked_for -= {preloaded, *brought_along}
            self._compare_changes_before(preloaded)
        hidden_modules = self._preloaded.hidden_modules
        if hidden_modules is not None:
            # Python's own way to them, by our finder, takes several times as long.
            for hidden_module in filter(hidden_modules.shown_by_import_of, asked_for):
                self._reveal_hidden_module(hidden_modules, hidden_module)

    def _compare_changes_before(self, module: str) -> None:
        """Has the app changed what was changed when the module was imported, and nothing else?"""
        assert self._state_before_app is not None
        app_import = self._imports_after_changes.get(module, "")
        expected = self._preloaded.changes_of_app.get(app_import, ())
        changes = interpreter_state().changes_since(self._state_before_app)
        unlike = dict(set(expected) ^ set(changes)).keys() - self._preloaded.changes_of_others
        if unlike and not self._is_import_of_launcher(module):
            change = min(unlike)
            otherwise = (
                "changes {} otherwise" if change in dict(changes) else "no longer changes {}"
            )
            deed = (otherwise if change in dict(expected) else "changes {}").format(change)
            self._start_afresh(module, deed, change=change)
        if package_filters := self._warnings_filters.pop(app_import, None):
            put_filters_in_front(package_filters)


def merged_changes(first: StateChanges, then: StateChanges) -> StateChanges:
    return tuple(sorted({**dict(first), **dict(then)}.items()))


def _spec_of(module: str) -> object:
    return namespace_of(sys.modules.get(module)).get("__spec__")


# The project's modules, out of sight


class HiddenModules:
    """Made from modules that have just run, it hides them."""

    def __init__(self, module_runs: Sequence[ModuleRun], snapshots: Mapping[str, Snapshot]) -> None:
        self._hidden_modules: dict[str, ModuleType] = {}
        unchanged = {run.name for run in module_runs if not run.is_changed_after_run}
        self._unchanged_snapshots = {
            name: snapshot for name, snapshot in snapshots.items() if name in unchanged
        }
        for run in module_runs:
            self._hidden_modules[run.name] = sys.modules.pop(run.name)
        for run in module_runs:
            package, _, submodule = run.name.rpartition(".")
            package_names = namespace_of(self._hidden_modules.get(package))
            hidden_module = self._hidden_modules[run.name]
            # While its package ran it was put there by that: it belongs to what the package is.
            is_of_package = package in run.imported_incomplete
            if not is_of_package and package_names.get(submodule) is hidden_module:
                del package_names[submodule]
        self._module_runs = {run.name: run for run in module_runs}
        self._import_order = ImportOrderReplay(self._module_runs)
        self._revealed_since_app_ran: set[str] = set()
        """The modules that have come into sight since code of the app ran."""
        self._exposed_modules: set[str] = set()
        """Those that were there when it ran: it may have changed their objects."""
        self._traversed_modules: set[str] = set()
        """Those of which it is known since then on which exposed ones they depend."""

    def touch(self) -> None:
        """Have the kernel copy what a fork shares with its parent and will write to once the app
        asks for the modules: Python counts references in the objects themselves."""
        for name, module in self._hidden_modules.items():
            spec = namespace_of(module).get("__spec__")
            _ = namespace_of(spec).get("_initializing"), dict(self._import_order.edges[name])

    def module_of(self, file: str) -> str | None:
        """The name of the one that is made from the file."""
        for name, module in self._hidden_modules.items():
            if namespace_of(module).get("__file__") == file:
                return name
        return None

    def __contains__(self, name: str) -> bool:
        return name in self._hidden_modules

    def never_asked_for(self) -> str | None:
        """One that the app does without now: what it has registered elsewhere must not be there."""
        return next(iter(self._hidden_modules), None)

    def shown_by_import_of(self, name: str) -> bool:
        """Would Python import it now, and as this one?"""
        if name not in self._hidden_modules or name in sys.modules:
            return False
        package, _, submodule = name.rpartition(".")
        return not package or _is_without(sys.modules.get(package), submodule)

    def spec_of(self, name: str, reveal: Callable[[str], None]) -> ModuleSpec:
        """With which Python's import finds the module, as it is. reveal: called to bring it, and
        what it had imported, into sight."""
        loader: Any = _RevealingLoader(self._hidden_modules[name], reveal)
        return ModuleSpec(name, loader)

    def app_ran(self) -> None:
        """Code of the app has run, and may have changed the objects of what is there."""
        self._exposed_modules |= self._revealed_since_app_ran
        self._revealed_since_app_ran.clear()
        self._traversed_modules.clear()

    def changed_module(self, names: Collection[str]) -> str | None:
        """One of these modules whose objects the app has changed since it ran.

        Those that were seen to be changed do not count: no module that is here has imported them.
        """
        snapshots = {
            name: self._unchanged_snapshots[name]
            for name in names
            if name in self._unchanged_snapshots
        }
        return next(changed_modules(snapshots), None)

    def reveal(self, name: str) -> Collection[str]:
        """What is there after this module's import, and was not before. Returns the exposed modules
        on which that depends. Raises ImportOrderDiffers."""
        revealed = self._import_order.import_(name)
        exposed = self._exposed_below(revealed) if self._exposed_modules else ()
        self._revealed_since_app_ran.update(revealed)
        for module_name in revealed:
            module = self._hidden_modules.pop(module_name)
            sys.modules[module_name] = module
            package, _, submodule = module_name.rpartition(".")
            if package in sys.modules:
                setattr(sys.modules[package], submodule, module)
        return exposed

    def _exposed_below(self, names: Sequence[str]) -> Collection[str]:
        """Without those that were told of since code of the app ran."""
        pending, exposed = [*names], []
        while pending:
            module_name = pending.pop()
            if module_name in self._module_runs and module_name not in self._traversed_modules:
                self._traversed_modules.add(module_name)
                pending += (name for name, _ in self._import_order.edges[module_name])
                if module_name in self._exposed_modules:
                    exposed.append(module_name)
        return exposed


def _is_without(package: object, name: str) -> bool:
    """Does the package have nothing of that name, and is it certain without asking it?"""
    package_names = namespace_of(package)
    if type(package) is not ModuleType:
        return False
    return name not in package_names and "__getattr__" not in package_names


class _RevealingLoader:
    """A loader of a module that has run already."""

    def __init__(self, module: ModuleType, reveal_module: Callable[[str], None]) -> None:
        self._reveal_module = reveal_module
        self._hidden_module = module
        self._original_spec = namespace_of(module)["__spec__"]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._hidden_module

    def exec_module(self, module: ModuleType) -> None:
        namespace_of(module)["__spec__"] = self._original_spec
        self._reveal_module(self._original_spec.name)


# Looking on at imports

F = TypeVar("F", bound=Callable[..., Any])


def looking_at_import(look_at: Callable[[str, Sequence[str]], None]) -> Callable[..., ModuleType]:
    """A __import__ that looks at what is asked for."""
    original_import = builtins.__import__

    def _call_with_frames_removed(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        look_at(absolute_name(name, globals, level), fromlist or ())
        return original_import(name, globals, locals, fromlist or (), level)

    return as_importlib(_call_with_frames_removed)


def looking_at_import_module(
    look_at: Callable[[str, Sequence[str]], None],
) -> Callable[..., ModuleType]:
    """The same for importlib.import_module."""
    original_import_module = importlib.import_module

    def _call_with_frames_removed(name: str, package: str | None = None) -> ModuleType:
        leading_dots = len(name) - len(name.lstrip("."))
        look_at(absolute_name(name[leading_dots:], {"__package__": package}, leading_dots), ())
        return original_import_module(name, package)

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
    for app_import in imports:
        if is_of_a_package(_spec_of(app_import.module)):
            yield app_import


def merged_imports(
    preloaded: Sequence[AppImport], new_imports: Iterable[AppImport]
) -> tuple[AppImport, ...]:
    """What a worker has from before it, and what it has imported on top."""
    preloaded_names = {preloaded_import.module for preloaded_import in preloaded}
    return (*preloaded, *(new for new in new_imports if new.module not in preloaded_names))


def project_files_of(imports: Iterable[AppImport]) -> frozenset[str]:
    """Those of the other ones, which are the project's."""
    imported_names = [app_import.module for app_import in imports]
    modules = [name for name in imported_names if not is_of_a_package(_spec_of(name))]
    module_files = [namespace_of(sys.modules.get(name)).get("__file__") for name in modules]
    return frozenset(os.path.abspath(file) for file in module_files if isinstance(file, str))

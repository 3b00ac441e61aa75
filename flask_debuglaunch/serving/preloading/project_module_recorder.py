"""Looks on while the app is imported: what each module of the project imports, reads and does."""

from __future__ import annotations

import _thread
import atexit
import builtins
import importlib._bootstrap as bootstrap
import importlib._bootstrap_external as bootstrap_external
import operator
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from flask_debuglaunch.debuggers.pydevd_internals import debugger_folders
from flask_debuglaunch.serving.app.files_written_by_app import is_opened_for_writing
from flask_debuglaunch.serving.app.module_origins import (
    IMPORTLIB,
    OUR_FOLDER,
    is_installed,
    is_of_a_package,
    is_of_the_project,
    namespace_of,
)
from flask_debuglaunch.serving.ipc_protocol import ModuleRun, StateChanges
from flask_debuglaunch.serving.preloading.module_search_paths import searched_before
from flask_debuglaunch.serving.preloading.preloaded_modules import (
    MOST_SNAPSHOT_COMPARISONS,
    absolute_name,
    as_importlib,
    looking_at_import,
    merged_changes,
)
from flask_debuglaunch.serving.preloading.project_module_graph import with_parents
from flask_debuglaunch.serving.preloading.state_snapshots import (
    InterpreterState,
    Snapshot,
    changed_modules,
    foreign_objects,
    interpreter_state,
    same_objects,
)

# Audit events (docs.python.org/3/library/audit_events.html) of what a fork can't share, or must
# not do twice.
AUDITED_EFFECTS = {
    "_thread.start_joinable_thread": "starts a thread",
    "_thread.start_new_thread": "starts a thread",
    "builtins.id": "asks for an object's id()",
    "builtins.input": "asks the terminal",
    "ctypes.dlopen": "opens a native library",
    "gc.get_objects": "looks at all objects",
    "mmap.__new__": "maps memory",
    "os.chmod": "changes a file",
    "os.chown": "changes a file",
    "os.exec": "starts a process",
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.link": "changes a folder",
    "os.mkdir": "changes a folder",
    "os.posix_spawn": "starts a process",
    "os.remove": "changes a folder",
    "os.rename": "changes a folder",
    "os.rmdir": "changes a folder",
    "os.spawn": "starts a process",
    "os.symlink": "changes a folder",
    "os.system": "starts a process",
    "os.truncate": "writes to a file",
    "os.utime": "changes a file",
    "socket.__new__": "opens a socket",
    "socket.getaddrinfo": "asks the network",
    "socket.gethostbyname": "asks the network",
    "sqlite3.connect": "opens a database",
    "subprocess.Popen": "starts a process",
    "sys._current_frames": "looks at who calls it",
    "sys._getframe": "looks at who calls it",
    "sys.addaudithook": "adds an audit hook",
    "sys.setprofile": "sets a profiler",
    "sys.settrace": "sets a tracer",
    "time.sleep": "waits",
    "winreg.OpenKey": "reads the registry",
}
# What installed packages may do for themselves where a module of the project calls them:
# sys._getframe for a class's module, time.sleep for nothing that a fork would miss.
NOT_EFFECTS_OF_PACKAGES = ("sys._getframe", "sys._current_frames", "builtins.id", "ctypes.dlopen",
    "sys.setprofile", "sys.settrace",
)  # fmt: skip
FOLDER_EVENTS = ("os.listdir", "os.scandir")
_get_ident = _thread.get_ident  # as it is before gevent patches it
PATH_FUNCTION_MODULES = ("posixpath", "genericpath")
"""What os.path.exists and its like are made of."""
# Its name before Python 3.11.
NAMESPACE_LOADERS = ("NamespaceLoader", "_NamespaceLoader")


@dataclass
class _RecordedModule:
    """A module whose code runs, or has run."""

    name: str
    file: str | None
    is_of_project: bool
    changes: StateChanges = ()
    imports: dict[str, bool] = field(default_factory=dict)
    """Each with: was it being imported itself?"""
    star_imported: list[str] = field(default_factory=list)
    read_paths: set[str] = field(default_factory=set)
    asked_paths: dict[str, bool] = field(default_factory=dict)
    effect: str | None = None
    snapshot: Snapshot | None = None
    has_ended: bool = False


@dataclass(frozen=True)
class _StateBetweenModules:
    """What a module may change without an audit event."""

    state: InterpreterState
    exit_function_count: int
    random_state: object
    open_descriptors: frozenset[str]
    package_namespaces: dict[str, dict[str, Any]]
    bytes_written: int
    thread_count: int

    def effect_since(self, before: _StateBetweenModules) -> str | None:
        for what, _ in self.state.changes_since(before.state):
            return f"changes {what}"
        if self.bytes_written != before.bytes_written:
            return "prints, or writes"
        if self.thread_count > before.thread_count:  # before Python 3.12 no audit event tells it
            return "starts a thread"
        if self.exit_function_count != before.exit_function_count:
            return "registers an atexit function"
        if self.random_state != before.random_state:
            return "draws random numbers"
        if self.open_descriptors != before.open_descriptors:
            return "leaves a file or socket open"
        for name, names in before.package_namespaces.items():
            if not _same_names(self.package_namespaces[name], names):
                return f"changes the installed {name}"
        return None


class ModuleRecorder:
    """While entered, records the modules of the project that run.

    already: what installed packages had changed before. bytes_written: by this process so far, if
    that is known and nobody else here writes.
    """

    def __init__(
        self, package_changes: StateChanges = (), bytes_written: Callable[[], int] = lambda: 0
    ) -> None:
        self._package_changes = package_changes
        self._bytes_written = bytes_written
        self.seconds = 0.0
        """Of processor time, of the project's own modules without the packages they import: what
        they wait for is an effect, and keeps them from being run ahead."""
        self._modules: dict[str, _RecordedModule] = {}
        self._modules_running: list[_RecordedModule] = []
        self._recorded_thread = _get_ident()
        self._state_before_app: InterpreterState | None = None
        self._last_state: _StateBetweenModules | None = None
        self._module_resumed_at = 0.0
        self._names_to_come: set[str] = set()
        self._packages_asked_for: dict[str, ModuleType] = {}
        """Installed modules that the project's own code has asked for."""
        self._snapshot_owners: dict[int, Snapshot] = {}
        """The first snapshot that has an object, by its identity."""
        self._changed_modules: set[str] = set()
        self._places_searched: dict[str, dict[str, bool]] = {}
        """Where an import has looked before it found the project's module of that name."""
        self._original_functions: dict[object, object] = {}
        """What stands in the place of a function, with that function."""
        self._modules_after_app = 0
        self._has_compared = False
        self._is_recording = False
        self._restore_functions: list[Callable[[], None]] = []

    def __enter__(self) -> ModuleRecorder:
        is_installed(__file__)  # what that needs is imported now, not while we look on
        if self._state_before_app is None:
            sys.addaudithook(self._on_audit_event)
        self._state_before_app = self._state_before_app or interpreter_state()
        loaders: Any = bootstrap_external
        self._replace_function(loaders._LoaderBasics, "exec_module", self._around_exec_module)
        self._replace_function(bootstrap, "_gcd_import", self._around_import_by_name)
        self._replace_function(bootstrap, "_find_spec", self._around_find_spec)
        for name in ("stat", "lstat", "access"):
            self._replace_function(os, name, self._around_path_function)
        looking_import = looking_at_import(self._note_names_asked_for)
        self._replace_function(builtins, "__import__", lambda _: looking_import)
        self._is_recording = True
        return self

    def __exit__(self, *error: object) -> None:
        self._is_recording = False
        while self._restore_functions:
            self._restore_functions.pop()()
        if self._modules_after_app > MOST_SNAPSHOT_COMPARISONS or not self._has_compared:
            self._compare_objects()

    def snapshots(self) -> dict[str, Snapshot]:
        """Of the project's modules, each when it had just run."""
        modules = self._modules.values()
        return {
            recorded.name: recorded.snapshot
            for recorded in modules
            if recorded.snapshot is not None
        }

    def runs(self) -> tuple[ModuleRun, ...]:
        """In the order in which they began."""
        module_runs = [
            self._module_run_of(recorded)
            for recorded in self._modules.values()
            if recorded.is_of_project
        ]
        recorded_names = {run.name for run in module_runs}
        for name, module in list(sys.modules.items()):
            if name not in (*recorded_names, "__main__") and is_of_the_project(module):
                effect, file = "is imported by a loader of its own, or a thread", module.__file__
                module_runs.append(
                    ModuleRun(name, file, (), frozenset(), frozenset(), {}, (), effect)
                )
        return (*self._namespace_packages(module_runs), *module_runs)

    def _module_run_of(self, recorded: _RecordedModule) -> ModuleRun:
        module = sys.modules.get(recorded.name)
        effect = recorded.effect
        if not isinstance(module, ModuleType) or type(module) is not ModuleType:
            effect = effect or ("fails" if module is None else "puts another object in its place")
        return ModuleRun(
            recorded.name,
            recorded.file,
            tuple(recorded.imports),
            frozenset(name for name, is_partial in recorded.imports.items() if is_partial),
            frozenset(recorded.read_paths),
            {**self._places_searched.get(recorded.name, {}), **recorded.asked_paths},
            recorded.changes,
            effect,
            recorded.name in self._changed_modules,
        )

    def _namespace_packages(self, module_runs: Sequence[ModuleRun]) -> Iterator[ModuleRun]:
        """The packages that are just a folder: no code of theirs runs."""
        recorded_names = {run.name for run in module_runs}
        for name in with_parents(run.name for run in module_runs):
            module = sys.modules.get(name)
            loader = namespace_of(namespace_of(module).get("__spec__")).get("loader")
            if name not in recorded_names and type(loader).__name__ in NAMESPACE_LOADERS:
                parents = tuple(with_parents([name]))[:-1]
                places_searched = self._places_searched.get(name, {})
                yield ModuleRun(name, None, parents, frozenset(), frozenset(), places_searched, ())

    # The hooks

    def _replace_function(
        self, owner: Any, name: str, make_replacement: Callable[[Any], Any]
    ) -> None:
        original = getattr(owner, name)
        replaced = make_replacement(original)
        self._original_functions[replaced] = original
        setattr(owner, name, replaced)
        self._restore_functions.append(lambda: setattr(owner, name, original))

    def _around_exec_module(self, original: Callable[..., None]) -> Callable[..., None]:
        module_begins, module_ends, module_fails, is_ours = (
            self._module_begins,
            self._module_ends,
            self._module_fails,
            self._is_our_thread,
        )

        def exec_module(loader: Any, module: ModuleType) -> None:
            if not is_ours():
                return original(loader, module)
            module_begins(module)
            try:
                original(loader, module)
            except BaseException:
                module_fails()
                raise
            finally:
                module_ends(module)

        return as_importlib(exec_module)

    def _around_import_by_name(
        self, original: Callable[..., ModuleType]
    ) -> Callable[..., ModuleType]:
        note_names_asked_for = self._note_names_asked_for

        def _gcd_import(name: str, package: str | None = None, level: int = 0) -> ModuleType:
            note_names_asked_for(absolute_name(name, {"__package__": package}, level), ())
            return original(name, package, level)

        return as_importlib(_gcd_import)

    def _around_find_spec(self, original: Callable[..., Any]) -> Callable[..., Any]:
        note_search = self._note_search

        def _find_spec(name: str, path: Any, target: Any = None) -> Any:
            spec = original(name, path, target)
            note_search(name, sys.path if path is None else path, spec)
            return spec

        return as_importlib(_find_spec)

    def _around_path_function(self, original: Callable[..., Any]) -> Callable[..., Any]:
        note_asked_path = self._note_asked_path

        def ask(path: Any, *arguments: Any, **named: Any) -> Any:
            note_asked_path(path)
            return original(path, *arguments, **named)

        return as_importlib(ask)

    def _note_search(self, name: str, folders: Iterable[Any], spec: object) -> None:
        origin = namespace_of(spec).get("origin")
        if spec is not None and isinstance(origin, str) and is_of_a_package(spec):
            return  # the fork server, too, has what was found there
        places_searched = {
            path: os.path.lexists(path) for path in searched_before(name, folders, origin)
        }
        if spec is not None:
            self._places_searched[name] = places_searched
        elif self._is_own_code():
            self._modules_running[-1].asked_paths.update(places_searched)

    def _note_asked_path(self, path: object) -> None:
        if not self._is_of_interest() or not isinstance(path, (str, bytes, os.PathLike)):
            return
        self._is_recording = False  # what follows asks itself
        try:
            asking_frame = sys._getframe(2)
            while (
                asking_frame.f_globals.get("__name__") in PATH_FUNCTION_MODULES
                and asking_frame.f_back
            ):
                asking_frame = asking_frame.f_back
            not_the_app = (IMPORTLIB, OUR_FOLDER, *debugger_folders())
            if not asking_frame.f_code.co_filename.startswith(not_the_app):
                self._note_path(self._modules_running[-1], path)
        finally:
            self._is_recording = True

    def _note_names_asked_for(self, name: str, from_list: Sequence[str]) -> None:
        if not self._is_own_code():
            return
        running = self._modules_running[-1]
        if "*" in from_list:
            running.star_imported.append(name)
        for asked_name in with_parents(
            (name, *(f"{name}.{part}" for part in from_list if part != "*"))
        ):
            self._note_import(running, asked_name)

    def _note_import(self, running: _RecordedModule, name: str) -> None:
        recorded = self._modules.get(name)
        # Names that are no modules do no harm: nobody is called like them.
        running.imports.setdefault(name, recorded is not None and not recorded.has_ended)
        if recorded is None and name not in self._packages_asked_for:
            self._names_to_come.add(name)
            assert self._last_state is not None
            # What is there already can be changed before another module runs.
            self._last_state.package_namespaces.update(self._packages_newly_imported())

    def _module_begins(self, module: ModuleType) -> None:
        spec = namespace_of(module).get("__spec__")
        name = getattr(spec, "name", module.__name__)
        module_file, is_of_project = namespace_of(module).get("__file__"), is_of_the_project(module)
        self._switch_module(is_of_project)
        recorded = _RecordedModule(
            name,
            os.path.abspath(module_file) if isinstance(module_file, str) else None,
            is_of_project,
        )
        if is_of_project:
            self._project_module_begins(recorded)
        self._modules_running.append(recorded)

    def _project_module_begins(self, recorded: _RecordedModule) -> None:
        assert self._state_before_app is not None
        assert self._last_state is not None
        project_changes = self._last_state.state.changes_since(self._state_before_app)
        recorded.changes = merged_changes(self._package_changes, project_changes)
        for parent in tuple(with_parents([recorded.name]))[:-1]:
            self._note_import(recorded, parent)
        if self._modules_running and self._modules_running[-1].is_of_project:
            self._note_import(self._modules_running[-1], recorded.name)
        elif not self._modules_running and self._modules:
            self._modules_after_app += 1
            if self._modules_after_app <= MOST_SNAPSHOT_COMPARISONS:
                self._compare_objects()
        if recorded.name in self._modules:
            recorded.effect = "is run more than once"
        self._modules[recorded.name] = recorded

    def _module_ends(self, module: ModuleType) -> None:
        ended_module = self._modules_running[-1]
        self._switch_module(
            len(self._modules_running) > 1 and self._modules_running[-2].is_of_project
        )
        self._modules_running.pop()
        ended_module.has_ended = True
        if not ended_module.is_of_project:
            return
        for package in ended_module.star_imported:
            for value in list(namespace_of(sys.modules.get(package)).values()):
                if isinstance(value, ModuleType) and value.__name__ in self._modules:
                    ended_module.imports.setdefault(value.__name__, False)
        self._restore_originals_in(namespace_of(module))
        foreign = foreign_objects(self._packages_asked_for.values())
        ended_module.snapshot = Snapshot(
            module, foreign, self._snapshots_of(ended_module.imports), self._snapshot_owners
        )
        # What it has asked for is there by now, or is no module.
        self._names_to_come.difference_update(ended_module.imports)
        if not self._modules_running and not self._modules_after_app:
            self._compare_objects()  # what a factory changes afterwards concerns no module

    def _snapshots_of(self, imported_names: Iterable[str]) -> Iterator[Snapshot]:
        for name in imported_names:
            recorded = self._modules.get(name)
            if recorded is not None and recorded.snapshot is not None:
                yield recorded.snapshot

    def _restore_originals_in(self, namespace: dict[str, Any]) -> None:
        """What the module has taken for itself while we looked on: `from os import stat`."""
        function_names = [name for name, value in namespace.items() if type(value) is FunctionType]
        for name in function_names:
            namespace[name] = self._original_functions.get(namespace[name], namespace[name])

    def _module_fails(self) -> None:
        self._modules_running[-1].effect = self._modules_running[-1].effect or "fails"

    def _compare_objects(self) -> None:
        self._has_compared = True
        self._changed_modules.update(changed_modules(self.snapshots()))

    def _switch_module(self, is_of_project: bool) -> None:
        """Another module's code runs from now on: what has changed was done by the last one."""
        now = time.thread_time()
        was_own = bool(self._modules_running) and self._modules_running[-1].is_of_project
        if was_own:
            self.seconds += now - self._module_resumed_at
        self._module_resumed_at = now
        if not (is_of_project or was_own):
            return
        state_now = self._state_now()
        if was_own and self._last_state is not None and self._modules_running[-1].effect is None:
            self._modules_running[-1].effect = state_now.effect_since(self._last_state)
        self._last_state = state_now
        self._module_resumed_at = time.thread_time()

    def _state_now(self) -> _StateBetweenModules:
        self._packages_newly_imported()
        return _StateBetweenModules(
            interpreter_state(),
            atexit._ncallbacks(),
            random.getstate(),
            frozenset(os.listdir("/proc/self/fd")) if sys.platform == "linux" else frozenset(),
            {
                name: namespace_of(module).copy()
                for name, module in self._packages_asked_for.items()
            },
            self._bytes_written(),
            _thread._count() if sys.version_info < (3, 12) else 0,
        )

    def _packages_newly_imported(self) -> dict[str, dict[str, Any]]:
        """The installed modules among those that were asked for, as soon as they are there."""
        imported_now = {
            name: module
            for name in self._names_to_come
            if (module := sys.modules.get(name)) is not None
        }
        self._names_to_come -= imported_now.keys()
        new_packages = {
            name: module for name, module in imported_now.items() if not is_of_the_project(module)
        }
        self._packages_asked_for |= new_packages
        return {name: namespace_of(module).copy() for name, module in new_packages.items()}

    def _on_audit_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_of_interest():
            return
        if event != "open" and event not in AUDITED_EFFECTS and event not in FOLDER_EVENTS:
            return
        self._is_recording = False  # what follows may be audited itself
        try:
            self._note_audit_event(event, arguments, sys._getframe(1).f_code.co_filename)
        finally:
            self._is_recording = True

    def _is_of_interest(self) -> bool:
        return self._is_recording and self._is_own_code()

    def _is_own_code(self) -> bool:
        """Is it a module of the project that does what is seen now?"""
        return (
            bool(self._modules_running)
            and self._modules_running[-1].is_of_project
            and self._is_our_thread()
        )

    def _is_our_thread(self) -> bool:
        """Not one that the app has started, nor a debugger's."""
        return _get_ident() == self._recorded_thread

    def _note_audit_event(self, event: str, arguments: tuple[Any, ...], caller: str) -> None:
        if caller.startswith((IMPORTLIB, OUR_FOLDER)):
            return
        running = self._modules_running[-1]
        if event in FOLDER_EVENTS or event == "open":
            self._note_opened_path(running, event, arguments)
        elif event not in NOT_EFFECTS_OF_PACKAGES or not is_installed(caller):
            running.effect = running.effect or AUDITED_EFFECTS[event]

    def _note_opened_path(
        self, running: _RecordedModule, event: str, arguments: tuple[Any, ...]
    ) -> None:
        path, mode, flags = (*arguments, None, None)[:3]
        if event == "open" and is_opened_for_writing(mode, flags):
            if path != os.devnull:
                running.effect = running.effect or "writes to a file"
        elif isinstance(path, (str, bytes, os.PathLike)):
            self._note_path(running, path, is_read=True)

    def _note_path(
        self,
        running: _RecordedModule,
        path: str | bytes | os.PathLike[Any],
        *,
        is_read: bool = False,
    ) -> None:
        absolute_path = os.path.abspath(os.fsdecode(path))
        if absolute_path == os.devnull or is_installed(absolute_path):
            return
        if absolute_path.startswith(("/proc/", "/dev/")):
            running.effect = running.effect or f"looks at {absolute_path}"
        elif os.path.isfile(absolute_path) or (is_read and os.path.isdir(absolute_path)):
            running.read_paths.add(absolute_path)
        else:
            running.asked_paths.setdefault(absolute_path, os.path.lexists(absolute_path))


def _same_names(names: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """But for submodules, which come by imports."""
    if len(names) == len(others) and all(map(operator.is_, names.values(), others.values())):
        return True
    return same_objects(_without_submodules(names), _without_submodules(others))


def _without_submodules(names: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in names.items()
        if not isinstance(value, ModuleType) and not name.startswith("__")
    }

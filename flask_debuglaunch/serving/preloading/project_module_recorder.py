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
    look,
    same,
)

# Audit events (docs.python.org/3/library/audit_events.html) of what a fork can't share, or must
# not do twice.
EVENTS = {
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
ONLY_BY_ITSELF = ("sys._getframe", "sys._current_frames", "builtins.id", "ctypes.dlopen",
    "sys.setprofile", "sys.settrace",
)  # fmt: skip
FOLDER_EVENTS = ("os.listdir", "os.scandir")
_get_ident = _thread.get_ident  # as it is before gevent patches it
MODULES_OF_PATHS = ("posixpath", "genericpath")
"""What os.path.exists and its like are made of."""
# Its name before Python 3.11.
NAMESPACE_LOADERS = ("NamespaceLoader", "_NamespaceLoader")


@dataclass
class _Running:
    """A module whose code runs, or has run."""

    name: str
    file: str | None
    is_own: bool
    changes: StateChanges = ()
    imports: dict[str, bool] = field(default_factory=dict)
    """Each with: was it being imported itself?"""
    starred: list[str] = field(default_factory=list)
    read_paths: set[str] = field(default_factory=set)
    asked_paths: dict[str, bool] = field(default_factory=dict)
    effect: str | None = None
    snapshot: Snapshot | None = None
    is_over: bool = False


@dataclass(frozen=True)
class _Probe:
    """What a module may change without an audit event."""

    state: InterpreterState
    exit_functions: int
    random_state: object
    descriptors: frozenset[str]
    packages: dict[str, dict[str, Any]]
    bytes_written: int
    threads: int

    def effect_since(self, before: _Probe) -> str | None:
        for what, _ in self.state.changes_since(before.state):
            return f"changes {what}"
        if self.bytes_written != before.bytes_written:
            return "prints, or writes"
        if self.threads > before.threads:  # before Python 3.12 no audit event tells it
            return "starts a thread"
        if self.exit_functions != before.exit_functions:
            return "registers an atexit function"
        if self.random_state != before.random_state:
            return "draws random numbers"
        if self.descriptors != before.descriptors:
            return "leaves a file or socket open"
        for name, names in before.packages.items():
            if not _same_names(self.packages[name], names):
                return f"changes the installed {name}"
        return None


class ModuleRecorder:
    """While entered, records the modules of the project that run.

    already: what installed packages had changed before. bytes_written: by this process so far, if
    that is known and nobody else here writes.
    """

    def __init__(
        self, already: StateChanges = (), bytes_written: Callable[[], int] = lambda: 0
    ) -> None:
        self._already = already
        self._bytes_written = bytes_written
        self.seconds = 0.0
        """Of processor time, of the project's own modules without the packages they import: what
        they wait for is an effect, and keeps them from being run ahead."""
        self._modules: dict[str, _Running] = {}
        self._stack: list[_Running] = []
        self._thread = _get_ident()
        self._begun: InterpreterState | None = None
        self._probe: _Probe | None = None
        self._since = 0.0
        self._asked: set[str] = set()
        self._packages: dict[str, ModuleType] = {}
        """Installed modules that the project's own code has asked for."""
        self._owners: dict[int, Snapshot] = {}
        """The first snapshot that has an object, by its identity."""
        self._changed: set[str] = set()
        self._places: dict[str, dict[str, bool]] = {}
        """Where an import has looked before it found the project's module of that name."""
        self._originals: dict[object, object] = {}
        """What stands in the place of a function, with that function."""
        self._later_begins = 0
        self._compared = False
        self._looks_on = False
        self._restore: list[Callable[[], None]] = []

    def __enter__(self) -> ModuleRecorder:
        is_installed(__file__)  # what that needs is imported now, not while we look on
        if self._begun is None:
            sys.addaudithook(self._audited)
        self._begun = self._begun or look()
        loaders: Any = bootstrap_external
        self._replace(loaders._LoaderBasics, "exec_module", self._running)
        self._replace(bootstrap, "_gcd_import", self._importing_by_name)
        self._replace(bootstrap, "_find_spec", self._finding)
        for name in ("stat", "lstat", "access"):
            self._replace(os, name, self._asking)
        self._replace(builtins, "__import__", lambda _: looking_at_import(self._asked_for))
        self._looks_on = True
        return self

    def __exit__(self, *error: object) -> None:
        self._looks_on = False
        while self._restore:
            self._restore.pop()()
        if self._later_begins > MOST_SNAPSHOT_COMPARISONS or not self._compared:
            self._compare()

    def snapshots(self) -> dict[str, Snapshot]:
        """Of the project's modules, each when it had just run."""
        modules = self._modules.values()
        return {one.name: one.snapshot for one in modules if one.snapshot is not None}

    def runs(self) -> tuple[ModuleRun, ...]:
        """In the order in which they began."""
        runs = [self._run_of(one) for one in self._modules.values() if one.is_own]
        known = {run.name for run in runs}
        for name, module in list(sys.modules.items()):
            if name not in (*known, "__main__") and is_of_the_project(module):
                effect, file = "is imported by a loader of its own, or a thread", module.__file__
                runs.append(ModuleRun(name, file, (), frozenset(), frozenset(), {}, (), effect))
        return (*self._folders(runs), *runs)

    def _run_of(self, one: _Running) -> ModuleRun:
        module = sys.modules.get(one.name)
        effect = one.effect
        if not isinstance(module, ModuleType) or type(module) is not ModuleType:
            effect = effect or ("fails" if module is None else "puts another object in its place")
        return ModuleRun(
            one.name,
            one.file,
            tuple(one.imports),
            frozenset(name for name, is_partial in one.imports.items() if is_partial),
            frozenset(one.read_paths),
            {**self._places.get(one.name, {}), **one.asked_paths},
            one.changes,
            effect,
            one.name in self._changed,
        )

    def _folders(self, runs: Sequence[ModuleRun]) -> Iterator[ModuleRun]:
        """The packages that are just a folder: no code of theirs runs."""
        known = {run.name for run in runs}
        for name in with_parents(run.name for run in runs):
            module = sys.modules.get(name)
            loader = namespace_of(namespace_of(module).get("__spec__")).get("loader")
            if name not in known and type(loader).__name__ in NAMESPACE_LOADERS:
                parents = tuple(with_parents([name]))[:-1]
                places = self._places.get(name, {})
                yield ModuleRun(name, None, parents, frozenset(), frozenset(), places, ())

    # The hooks

    def _replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        replaced = make(original)
        self._originals[replaced] = original
        setattr(owner, name, replaced)
        self._restore.append(lambda: setattr(owner, name, original))

    def _running(self, original: Callable[..., None]) -> Callable[..., None]:
        begins, ends, fails, is_ours = self._begins, self._ends, self._fails, self._is_our_thread

        def exec_module(loader: Any, module: ModuleType) -> None:
            if not is_ours():
                return original(loader, module)
            begins(module)
            try:
                original(loader, module)
            except BaseException:
                fails()
                raise
            finally:
                ends(module)

        return as_importlib(exec_module)

    def _importing_by_name(self, original: Callable[..., ModuleType]) -> Callable[..., ModuleType]:
        asked_for = self._asked_for

        def _gcd_import(name: str, package: str | None = None, level: int = 0) -> ModuleType:
            asked_for(absolute_name(name, {"__package__": package}, level), ())
            return original(name, package, level)

        return as_importlib(_gcd_import)

    def _finding(self, original: Callable[..., Any]) -> Callable[..., Any]:
        found = self._found

        def _find_spec(name: str, path: Any, target: Any = None) -> Any:
            spec = original(name, path, target)
            found(name, sys.path if path is None else path, spec)
            return spec

        return as_importlib(_find_spec)

    def _asking(self, original: Callable[..., Any]) -> Callable[..., Any]:
        asked_paths = self._asked_about

        def ask(path: Any, *arguments: Any, **named: Any) -> Any:
            asked_paths(path)
            return original(path, *arguments, **named)

        return as_importlib(ask)

    def _found(self, name: str, folders: Iterable[Any], spec: object) -> None:
        origin = namespace_of(spec).get("origin")
        if spec is not None and isinstance(origin, str) and is_of_a_package(spec):
            return  # the fork server, too, has what was found there
        places = {one: os.path.lexists(one) for one in searched_before(name, folders, origin)}
        if spec is not None:
            self._places[name] = places
        elif self._is_own_code():
            self._stack[-1].asked_paths.update(places)

    def _asked_about(self, path: object) -> None:
        if not self._is_of_interest() or not isinstance(path, (str, bytes, os.PathLike)):
            return
        self._looks_on = False  # what follows asks itself
        try:
            asking = sys._getframe(2)
            while asking.f_globals.get("__name__") in MODULES_OF_PATHS and asking.f_back:
                asking = asking.f_back
            not_the_app = (IMPORTLIB, OUR_FOLDER, *debugger_folders())
            if not asking.f_code.co_filename.startswith(not_the_app):
                self._note_path(self._stack[-1], path)
        finally:
            self._looks_on = True

    def _asked_for(self, name: str, names: Sequence[str]) -> None:
        if not self._is_own_code():
            return
        by = self._stack[-1]
        if "*" in names:
            by.starred.append(name)
        for one in with_parents((name, *(f"{name}.{part}" for part in names if part != "*"))):
            self._note_import(by, one)

    def _note_import(self, by: _Running, name: str) -> None:
        known = self._modules.get(name)
        # Names that are no modules do no harm: nobody is called like them.
        by.imports.setdefault(name, known is not None and not known.is_over)
        if known is None and name not in self._packages:
            self._asked.add(name)
            assert self._probe is not None
            # What is there already can be changed before another module runs.
            self._probe.packages.update(self._newly_asked())

    def _begins(self, module: ModuleType) -> None:
        spec = namespace_of(module).get("__spec__")
        name = getattr(spec, "name", module.__name__)
        file, is_own = namespace_of(module).get("__file__"), is_of_the_project(module)
        self._boundary(is_own)
        one = _Running(name, os.path.abspath(file) if isinstance(file, str) else None, is_own)
        if is_own:
            self._begins_own(one)
        self._stack.append(one)

    def _begins_own(self, one: _Running) -> None:
        assert self._begun is not None
        assert self._probe is not None
        own = self._probe.state.changes_since(self._begun)
        one.changes = merged_changes(self._already, own)
        for parent in tuple(with_parents([one.name]))[:-1]:
            self._note_import(one, parent)
        if self._stack and self._stack[-1].is_own:
            self._note_import(self._stack[-1], one.name)
        elif not self._stack and self._modules:
            self._later_begins += 1
            if self._later_begins <= MOST_SNAPSHOT_COMPARISONS:
                self._compare()
        if one.name in self._modules:
            one.effect = "is run more than once"
        self._modules[one.name] = one

    def _ends(self, module: ModuleType) -> None:
        over = self._stack[-1]
        self._boundary(len(self._stack) > 1 and self._stack[-2].is_own)
        self._stack.pop()
        over.is_over = True
        if not over.is_own:
            return
        for package in over.starred:
            for value in list(namespace_of(sys.modules.get(package)).values()):
                if isinstance(value, ModuleType) and value.__name__ in self._modules:
                    over.imports.setdefault(value.__name__, False)
        self._put_back(namespace_of(module))
        foreign = foreign_objects(self._packages.values())
        over.snapshot = Snapshot(module, foreign, self._snapshots_of(over.imports), self._owners)
        # What it has asked for is there by now, or is no module.
        self._asked.difference_update(over.imports)
        if not self._stack and not self._later_begins:
            self._compare()  # what a factory changes afterwards concerns no module

    def _snapshots_of(self, names: Iterable[str]) -> Iterator[Snapshot]:
        for name in names:
            known = self._modules.get(name)
            if known is not None and known.snapshot is not None:
                yield known.snapshot

    def _put_back(self, names: dict[str, Any]) -> None:
        """What the module has taken for itself while we looked on: `from os import stat`."""
        taken = [name for name, value in names.items() if type(value) is FunctionType]
        for name in taken:
            names[name] = self._originals.get(names[name], names[name])

    def _fails(self) -> None:
        self._stack[-1].effect = self._stack[-1].effect or "fails"

    def _compare(self) -> None:
        self._compared = True
        self._changed.update(changed_modules(self.snapshots()))

    def _boundary(self, is_own: bool) -> None:
        """Another module's code runs from now on: what has changed was done by the last one."""
        now = time.thread_time()
        was_own = bool(self._stack) and self._stack[-1].is_own
        if was_own:
            self.seconds += now - self._since
        self._since = now
        if not (is_own or was_own):
            return
        probe = self._look()
        if was_own and self._probe is not None and self._stack[-1].effect is None:
            self._stack[-1].effect = probe.effect_since(self._probe)
        self._probe = probe
        self._since = time.thread_time()

    def _look(self) -> _Probe:
        self._newly_asked()
        return _Probe(
            look(),
            atexit._ncallbacks(),
            random.getstate(),
            frozenset(os.listdir("/proc/self/fd")) if sys.platform == "linux" else frozenset(),
            {name: namespace_of(module).copy() for name, module in self._packages.items()},
            self._bytes_written(),
            _thread._count(),
        )

    def _newly_asked(self) -> dict[str, dict[str, Any]]:
        """The installed modules among those that were asked for, as soon as they are there."""
        there = {name: one for name in self._asked if (one := sys.modules.get(name)) is not None}
        self._asked -= there.keys()
        new = {name: one for name, one in there.items() if not is_of_the_project(one)}
        self._packages |= new
        return {name: namespace_of(module).copy() for name, module in new.items()}

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_of_interest():
            return
        if event != "open" and event not in EVENTS and event not in FOLDER_EVENTS:
            return
        self._looks_on = False  # what follows may be audited itself
        try:
            self._judge(event, arguments, sys._getframe(1).f_code.co_filename)
        finally:
            self._looks_on = True

    def _is_of_interest(self) -> bool:
        return self._looks_on and self._is_own_code()

    def _is_own_code(self) -> bool:
        """Is it a module of the project that does what is seen now?"""
        return bool(self._stack) and self._stack[-1].is_own and self._is_our_thread()

    def _is_our_thread(self) -> bool:
        """Not one that the app has started, nor a debugger's."""
        return _get_ident() == self._thread

    def _judge(self, event: str, arguments: tuple[Any, ...], caller: str) -> None:
        if caller.startswith((IMPORTLIB, OUR_FOLDER)):
            return
        by = self._stack[-1]
        if event in FOLDER_EVENTS or event == "open":
            self._opened(by, event, arguments)
        elif event not in ONLY_BY_ITSELF or not is_installed(caller):
            by.effect = by.effect or EVENTS[event]

    def _opened(self, by: _Running, event: str, arguments: tuple[Any, ...]) -> None:
        path, mode, flags = (*arguments, None, None)[:3]
        if event == "open" and is_opened_for_writing(mode, flags):
            if path != os.devnull:
                by.effect = by.effect or "writes to a file"
        elif isinstance(path, (str, bytes, os.PathLike)):
            self._note_path(by, path, is_read=True)

    def _note_path(
        self, by: _Running, path: str | bytes | os.PathLike[Any], *, is_read: bool = False
    ) -> None:
        found = os.path.abspath(os.fsdecode(path))
        if found == os.devnull or is_installed(found):
            return
        if found.startswith(("/proc/", "/dev/")):
            by.effect = by.effect or f"looks at {found}"
        elif os.path.isfile(found) or (is_read and os.path.isdir(found)):
            by.read_paths.add(found)
        else:
            by.asked_paths.setdefault(found, os.path.lexists(found))


def _same_names(names: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """But for submodules, which come by imports."""
    if len(names) == len(others) and all(map(operator.is_, names.values(), others.values())):
        return True
    return same(_without_submodules(names), _without_submodules(others))


def _without_submodules(names: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in names.items()
        if not isinstance(value, ModuleType) and not name.startswith("__")
    }

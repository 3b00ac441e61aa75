"""The fork server: a process without threads, with installed packages imported and no line of the
project, that forks each new worker.

It is this program again, started as a worker is; `run_fork_server` returns in the workers only.

A fork of it may become a fork server that has modules of the project, too. It runs only those that
a worker was seen to run without any effect, and looks on once more; the supervisor has the last
word on whether it may fork.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import gc
import importlib
import importlib.metadata
import os
import re
import selectors
import signal
import socket
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

from flask_debuglaunch.debuggers import join_debug_session
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.installed_packages import require_flask
from flask_debuglaunch.serving.app.app_finder import find_target, make_importable
from flask_debuglaunch.serving.app.environ_for_app import set_for_app
from flask_debuglaunch.serving.app.module_origins import package_of
from flask_debuglaunch.serving.app.server_calls_in_app import let_run_simple_serve
from flask_debuglaunch.serving.ipc_protocol import (
    AppImport,
    CannotPreload,
    Channel,
    Exited,
    Fork,
    Forked,
    LeftOutPackage,
    ModuleRun,
    ModulesPreloaded,
    Preload,
    Preloaded,
    PreloadModules,
    SpoiledForkServer,
    StateChanges,
)
from flask_debuglaunch.serving.preloading.import_code_analysis import (
    Source,
    parse,
    reasons_to_run_anew,
)
from flask_debuglaunch.serving.preloading.preloaded_modules import (
    HiddenModules,
    PreloadedModules,
    installed_imports,
)
from flask_debuglaunch.serving.preloading.project_module_recorder import ModuleRecorder
from flask_debuglaunch.serving.preloading.replayed_changes import ReplayedAppState
from flask_debuglaunch.serving.preloading.state_snapshots import (
    Snapshot,
    interpreter_state,
)
from flask_debuglaunch.serving.processes.fork_safety import (
    CHANGES_OF_UNSAFE_SETTINGS,
    ImportEffects,
    fork_safe_settings,
)
from flask_debuglaunch.serving.processes.signals_and_orphans import tie_to
from flask_debuglaunch.serving.processes.silenced_output import silenced_output
from flask_debuglaunch.serving.processes.spawn_interpreter import Inheritance
from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.files_used_by_app import (
    ImportedFiles,
    files_and_folders_of_imports,
)
from flask_debuglaunch.terminal_messages import shown_path

SPARE_CHILD_SECONDS = 0.3
"""So long after a worker was forked, which has the processor first, the next one is: ahead of the
save, which would wait for that."""
PROJECT_IMPORT_SECONDS = 120
"""Nobody waits for the project's modules: the server without them serves meanwhile."""


def run_fork_server(preload: Preload, inherited: Inheritance) -> Inheritance:
    """Preload, then fork whenever the supervisor asks; returns in each forked worker, with its own
    channel. In the fork server itself it returns only if that can't fork, and becomes a worker."""
    environ = dict(os.environ)
    # Ctrl-C is for the supervisor, and for the worker once it is one.
    interrupt_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    preloading = Preloading(preload)
    try:
        preloading.run()
    except CannotFork as error:
        inherited.channel.tell(CannotPreload(str(error)))
        os._exit(0)
    fork_inheritance = replace(inherited, preloaded=preloading.modules, environ=environ)
    if (spoiled := preloading.spoiled()) is not None:
        inherited.channel.tell(spoiled)
        return _become_worker(fork_inheritance, interrupt_handler)
    inherited.channel.tell(
        Preloaded(files_and_folders_of_imports(), preloading.first_not_preloaded)
    )
    fork_inheritance = replace(fork_inheritance, reseed_generators=preloading.reseed_generators)
    return serve_forks(fork_inheritance, interrupt_handler)


def run_project_module_server(
    preload_modules: PreloadModules, inherited: Inheritance
) -> Inheritance:
    """In a fork: import the modules, too, then fork whenever the supervisor asks; returns in each
    forked worker."""
    interrupt_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(PROJECT_IMPORT_SECONDS)
    hidden_modules = _import_project_modules(preload_modules, inherited)
    signal.alarm(0)
    preloaded = replace(inherited.preloaded, hidden_modules=hidden_modules)
    return serve_forks(replace(inherited, preloaded=preloaded), interrupt_handler)


def _import_project_modules(
    preload_modules: PreloadModules, inherited: Inheritance
) -> HiddenModules:
    # What was seen is needed no more: each worker would have to free what is a local of a caller.
    recorded_runs, package_changes = preload_modules.module_runs, inherited.preloaded.changes
    runs_again, snapshots = run_project_modules_again(recorded_runs, package_changes)
    inherited.channel.tell(ModulesPreloaded(runs_again))
    imported_runs = [run for run in recorded_runs if run.name in sys.modules]
    return HiddenModules(imported_runs, snapshots)


def serve_forks(fork_inheritance: Inheritance, interrupt_handler: Any) -> Inheritance:
    """Fork whenever the supervisor asks; returns in each fork. interrupt_handler: its own one of
    Ctrl-C."""
    # What is there now is never garbage: left alone by the collector, it stays shared memory.
    gc.collect()
    if hasattr(gc, "freeze"):  # not in PyPy
        gc.freeze()
    touch_memory = partial(_touch_shared_memory, fork_inheritance.preloaded.hidden_modules)
    channel = _fork_on_demand(fork_inheritance.channel, touch_memory)
    lifeline = None if fork_inheritance.lifeline is None else tie_to(fork_inheritance.lifeline)
    fork_inheritance.reseed_generators()
    fork_inheritance = replace(fork_inheritance, channel=channel, lifeline=lifeline)
    return _become_worker(fork_inheritance, interrupt_handler)


def _touch_shared_memory(hidden_modules: HiddenModules | None) -> None:
    """What is slow when a fork does it first, because the kernel has to copy what is written to."""
    with contextlib.suppress(Exception):
        importlib.metadata.version("werkzeug")  # as Werkzeug's server does
    if hidden_modules is not None:
        hidden_modules.touch()


def _become_worker(fork_inheritance: Inheritance, interrupt_handler: Any) -> Inheritance:
    """Once one is asked for."""
    worker_channel = _receive_worker_channel(fork_inheritance.channel)
    fork_inheritance.channel.close()
    signal.signal(signal.SIGINT, interrupt_handler)
    importlib.invalidate_caches()
    return replace(fork_inheritance, channel=Channel(worker_channel))


# The installed packages


class CannotFork(Exception):
    """Whichever packages are left out."""


class Preloading:
    """The imports of the app, made once more without it."""

    def __init__(self, preload: Preload) -> None:
        self._preload = preload
        self._imported_files = ImportedFiles(0)
        # What each interpreter begins with here: sitecustomize, .pth files.
        self._imported_files.new_project_files()
        self._modules_brought: dict[str, frozenset[str]] = {}
        self._imports_begun_by: dict[str, list[str]] = {}
        """The modules whose import began with that of each module."""
        self._importers_of: Callable[[str], tuple[str, ...]] = lambda module: ()
        self._spoil_reasons: dict[str, str] = {}
        """Why packages that were not left out should have been."""
        self._changed_by_package: dict[str, set[str]] = {}
        """What was changed while modules of each package were imported."""
        self._has_project_files = False
        """Was something of the project imported?"""
        self._reseed_functions: list[Callable[[], object]] = []
        changes_of_left_out = frozenset().union(*preload.left_out_packages.values())
        self._changes_of_others = changes_of_left_out.union(CHANGES_OF_UNSAFE_SETTINGS)
        self.first_not_preloaded: tuple[str, str] | None = None

    @property
    def modules(self) -> PreloadedModules:
        return PreloadedModules(
            self._modules_brought,
            self._app_state.changes_of_packages,
            self._app_state.changes_of_app(),
            self._app_state.warnings_filters,
            self._preload.left_out_packages,
            self._changes_of_others,
        )

    def spoiled(self) -> SpoiledForkServer | None:
        if not self._spoil_reasons:
            return None
        all_left_out = frozenset({*self._preload.left_out_packages, *self._spoil_reasons})
        imports_of_left_out = {
            module: tuple(self._imports_of_other_packages(modules_begun, all_left_out))
            for module, modules_begun in self._imports_begun_by.items()
            if package_of(module) in all_left_out
        }
        has_all = not self._preload.left_out_packages and not self._has_project_files
        package_files = files_and_folders_of_imports()
        spoilers = tuple(starmap(self._left_out_package, self._spoil_reasons.items()))
        return SpoiledForkServer(spoilers, imports_of_left_out, has_all, package_files)

    def _left_out_package(self, package: str, reason: str) -> LeftOutPackage:
        package_file = getattr(sys.modules.get(package), "__file__", None)
        changed_state = frozenset(self._changed_by_package.get(package, ()))
        return LeftOutPackage(package, reason, changed_state, package_file)

    def _imports_of_other_packages(
        self, modules_begun: Sequence[str], left_out: frozenset[str]
    ) -> Iterator[str]:
        """Those that packages which are left out have asked for."""
        asked_by_left_out = [
            AppImport(module, ())
            for module in modules_begun
            if package_of(module) not in left_out
            and left_out.issuperset(map(package_of, self._importers_of(module)))
        ]
        for installed_import in installed_imports(asked_by_left_out):
            yield installed_import.module

    def run(self) -> None:
        """Raises CannotFork."""
        # A package may read it while it is imported.
        set_for_app(self._preload.plan, supervised=True)
        let_run_simple_serve()  # a package may take hold of run_simple
        make_importable(find_target(self._preload.plan).path)
        with silenced_output(), fork_safe_settings():
            self._import_worker_modules()
            with ImportEffects() as effects:
                self._importers_of = effects.importers_of
                self._import_as_the_app(effects)
                self._reseed_functions = effects.reseed_functions()

    def _import_worker_modules(self) -> None:
        with ImportEffects() as effects:
            if self._preload.session is not None:
                join_debug_session.preload(self._preload.session)
            importlib.import_module("flask_debuglaunch.serving.worker_main")
            with contextlib.suppress(LaunchError):  # the worker says so
                require_flask()
            for module_and_effect in effects.effects_since_last_call(""):
                raise CannotFork("{} {} while it is imported".format(*module_and_effect))
        for file in self._imported_files.new_project_files():
            raise CannotFork(f"an installed package imports {shown_path(Path(file))}")

    def _import_as_the_app(self, effects: ImportEffects) -> None:
        self._app_state = ReplayedAppState(self._changes_of_others, self._preload.unsteady)
        for app_import in self._preload.imports:
            module = app_import.module
            if package_of(module) in self._preload.left_out_packages:
                continue
            if not app_import.is_by_launcher and (
                unlike := self._app_state.replay(app_import.changes)
            ):
                # Nor what we import for the server: it may bring along what the rest needs.
                self.first_not_preloaded = (module, min(unlike))
                break
            self._import_package_module(module, effects)
        self._app_state.undo()

    def _import_package_module(self, module: str, effects: ImportEffects) -> None:
        modules_before, state_before = set(sys.modules), interpreter_state()
        # What fails here fails, or not, in the worker, where the app can handle it.
        with self._app_state.importing(module), contextlib.suppress(Exception):
            importlib.import_module(module)
        self._modules_brought[module] = frozenset(sys.modules) - modules_before
        self._imports_begun_by[module] = effects.imported_since()
        changed_state = dict(interpreter_state().changes_since(state_before)).keys()
        for package in set(map(package_of, (module, *self._imports_begun_by[module]))):
            self._changed_by_package.setdefault(package, set()).update(changed_state)
        for package, reason in self._spoilers(module, effects):
            self._spoil_reasons.setdefault(package, reason)

    def _spoilers(self, module: str, effects: ImportEffects) -> Iterator[tuple[str, str]]:
        """The package that has done what a fork must not share, and why it must be left out."""
        spoilers = [
            imported
            for imported in self._imports_begun_by[module]
            if package_of(imported) in self._preload.left_out_packages
        ]
        for spoiler, effect in effects.effects_since_last_call(module):
            yield package_of(spoiler), f"{effect} while it is imported"
            spoilers.append(spoiler)
        for spoiler in spoilers:
            for importer in reversed(effects.importers_of(spoiler)):
                if package_of(importer) != package_of(spoiler):
                    yield package_of(importer), f"imports {package_of(spoiler)}"
        for file in self._imported_files.new_project_files():
            self._has_project_files = True
            yield package_of(module), f"imports {shown_path(Path(file))} of the project"

    def reseed_generators(self) -> None:
        """In a fork: give the random generators new states. Python's own does so by itself."""
        for reseed in self._reseed_functions:
            reseed()
        if numpy_random := sys.modules.get("numpy.random"):
            numpy_random.seed()
        for multiprocessing in ("multiprocessing.process", "billiard.process"):
            if process := sys.modules.get(multiprocessing):
                process.current_process().authkey = os.urandom(32)


# The modules of the project


def run_project_modules_again(
    module_runs: Sequence[ModuleRun], package_changes: StateChanges
) -> tuple[tuple[ModuleRun, ...], Mapping[str, Snapshot]]:
    """What was seen of the modules now, and how they are after that."""
    recorder = ModuleRecorder(package_changes, _bytes_written)
    effects_by_module = reasons_to_run_anew(_sources_of_modules(module_runs))
    with silenced_output(), ImportEffects() as import_effects, recorder, _no_bytecode_written():
        for run in module_runs:
            # What fails here has failed in the worker, or is found not to be as it was there.
            with contextlib.suppress(Exception):
                importlib.import_module(run.name)
            for _, effect in import_effects.effects_since_last_call(run.name):
                effects_by_module.setdefault(run.name, effect)
    runs_again = tuple(
        replace(run, effect=run.effect or effects_by_module.get(run.name))
        for run in recorder.runs()
    )
    return runs_again, recorder.snapshots()


def _sources_of_modules(module_runs: Sequence[ModuleRun]) -> dict[str, Source]:
    project_packages = frozenset(package_of(run.name) for run in module_runs)
    texts = {run.name: text for run in module_runs if (text := _source_text(run.file)) is not None}
    return {name: parse(text, project_packages) for name, text in texts.items()}


def _source_text(module_file: str | None) -> str | None:
    """None for what can't be read or parsed: it shows when it is imported."""
    if module_file is None:
        return None
    try:
        with tokenize.open(module_file) as source_file:
            source_text = source_file.read()
        ast.parse(source_text)
    except (OSError, SyntaxError, ValueError):
        return None
    return source_text


@contextlib.contextmanager
def _no_bytecode_written() -> Iterator[None]:
    """It would look as if the modules wrote."""
    setting_before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = setting_before


def _bytes_written() -> int:
    """By this process, to whatever (proc_pid_io(5)). Raises OSError where the kernel keeps it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with open("/proc/self/io", encoding="ascii") as process_io:
        return int(re.findall(r"^wchar: (\d+)", process_io.read(), re.MULTILINE)[0])


# The forks


def _fork_on_demand(channel: Channel, touch_shared_memory: Callable[[], None]) -> Channel:
    """Answer the supervisor; returns in each child, with a channel on which it is told its own.

    touch_shared_memory: what one does that is there before it is asked for.
    """
    with _ChildExits() as child_exits, selectors.DefaultSelector() as selector:
        for source in (channel, child_exits):
            selector.register(source, selectors.EVENT_READ)
        children = _ForkedChildren(channel)
        while True:
            events = selector.select(children.seconds_until_spare_child)
            ready_sources = [key.fileobj for key, _ in events]
            if child_exits in ready_sources:
                for pid, exit_status in child_exits.reaped_children():
                    channel.tell(Exited(pid, exit_status))
            if channel in ready_sources:
                child_end = children.answer_fork_request(child_exits)
            else:
                child_end = None if ready_sources else children.fork_spare_child()
                if child_end is not None:
                    touch_shared_memory()
            if child_end is not None:
                channel.close()
                return child_end


class _ForkedChildren:
    """Children that wait to become workers: one is there before it is asked for."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._spare_child: tuple[int, Channel] | None = None
        self.seconds_until_spare_child: float | None = SPARE_CHILD_SECONDS

    def answer_fork_request(self, child_exits: _ChildExits) -> Channel | None:
        """Give the supervisor a worker. In a child it returns that one's end of a channel to it."""
        pid = None
        with contextlib.suppress(OSError), _receive_worker_channel(self._channel) as worker_channel:
            pid = self._hand_to_spare_child(worker_channel)
            if pid is None:  # there is none, or somebody has killed it
                if (child_end := self._fork_child()) is not None:
                    return child_end
                pid = self._hand_to_spare_child(worker_channel)
        if pid is not None:
            child_exits.child_pids.add(pid)
        self._channel.tell(Forked(pid))
        self.seconds_until_spare_child = SPARE_CHILD_SECONDS
        return None

    def fork_spare_child(self) -> Channel | None:
        """Make the next one. Returns as `answer_fork_request` does."""
        self.seconds_until_spare_child = None
        with contextlib.suppress(OSError):  # there may be enough when one is asked for
            return self._fork_child()
        return None

    def _fork_child(self) -> Channel | None:
        fork_server_end, child_end = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            fork_server_end.close()
            child_end.close()
            raise
        if pid == 0:
            fork_server_end.close()
            return Channel(child_end)
        child_end.close()
        self._spare_child = pid, Channel(fork_server_end)
        return None

    def _hand_to_spare_child(self, worker_channel: socket.socket) -> int | None:
        """Its process; None if there is none that lives."""
        if self._spare_child is None:
            return None
        (pid, child_channel), self._spare_child = self._spare_child, None
        try:
            child_channel.send(Fork())
            socket.send_fds(child_channel.socket, [b"x"], [worker_channel.fileno()])
        except OSError:
            os.waitpid(pid, 0)
            return None
        finally:
            child_channel.close()
        return pid


def _receive_worker_channel(channel: Channel) -> socket.socket:
    """The one of the next worker; ends this process if there is to be none. Raises OSError if we
    have no descriptor left for it."""
    fork_request = channel.receive()
    if not isinstance(fork_request, Fork):  # the supervisor is gone, or needs us no more
        os._exit(0)
    _, descriptors, _, _ = socket.recv_fds(channel.socket, 1, 1)
    if not descriptors:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    (descriptor,) = descriptors
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


class _ChildExits:
    """While entered, readable for a selector when children of ours have ended.

    Not by os.pidfd_open, which is missing in Pythons built for old kernels (conda's, uv's).
    """

    def __init__(self) -> None:
        self.child_pids: set[int] = set()
        self._pipe = SelfPipe()

    def fileno(self) -> int:
        return self._pipe.fileno()

    def reaped_children(self) -> Iterator[tuple[int, int]]:
        """Those that have ended since the last call: pid, and exit status as in subprocess."""
        self._pipe.clear()
        for pid in [*self.child_pids]:
            ended_pid, wait_status = os.waitpid(pid, os.WNOHANG)
            if ended_pid:
                self.child_pids.remove(pid)
                yield pid, os.waitstatus_to_exitcode(wait_status)

    def __enter__(self) -> _ChildExits:
        self._handler = signal.signal(signal.SIGCHLD, lambda number, frame: self._pipe.set())
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGCHLD, self._handler)
        self._pipe.close()

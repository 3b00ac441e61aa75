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
import random
import re
import selectors
import signal
import socket
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
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
    Changes,
    Channel,
    Exited,
    Fork,
    Forked,
    Import,
    LeftOut,
    ModuleRun,
    ModulesPreloaded,
    Preload,
    Preloaded,
    PreloadModules,
    Spoiled,
    Unsafe,
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
from flask_debuglaunch.serving.preloading.state_snapshots import Snapshot, look
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
    ImportsSeen,
    files_and_folders_of_imports,
)
from flask_debuglaunch.terminal_messages import shown_path

SPARE_SECONDS = 0.3
"""So long after a worker was forked, which has the processor first, the next one is: ahead of the
save, which would wait for that."""
PROJECT_IMPORT_SECONDS = 120
"""Nobody waits for the project's modules: the server without them serves meanwhile."""


def run_fork_server(preload: Preload, inherited: Inheritance) -> Inheritance:
    """Preload, then fork whenever the supervisor asks; returns in each forked worker, with its own
    channel. In the fork server itself it returns only if that can't fork, and becomes a worker."""
    environ = dict(os.environ)
    # Ctrl-C is for the supervisor, and for the worker once it is one.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    preloading = Preloading(preload)
    try:
        preloading.run()
    except CannotFork as error:
        inherited.channel.tell(Unsafe(str(error)))
        os._exit(0)
    ready = replace(inherited, preloaded=preloading.modules, environ=environ)
    if (spoiled := preloading.spoiled()) is not None:
        inherited.channel.tell(spoiled)
        return _become_worker(ready, interrupt)
    inherited.channel.tell(Preloaded(files_and_folders_of_imports(), preloading.rest))
    return serve_forks(replace(ready, draw_anew=preloading.draw_anew), interrupt)


def run_module_server(order: PreloadModules, inherited: Inheritance) -> Inheritance:
    """In a fork: import the modules, too, then fork whenever the supervisor asks; returns in each
    forked worker."""
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(PROJECT_IMPORT_SECONDS)
    hidden = _import_projects(order, inherited)
    signal.alarm(0)
    preloaded = replace(inherited.preloaded, hidden=hidden)
    return serve_forks(replace(inherited, preloaded=preloaded), interrupt)


def _import_projects(order: PreloadModules, inherited: Inheritance) -> HiddenModules:
    # What was seen is needed no more: each worker would have to free what is a local of a caller.
    runs, snapshots = run_again(order.runs, inherited.preloaded.changes)
    inherited.channel.tell(ModulesPreloaded(runs))
    there = [run for run in order.runs if run.name in sys.modules]
    return HiddenModules(there, snapshots)


def serve_forks(ready: Inheritance, interrupt: Any) -> Inheritance:
    """Fork whenever the supervisor asks; returns in each fork. interrupt: its handler of Ctrl-C."""
    # What is there now is never garbage: left alone by the collector, it stays shared memory.
    gc.collect()
    if hasattr(gc, "freeze"):  # not in PyPy
        gc.freeze()
    order = _fork_on_demand(ready.channel, partial(_warm_up, ready.preloaded.hidden))
    held = None if ready.lifeline is None else tie_to(ready.lifeline)
    ready.draw_anew()
    return _become_worker(replace(ready, channel=order, lifeline=held), interrupt)


def _warm_up(hidden: HiddenModules | None) -> None:
    """What is slow when a fork does it first, because the kernel has to copy what is written to."""
    with contextlib.suppress(Exception):
        importlib.metadata.version("werkzeug")  # as Werkzeug's server does
    if hidden is not None:
        hidden.touch()


def _become_worker(ready: Inheritance, interrupt: Any) -> Inheritance:
    """Once one is asked for."""
    channel = _channel_asked_for(ready.channel)
    ready.channel.close()
    signal.signal(signal.SIGINT, interrupt)
    importlib.invalidate_caches()
    return replace(ready, channel=Channel(channel))


# The installed packages


class CannotFork(Exception):
    """Whichever packages are left out."""


class Preloading:
    """The imports of the app, made once more without it."""

    def __init__(self, preload: Preload) -> None:
        self._preload = preload
        self._seen = ImportsSeen(0)
        self._seen.new_files()  # what each interpreter begins with here: sitecustomize, .pth files
        self._brought: dict[str, frozenset[str]] = {}
        self._begun: dict[str, list[str]] = {}
        """The modules whose import began with that of each module."""
        self._importers: Callable[[str], tuple[str, ...]] = lambda module: ()
        self._reasons: dict[str, str] = {}
        """Why packages that were not left out should have been."""
        self._changed: dict[str, set[str]] = {}
        """What was changed while modules of each package were imported."""
        self._has_projects = False
        """Was something of the project imported?"""
        self._changes: Changes = ()
        self._generators: list[random.Random] = []
        changes_of_left_out = frozenset().union(*preload.left_out.values())
        self._made_by_others = changes_of_left_out.union(CHANGES_OF_UNSAFE_SETTINGS)
        self.rest: tuple[str, str] | None = None

    @property
    def modules(self) -> PreloadedModules:
        left_out = self._preload.left_out
        return PreloadedModules(self._brought, self._changes, left_out, self._made_by_others)

    def spoiled(self) -> Spoiled | None:
        if not self._reasons:
            return None
        all_left_out = frozenset({*self._preload.left_out, *self._reasons})
        instead = {
            module: tuple(self._of_others(begun, all_left_out))
            for module, begun in self._begun.items()
            if package_of(module) in all_left_out
        }
        has_all = not self._preload.left_out and not self._has_projects
        files = files_and_folders_of_imports()
        left_out = tuple(self._to_leave_out(*one) for one in self._reasons.items())
        return Spoiled(left_out, instead, has_all, files)

    def _to_leave_out(self, package: str, reason: str) -> LeftOut:
        file = getattr(sys.modules.get(package), "__file__", None)
        return LeftOut(package, reason, frozenset(self._changed.get(package, ())), file)

    def _of_others(self, begun: Sequence[str], left_out: frozenset[str]) -> Iterator[str]:
        """Those that packages which are left out have asked for."""
        asked_for = [
            Import(one, ())
            for one in begun
            if package_of(one) not in left_out
            and left_out.issuperset(map(package_of, self._importers(one)))
        ]
        yield from (one.module for one in installed_imports(asked_for))

    def run(self) -> None:
        """Raises CannotFork."""
        # A package may read it while it is imported.
        set_for_app(self._preload.plan, supervised=True)
        let_run_simple_serve()  # a package may take hold of run_simple
        make_importable(find_target(self._preload.plan).path)
        with silenced_output(), fork_safe_settings():
            self._import_own()
            with ImportEffects() as effects:
                self._importers = effects.importers_of
                self._follow_app(effects)
                self._generators = effects.generators()

    def _import_own(self) -> None:
        with ImportEffects() as effects:
            if self._preload.session is not None:
                join_debug_session.preload(self._preload.session)
            importlib.import_module("flask_debuglaunch.serving.worker_main")
            with contextlib.suppress(LaunchError):  # the worker says so
                require_flask()
            for found in effects.found(""):
                raise CannotFork("{} {} while it is imported".format(*found))
        for file in self._seen.new_files():
            raise CannotFork(f"an installed package imports {shown_path(Path(file))}")

    def _follow_app(self, effects: ImportEffects) -> None:
        begun = look()
        for one in self._preload.imports:
            if package_of(one.module) in self._preload.left_out:
                continue
            self._changes = look().changes_since(begun)
            difference = dict(set(one.changes) ^ set(self._changes)).keys() - self._made_by_others
            if difference and not one.by_us:
                self.rest = self.rest or (one.module, min(difference))
            elif self.rest is None or one.by_us:
                self._import(one.module, effects)
        self._changes = look().changes_since(begun)

    def _import(self, module: str, effects: ImportEffects) -> None:
        before, state = set(sys.modules), look()
        # What fails here fails, or not, in the worker, where the app can handle it.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
        self._brought[module] = frozenset(sys.modules) - before
        self._begun[module] = effects.imported_since()
        changed = {name for name, _ in look().changes_since(state)}
        for package in {package_of(one) for one in (module, *self._begun[module])}:
            self._changed.setdefault(package, set()).update(changed)
        for package, reason in self._spoilers(module, effects):
            self._reasons.setdefault(package, reason)

    def _spoilers(self, module: str, effects: ImportEffects) -> Iterator[tuple[str, str]]:
        """The package that has done what a fork must not share, and why it must be left out."""
        left_out = [one for one in self._begun[module] if package_of(one) in self._preload.left_out]
        for spoiler, effect in effects.found(module):
            yield package_of(spoiler), f"{effect} while it is imported"
            left_out.append(spoiler)
        for one in left_out:
            for importer in reversed(effects.importers_of(one)):
                if package_of(importer) != package_of(one):
                    yield package_of(importer), f"imports {package_of(one)}"
        for file in self._seen.new_files():
            self._has_projects = True
            yield package_of(module), f"imports {shown_path(Path(file))} of the project"

    def draw_anew(self) -> None:
        """In a fork: give the random generators new states. Python's own does so by itself."""
        for generator in self._generators:
            generator.seed()
        if numpy_random := sys.modules.get("numpy.random"):
            numpy_random.seed()
        for multiprocessing in ("multiprocessing.process", "billiard.process"):
            if process := sys.modules.get(multiprocessing):
                process.current_process().authkey = os.urandom(32)


# The modules of the project


def run_again(
    runs: Sequence[ModuleRun], changes: Changes
) -> tuple[tuple[ModuleRun, ...], Mapping[str, Snapshot]]:
    """What was seen of the modules now, and how they are after that. changes: of the packages."""
    recorder = ModuleRecorder(changes, _bytes_written)
    found = reasons_to_run_anew(_sources(runs))
    with silenced_output(), ImportEffects() as effects, recorder, _no_bytecode_written():
        for run in runs:
            # What fails here has failed in the worker, or is found not to be as it was there.
            with contextlib.suppress(Exception):
                importlib.import_module(run.name)
            for _, effect in effects.found(run.name):
                found.setdefault(run.name, effect)
    seen = recorder.runs()
    judged = tuple(replace(run, effect=run.effect or found.get(run.name)) for run in seen)
    return judged, recorder.snapshots()


def _sources(runs: Sequence[ModuleRun]) -> dict[str, Source]:
    projects = frozenset(run.name.partition(".")[0] for run in runs)
    texts = {run.name: text for run in runs if (text := _text_of(run.file)) is not None}
    return {name: parse(text, projects) for name, text in texts.items()}


def _text_of(file: str | None) -> str | None:
    """None for what can't be read or parsed: it shows when it is imported."""
    if file is None:
        return None
    try:
        with tokenize.open(file) as source:
            text = source.read()
        ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return None
    return text


@contextlib.contextmanager
def _no_bytecode_written() -> Iterator[None]:
    """It would look as if the modules wrote."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _bytes_written() -> int:
    """By this process, to whatever (proc_pid_io(5)). Raises OSError where the kernel keeps it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with open("/proc/self/io", encoding="ascii") as file:
        return int(re.findall(r"^wchar: (\d+)", file.read(), re.MULTILINE)[0])


# The forks


def _fork_on_demand(channel: Channel, warm_up: Callable[[], None]) -> Channel:
    """Answer the supervisor; returns in each child, with a channel on which it is told its own.

    warm_up: what one does that is there before it is asked for.
    """
    with _ChildExits() as exits, selectors.DefaultSelector() as selector:
        for source in (channel, exits):
            selector.register(source, selectors.EVENT_READ)
        forks = _Forks(channel)
        while True:
            ready = [one.fileobj for one, _ in selector.select(forks.seconds_until_spare)]
            if exits in ready:
                for pid, status in exits.reaped():
                    channel.tell(Exited(pid, status))
            if channel in ready:
                its_end = forks.answer(exits)
            else:
                its_end = None if ready else forks.fork_ahead()
                if its_end is not None:
                    warm_up()
            if its_end is not None:
                channel.close()
                return its_end


class _Forks:
    """Children that wait to become workers: one is there before it is asked for."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._spare: tuple[int, Channel] | None = None
        self.seconds_until_spare: float | None = SPARE_SECONDS

    def answer(self, exits: _ChildExits) -> Channel | None:
        """Give the supervisor a worker. In a child it returns that one's end of a channel to it."""
        pid = None
        with contextlib.suppress(OSError), _channel_asked_for(self._channel) as of_worker:
            pid = self._given_to_spare(of_worker)
            if pid is None:  # there is none, or somebody has killed it
                if (its_end := self._fork()) is not None:
                    return its_end
                pid = self._given_to_spare(of_worker)
        if pid is not None:
            exits.pids.add(pid)
        self._channel.tell(Forked(pid))
        self.seconds_until_spare = SPARE_SECONDS
        return None

    def fork_ahead(self) -> Channel | None:
        """Make the next one. Returns as `answer` does."""
        self.seconds_until_spare = None
        with contextlib.suppress(OSError):  # there may be enough when one is asked for
            return self._fork()
        return None

    def _fork(self) -> Channel | None:
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            ours.close()
            return Channel(theirs)
        theirs.close()
        self._spare = pid, Channel(ours)
        return None

    def _given_to_spare(self, of_worker: socket.socket) -> int | None:
        """Its process; None if there is none that lives."""
        if self._spare is None:
            return None
        (pid, channel), self._spare = self._spare, None
        try:
            channel.send(Fork())
            socket.send_fds(channel.socket, [b"x"], [of_worker.fileno()])
        except OSError:
            os.waitpid(pid, 0)
            return None
        finally:
            channel.close()
        return pid


def _channel_asked_for(channel: Channel) -> socket.socket:
    """The one of the next worker; ends this process if there is to be none. Raises OSError if we
    have no descriptor left for it."""
    request = channel.receive()
    if not isinstance(request, Fork):  # the supervisor is gone, or needs us no more
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
        self.pids: set[int] = set()
        self._pipe = SelfPipe()

    def fileno(self) -> int:
        return self._pipe.fileno()

    def reaped(self) -> Iterator[tuple[int, int]]:
        """Those that have ended since the last call: pid, and exit status as in subprocess."""
        self._pipe.clear()
        for pid in [*self.pids]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self.pids.remove(pid)
                yield pid, os.waitstatus_to_exitcode(status)

    def __enter__(self) -> _ChildExits:
        self._handler = signal.signal(signal.SIGCHLD, lambda number, frame: self._pipe.set())
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGCHLD, self._handler)
        self._pipe.close()

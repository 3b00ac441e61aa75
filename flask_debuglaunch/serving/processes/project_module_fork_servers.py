"""Keeps a fork server that has the project's cold modules, a fork of the one that has the packages.

What is hot is learned as it goes: a file that is being edited, an effect that is seen. Then the
server at hand is of no use, and the next one leaves the module out.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from flask_debuglaunch.launcher_notes import LauncherNotes
from flask_debuglaunch.serving.ipc_protocol import (
    ModuleRun,
    Preloadable,
    PreloadModules,
    channel_to_child,
)
from flask_debuglaunch.serving.preloading.module_search_paths import which_exist
from flask_debuglaunch.serving.preloading.project_module_graph import (
    ColdAndHotModules,
    cold_and_hot_modules,
    merged_runs,
)
from flask_debuglaunch.serving.processes.worker_and_fork_server_handles import (
    ForkedWorker,
    ForkServerHandle,
)
from flask_debuglaunch.serving.watching.file_signature import (
    Signature,
    changed_since,
    signature,
    signatures,
)

MOST_NAMED_MODULES = 3
"""So many modules are named that run anew."""
MOST_SERVERS_IN_A_ROW = 5
"""So often in a row may a look at the modules show what the one before has not."""
MOST_FILES_SAVED_AT_ONCE = 4
"""Nobody edits more between two looks: it is a `git checkout`, or something that rewrites them."""
RELOADS_UNTIL_LEFT_ALONE = 20
"""After so many reloads without a save of it a file is not being edited any more."""


@dataclass(frozen=True)
class FilesOfModules:
    """What modules were made from, as it was then."""

    files: Mapping[str, Signature | None]
    asked_paths: frozenset[tuple[str, bool]]
    """Paths, each with: was it there?"""

    @classmethod
    def of(cls, module_runs: Iterable[ModuleRun]) -> FilesOfModules:
        """As it is now, and as it was when somebody asked."""
        return cls(signatures(_files_of_modules(module_runs)), _asked_paths_of_modules(module_runs))

    def changed_files(self) -> frozenset[str]:
        """The paths of what is another now."""
        return changed_since(self.files) | _paths_that_came_or_went(self.asked_paths)

    def covers(self, module_runs: Iterable[ModuleRun]) -> bool:
        """Are these modules made from nothing else?"""
        has_files = _files_of_modules(module_runs) <= self.files.keys()
        return has_files and _asked_paths_of_modules(module_runs) <= self.asked_paths


class ProjectModuleServer(ForkServerHandle):
    """One that has the cold modules of a selection."""

    def __init__(
        self,
        forked_process: ForkedWorker,
        connection: socket.socket,
        selection: ColdAndHotModules,
        made_from: FilesOfModules,
    ) -> None:
        super().__init__(_ForkedProcess(forked_process), channel_to_child(connection), patience=0)
        self.parent = forked_process.fork_server
        self._forked_process = forked_process
        self.selection = selection
        self.made_from = made_from
        self.was_paused = False

    def signal(self, number: signal.Signals) -> None:
        self._forked_process.signal(number)


class _ForkedProcess:
    """A fork server whose parent is another one, which waits for its end."""

    def __init__(self, forked_process: ForkedWorker) -> None:
        self._forked_process = forked_process

    def kill(self) -> None:
        self._forked_process.kill()

    def wait(self, timeout: float) -> None:
        """It is another process's child."""


class ProjectModuleServers:
    """The server at hand, and what the next one must know."""

    def __init__(self, selector: selectors.BaseSelector, notes: LauncherNotes) -> None:
        self._selector, self._notes = selector, notes
        self._recorded_runs: tuple[ModuleRun, ...] = ()
        self._is_worth_a_server = False
        self._read_since = 0.0
        self._unrecorded_files: frozenset[str] = frozenset()
        """Files of modules that came later, of which nothing is recorded."""
        self._edited_files = EditedFiles()
        self._hot_modules: dict[str, str] = {}
        """Modules with effects that only a second look has shown."""
        self._module_server: ProjectModuleServer | None = None
        self._servers_in_a_row = 0

    def learn(self, preloadable: Preloadable, least_seconds: float | None) -> None:
        """Take over what a worker was seen to import. A server at hand stays: it has what has not
        changed. least_seconds: how long the modules must take to be worth a server; None: none is.
        """
        if preloadable.module_runs is not None:
            is_enough = least_seconds is not None and preloadable.project_seconds >= least_seconds
            self._recorded_runs, self._is_worth_a_server = preloadable.module_runs, is_enough
            self._read_since = preloadable.since
            self._servers_in_a_row = 0
        self._unrecorded_files = preloadable.project_files - _files_of_modules(self._recorded_runs)

    @property
    def knows(self) -> bool:
        """Is it known what the modules import and do?"""
        return bool(self._recorded_runs)

    def forget(self, files: frozenset[str]) -> None:
        """The modules of these files must run in each worker; without any, nothing is known now."""
        self._edited_files.add(files)
        if not files:
            self._forget_recorded_runs()
        self.drop_server()

    def _forget_recorded_runs(self) -> None:
        """All modules are looked at when the next worker imports them."""
        self._recorded_runs, self._is_worth_a_server = (), False
        self._unrecorded_files, self._hot_modules = frozenset(), {}

    def usable_server(self, parent: ForkServerHandle) -> ProjectModuleServer | None:
        """The server, if what it has is what an import would give now. To be asked once for each
        worker."""
        self._edited_files.reload_begins()
        module_server = self._module_server
        if module_server is not None and module_server.is_ready_to_fork:
            changed_files = module_server.made_from.changed_files()
            if not changed_files and module_server.parent is parent:
                return module_server
            self.drop_server()
            self._note_saved_files(changed_files)
        # All of the modules are imported now: the moment to take in what else is another since.
        if self._unrecorded_files or self._edited_files.left_alone():
            left_alone = self._edited_files.left_alone()
            self._note_saved_files(_files_saved_since(self._recorded_runs, self._read_since))
            self._edited_files.forget(left_alone)
            self._forget_recorded_runs()
            self.drop_server()
        return None

    def _note_saved_files(self, changed_files: frozenset[str]) -> None:
        """Files were saved: they are being edited, unless they are too many. Then their modules
        may do other things now, and what a look has shown was not of its own making."""
        if changed_files:
            self._servers_in_a_row = 0
        if self._edited_files.are_too_many(changed_files):
            self._forget_recorded_runs()
        else:
            self._edited_files.add(changed_files)

    def is_current(self, fork_server: ForkServerHandle) -> bool:
        return fork_server is self._module_server

    def pause(self) -> None:
        """A worker is on its way, and is to have the processor: a server that is not ready goes on
        when the worker is. Once: else somebody who saves all the time would never have one.

        Not by a lower priority (nice), which its workers would inherit and could not get rid of.
        """
        if (
            self._module_server is not None
            and not self._module_server.is_ready_to_fork
            and not self._module_server.was_paused
        ):
            self._module_server.was_paused = True
            self._module_server.signal(signal.SIGSTOP)

    def drop_server(self) -> None:
        """Fork no more."""
        if self._module_server is not None:
            self._selector.unregister(self._module_server.channel)
            self._module_server.retire()
        self._module_server = None

    def close(self) -> None:
        if self._module_server is not None:
            self._module_server.close()

    def start_or_resume(self, parent: ForkServerHandle, left_out: Iterable[str]) -> None:
        """Have a server start, or go on, unless one is ready. left_out: installed packages."""
        if self._module_server is not None and self._module_server.parent is not parent:
            self.drop_server()
        if self._module_server is not None:
            self._module_server.signal(signal.SIGCONT)
            return
        if self._servers_in_a_row >= MOST_SERVERS_IN_A_ROW or not self._is_worth_a_server:
            return
        self._note_saved_files(_files_saved_since(self._recorded_runs, self._read_since))
        if not self._is_worth_a_server:
            return
        self._hot_modules |= {package: f"imports {package}" for package in left_out}
        selection = self._select_cold_modules()
        if not selection.cold:
            self._say_kept_modules(selection)
            return
        made_from = FilesOfModules.of(selection.cold)
        try:
            forked, supervisor_end = _fork_module_server(parent)
        except OSError:  # the next save says what is wrong
            return
        self._servers_in_a_row += 1
        module_server = ProjectModuleServer(forked, supervisor_end, selection, made_from)
        module_server.channel.tell(PreloadModules(selection.cold))
        on_message = partial(self._on_server_message, module_server, list(left_out))
        self._selector.register(module_server.channel, selectors.EVENT_READ, on_message)
        self._module_server = module_server

    def _select_cold_modules(self) -> ColdAndHotModules:
        edited_paths = self._edited_files.paths
        return cold_and_hot_modules(self._recorded_runs, edited_paths, self._hot_modules)

    def _on_server_message(
        self, module_server: ProjectModuleServer, left_out: Iterable[str]
    ) -> None:
        if not module_server.channel.has_message():
            return
        module_server.receive_message()
        if module_server is not self._module_server:
            return
        if module_server.is_gone:
            self.drop_server()
        elif module_server.module_runs_again is not None and not module_server.is_ready_to_fork:
            self._compare_with_recorded(module_server, module_server.module_runs_again, left_out)

    def _compare_with_recorded(
        self,
        module_server: ProjectModuleServer,
        runs_again: tuple[ModuleRun, ...],
        left_out: Iterable[str],
    ) -> None:
        """Was it as the worker had seen it? Else once more, without what was not."""
        self._recorded_runs = merged_runs(self._recorded_runs, runs_again)
        for run in self._recorded_runs:
            if run.effect is not None:
                self._hot_modules.setdefault(run.name, run.effect)
        self._note_saved_files(module_server.made_from.changed_files())
        selection = self._select_cold_modules()
        cold_names = [run.name for run in selection.cold]
        is_same = cold_names == [run.name for run in module_server.selection.cold]
        if is_same and module_server.made_from.covers(selection.cold):
            module_server.is_ready_to_fork = True
            self._servers_in_a_row = 0
            self._say_kept_modules(selection)
            return
        self.drop_server()
        self.start_or_resume(module_server.parent, left_out)

    def _say_kept_modules(self, selection: ColdAndHotModules) -> None:
        """How many are kept, and which run anew each time though nobody has edited them."""
        reasons = [
            f"{name}, because it {reason}"
            for name, reason in selection.hot.items()
            if not reason.startswith("depends on") and not reason.endswith("was edited")
        ]
        named = "; ".join(reasons[:MOST_NAMED_MODULES])
        if len(reasons) > MOST_NAMED_MODULES:
            named = f"{named}; and {len(reasons) - MOST_NAMED_MODULES} more"
        text = (
            f"Kept imported between reloads: {len(selection.cold)} of {len(self._recorded_runs)}"
            " modules of the project. Imported anew:"
            f" {named or 'those that were edited, and what imports them'}"
        )
        self._notes.say_once(text, about=f"modules that are imported anew: {reasons}")


def _fork_module_server(parent: ForkServerHandle) -> tuple[ForkedWorker, socket.socket]:
    """With our end of its channel. Raises OSError."""
    supervisor_end, server_end = socket.socketpair()
    try:
        with server_end:
            return parent.fork(server_end, becomes_worker=False), supervisor_end
    except OSError:
        supervisor_end.close()
        raise


def _files_saved_since(module_runs: Iterable[ModuleRun], since: float) -> frozenset[str]:
    module_files = _files_of_modules(module_runs)
    saved_files = frozenset(path for path in module_files if _changed_at(path) >= since)
    return saved_files | _paths_that_came_or_went(_asked_paths_of_modules(module_runs))


def _files_of_modules(module_runs: Iterable[ModuleRun]) -> frozenset[str]:
    return frozenset().union(*(run.files for run in module_runs))


def _asked_paths_of_modules(module_runs: Iterable[ModuleRun]) -> frozenset[tuple[str, bool]]:
    return frozenset().union(*(run.asked_paths.items() for run in module_runs))


def _paths_that_came_or_went(asked_paths: Iterable[tuple[str, bool]]) -> frozenset[str]:
    is_there_now = which_exist(path for path, _ in asked_paths)
    return frozenset(path for path, was_there in asked_paths if is_there_now[path] != was_there)


def _changed_at(path: str) -> float:
    """Of its content, or of what stands under the name."""
    with suppress(OSError, ValueError):
        return os.stat(path).st_ctime
    return float("inf")


# The files that are being edited


class EditedFiles:
    """Those that were saved lately in this run, few at a time: each with how it was when it was
    last seen to be saved, and at which reload that was."""

    def __init__(self) -> None:
        self._edited_files: dict[str, tuple[Signature | None, int]] = {}
        self._reload_count = 0

    @property
    def paths(self) -> Collection[str]:
        return self._edited_files.keys()

    def reload_begins(self) -> None:
        """Look at all of them again."""
        self._reload_count += 1
        self.add([*self._edited_files])

    def add(self, files: Iterable[str]) -> None:
        for path in files:
            signature_now = signature(path)
            if path not in self._edited_files or self._edited_files[path][0] != signature_now:
                self._edited_files[path] = (signature_now, self._reload_count)

    def are_too_many(self, files: Collection[str]) -> bool:
        """Were so many new ones saved at once that they are not being edited?"""
        return len(files - self._edited_files.keys()) > MOST_FILES_SAVED_AT_ONCE

    def left_alone(self) -> frozenset[str]:
        return frozenset(
            path
            for path, (_, reload_of_save) in self._edited_files.items()
            if self._reload_count - reload_of_save >= RELOADS_UNTIL_LEFT_ALONE
        )

    def forget(self, files: Iterable[str]) -> None:
        for path in files:
            self._edited_files.pop(path, None)

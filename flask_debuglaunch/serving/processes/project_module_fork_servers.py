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
from flask_debuglaunch.serving.app.module_origins import are_there
from flask_debuglaunch.serving.ipc_protocol import (
    ModuleRun,
    Preloadable,
    PreloadModules,
    channel_to_child,
)
from flask_debuglaunch.serving.preloading.project_module_graph import Selection, merged_runs, select
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

MOST_TOLD = 3
"""So many modules are named that run anew."""
MOST_TRIES = 5
"""So often in a row may a look at the modules show what the one before has not."""
MOST_AT_ONCE = 4
"""Nobody edits more between two looks: it is a `git checkout`, or something that rewrites them."""
LEFT_ALONE = 20
"""After so many reloads without a save of it a file is not being edited any more."""


@dataclass(frozen=True)
class Made:
    """What modules were made from, as it was then."""

    files: Mapping[str, Signature | None]
    asked: frozenset[tuple[str, bool]]
    """Paths, each with: was it there?"""

    @classmethod
    def of(cls, runs: Iterable[ModuleRun]) -> Made:
        """As it is now, and as it was when somebody asked."""
        return cls(signatures(_files(runs)), _asked(runs))

    def changed(self) -> frozenset[str]:
        """The paths of what is another now."""
        return changed_since(self.files) | _other_than(self.asked)

    def covers(self, runs: Iterable[ModuleRun]) -> bool:
        """Are these modules made from nothing else?"""
        return _files(runs) <= self.files.keys() and _asked(runs) <= self.asked


class ModuleServer(ForkServerHandle):
    """One that has the cold modules of a selection."""

    def __init__(
        self, forked: ForkedWorker, connection: socket.socket, selection: Selection, made_from: Made
    ) -> None:
        super().__init__(_ForkedProcess(forked), channel_to_child(connection), patience=0)
        self.parent = forked.fork_server
        self._forked = forked
        self.selection = selection
        self.made_from = made_from
        self.was_paused = False

    def signal(self, number: signal.Signals) -> None:
        self._forked.signal(number)


class _ForkedProcess:
    """A fork server whose parent is another one, which waits for its end."""

    def __init__(self, forked: ForkedWorker) -> None:
        self._forked = forked

    def kill(self) -> None:
        self._forked.kill()

    def wait(self, timeout: float) -> None:
        """It is another process's child."""


class ModuleServers:
    """The server at hand, and what the next one must know."""

    def __init__(self, selector: selectors.BaseSelector, notes: LauncherNotes) -> None:
        self._selector, self._notes = selector, notes
        self._recorded: tuple[ModuleRun, ...] = ()
        self._is_worth_it = False
        self._since = 0.0
        self._unknown: frozenset[str] = frozenset()
        """Files of modules that came later, of which nothing is recorded."""
        self._edited = EditedFiles()
        self._left_out: dict[str, str] = {}
        """Modules with effects that only a second look has shown."""
        self._server: ModuleServer | None = None
        self._tries = 0

    def learn(self, learned: Preloadable, least_seconds: float | None) -> None:
        """Take over what a worker was seen to import. A server at hand stays: it has what has not
        changed. least_seconds: how long the modules must take to be worth a server; None: none is.
        """
        if learned.modules is not None:
            is_enough = least_seconds is not None and learned.own_seconds >= least_seconds
            self._recorded, self._is_worth_it = learned.modules, is_enough
            self._since = learned.since
            self._tries = 0
        self._unknown = learned.files - _files(self._recorded)

    @property
    def knows(self) -> bool:
        """Is it known what the modules import and do?"""
        return bool(self._recorded)

    def forget(self, files: frozenset[str]) -> None:
        """The modules of these files must run in each worker; without any, nothing is known now."""
        self._edited.add(files)
        if not files:
            self._look_anew()
        self.drop()

    def _look_anew(self) -> None:
        """At all modules, when the next worker imports them."""
        self._recorded, self._is_worth_it = (), False
        self._unknown, self._left_out = frozenset(), {}

    def usable(self, parent: ForkServerHandle) -> ModuleServer | None:
        """The server, if what it has is what an import would give now. To be asked once for each
        worker."""
        self._edited.reload_begins()
        server = self._server
        if server is not None and server.is_ready:
            changed = server.made_from.changed()
            if not changed and server.parent is parent:
                return server
            self.drop()
            self._note(changed)
        # All of the modules are imported now: the moment to take in what else is another since.
        if self._unknown or self._edited.left_alone():
            left_alone = self._edited.left_alone()
            self._note(_saved_since(self._recorded, self._since))
            self._edited.forget(left_alone)
            self._look_anew()
            self.drop()
        return None

    def _note(self, changed: frozenset[str]) -> None:
        """Files were saved: they are being edited, unless they are too many. Then their modules
        may do other things now, and what a look has shown was not of its own making."""
        if changed:
            self._tries = 0
        if self._edited.are_too_many(changed):
            self._look_anew()
        else:
            self._edited.add(changed)

    def has(self, fork_server: ForkServerHandle) -> bool:
        return fork_server is self._server

    def pause(self) -> None:
        """A worker is on its way, and is to have the processor: a server that is not ready goes on
        when the worker is. Once: else somebody who saves all the time would never have one.

        Not by a lower priority (nice), which its workers would inherit and could not get rid of.
        """
        if self._server is not None and not self._server.is_ready and not self._server.was_paused:
            self._server.was_paused = True
            self._server.signal(signal.SIGSTOP)

    def drop(self) -> None:
        """Fork no more."""
        if self._server is not None:
            self._selector.unregister(self._server.channel)
            self._server.retire()
        self._server = None

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def begin(self, parent: ForkServerHandle, left_out: Iterable[str]) -> None:
        """Have a server start, or go on, unless one is ready. left_out: installed packages."""
        if self._server is not None and self._server.parent is not parent:
            self.drop()
        if self._server is not None:
            self._server.signal(signal.SIGCONT)
            return
        if self._tries >= MOST_TRIES or not self._is_worth_it:
            return
        self._note(_saved_since(self._recorded, self._since))
        if not self._is_worth_it:
            return
        packages = {name: f"imports {name}" for name in left_out}
        self._left_out |= packages
        selection = select(self._recorded, self._edited.paths, self._left_out)
        if not selection.cold:
            self._tell(selection)
            return
        made_from = Made.of(selection.cold)
        try:
            forked, ours = _forked_from(parent)
        except OSError:  # the next save says what is wrong
            return
        self._tries += 1
        self._server = ModuleServer(forked, ours, selection, made_from)
        self._server.channel.tell(PreloadModules(selection.cold))
        heard = partial(self._said, self._server, list(left_out))
        self._selector.register(self._server.channel, selectors.EVENT_READ, heard)

    def _said(self, server: ModuleServer, left_out: Iterable[str]) -> None:
        if not server.channel.has_message():
            return
        server.hear()
        if server is not self._server:
            return
        if server.is_gone:
            self.drop()
        elif server.seen_again is not None and not server.is_ready:
            self._judge(server, server.seen_again, left_out)

    def _judge(
        self, server: ModuleServer, seen: tuple[ModuleRun, ...], left_out: Iterable[str]
    ) -> None:
        """Was it as the worker had seen it? Else once more, without what was not."""
        self._recorded = merged_runs(self._recorded, seen)
        for run in self._recorded:
            if run.effect is not None:
                self._left_out.setdefault(run.name, run.effect)
        self._note(server.made_from.changed())
        again = select(self._recorded, self._edited.paths, self._left_out)
        is_same = [run.name for run in again.cold] == [run.name for run in server.selection.cold]
        if is_same and server.made_from.covers(again.cold):
            server.is_ready = True
            self._tries = 0
            self._tell(again)
            return
        self.drop()
        self.begin(server.parent, left_out)

    def _tell(self, selection: Selection) -> None:
        """How many are kept, and which run anew each time though nobody has edited them."""
        reasons = [
            f"{name}, because it {reason}"
            for name, reason in selection.hot.items()
            if not reason.startswith("depends on") and not reason.endswith("was edited")
        ]
        first = "; ".join(reasons[:MOST_TOLD]) or "those that were edited, and what imports them"
        more = f"; and {len(reasons) - MOST_TOLD} more" if len(reasons) > MOST_TOLD else ""
        kept, all_of_them = len(selection.cold), len(self._recorded)
        text = (
            f"Kept imported between reloads: {kept} of {all_of_them} modules of the project."
            f" Imported anew: {first}{more}"
        )
        self._notes.say_once(text, about=f"modules that are imported anew: {reasons}")


def _forked_from(parent: ForkServerHandle) -> tuple[ForkedWorker, socket.socket]:
    """With our end of its channel. Raises OSError."""
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            return parent.fork(theirs, becomes_worker=False), ours
    except OSError:
        ours.close()
        raise


def _saved_since(runs: Iterable[ModuleRun], since: float) -> frozenset[str]:
    files = frozenset(one for one in _files(runs) if _changed_at(one) >= since)
    return files | _other_than(_asked(runs))


def _files(runs: Iterable[ModuleRun]) -> frozenset[str]:
    return frozenset().union(*(run.files for run in runs))


def _asked(runs: Iterable[ModuleRun]) -> frozenset[tuple[str, bool]]:
    return frozenset().union(*(run.asked.items() for run in runs))


def _other_than(asked: Iterable[tuple[str, bool]]) -> frozenset[str]:
    now = are_there(path for path, _ in asked)
    return frozenset(path for path, was_there in asked if now[path] != was_there)


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
        self._files: dict[str, tuple[Signature | None, int]] = {}
        self._reloads = 0

    @property
    def paths(self) -> Collection[str]:
        return self._files.keys()

    def reload_begins(self) -> None:
        """Look at all of them again."""
        self._reloads += 1
        self.add([*self._files])

    def add(self, files: Iterable[str]) -> None:
        for one in files:
            now = signature(one)
            if one not in self._files or self._files[one][0] != now:
                self._files[one] = (now, self._reloads)

    def are_too_many(self, files: Collection[str]) -> bool:
        """Were so many new ones saved at once that they are not being edited?"""
        return len(files - self._files.keys()) > MOST_AT_ONCE

    def left_alone(self) -> frozenset[str]:
        return frozenset(
            one for one, (_, saved) in self._files.items() if self._reloads - saved >= LEFT_ALONE
        )

    def forget(self, files: Iterable[str]) -> None:
        for one in files:
            self._files.pop(one, None)

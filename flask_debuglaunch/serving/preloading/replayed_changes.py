"""What the app changes before it imports a package, changed in the fork server before it imports
that, and changed back before a worker is forked, in which the app does it itself.

`os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"`, `warnings.filterwarnings("ignore")`, `basicConfig()` and
`sys.path.append(...)` stand at the top of many apps: without this no package below such a line
could be there ahead. Only what its description tells wholly can be replayed. A handler of the root
logger is stood in for: what a package may do otherwise while it is imported is to add one where
there is none, and nobody sees what it prints then.
"""

from __future__ import annotations

import contextlib
import json
import locale
import logging
import os
import socket
import sys
import warnings
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace
from itertools import chain
from typing import Any

from flask_debuglaunch.serving.ipc_protocol import AppImport, StateChanges
from flask_debuglaunch.serving.preloading.state_snapshots import (
    AT_THE_END,
    IN_FRONT,
    MOVED,
    NOT_THERE,
    PATCHED_MODULES,
    PATH_ENTRY,
    REMOVED,
    ROOT_HANDLER,
    VARIABLE,
    WARNINGS_FILTER,
    interpreter_state,
)

Undo = Callable[[], object]

# How each is read and set.
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "the working directory": (os.getcwd, os.chdir),
    "the recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "socket's default timeout": (socket.getdefaulttimeout, socket.setdefaulttimeout),
    "logging's root level": (lambda: logging.root.level, logging.root.setLevel),
    "logging.disable": (lambda: logging.root.manager.disable, logging.disable),
    "the locale": (
        lambda: locale.setlocale(locale.LC_ALL),
        lambda name: locale.setlocale(locale.LC_ALL, name),
    ),
}


MAX_UNLIKE_CHANGES = 3
"""So often in a row is an app started anew because it makes a change in another way."""
UNSTEADY = "another each time"


class ReplayedChanges:
    """Those that are in effect in this process."""

    def __init__(self) -> None:
        self._undo: dict[str, Undo] = {}

    @property
    def names(self) -> Set[str]:
        return self._undo.keys()

    @property
    def have_filters(self) -> bool:
        """Is one of the warnings filters among them?"""
        return any(name.startswith(WARNINGS_FILTER) for name in self._undo)

    def replay(self, name: str, value: str | None) -> None:
        """Change what has this name, if that can be; None: the app has changed it back."""
        if name in self._undo:
            self._undo.pop(name)()
        # A value may be of another machine's kind: an unknown locale, a folder that has gone.
        with contextlib.suppress(ValueError, OSError, locale.Error, SyntaxError):
            undo = None if value is None else _replayed(name, value)
            if undo is not None:
                self._undo[name] = undo

    def undo(self) -> None:
        """The latest first."""
        while self._undo:
            self._undo.popitem()[1]()


class ReplayedAppState:
    """While packages are imported ahead: has everything as the app had it before each import, and
    finally as it was.

    ignored: names of changes that no import minds. unsteady: names of those that the app makes in
    another way each time.
    """

    def __init__(self, ignored: Set[str] = frozenset(), unsteady: Set[str] = frozenset()) -> None:
        self._ignored, self._unsteady = ignored, unsteady
        self._state_before = interpreter_state()
        self._replayed_changes = ReplayedChanges()
        self._changes_before: dict[str, StateChanges] = {}
        """What had changed when each module was imported."""
        self.warnings_filters: dict[str, list[Any]] = {}
        """Those that modules have put in front of the app's."""
        self.changes_of_packages: StateChanges = ()
        """After undo(): what is left."""

    def replay(self, wanted: StateChanges) -> Set[str]:
        """Have everything as after these changes; returns the names of those of which that can't
        be."""
        changes_of_packages = dict(self._changes()).keys() - self._replayed_changes.names
        for name in self._unlike(wanted) - changes_of_packages - self._unsteady:
            self._replayed_changes.replay(name, dict(wanted).get(name))
        return self._unlike(wanted)

    @contextlib.contextmanager
    def importing(self, module: str) -> Iterator[None]:
        self._changes_before[module] = self._changes()
        is_after_filters, state = self._replayed_changes.have_filters, interpreter_state()
        yield
        package_filters = interpreter_state().filters_added_since(state)
        if is_after_filters and package_filters:
            self.warnings_filters[module] = package_filters

    def undo(self) -> None:
        take_out_filters(chain.from_iterable(self.warnings_filters.values()))
        self._replayed_changes.undo()
        self.changes_of_packages = self._changes()

    def changes_of_app(self) -> dict[str, StateChanges]:
        """After undo(): for modules what the app had changed before it imported them."""
        changes_of_app = {
            module: tuple(change for change in changes if change not in self.changes_of_packages)
            for module, changes in self._changes_before.items()
        }
        return {module: changes for module, changes in changes_of_app.items() if changes}

    def _changes(self) -> StateChanges:
        return interpreter_state().changes_since(self._state_before)

    def _unlike(self, wanted: StateChanges) -> Set[str]:
        return dict(set(wanted) ^ set(self._changes())).keys() - self._ignored


class UnsteadyChanges:
    """Which changes the app makes in another way each time, as the workers show."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._unlike_in_a_row: list[str] = []
        """For which change the latest workers were started anew."""

    def note_unlike(self, name: str) -> None:
        if name not in self._unlike_in_a_row:
            self._unlike_in_a_row.clear()
        self._unlike_in_a_row.append(name)
        if len(self._unlike_in_a_row) == MAX_UNLIKE_CHANGES:
            self.names |= {name}

    def note_fit(self) -> None:
        """A worker had everything as the app had it."""
        self._unlike_in_a_row.clear()

    def levelled(self, app_import: AppImport) -> AppImport:
        """The same each time, or each worker would be a reason to import everything ahead again."""
        changes = tuple(
            (name, UNSTEADY if name in self.names else value) for name, value in app_import.changes
        )
        return replace(app_import, changes=changes)


def _replayed(name: str, value: str) -> Undo | None:
    """Change it, and return how to change it back; None if it can't be."""
    if name in SETTINGS:
        return _set(*SETTINGS[name], literal_eval(value))
    if name.startswith(VARIABLE):
        return _set_variable(_entry_in(name, VARIABLE), value)
    if value == REMOVED:
        return None
    if name.startswith(WARNINGS_FILTER):
        return _add_filter(*json.loads(value))
    if MOVED in value:
        return None
    if name.startswith(PATH_ENTRY):
        return _add_to_path(_entry_in(name, PATH_ENTRY), value)
    if name.startswith(ROOT_HANDLER):
        return _add_stand_ins(name.removeprefix(ROOT_HANDLER), value.count(",") + 1)
    if name.partition(".")[0] in PATCHED_MODULES:
        return _patch(name, value)
    return None


def _entry_in(name: str, prefix: str) -> str:
    entry: str = literal_eval(name.removeprefix(prefix).removesuffix("]"))
    return entry


def _set(get: Callable[[], Any], change: Callable[[Any], object], value: object) -> Undo:
    before = get()
    change(value)
    return lambda: change(before) if get() == value else None


def _set_variable(name: str, value: str) -> Undo:
    def change(value: str | None) -> None:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

    wanted = None if value == NOT_THERE else literal_eval(value)
    return _set(lambda: os.environ.get(name), change, wanted)


def _patch(name: str, value: str) -> Undo | None:
    """By a function that a module has under its name (ssl._create_unverified_context), if so."""
    module, attribute = sys.modules.get(name.partition(".")[0]), name.partition(".")[2]
    replacing_module, _, replacing_name = value.rpartition(".")
    replacement = getattr(sys.modules.get(replacing_module), replacing_name, None)
    if replacement is None or not hasattr(module, attribute):
        return None
    return _set(
        lambda: getattr(module, attribute),
        lambda function: setattr(module, attribute, function),
        replacement,
    )


def _add_to_path(folder: str, place: str) -> Undo:
    sys.path.insert(0 if place == IN_FRONT else len(sys.path), folder)
    return lambda: sys.path.remove(folder)


def _add_stand_ins(class_name: str, count: int) -> Undo:
    """Each described as the handler that it stands in for."""
    module, _, name = class_name.rpartition(".")
    stand_in = type(name, (logging.NullHandler,), {"__module__": module})
    handlers = [stand_in() for _ in range(count)]
    logging.root.handlers.extend(handlers)

    def take_out() -> None:
        for handler in handlers:
            logging.root.removeHandler(handler)

    return take_out


def _add_filter(
    place: str, action: Any, message: str | None, category: str, module: str | None, line: int
) -> Undo | None:
    package, _, class_name = category.rpartition(".")
    warning_class = getattr(sys.modules.get(package), class_name, None)
    if warning_class is None:  # of a package that is not there
        return None
    before = list(warnings.filters)
    append = place == AT_THE_END
    warnings.filterwarnings(action, message or "", warning_class, module or "", line, append=append)
    with_ours = list(warnings.filters)

    def take_out() -> None:
        filters_of_packages = [one for one in warnings.filters if one not in with_ours]
        _set_filters([*filters_of_packages, *before])

    return take_out


def take_out_filters(warnings_filters: Iterable[Any]) -> None:
    taken_out = list(warnings_filters)
    _set_filters([one for one in warnings.filters if one not in taken_out])


def put_filters_in_front(warnings_filters: Iterable[Any]) -> None:
    """As a package does that is imported now."""
    _set_filters([*warnings_filters, *warnings.filters])


def _set_filters(warnings_filters: list[Any]) -> None:
    warnings.resetwarnings()  # tells what has seen a warning that the filters have changed
    warnings.filters.extend(warnings_filters)  # type: ignore[attr-defined]

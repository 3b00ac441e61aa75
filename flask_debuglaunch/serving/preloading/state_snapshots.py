"""Snapshots of what code may have changed: the state of the interpreter, the objects of a module.

The interpreter's is what a package may look at while it is imported, and an app may change before.
Its differences are plain text, so that they can be compared from process to process. Objects are
compared by identity, in one process.
"""

from __future__ import annotations

import functools
import gc
import json
import locale
import logging
import operator
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from flask_debuglaunch.serving.app.module_origins import IMPORTLIB, is_of_the_project, namespace_of
from flask_debuglaunch.serving.ipc_protocol import StateChanges

# Set by us, the first while the app is imported, the other beside that, by a thread of the app's
# (server_calls_in_app.py).
VARIABLES_OF_LAUNCHER = {"FLASK_RUN_FROM_CLI", "WERKZEUG_SERVER_FD"}
# Those whose functions and classes apps replace by their own (a shim for an old package, a patch).
PATCHED_MODULES = (
    "builtins",
    "collections",
    "json",
    "os",
    "socket",
    "ssl",
    "subprocess",
    "threading",
)
# The built-in one (signal's makes an enumeration's member of each).
_getsignal: Callable[[int], Any] = getattr(signal, "_signal", signal).getsignal
# Windows' Signals has also events of the console, which take no handler.
SIGNALS = [
    int(one)
    for one in signal.Signals
    if one in signal.valid_signals() and one.name not in ("SIGKILL", "SIGSTOP")
]


# How the names of changes begin that tell of one variable, or of one entry of a list.
VARIABLE = "os.environ["
PATH_ENTRY = "sys.path["
WARNINGS_FILTER = "the warnings filter "
ROOT_HANDLER = "logging's root handler "
# And how it is now.
NOT_THERE = "not there"
IN_FRONT, AT_THE_END, IN_BETWEEN = "in front", "at the end", "in between"
MOVED, REMOVED = "moved in front", "removed"


@dataclass(frozen=True)
class InterpreterState:
    """As it was at one moment in this process."""

    environ: dict[Any, Any]
    """As the process has it: decoded only where it differs."""
    sys_path: list[str]
    warnings_filters: list[Any]
    root_handlers: list[logging.Handler]
    settings: dict[str, Any]
    """What is compared as a whole, by its name."""
    patched_modules: dict[str, dict[str, Any]]

    def changes_since(self, before: InterpreterState) -> StateChanges:
        """What differs from another moment of the same process."""
        changes = dict(_environ_changes(before.environ, self.environ))
        changes |= _entry_changes(before.sys_path, self.sys_path, _path_entry)
        changes |= _entry_changes(before.warnings_filters, self.warnings_filters, _warnings_filter)
        changes |= _entry_changes(before.root_handlers, self.root_handlers, _root_handler)
        for setting, value in self.settings.items():
            if value != before.settings[setting]:
                changes[setting] = _setting_difference(before.settings[setting], value)
        for module, namespace in self.patched_modules.items():
            namespace_before = before.patched_modules.get(module, namespace)
            if namespace != namespace_before:
                changes |= _patches(module, namespace_before, namespace)
        return tuple(sorted(changes.items()))

    def filters_added_since(self, before: InterpreterState) -> list[Any]:
        return [one for one in self.warnings_filters if one not in before.warnings_filters]


def interpreter_state() -> InterpreterState:
    """The state now. Takes some ten microseconds."""
    root = logging.getLogger()
    settings: dict[str, Any] = {
        "the working directory": _working_directory(),
        "sys.modules['sqlite3']": _replacement_of("sqlite3"),
        "sys.meta_path": list(sys.meta_path),
        "sys.path_hooks": list(sys.path_hooks),
        "logging's root level": root.level,
        "logging's logger class": logging.getLoggerClass(),
        "logging's record factory": logging.getLogRecordFactory(),
        "logging.disable": root.manager.disable,
        # Taken out by dictConfig and fileConfig, which disable the loggers that are there.
        "logging.config": logging._handlerList[:1],  # type: ignore[attr-defined]
        "the locale": locale.setlocale(locale.LC_ALL),
        "the time zone": (time.timezone, time.tzname),  # of time.tzset()
        "socket's default timeout": socket.getdefaulttimeout(),
        "the recursion limit": sys.getrecursionlimit(),
        "sys.stdin": sys.stdin,
        "sys.stdout": sys.stdout,
        "sys.stderr": sys.stderr,
        "sys.excepthook": sys.excepthook,
        "threading.excepthook": threading.excepthook,
        "the signal handlers": list(map(_getsignal, SIGNALS)),
    }
    patched_modules = {
        name: dict(vars(sys.modules[name])) for name in PATCHED_MODULES if name in sys.modules
    }
    return InterpreterState(
        _environ(),
        list(sys.path),
        list(warnings.filters),
        list(root.handlers),
        settings,
        patched_modules,
    )


def _environ() -> dict[Any, Any]:
    # Not dict(os.environ), which decodes all of it; a program may have put something else there.
    return dict(getattr(os.environ, "_data", os.environ))


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return None


def _replacement_of(module: str) -> str | None:
    """What has been put in its place: pysqlite3, for a package that wants a newer SQLite."""
    name = getattr(sys.modules.get(module), "__name__", module)
    return None if name == module else str(name)


def _environ_changes(before: Mapping[Any, Any], now: Mapping[Any, Any]) -> dict[str, str]:
    if before == now:
        return {}
    changed_variables = [name for name in {*before, *now} if before.get(name) != now.get(name)]
    variable_values = {
        os.fsdecode(name): repr(os.fsdecode(now[name])) if name in now else NOT_THERE
        for name in changed_variables
    }
    return {
        f"{VARIABLE}{name!r}]": value
        for name, value in variable_values.items()
        if name not in VARIABLES_OF_LAUNCHER
    }


def _entry_changes(
    before: list[Any], now: list[Any], describe: Callable[[Any, str], tuple[str, str]]
) -> dict[str, str]:
    """One for each entry that has come or gone: the rest may differ from process to process."""
    if before == now:
        return {}
    kept_indices = [index for index, entry in enumerate(now) if entry in before]
    changes: dict[str, str] = {}
    for index, entry in enumerate(now):
        if entry not in before:
            name, value = describe(entry, _place_in_list(index, kept_indices))
            changes[name] = f"{changes[name]}, {value}" if name in changes else value
    kept_entries = [entry for entry in before if entry in now]
    moved_entries = _moved_in_front(kept_entries, [now[index] for index in kept_indices])
    removed_entries = [entry for entry in before if entry not in now]
    return (
        changes
        | dict(describe(entry, MOVED) for entry in moved_entries)
        | {describe(entry, REMOVED)[0]: REMOVED for entry in removed_entries}
    )


def _moved_in_front(before: list[Any], now: list[Any]) -> Iterator[Any]:
    """Of the same entries in another order, those that stand in front of what they stood behind:
    so filterwarnings() does with a filter that is there already."""
    behind = before.copy()
    for index, entry in enumerate(now):
        if now[index:] == behind:
            return
        if entry != behind[0]:
            yield entry
        behind.remove(entry)


def _place_in_list(index: int, kept_indices: list[int]) -> str:
    if not kept_indices or index < kept_indices[0]:
        return IN_FRONT
    return AT_THE_END if index > kept_indices[-1] else IN_BETWEEN


def _path_entry(folder: str, place: str) -> tuple[str, str]:
    return f"{PATH_ENTRY}{folder!r}]", place


def _root_handler(handler: logging.Handler, place: str) -> tuple[str, str]:
    return ROOT_HANDLER + _name_of(type(handler)), place


def _warnings_filter(warnings_filter: Any, place: str) -> tuple[str, str]:
    """The name as `python -W` has it, the value as replayed_changes.py reads it."""
    action, message, category, module, line = warnings_filter
    message, module = (getattr(pattern, "pattern", pattern) for pattern in (message, module))
    parts = (action, message or "", category.__name__, module or "", str(line or ""))
    value = json.dumps([place, action, message, _name_of(category), module, line])
    return WARNINGS_FILTER + repr(":".join(parts).rstrip(":")), value


def _setting_difference(before: Any, now: Any) -> str:
    """Of lists what was added and taken away: the rest may differ from process to process."""
    if not isinstance(now, list):
        return _name_of(now)
    added = [_name_of(one) for one in now if one not in before]
    removed = [_name_of(one) for one in before if one not in now]
    return f"+{added} -{removed}" if added or removed else "in another order"


def _patches(module: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    changed = [
        name
        for name, one in now.items()
        if callable(one) and before.get(name) is not one and not _is_importlibs(one)
    ]
    return {f"{module}.{name}": _name_of(now[name]) for name in changed}


def _is_importlibs(function: object) -> bool:
    """The `__import__` with which we look on calls itself so, too."""
    code = getattr(function, "__code__", None)
    return getattr(code, "co_filename", "").startswith(IMPORTLIB)


def _name_of(value: Any) -> str:
    """Without the address that repr() gives of a function or an object."""
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value))}"
    if isinstance(value, (str, int, float, tuple, type(None))):
        return repr(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"


# The objects of a module

# What cannot change, or is seen in the interpreter (logging).
UNCHANGING_TYPES = (
    str, bytes, int, float, complex, bool, type(None), ModuleType, CodeType, BuiltinFunctionType,
    logging.Logger, logging.Manager, logging.Handler,
)  # fmt: skip
MOST_OBJECTS_FOLLOWED = 20_000
"""So many objects are followed; a module that holds more counts as changed."""

identity = object.__hash__
"""As id(), which would raise an audit event each time."""


class Snapshot:
    """Of all that the module holds, but what belongs to an installed package or to another module.

    Holds the objects, so that no other one can take the identity of one that has gone. What an
    object of native code holds is seen if the garbage collector sees it. What the snapshot of a
    module has that this one imports is left to that: most modules reach the app's database.
    """

    def __init__(
        self,
        module: object,
        foreign_identities: Collection[int],
        imported_snapshots: Iterable[Snapshot],
        snapshot_owners: dict[int, Snapshot],
    ) -> None:
        """snapshot_owners: the first snapshot that has an object, by its identity; takes in what is
        new."""
        self._module_namespace = namespace_of(module)
        self._bound_objects = _bound_objects(self._module_namespace)
        self._followed_objects: list[Any] = []
        self._snapshots_below: set[Snapshot] = set().union(
            *({imported, *imported._snapshots_below} for imported in imported_snapshots)
        )
        self.shared_snapshots: set[Snapshot] = set()
        """Those of imported modules that have something of it."""
        pending_objects: list[Any] = list(self._bound_objects.values())
        seen_identities = {identity(self._module_namespace)}
        while pending_objects and len(self._followed_objects) < MOST_OBJECTS_FOLLOWED:
            new_objects = []
            for held in pending_objects:
                if (
                    isinstance(held, UNCHANGING_TYPES)
                    or (number := identity(held)) in foreign_identities
                    or number in seen_identities
                ):
                    continue
                seen_identities.add(number)
                if (owner := snapshot_owners.get(number)) in self._snapshots_below:
                    self.shared_snapshots |= {owner, *owner.shared_snapshots}
                elif not _is_of_another_module(held):
                    new_objects.append(held)
            self._followed_objects += new_objects
            pending_objects = gc.get_referents(*new_objects)
        self._has_too_many_objects = bool(pending_objects)
        self._referents = gc.get_referents(*self._followed_objects)
        for held in self._followed_objects:
            snapshot_owners.setdefault(identity(held), self)

    def is_changed(self) -> bool:
        """Is another object somewhere now, or one more or less? Without what it shares."""
        if self._has_too_many_objects or not same_objects(
            _bound_objects(self._module_namespace), self._bound_objects
        ):
            return True
        referents = gc.get_referents(*self._followed_objects)
        return len(referents) != len(self._referents) or not all(
            map(operator.is_, referents, self._referents)
        )


def changed_modules(snapshots: Mapping[str, Snapshot]) -> Iterator[str]:
    """Those that hold something that has changed, by their snapshots."""
    is_changed = functools.cache(Snapshot.is_changed)
    for name, snapshot in snapshots.items():
        if any(map(is_changed, (snapshot, *snapshot.shared_snapshots))):
            yield name


def _bound_objects(names: dict[str, Any]) -> dict[str, Any]:
    """Without what Python itself adds: the submodules, and what it looks up by."""
    return {
        name: value
        for name, value in names.items()
        if not isinstance(value, ModuleType)
        and name not in ("__builtins__", "__loader__", "__spec__")
    }


def same_objects(names: dict[str, Any], others: dict[str, Any]) -> bool:
    """Are the same objects bound to the same names?"""
    return names.keys() == others.keys() and all(
        value is others[name] for name, value in names.items()
    )


def _is_of_another_module(held: Any) -> bool:
    """A module's namespace, or a class or function that a package's module has under its name; not
    one that it has made for the project."""
    if isinstance(held, dict):
        return "__builtins__" in held or "__build_class__" in held  # the latter: builtins itself
    if not isinstance(held, (type, FunctionType)):
        return False
    module = sys.modules.get(getattr(held, "__module__", None) or "")
    return namespace_of(module).get(held.__name__) is held and not is_of_the_project(module)


def foreign_objects(modules: Iterable[object]) -> frozenset[int]:
    """What installed packages have under a name: theirs, whoever else holds it."""
    namespaces = map(namespace_of, modules)
    return frozenset(map(identity, chain.from_iterable(map(dict.values, namespaces))))

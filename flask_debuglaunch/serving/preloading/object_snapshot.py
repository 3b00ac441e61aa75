"""Whether the objects of a module have been changed since: compared by identity, in one process."""

from __future__ import annotations

import gc
import logging
import operator
import sys
from collections.abc import Collection, Iterable
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from flask_debuglaunch.serving.app.module_origins import is_of_the_project, namespace_of

# What cannot change, or is looked at elsewhere (interpreter_state.py looks at logging).
PLAIN = (
    str, bytes, int, float, complex, bool, type(None), ModuleType, CodeType, BuiltinFunctionType,
    logging.Logger, logging.Manager, logging.Handler,
)  # fmt: skip
LARGEST = 20_000
"""So many objects are followed; a module that holds more counts as changed."""

identity = object.__hash__
"""As id(), which would raise an audit event each time."""


class Snapshot:
    """Of all that the module holds, but what belongs to an installed package or to another module.

    Holds the objects, so that no other one can take the identity of one that has gone. What an
    object of native code holds is seen if the garbage collector sees it.
    """

    def __init__(self, module: object, foreign: Collection[int]) -> None:
        self._names = namespace_of(module)
        self._bound = _bound(self._names)
        self._followed: list[Any] = []
        pending: list[Any] = list(self._bound.values())
        seen = {identity(self._names), *foreign}
        while pending and len(self._followed) < LARGEST:
            new = []
            for one in pending:
                if not isinstance(one, PLAIN) and identity(one) not in seen:
                    seen.add(identity(one))
                    if not _is_anothers(one):
                        new.append(one)
            self._followed += new
            pending = gc.get_referents(*new)
        self._is_too_large = bool(pending)
        self._parts = gc.get_referents(*self._followed)

    def is_changed(self) -> bool:
        """Is another object somewhere now, or one more or less?"""
        if self._is_too_large or not same(_bound(self._names), self._bound):
            return True
        parts = gc.get_referents(*self._followed)
        return len(parts) != len(self._parts) or not all(map(operator.is_, parts, self._parts))


def _bound(names: dict[str, Any]) -> dict[str, Any]:
    """Without what Python itself adds: the submodules, and what it looks up by."""
    return {
        name: value
        for name, value in names.items()
        if not isinstance(value, ModuleType)
        and name not in ("__builtins__", "__loader__", "__spec__")
    }


def same(names: dict[str, Any], others: dict[str, Any]) -> bool:
    """Are the same objects bound to the same names?"""
    return names.keys() == others.keys() and all(
        value is others[name] for name, value in names.items()
    )


def _is_anothers(one: Any) -> bool:
    """A module's namespace, or a class or function that a package's module has under its name; not
    one that it has made for the project."""
    if isinstance(one, dict):
        return "__builtins__" in one or "__build_class__" in one  # the latter: builtins itself
    if not isinstance(one, (type, FunctionType)):
        return False
    module = sys.modules.get(getattr(one, "__module__", None) or "")
    return namespace_of(module).get(one.__name__) is one and not is_of_the_project(module)


def foreign_objects(modules: Iterable[object]) -> frozenset[int]:
    """What installed packages have under a name: theirs, whoever else holds it."""
    return frozenset(identity(value) for one in modules for value in namespace_of(one).values())

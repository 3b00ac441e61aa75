"""Modules of the project that have run ahead, and stay out of sight until the app asks for them.

So all that a module can see of others (sys.modules, a package's submodules, what a star imports) is
at each moment what it would be in a new interpreter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from flask_debuglaunch.serving.app.module_origins import namespace_of
from flask_debuglaunch.serving.ipc_protocol import ModuleRun
from flask_debuglaunch.serving.preloading.module_graph import Replay
from flask_debuglaunch.serving.preloading.state_snapshots import Snapshot


class HiddenModules:
    """Made from modules that have just run, it hides them."""

    def __init__(self, runs: Sequence[ModuleRun], snapshots: Mapping[str, Snapshot]) -> None:
        self._modules: dict[str, ModuleType] = {}
        unchanged = {run.name for run in runs if not run.is_changed_later}
        self._snapshots = {name: one for name, one in snapshots.items() if name in unchanged}
        for run in runs:
            self._modules[run.name] = sys.modules.pop(run.name)
        for run in runs:
            package, _, name = run.name.rpartition(".")
            names = namespace_of(self._modules.get(package))
            # While its package ran it was put there by that: it belongs to what the package is.
            if package not in run.partial and names.get(name) is self._modules[run.name]:
                del names[name]
        self._runs = {run.name: run for run in runs}
        self._replay = Replay(self._runs)
        self._since_app_ran: set[str] = set()
        """The modules that have come into sight since code of the app ran."""
        self._exposed: set[str] = set()
        """Those that were there when it ran: it may have changed their objects."""
        self._looked_through: set[str] = set()
        """Those of which it is known since then on which exposed ones they depend."""

    def module_of(self, file: str) -> str | None:
        """The name of the one that is made from the file."""
        for name, module in self._modules.items():
            if namespace_of(module).get("__file__") == file:
                return name
        return None

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def never_asked_for(self) -> str | None:
        """One that the app does without now: what it has registered elsewhere must not be there."""
        return next(iter(self._modules), None)

    def shown_by_import_of(self, name: str) -> bool:
        """Would Python import it now, and as this one?"""
        if name not in self._modules or name in sys.modules:
            return False
        package, _, last = name.rpartition(".")
        return not package or _is_without(sys.modules.get(package), last)

    def spec_of(self, name: str, reveal: Callable[[str], None]) -> ModuleSpec:
        """With which Python's import finds the module, as it is. reveal: called to bring it, and
        what it had imported, into sight."""
        loader: Any = _Revealing(self._modules[name], reveal)
        return ModuleSpec(name, loader)

    def app_ran(self) -> None:
        """Code of the app has run, and may have changed the objects of what is there."""
        self._exposed |= self._since_app_ran
        self._since_app_ran.clear()
        self._looked_through.clear()

    def changed(self, names: Collection[str]) -> str | None:
        """One of these modules whose objects the app has changed since it ran.

        Those that were seen to be changed do not count: no module that is here has imported them.
        """
        for name in names:
            if name in self._snapshots and self._snapshots[name].is_changed():
                return name
        return None

    def reveal(self, name: str) -> Collection[str]:
        """What is there after this module's import, and was not before. Returns the exposed modules
        on which that depends. Raises OrderDiffers."""
        ended = self._replay.import_(name)
        relied_on = self._exposed_below(ended) if self._exposed else ()
        self._since_app_ran.update(ended)
        for one in ended:
            module = self._modules.pop(one)
            sys.modules[one] = module
            package, _, last = one.rpartition(".")
            if package in sys.modules:
                setattr(sys.modules[package], last, module)
        return relied_on

    def _exposed_below(self, names: Sequence[str]) -> Collection[str]:
        """Without those that were told of since code of the app ran."""
        pending, found = [*names], []
        while pending:
            one = pending.pop()
            if one in self._runs and one not in self._looked_through:
                self._looked_through.add(one)
                pending += self._runs[one].imports
                if one in self._exposed:
                    found.append(one)
        return found


def _is_without(package: object, name: str) -> bool:
    """Does the package have nothing of that name, and is it certain without asking it?"""
    names = namespace_of(package)
    return type(package) is ModuleType and name not in names and "__getattr__" not in names


class _Revealing:
    """A loader of a module that has run already."""

    def __init__(self, module: ModuleType, reveal: Callable[[str], None]) -> None:
        self._reveal = reveal
        self._module = module
        self._spec = namespace_of(module)["__spec__"]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        namespace_of(module)["__spec__"] = self._spec
        self._reveal(self._spec.name)

"""Which modules a fork server can import ahead of every worker, and which it must not.

Only what is installed, and only what the app imported before its own code changed anything that a
package may look at while it is imported: then a package can't tell the difference.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from flask_debuglaunch.serving.app.imported_files import namespace_of
from flask_debuglaunch.serving.app.installed_code import is_installed


class ImportRecorder:
    """While entered, notes the names of modules in the order in which their import begins, as long
    as the environment is what it was.

    A finder that finds nothing: Python asks the finders in turn for every module not yet imported.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._environ: dict[str, str] = {}

    def __enter__(self) -> ImportRecorder:
        self._environ = dict(os.environ)
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *error: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if os.environ == self._environ:
            self.names.append(name)
        return None


def installed_modules(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the names that are modules of installed packages (this one, however it is installed)
    or of the standard library."""
    return tuple(name for name in names if _is_of_a_package(sys.modules.get(name)))


def _is_of_a_package(module: ModuleType | None) -> bool:
    origin = namespace_of(namespace_of(module).get("__spec__")).get("origin")
    return origin in ("built-in", "frozen") or is_installed(str(origin))


def why_not_fork(*, was_given: bool) -> str | None:
    """Why the next worker can't come from a fork; None if it can. was_given: the user's own program
    has imported the app, and has to do so again."""
    if was_given:
        return "run(app) comes after the import of the app"
    for module, function in (
        ("gevent.monkey", "is_module_patched"),
        ("eventlet.patcher", "is_monkey_patched"),
    ):
        is_patched = getattr(sys.modules.get(module), function, None)
        if is_patched is not None and is_patched("socket"):
            return f"{module.partition('.')[0]} has patched the standard library"
    return None

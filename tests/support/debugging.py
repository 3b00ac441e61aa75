"""One word for pressing Debug in each IDE, so that a test can be parametrised over debuggers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .dap import Editor
from .ide import Breakpoints, Ide
from .pydevd_ide import PyCharm, PyDev
from .requirements import require_debugger

DEBUGGERS = ("debugpy", "pydevd", "pydevd-pycharm")


def launch(
    debugger: str,
    target: Path | str,
    *arguments: str,
    module: bool = False,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    breakpoints: Breakpoints | None = None,
    filters: Iterable[str] | None = None,
) -> Ide[Any]:
    """Run a file or a module as the debugger's IDE does; skip if the debugger is not installed.

    env: variables beside those of the tests. filters: None for what the IDE ticks by default.

        with launch("pydevd", app, "5000", breakpoints={app: [12]}) as ide: ...
    """
    require_debugger(debugger)
    directory = cwd or (Path.cwd() if module else Path(target).parent)
    if debugger == "debugpy":
        what = {"module" if module else "program": str(target), "args": list(arguments)}
        where = {"cwd": str(directory), "env": dict(env or {})}
        # As in every template for Flask; without it debugpy stops at the reloader's SystemExit.
        flask = {"jinja": True}
        return Editor.launch({**what, **where, **flask}, breakpoints=breakpoints, filters=filters)
    ide = (PyDev if debugger == "pydevd" else PyCharm)(breakpoints=breakpoints, filters=filters)
    ide.launch(target, *arguments, module=module, cwd=directory, env={**os.environ, **(env or {})})
    return ide


def listening_ide(
    debugger: str,
    port: int = 0,
    *,
    breakpoints: Breakpoints | None = None,
    filters: Iterable[str] | None = None,
) -> Ide[Any]:
    """The debugger's IDE with its debug server started, on a free port if none is given."""
    require_debugger(debugger)
    if debugger == "debugpy":
        return Editor.listen(port, breakpoints=breakpoints, filters=filters)
    ide = PyDev if debugger == "pydevd" else PyCharm
    return ide(port=port, breakpoints=breakpoints, filters=filters)

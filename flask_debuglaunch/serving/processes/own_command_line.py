"""The command that starts this very program again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any


def own_command(*, under_debugger: bool) -> list[str]:
    """The command line of this process, so that a worker is what the user started.

    Under a debugger `sys.orig_argv` is the debugger's own command line; the program's is put
    together from its `__main__` then, as Werkzeug's reloader does.
    """
    if not under_debugger:
        return [sys.executable, *sys.orig_argv[1:]]
    private: Any = subprocess
    return [sys.executable, *private._args_from_interpreter_flags(), *_program()]


def _program() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or spec.name == "__main__":  # `python DIR` has a spec of that name
        return [str(Path(sys.argv[0]).absolute()), *sys.argv[1:]]
    return ["-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]]

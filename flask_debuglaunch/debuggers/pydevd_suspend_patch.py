"""Stops that suspend their own thread alone: the server goes on while a kept error is shown.

debugpy suspends all threads along with the one that stops. On Python 3.12 and later that takes
effect as soon as the thread that accepts requests has the next one: nobody would be answered until
Continue. So here is looked at who it is that suspends the others: a thread of the launcher's that
only shows an error leaves them running, each time that it stops; every other stop (a breakpoint,
also one hit meanwhile) suspends all, as always.

The IDE is told that all threads are stopped, as of every stop, so Continue has all go on.

Private names, tried with debugpy 1.8.0 to 1.8.22 on Python 3.10 to 3.15, so guarded: without them
the others are suspended, as without us.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakSet

# Where pydevd looks suspend_all_threads(py_db, except_thread) up when a thread stops, and when an
# expression that had to let the others run has been evaluated.
SUSPENDING_MODULES = ("pydevd", "_pydevd_bundle.pydevd_vars")

_alone: WeakSet[threading.Thread] = WeakSet()


def suspend_alone(thread: threading.Thread) -> None:
    """From now on, have no stop of this thread suspend any other."""
    _alone.add(thread)


def is_suspended_alone(thread: threading.Thread) -> bool:
    return thread in _alone


def let_threads_stop_alone() -> None:
    """Have pydevd ask who suspends the others. Needs pydevd to be imported."""
    for name in SUSPENDING_MODULES:
        module: Any = sys.modules.get(name)
        suspend_all = getattr(module, "suspend_all_threads", None)
        if suspend_all is not None and not hasattr(suspend_all, "__wrapped__"):
            module.suspend_all_threads = _unless_alone(suspend_all)


def _unless_alone(suspend_all: Callable[..., None]) -> Callable[..., None]:
    @wraps(suspend_all)
    def suspend_all_threads(py_db: Any, except_thread: Any) -> None:
        if except_thread not in _alone:
            suspend_all(py_db, except_thread)

    return suspend_all_threads

"""Threads of the interpreter itself, also where gevent or eventlet have patched `threading`."""

from __future__ import annotations

import _thread
from collections.abc import Callable

native_thread_ids: set[int] = set()
"""Of those started here: hidden from the app, and not yet from a debugger."""


def is_main_thread() -> bool:
    """Are we in the main one, which alone may handle signals? By what only it may do
    (signal.set_wakeup_fd), which is undone at once: eventlet puts other threads in the place of
    those that `threading` names."""
    import signal  # here: a light command does without

    try:
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1))
    except ValueError:
        return False
    return True


def start_native_thread(function: Callable[[], None]) -> None:
    """Start one that `threading` does not know: an app that counts its threads finds its own only.

    gevent, for one, mends the locks of the imports under way when it patches the standard library,
    but not beside another thread: the import of an app that calls monkey.patch_all() would fail
    ("cannot release un-acquired lock").
    It ends with the process. The function must not ask for its current thread, or `threading` would
    learn of it.
    """
    native_thread_ids.add(_thread.start_new_thread(function, ()))

"""A thread that `threading` does not know: an app that counts its threads finds its own only.

gevent, for one, mends the locks of the imports under way when it patches the standard library, but
not beside another thread: the import of an app that calls monkey.patch_all() would fail ("cannot
release un-acquired lock").
"""

from __future__ import annotations

import _thread
from collections.abc import Callable

raw_threads: set[int] = set()
"""The identifiers of those that were started: hidden from the app, and not yet from a debugger."""


def start_raw_thread(function: Callable[[], None]) -> None:
    """Start it. It ends with the process. The function must not ask for its current thread, or
    `threading` would learn of it."""
    raw_threads.add(_thread.start_new_thread(function, ()))

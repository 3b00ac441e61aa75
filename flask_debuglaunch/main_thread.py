"""Which thread is the interpreter's main one, which alone may handle signals."""

from __future__ import annotations

import signal


def is_main_thread() -> bool:
    """Are we in it? By what only it may do (signal.set_wakeup_fd), which is undone at once:
    eventlet puts other threads in the place of those that `threading` names."""
    try:
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1))
    except ValueError:
        return False
    return True

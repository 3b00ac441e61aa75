"""The post-mortem stop: the IDE stops at a caught error, in a thread that dies of it.

Every pydevd knows it. debugpy 1.8.22 has a public function for it; in pydevd, pydevd-pycharm and
older debugpys there is none, and the private one they have stops twice or in its own frame on
Python 3.12. But each of them stops where an error leaves a thread, with the raising line on top and
the frames of the error's traceback below it, and honours the boxes of the IDE. So the caught error
is raised once more in a thread of its own, which dies of it while the request's thread waits.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable
from typing import Any

from flask_debuglaunch.debuggers import pydevd_internals as internals

# Kept before the app is imported: tools like Sentry's SDK put their own in this place, to report
# what a thread dies of; this error they have already.
_start_thread = threading.Thread.start


def stop_in_dying_thread(error: BaseException) -> None:
    """Come back when the person at the IDE continues; the error is as it was."""
    trace = error.__traceback__
    dying_thread = PostMortemThread(error)
    _keep_dying_threads_quiet()
    if internals.is_suspended_alone(threading.current_thread()):
        internals.suspend_alone(dying_thread)
    program_excepthook = sys.excepthook
    _start_thread(dying_thread)
    dying_thread.join()
    dying_thread.let_go_of_error()
    sys.excepthook = program_excepthook  # pydevd-pycharm has turned it off
    error.__traceback__ = trace


class PostMortemThread(threading.Thread):
    """Dies of an error that is not its own, which nobody but the debugger need know."""

    def __init__(self, error: BaseException) -> None:
        from concurrent.futures import Future  # takes a while to import: not at the top

        request_context = contextvars.copy_context()
        # From Python 3.14 on a thread calls its function in a context of its own.
        thread_context: dict[str, Any] = (
            {"context": request_context} if sys.version_info >= (3, 14) else {}
        )
        # The request's thread is in the IDE's list as well; it waits for this one. That of a late
        # stop is named so already.
        request_thread, error_class = threading.current_thread().name, type(error).__name__
        is_named = request_thread.startswith(f"{error_class} in ")
        name = request_thread if is_named else f"{error_class} in {request_thread}"
        super().__init__(name=name, daemon=True, **thread_context)
        self._request_context = request_context.copy()
        self._failed_future: Future[None] = Future()
        self._failed_future.set_exception(error)

    @property
    def run(self) -> Callable[[], None]:
        """What the thread calls, with the request's context, so that `request` and `g` evaluate.

        A function of the standard library raises the error: our own frames are hidden from the
        debugger, and on Python 3.12 it looks for no error in a thread that begins in a hidden one.
        The context is entered before, and never left: some stop when the function has ended.
        """
        for variable, value in self._request_context.items():
            variable.set(value)
        return self._failed_future.result

    def let_go_of_error(self) -> None:
        """And of its request, when the thread has ended: pydevd remembers threads."""
        del self._failed_future, self._request_context


def _keep_dying_threads_quiet() -> None:
    """Let no dying thread print its traceback: the server logs the error, once."""
    program_excepthook = threading.excepthook
    if getattr(program_excepthook, "spares_dying_threads", False):
        return

    def excepthook(args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.thread, PostMortemThread):
            program_excepthook(args)

    excepthook.spares_dying_threads = True  # type: ignore[attr-defined]
    threading.excepthook = excepthook

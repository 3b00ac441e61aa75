"""What debugpy, pydevd and pydevd-pycharm share: each of them is a pydevd at heart."""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from flask_debuglaunch.debuggers import pydevd_internals as internals
from flask_debuglaunch.debuggers.debugger_interface import Endpoint, PathMappings, Presence
from flask_debuglaunch.debuggers.ide_debug_server import SILENCE_SECONDS, IdeServer, dial
from flask_debuglaunch.debuggers.terminal_debuggers import let_pdb_trace
from flask_debuglaunch.errors import DebuggerUnavailable
from flask_debuglaunch.installed_packages import install_command, upgrade_command
from flask_debuglaunch.native_threads import start_native_thread

LEAVE_SECONDS = 5.0
"""How long a debugger whose IDE has left may take to be gone."""


class PydevdBase:
    """Subclasses say what differs."""

    name: str
    package: str
    module: str
    """Its name on sys.path."""
    library: str
    """What is to be imported for its pydevd to be there."""
    ide_server: IdeServer
    """Where it connects to."""
    has_one_connection = False

    def presence(self) -> Presence | None:
        debugger = internals.live_debugger()
        if debugger is None or internals.flavour_of(debugger) != self.name:
            return None
        return Presence(internals.is_attached(debugger), internals.follows_children())

    def installed(self) -> bool:
        return is_installed(self.module)

    def map_paths(self, mappings: PathMappings) -> None:
        if mappings:
            self._import()
            internals.map_paths(mappings)

    def listen(self, endpoint: Endpoint, when_lost: Callable[[], None]) -> None:
        raise NotImplementedError(f"{self.name} only connects, it does not listen ({endpoint})")

    def connect(self, endpoint: Endpoint, seconds: float = 0, *, is_known: bool = False) -> None:
        self._import()
        if not internals.wait_until_gone(LEAVE_SECONDS):
            raise DebuggerUnavailable(
                "The IDE has left this process, but its debug session still holds the debugger: end"
                " it there too, or save a file, and the next process gets a new one"
            )
        # A connection of our own, handed over: pydevd's own attempt would print a traceback and
        # leave a half-made debugger behind, and asking first whether somebody listens would look
        # to the IDE like a client that left.
        silence = None if is_known else SILENCE_SECONDS
        internals.hand_over(dial(self.ide_server, endpoint, seconds, silence))
        with self._refused_if_too_old():
            self._attach(endpoint)

    def wait_for_client(self, seconds: float) -> bool:
        # _attach() comes back when the IDE has set its breakpoints.
        return True

    def stop_on_error(self, error: BaseException) -> bool:
        if internals.has_stopped_for(error):
            return True
        if not self.takes(error):
            return False
        with internals.visible(error):
            self._stop_on(error)
        return True

    def takes(self, error: BaseException) -> bool:
        return self.is_attached() and internals.asks_for(internals.live_debugger(), error)

    def is_attached(self) -> bool:
        debugger = internals.live_debugger()
        return debugger is not None and internals.is_attached(debugger)

    def forget_error(self, error: BaseException) -> None:
        internals.forget(error)

    def stopped_at(self) -> str | None:
        return internals.stopped_at()

    def when_ide_leaves(self, tell: Callable[[], None]) -> None:
        internals.tell_of_leave(tell)

    def hide_thread(self, thread: threading.Thread) -> None:
        internals.hide_thread(thread)

    def suspend_alone(self, thread: threading.Thread) -> None:
        internals.suspend_alone(thread)

    def start_hidden_thread(self, function: Callable[[], None]) -> None:
        if internals.lives_with_gevent():
            start_native_thread(function)
            return
        thread = threading.Thread(target=function, name="debuglaunch", daemon=True)
        self.hide_thread(thread)
        thread.start()

    def settle_in(self) -> None:
        internals.no_delay()
        internals.hide_frames(internals.OUR_FOLDER)
        internals.stop_once()
        internals.let_libraries_be_shown()
        internals.let_exit()
        internals.hide_unlisted_threads()
        internals.keep_log_off_the_ide()
        internals.wake_at_once()
        internals.let_threads_stop_alone()
        let_pdb_trace()

    def _attach(self, endpoint: Endpoint) -> None:
        raise NotImplementedError

    def _stop_on(self, error: BaseException) -> None:
        _stop_post_mortem(error)

    def _import(self) -> None:
        """Load the debugger's library. Raises DebuggerUnavailable if it can't be had."""
        import importlib

        if not self.installed():
            raise DebuggerUnavailable(
                f"{self.name} is not installed here: {install_command(self.package)}"
            )
        # Else every start on Python 3.11 and later prints a warning about frozen modules.
        os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
        with self._refused_if_too_old():
            importlib.import_module(self.library)

    @contextlib.contextmanager
    def _refused_if_too_old(self) -> Iterator[None]:
        """An old debugger meets a new Python, or a call of ours, in many ways."""
        try:
            yield
        except (ImportError, SyntaxError, AttributeError, TypeError, ValueError) as error:
            raise DebuggerUnavailable(
                f"the installed {self.name} is too old for Python {sys.version_info[0]}."
                f"{sys.version_info[1]} or for this launcher ({type(error).__name__}: {error}):"
                f" {upgrade_command(self.package)}"
            ) from error


def is_installed(module: str) -> bool:
    """Is a module of this name on sys.path, leaving out the pydevd that debugpy carries?"""
    # The path is searched, not sys.modules: once debugpy is imported, its pydevd is there.
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(module)
    return spec is not None and "_vendored" not in (spec.origin or "")


# The post-mortem stop
#
# Every pydevd knows it: a thread that dies of the error. debugpy 1.8.22 has a public function for
# it; in pydevd, pydevd-pycharm and older debugpys there is none, and the private one they have
# stops twice or in its own frame on Python 3.12. But each of them stops where an error leaves a
# thread, with the raising line on top and the frames of the error's traceback below it, and honours
# the boxes of the IDE. So the caught error is raised once more in a thread of its own, which dies
# of it while the request's thread waits.

# Kept before the app is imported: tools like Sentry's SDK put their own in this place, to report
# what a thread dies of; this error they have already.
_start_thread = threading.Thread.start


def _stop_post_mortem(error: BaseException) -> None:
    """Come back when the person at the IDE continues; the error is as it was."""
    trace = error.__traceback__
    thread = PostMortemThread(error)
    _keep_dying_threads_quiet()
    if internals.is_suspended_alone(threading.current_thread()):
        internals.suspend_alone(thread)
    program_hook = sys.excepthook
    _start_thread(thread)
    thread.join()
    thread.let_go()
    sys.excepthook = program_hook  # pydevd-pycharm has turned it off
    error.__traceback__ = trace


class PostMortemThread(threading.Thread):
    """Dies of an error that is not its own, which nobody but the debugger need know."""

    def __init__(self, error: BaseException) -> None:
        from concurrent.futures import Future  # takes a while to import: not at the top

        context = contextvars.copy_context()
        # From Python 3.14 on a thread calls its function in a context of its own.
        given: dict[str, Any] = {"context": context} if sys.version_info >= (3, 14) else {}
        # The request's thread is in the IDE's list as well; it waits for this one. That of a late
        # stop is named so already.
        waiting, kind = threading.current_thread().name, type(error).__name__
        name = waiting if waiting.startswith(f"{kind} in ") else f"{kind} in {waiting}"
        super().__init__(name=name, daemon=True, **given)
        self._request_context = context.copy()
        self._failed: Future[None] = Future()
        self._failed.set_exception(error)

    @property
    def run(self) -> Callable[[], None]:
        """What the thread calls, with the request's context, so that `request` and `g` evaluate.

        A function of the standard library raises the error: our own frames are hidden from the
        debugger, and on Python 3.12 it looks for no error in a thread that begins in a hidden one.
        The context is entered before, and never left: some stop when the function has ended.
        """
        for variable, value in self._request_context.items():
            variable.set(value)
        return self._failed.result

    def let_go(self) -> None:
        """Of the error and its request, when it has ended: pydevd remembers threads."""
        del self._failed, self._request_context


def _keep_dying_threads_quiet() -> None:
    """Let no dying thread print its traceback: the server logs the error, once."""
    hook = threading.excepthook
    if getattr(hook, "spares_dying_threads", False):
        return

    def excepthook(args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.thread, PostMortemThread):
            hook(args)

    excepthook.spares_dying_threads = True  # type: ignore[attr-defined]
    threading.excepthook = excepthook

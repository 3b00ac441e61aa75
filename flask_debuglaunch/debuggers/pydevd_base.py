"""What debugpy, pydevd and pydevd-pycharm share: each of them is a pydevd at heart."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

from flask_debuglaunch.debuggers import pydevd_internals as internals
from flask_debuglaunch.debuggers.debugger_interface import Endpoint, PathMappings, Presence
from flask_debuglaunch.debuggers.ide_debug_server import SILENCE_SECONDS, IdeDebugServer, dial
from flask_debuglaunch.debuggers.post_mortem_stop import stop_in_dying_thread
from flask_debuglaunch.debuggers.terminal_debuggers import let_pdb_trace
from flask_debuglaunch.errors import DebuggerUnavailable
from flask_debuglaunch.installed_packages import (
    install_command,
    is_module_installed,
    upgrade_command,
)
from flask_debuglaunch.native_threads import start_native_thread

LEAVE_SECONDS = 5.0
"""How long a debugger whose IDE has left may take to be gone."""


class PydevdBase:
    """One of pydevd's family; subclasses say what differs."""

    name: str
    package: str
    module: str
    """Its name on sys.path."""
    library: str
    """What is to be imported for its pydevd to be there."""
    ide_server: IdeDebugServer
    """Where it connects to."""
    has_one_connection = False

    def presence(self) -> Presence | None:
        debugger = internals.live_debugger()
        if debugger is None or internals.flavour_of(debugger) != self.name:
            return None
        return Presence(internals.is_attached(debugger), internals.follows_children())

    def installed(self) -> bool:
        return is_module_installed(self.module)

    def map_paths(self, mappings: PathMappings) -> None:
        if mappings:
            self._import_library()
            internals.map_paths(mappings)

    def listen(self, endpoint: Endpoint, when_lost: Callable[[], None]) -> None:
        raise NotImplementedError(f"{self.name} only connects, it does not listen ({endpoint})")

    def connect(self, endpoint: Endpoint, seconds: float = 0, *, is_known: bool = False) -> None:
        self._import_library()
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
        if not self.would_stop_at(error):
            return False
        with internals.frames_shown(error):
            self._stop_post_mortem(error)
        return True

    def would_stop_at(self, error: BaseException) -> bool:
        return self.is_attached() and internals.ide_asks_for_stop(internals.live_debugger(), error)

    def is_attached(self) -> bool:
        debugger = internals.live_debugger()
        return debugger is not None and internals.is_attached(debugger)

    def forget_error(self, error: BaseException) -> None:
        internals.forget_stop(error)

    def stopped_at(self) -> str | None:
        return internals.stopped_at()

    def when_ide_leaves(self, callback: Callable[[], None]) -> None:
        internals.call_when_ide_disconnects(callback)

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
        internals.set_tcp_nodelay()
        internals.hide_frames(internals.OUR_FOLDER)
        internals.stop_once_for_an_error()
        internals.let_libraries_be_shown()
        internals.ignore_system_exit()
        internals.hide_unlisted_threads()
        internals.keep_log_off_the_ide()
        internals.wake_at_once()
        internals.let_threads_stop_alone()
        let_pdb_trace()

    def _attach(self, endpoint: Endpoint) -> None:
        raise NotImplementedError

    def _stop_post_mortem(self, error: BaseException) -> None:
        stop_in_dying_thread(error)

    def _import_library(self) -> None:
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

"""Serve the app in this very process: Ctrl-C and SIGTERM end it, and no save replaces it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from types import FrameType
from typing import TYPE_CHECKING

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.native_threads import is_main_thread
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.app_import import import_app, print_error, take_over
from flask_debuglaunch.serving.app.compatibility_warnings import (
    is_patched_for_greenlets,
    warn_of_incompatibilities,
)
from flask_debuglaunch.serving.app.middleware import with_middleware
from flask_debuglaunch.serving.attach_debugger import attach_single, debugger_of
from flask_debuglaunch.serving.server.http_server import make_server
from flask_debuglaunch.serving.server.listening_socket import bind_listener, say_address
from flask_debuglaunch.serving.server.tls_certificate import certificate_files_of, ssl_context_of
from flask_debuglaunch.serving.time_limit import TimeLimit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class TerminatedBySignal(BaseException):
    """SIGTERM has come; not a SystemExit, which the app itself may raise while it is imported."""


def serve_in_this_process(plan: Plan, app: WSGIApplication | None) -> int:
    """Serve until told to end; returns the exit status. Raises LaunchError."""
    try:
        return _serve_until_end(plan, app)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except TerminatedBySignal:
        return 128 + signal.SIGTERM


def _serve_until_end(plan: Plan, app: WSGIApplication | None) -> int:
    with ExitStack() as cleanup:
        # Before the app, which may take its time.
        listener = cleanup.enter_context(bind_listener(plan))
        certificate = certificate_files_of(plan, cleanup)
        ending_signals = _EndingSignals(plan)
        # With the app's atexit functions, as on Ctrl-C; and also as process 1 of a container, for
        # which the kernel has no default action.
        ending_signals.handle_signal(signal.SIGTERM, signal.SIG_DFL)
        has_run_ended = threading.Event()
        cleanup.callback(has_run_ended.set)
        attach_single(plan, has_run_ended.is_set)
        time_limit = cleanup.enter_context(TimeLimit(plan))
        try:
            if app is None:
                app = import_app(plan, supervised=False, first=True)
            else:
                take_over(app, plan, supervised=False)
        except LaunchError:
            raise
        except Exception as error:
            print_error(error)
            return 2
        warn_of_incompatibilities(app, plan)
        ssl_context = ssl_context_of(plan, certificate)
        is_threaded = plan.settings.with_threads.value
        server = make_server(listener, with_middleware(app, plan), ssl_context, threads=is_threaded)
        with closing(server):
            time_limit.stop_run = server.stop
            if is_patched_for_greenlets():
                ending_signals.stop_server = server.stop
                ending_signals.handle_signal(signal.SIGINT, signal.default_int_handler)
            say_address(listener, plan)
            server.serve()
        return ending_signals.exit_status


class _EndingSignals:
    """What a signal does that ends the run: it raises TerminatedBySignal, or calls
    stop_server once there is something to stop so. Among greenlets an exception would end the one
    that happens to run, be it a request's, and the server would go on."""

    def __init__(self, plan: Plan) -> None:
        self.stop_server: Callable[[], None] | None = None
        self.exit_status = 0
        self._plan = plan

    def handle_signal(self, signal_number: int, default: object) -> None:
        """If nobody else has: the app may have a handler of its own."""
        # run(app) may be called in another thread than the one that gets it.
        if is_main_thread() and signal.getsignal(signal_number) is default:
            signal.signal(signal_number, self._end_run)

    def _end_run(self, signal_number: int, frame: FrameType | None) -> None:
        if debugger_of(self._plan).stopped_at():
            # The main thread stands in the debugger: nothing would unwind.
            os._exit(128 + signal_number)
        if self.stop_server is None:
            raise TerminatedBySignal
        self.exit_status = 128 + signal_number
        self.stop_server()

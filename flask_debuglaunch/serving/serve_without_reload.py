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
from flask_debuglaunch.serving.server.listening_socket import bind, say_address
from flask_debuglaunch.serving.server.tls_certificate import certificate_of, ssl_context_of
from flask_debuglaunch.serving.time_limit import TimeLimit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Terminated(BaseException):
    """SIGTERM has come; not a SystemExit, which the app itself may raise while it is imported."""


def serve_here(plan: Plan, app: WSGIApplication | None) -> int:
    """Serve until told to end; returns the exit status. Raises LaunchError."""
    try:
        return _serve(plan, app)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Terminated:
        return 128 + signal.SIGTERM


def _serve(plan: Plan, app: WSGIApplication | None) -> int:
    with ExitStack() as cleanup:
        listener = cleanup.enter_context(bind(plan))  # before the app, which may take its time
        certificate = certificate_of(plan, cleanup)
        signals = _EndSignals(plan)
        # With the app's atexit functions, as on Ctrl-C; and also as process 1 of a container, for
        # which the kernel has no default action.
        signals.take(signal.SIGTERM, signal.SIG_DFL)
        over = threading.Event()
        cleanup.callback(over.set)
        attach_single(plan, over.is_set)
        limit = cleanup.enter_context(TimeLimit(plan))
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
        tls = ssl_context_of(plan, certificate)
        threads = plan.settings.with_threads.value
        server = make_server(listener, with_middleware(app, plan), tls, threads=threads)
        with closing(server):
            limit.stop = server.stop
            if is_patched_for_greenlets():
                signals.stop = server.stop
                signals.take(signal.SIGINT, signal.default_int_handler)
            say_address(listener, plan)
            server.serve()
        return signals.exit_status


class _EndSignals:
    """What a signal does that ends the run: it raises Terminated, or calls `stop` once there is
    something to stop so. Among greenlets an exception would end the one that happens to run, be it
    a request's, and the server would go on."""

    def __init__(self, plan: Plan) -> None:
        self.stop: Callable[[], None] | None = None
        self.exit_status = 0
        self._plan = plan

    def take(self, number: int, default: object) -> None:
        """If nobody else has: the app may have a handler of its own."""
        # run(app) may be called in another thread than the one that gets it.
        if is_main_thread() and signal.getsignal(number) is default:
            signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if debugger_of(self._plan).stopped_at():
            os._exit(128 + number)  # the main thread stands in the debugger: nothing would unwind
        if self.stop is None:
            raise Terminated
        self.exit_status = 128 + number
        self.stop()

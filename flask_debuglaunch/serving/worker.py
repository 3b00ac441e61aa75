"""One life of a worker: attach the debugger, import the app, serve it, and make room for the next.

The main thread does all of that. A second thread listens to the supervisor; it is hidden from the
debugger, because it has to act also while every other thread is suspended.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from select import select  # the original: an app may patch the module (gevent)
from typing import TYPE_CHECKING

from flask_debuglaunch.debuggers import pydevd_sessions
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.serving.around import around, warn_of_own_debugger
from flask_debuglaunch.serving.attaching import attach_worker, debugger_of
from flask_debuglaunch.serving.channel import (
    Attached,
    Channel,
    Failed,
    GoesOn,
    Learned,
    Ready,
    Retire,
    Stopped,
    Task,
)
from flask_debuglaunch.serving.http_server import AppServer, make_server
from flask_debuglaunch.serving.importing import import_app, print_error
from flask_debuglaunch.serving.imports import ImportsSeen, template_folders
from flask_debuglaunch.serving.inheritance import Inheritance
from flask_debuglaunch.serving.loading import failing_app
from flask_debuglaunch.serving.preloading import (
    ImportRecorder,
    installed_modules,
    why_not_fork,
)
from flask_debuglaunch.serving.tls import ssl_context_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

STOP_POLL_SECONDS = 0.02
REPORT_SECONDS = 0.05
EXIT_SECONDS = 2.0
"""How long atexit functions and the app's own threads may take."""


def work(task: Task, inherited: Inheritance, app: WSGIApplication | None) -> int:
    """Serve the app until the supervisor sends Retire; returns the exit status."""
    orders, channel = Orders(task, inherited.channel), inherited.channel
    _keep_from_children(inherited)
    is_given, began = app is not None, time.time()
    try:
        attach_worker(task.plan, task.session if task.use_debugger else None)
        channel.send(Attached())
        recorder = ImportRecorder()
        app, failed = (app, False) if is_given and app else _imported(task, recorder)
        if task.is_first:
            warn_of_own_debugger(app, task.plan)
        server = _server(task, inherited, app)
    except LaunchError as error:
        channel.send(Failed(str(error), error.exit_status))
        return error.exit_status
    except _FirstImportFailed:
        channel.send(Failed(None, 2))
        return 2
    def report() -> None:
        imports = ImportsSeen(began)
        _send_news(channel, imports, template_folders(app))
        server.after_request = lambda: _send_news(channel, imports)
        if not failed:
            unsafe = why_not_fork(was_given=is_given)
            channel.send(Learned(installed_modules(recorder.names), unsafe))

    orders.report = report
    orders.server = server  # from here on it can be told to stop
    channel.send(Ready(failed))
    _serve(server, orders)
    return end_process(orders)


def _keep_from_children(inherited: Inheritance) -> None:
    """What the app forks (multiprocessing) must not hold the port, nor be taken for us."""

    def let_go() -> None:
        inherited.listener.close()
        inherited.channel.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=let_go)


class _FirstImportFailed(Exception):
    pass


def _imported(task: Task, recorder: ImportRecorder) -> tuple[WSGIApplication, bool]:
    """The app, and whether it stands in for one that could not be imported."""
    try:
        app = import_app(task.plan, supervised=True, first=task.is_first, recorder=recorder)
        return app, False
    except Exception as error:
        if task.is_first and isinstance(error, LaunchError):
            raise
        print_error(error)
        if task.is_first:
            raise _FirstImportFailed from None
        return failing_app(error), True


def _server(task: Task, inherited: Inheritance, app: WSGIApplication) -> AppServer:
    tls = ssl_context_of(task.plan, task.certificate)
    threads = task.plan.settings.with_threads.value
    return make_server(inherited.listener, around(app, task.plan), tls, threads=threads)


def _send_news(
    channel: Channel, imports: ImportsSeen, folders: frozenset[str] = frozenset()
) -> None:
    news = imports.news(folders)
    if news is not None:
        channel.send(news)


def _serve(server: AppServer, orders: Orders) -> None:
    try:
        server.serve()
    except KeyboardInterrupt:  # Ctrl-C reaches the whole process group; the supervisor ends us too
        return
    server.drain(orders.drain_seconds, held=lambda: orders.stopped_at() is not None)


class Orders:
    """The thread that listens to the supervisor, and ends the process with it."""

    def __init__(self, task: Task, channel: Channel) -> None:
        self.server: AppServer | None = None
        self.report: Callable[[], None] | None = None
        """What to do once the first requests have had their chance."""
        self.drain_seconds = 0.0
        self._debugger = debugger_of(task.plan)
        self._channel = channel
        self._retiring = False
        self._exit_by: float | None = None
        self._reported: str | None = None
        thread = threading.Thread(target=self._listen, name="debuglaunch", daemon=True)
        self._debugger.hide_thread(thread)
        thread.start()

    def stopped_at(self) -> str | None:
        return self._debugger.stopped_at()

    def allow_exit(self, seconds: float) -> None:
        """From now on: end after these seconds, whatever holds the interpreter."""
        self._exit_by = time.monotonic() + seconds

    def _listen(self) -> None:
        while True:
            if select([self._channel], [], [], self._patience())[0]:
                self._obey(self._channel.receive())
            elif self.server is not None and self.report is not None:
                self.report()
                self.report = None
            if self._retiring:
                self._look_on()

    def _patience(self) -> float | None:
        if self._retiring:
            return STOP_POLL_SECONDS
        return REPORT_SECONDS if self.server is None or self.report is not None else None

    def _obey(self, message: object) -> None:
        if message is None:  # whatever has killed the supervisor: leave no orphan, no port
            os._exit(1)
        if isinstance(message, Retire):
            self.drain_seconds = message.seconds
            self._retiring = True
            if self.server is not None:
                # Also while a thread is stopped: under load a breakpoint would be hit for ever.
                self.server.stop()

    def _look_on(self) -> None:
        """While retiring: say when a stopped thread holds it up."""
        where = self.stopped_at()
        if where != self._reported:
            self._reported = where
            self._channel.send(Stopped(where) if where else GoesOn())
        is_overdue = self._exit_by is not None and time.monotonic() > self._exit_by
        # Without a server the app is still being imported, from files that have changed again.
        if where is None and (self.server is None or is_overdue):
            os._exit(0)


def end_process(orders: Orders) -> int:
    """End as an interpreter does, less what only takes time: a debugger's exit wait (0.55 s) and
    the taking down of every module. Does not return.

    The same two steps as in multiprocessing's own children (multiprocessing.process._bootstrap).
    """
    orders.allow_exit(EXIT_SECONDS)
    pydevd_sessions.leave()
    threading._shutdown()  # type: ignore[attr-defined]  # joins the app's own threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(0)

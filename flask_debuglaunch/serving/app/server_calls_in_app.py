"""Other servers that the user's code starts: one for the app itself, left in where it is imported,
is ignored and told of; one for something else, in a thread of its own, serves beside ours.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from flask_debuglaunch.serving.app.environ_for_app import set_here_only
from flask_debuglaunch.serving.app.module_origins import OUR_FOLDER, is_installed

SayIgnoredCall = Callable[[str, str], None]
"""Is given where, and what is called there."""


class _AppImport:
    """The import of the app, while it is going on in this thread."""

    def __init__(self, say_ignored_call: SayIgnoredCall) -> None:
        self.say_ignored_call = say_ignored_call
        self.thread = threading.current_thread()
        self.is_over = threading.Event()


_app_imports_under_way: list[_AppImport] = []


def ignore_server_call(call: str = "app.run()") -> bool:
    """Is the app being imported by this thread? Then a call that would serve it is told of."""
    this_thread = threading.current_thread()
    imports_here = [
        app_import for app_import in _app_imports_under_way if app_import.thread is this_thread
    ]
    for app_import in imports_here:
        app_import.say_ignored_call(place_of_server_call(), call)
    return bool(imports_here)


def place_of_server_call() -> str:
    """Where the user calls what would serve: an extension may stand between (flask_socketio)."""
    frames = [frame for frame, _ in traceback.walk_stack(None)]
    calling_frames = [f for f in frames if not f.f_code.co_filename.startswith(OUR_FOLDER)]
    user_frames = [f for f in calling_frames if not is_installed(f.f_code.co_filename)]
    caller = (user_frames or calling_frames)[0]
    return f"{caller.f_code.co_filename}:{caller.f_lineno}"


@contextmanager
def app_run_ignored(say_ignored_call: SayIgnoredCall) -> Iterator[None]:
    """While the app is imported: `app.run()` and `run_simple()` left in user code return at once.

    FLASK_RUN_FROM_CLI is Flask's own way to do so, for whoever asks for it. Flask itself leaves it
    set; we take it back.
    """
    from flask import Flask

    flask_run, app_import = Flask.run, _AppImport(say_ignored_call)

    @functools.wraps(flask_run)
    def run(self: Flask, *args: Any, **kwargs: Any) -> None:
        if not ignore_server_call():
            app_import.is_over.wait()  # until then Flask itself would ignore it
            flask_run(self, *args, **kwargs)

    _app_imports_under_way.append(app_import)
    set_here_only("FLASK_RUN_FROM_CLI", "true")
    Flask.run = run  # type: ignore[method-assign]
    try:
        yield
    finally:
        Flask.run = flask_run  # type: ignore[method-assign]
        os.environ.pop("FLASK_RUN_FROM_CLI", None)
        _app_imports_under_way.remove(app_import)
        app_import.is_over.set()


def let_run_simple_serve() -> None:
    """Have Werkzeug's run_simple() serve on a socket of its own. In a reloader's child, which we
    look like (WERKZEUG_RUN_MAIN), it takes the one whose descriptor is in WERKZEUG_SERVER_FD."""
    from werkzeug import serving

    werkzeug_run_simple = serving.run_simple
    if getattr(werkzeug_run_simple, "__module__", None) == __name__:
        return
    signature = inspect.signature(werkzeug_run_simple)

    def run_simple(*args: Any, **kwargs: Any) -> None:
        if ignore_server_call("run_simple()"):
            return
        arguments = signature.bind(*args, **kwargs).arguments
        arguments["use_reloader"] = False
        if not serving.is_running_from_reloader():
            werkzeug_run_simple(**arguments)
            return
        # Binds as Werkzeug does, and says so as Werkzeug does if the port is taken.
        bound_server = serving.BaseWSGIServer(
            arguments["hostname"], arguments["port"], arguments["application"]
        )
        with closing(bound_server.socket):
            os.environ["WERKZEUG_SERVER_FD"] = str(bound_server.fileno())
            werkzeug_run_simple(**arguments)

    serving.run_simple = run_simple

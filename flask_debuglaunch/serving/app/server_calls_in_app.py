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

Tell = Callable[[str, str], None]
"""Is given where, and what is called there."""


class _Import:
    """The import of the app, while it is going on in this thread."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.thread = threading.current_thread()
        self.is_over = threading.Event()


_importing: list[_Import] = []


def ignore_if_imported(call: str = "app.run()") -> bool:
    """Is the app being imported by this thread? Then a call that would serve it is told of."""
    here = [one for one in _importing if one.thread is threading.current_thread()]
    for one in here:
        one.tell(place_in_user_code(), call)
    return bool(here)


def place_in_user_code() -> str:
    """Where the user calls what would serve: an extension may stand between (flask_socketio)."""
    frames = [frame for frame, _ in traceback.walk_stack(None)]
    called = [one for one in frames if not one.f_code.co_filename.startswith(OUR_FOLDER)]
    own = [one for one in called if not is_installed(one.f_code.co_filename)]
    caller = (own or called)[0]
    return f"{caller.f_code.co_filename}:{caller.f_lineno}"


@contextmanager
def serving_ignored(tell: Tell) -> Iterator[None]:
    """While the app is imported: `app.run()` and `run_simple()` left in user code return at once.

    FLASK_RUN_FROM_CLI is Flask's own way to do so, for whoever asks for it. Flask itself leaves it
    set; we take it back.
    """
    from flask import Flask

    original, importing = Flask.run, _Import(tell)

    @functools.wraps(original)
    def run(self: Flask, *args: Any, **kwargs: Any) -> None:
        if not ignore_if_imported():
            importing.is_over.wait()  # until then Flask itself would ignore it
            original(self, *args, **kwargs)

    _importing.append(importing)
    set_here_only("FLASK_RUN_FROM_CLI", "true")
    Flask.run = run  # type: ignore[method-assign]
    try:
        yield
    finally:
        Flask.run = original  # type: ignore[method-assign]
        os.environ.pop("FLASK_RUN_FROM_CLI", None)
        _importing.remove(importing)
        importing.is_over.set()


def let_others_serve() -> None:
    """Have Werkzeug's run_simple() serve on a socket of its own. In a reloader's child, which we
    look like (WERKZEUG_RUN_MAIN), it takes the one whose descriptor is in WERKZEUG_SERVER_FD."""
    from werkzeug import serving

    original = serving.run_simple
    if getattr(original, "__module__", None) == __name__:
        return
    signature = inspect.signature(original)

    def run_simple(*args: Any, **kwargs: Any) -> None:
        if ignore_if_imported("run_simple()"):
            return
        asked = signature.bind(*args, **kwargs).arguments
        asked["use_reloader"] = False
        if not serving.is_running_from_reloader():
            original(**asked)
            return
        # Binds as Werkzeug does, and says so as Werkzeug does if the port is taken.
        bound = serving.BaseWSGIServer(asked["hostname"], asked["port"], asked["application"])
        with closing(bound.socket):
            os.environ["WERKZEUG_SERVER_FD"] = str(bound.fileno())
            original(**asked)

    serving.run_simple = run_simple

"""The environment variables that the app sees, set before it is imported."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask_debuglaunch.detection import STALE_VARIABLES
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.installed_code import OUR_FOLDER, is_installed


def drop_stale_variables() -> None:
    """Forget what some other Werkzeug server left in the environment (the plan's notes name it)."""
    for name in STALE_VARIABLES:
        os.environ.pop(name, None)


def set_for_app(plan: Plan, *, supervised: bool) -> None:
    """Set the env files' variables, and what Flask and the app read on import.

    FLASK_DEBUG is always 1 or 0: Flask takes `off` for true. It must be there before the import,
    because Flask reads it as soon as an app object is made.
    """
    os.environ.update(_variables_of_app(plan, os.environ))
    if supervised:
        # User code asks for it to do things once only, and Werkzeug's debugger to print its PIN.
        _set_here_only("WERKZEUG_RUN_MAIN", "true")


def environ_of_worker(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    """What a worker is started with. A program that hands its app over is past the app's import
    when it calls us: it must have from the start what is set here for other apps."""
    if not plan.app_is_given:
        return dict(environ)
    return {**environ, **_variables_of_app(plan, environ), "WERKZEUG_RUN_MAIN": "true"}


def _variables_of_app(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    from_files = {n: text for n, text in plan.settings.variables.items() if n not in environ}
    return {**from_files, "FLASK_DEBUG": "1" if plan.debug.value else "0"}


def _set_here_only(name: str, value: str) -> None:
    """In os.environ, but not in what a program started from here inherits: a server of its own
    would take itself for a reloader's child, or ignore its app.run()."""
    os.environ[name] = value
    os.unsetenv(name)


_ignoring: list[Callable[[str], None]] = []


def ignore_if_imported() -> bool:
    """Is the app being imported here? Then a call that would serve it is told of."""
    for tell in _ignoring:
        tell(place_in_user_code())
    return bool(_ignoring)


def place_in_user_code() -> str:
    """Where the user calls what would serve: an extension may stand between (flask_socketio)."""
    frames = [frame for frame, _ in traceback.walk_stack(None)]
    called = [one for one in frames if not one.f_code.co_filename.startswith(OUR_FOLDER)]
    own = [one for one in called if not is_installed(one.f_code.co_filename)]
    caller = (own or called)[0]
    return f"{caller.f_code.co_filename}:{caller.f_lineno}"


@contextmanager
def app_run_ignored(tell: Callable[[str], None]) -> Iterator[None]:
    """While the app is imported: `app.run()` left in user code returns at once, and is told of.

    FLASK_RUN_FROM_CLI is Flask's own way to do so, for whoever asks for it. Flask itself leaves it
    set; we take it back.
    """
    from flask import Flask

    def ignore(self: Flask, *_: Any, **__: Any) -> None:  # noqa: ARG001
        ignore_if_imported()

    original = Flask.run
    _ignoring.append(tell)
    _set_here_only("FLASK_RUN_FROM_CLI", "true")
    Flask.run = ignore  # type: ignore[method-assign]
    try:
        yield
    finally:
        _ignoring.remove(tell)
        Flask.run = original  # type: ignore[method-assign]
        os.environ.pop("FLASK_RUN_FROM_CLI", None)

"""The environment variables that the app sees, set before it is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask_debuglaunch.detection import STALE_VARIABLES
from flask_debuglaunch.plan import Plan


def drop_stale_variables() -> None:
    """Forget what some other Werkzeug server left in the environment (the plan's notes name it)."""
    for name in STALE_VARIABLES:
        os.environ.pop(name, None)


def set_for_app(plan: Plan, *, supervised: bool) -> None:
    """Load the env files and set what Flask and the app read on import.

    FLASK_DEBUG is always 1 or 0: Flask takes `off` for true. It must be there before the import,
    because Flask reads it as soon as an app object is made.
    """
    from dotenv import load_dotenv

    for file in plan.settings.env_files:  # the strongest first: none overrides what is there
        load_dotenv(file, encoding="utf-8")
    os.environ["FLASK_DEBUG"] = "1" if plan.debug.value else "0"
    if supervised:
        # User code asks for it to do things once only, and Werkzeug's debugger to print its PIN.
        _set_here_only("WERKZEUG_RUN_MAIN", "true")


def _set_here_only(name: str, value: str) -> None:
    """In os.environ, but not in what a program started from here inherits: a server of its own
    would take itself for a reloader's child, or ignore its app.run()."""
    os.environ[name] = value
    os.unsetenv(name)


@contextmanager
def app_run_ignored(tell: Callable[[str], None]) -> Iterator[None]:
    """While the app is imported: `app.run()` left in user code returns at once, and is told of.

    FLASK_RUN_FROM_CLI is Flask's own way to do so, for whoever asks for it. Flask itself leaves it
    set; we take it back.
    """
    from flask import Flask

    def ignore(self: Flask, *_: Any, **__: Any) -> None:  # noqa: ARG001
        caller = sys._getframe(1)
        tell(f"{caller.f_code.co_filename}:{caller.f_lineno}")

    original = Flask.run
    _set_here_only("FLASK_RUN_FROM_CLI", "true")
    Flask.run = ignore  # type: ignore[method-assign]
    try:
        yield
    finally:
        Flask.run = original  # type: ignore[method-assign]
        os.environ.pop("FLASK_RUN_FROM_CLI", None)

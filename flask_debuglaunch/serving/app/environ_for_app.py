"""The environment variables that the app sees, set before it is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping

from flask_debuglaunch.detect_environment import STALE_VARIABLES
from flask_debuglaunch.plan import Plan

CHILD_MARKER = "_FLASK_DEBUGLAUNCH_CHILD"
"""The one that it never sees: in it a child of ours finds what it inherits."""


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
        set_here_only("WERKZEUG_RUN_MAIN", "true")


def environ_of_worker(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    """What a worker is started with. A program that hands its app over is past the app's import
    when it calls us: it must have from the start what is set here for other apps."""
    if not plan.app_is_given:
        return dict(environ)
    return {**environ, **_variables_of_app(plan, environ), "WERKZEUG_RUN_MAIN": "true"}


def _variables_of_app(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    env_file_variables = {
        name: value for name, value in plan.settings.variables.items() if name not in environ
    }
    return {**env_file_variables, "FLASK_DEBUG": "1" if plan.debug.value else "0"}


def set_here_only(name: str, value: str) -> None:
    """In os.environ, but not in what a program started from here inherits: a server of its own
    would take itself for a reloader's child, or ignore its app.run()."""
    os.environ[name] = value
    os.unsetenv(name)

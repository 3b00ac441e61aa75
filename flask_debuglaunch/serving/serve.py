"""The way in: serve the app here, have a supervisor do it, or refuse to serve it at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from flask_debuglaunch.debuggers.terminal_debuggers import terminal_restored
from flask_debuglaunch.detect_environment import production_server, running_tests
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.installed_packages import require_flask
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.environ_for_app import drop_stale_variables
from flask_debuglaunch.serving.app.server_calls_in_app import (
    ignore_server_call,
    place_of_server_call,
)
from flask_debuglaunch.serving.processes.signals_and_orphans import below_init, needs_init
from flask_debuglaunch.startup_banner import banner
from flask_debuglaunch.terminal_messages import say

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def is_only_imported() -> bool:
    """Is the calling program imported by what serves the app then? It is told of that.

    Flask's own `app.run()` returns there, too. An inherited FLASK_RUN_FROM_CLI does not count.
    """
    return ignore_server_call() or _is_ignored_by_flask_command()


def _is_ignored_by_flask_command() -> bool:
    context = click.get_current_context(silent=True)
    if context is None or type(context.find_root().obj).__name__ != "ScriptInfo":
        return False
    say(
        f"{place_of_server_call()}: run() is ignored inside of the command `flask`. Put it under"
        ' `if __name__ == "__main__":`'
    )
    return True


def refuse_inside_server() -> None:
    """Raises LaunchError where a production server serves the app, or a test imports it."""
    server = production_server() or running_tests()
    if server is not None:
        raise LaunchError(
            f"{place_of_server_call()}: run() was called inside of {server}, which has the app"
            ' already: nothing more is served here. Put it under `if __name__ == "__main__":`'
        )


def serve(
    plan: Plan,
    app: WSGIApplication | None = None,
    resolve_plan: Callable[[], Plan] | None = None,
    explain_command: str = "python -m flask_debuglaunch explain",
) -> int:
    """Serve until told to end; returns the exit status.

    app: one that is there already; else it is imported as planned. resolve_plan: gives the plan
    anew when a reload finds the configuration changed. explain_command: shows the reasons of this
    very plan. Raises LaunchError.
    """

    def serve_plan() -> int:
        return _serve_with_banner(plan, app, resolve_plan, explain_command)

    return below_init(serve_plan) if app is None and needs_init(plan) else serve_plan()


def _serve_with_banner(
    plan: Plan,
    app: WSGIApplication | None,
    resolve_plan: Callable[[], Plan] | None,
    explain_command: str,
) -> int:
    _open_closed_standard_descriptors()
    drop_stale_variables()
    for banner_line in (*banner(plan, explain_command), *plan.notes):
        say(banner_line)
    if plan.reload.value:
        from flask_debuglaunch.serving.supervisor import supervise

        return supervise(plan, resolve_plan or (lambda: plan))
    require_flask()
    from flask_debuglaunch.serving.serve_without_reload import serve_in_this_process

    with terminal_restored():
        return serve_in_this_process(plan, app)


def _open_closed_standard_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed (`2>&-`): else the next file or socket gets the
    number, and what a child prints goes into that."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            null_device = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(null_device, True)

"""Serve the app: in this process, or supervised, with a reload whenever a file changes.

serve -> single_process                                            no reload
serve -> supervisor -> (starts this program again) work -> worker   reload

server/ has the socket and the HTTP server, app/ the user's app and what stands around it, watching/
the files, processes/ how supervisor, fork server and workers start and end; they speak in
ipc_messages.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from flask_debuglaunch.banner import banner
from flask_debuglaunch.detection import production_server, running_tests
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.environ_for_app import drop_stale_variables
from flask_debuglaunch.serving.app.server_calls_in_app import ignore_if_imported, place_in_user_code
from flask_debuglaunch.serving.processes import CHILD_MARKER
from flask_debuglaunch.serving.processes.init_process import below_init, needs_init
from flask_debuglaunch.serving.terminal_modes import terminal_restored
from flask_debuglaunch.terminal import fill_standard_descriptors, say

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


OLDEST_FLASK = "3"
"""The first part of its version, as in pyproject.toml."""


def is_worker() -> bool:
    """Was this process started by a supervisor, to `work`?"""
    return CHILD_MARKER in os.environ


def is_only_imported() -> bool:
    """Is the calling program imported by what serves the app then? It is told of that.

    Flask's own `app.run()` returns there, too. An inherited FLASK_RUN_FROM_CLI does not count.
    """
    return ignore_if_imported() or _ignored_in_flask_command()


def _ignored_in_flask_command() -> bool:
    context = click.get_current_context(silent=True)
    if context is None or type(context.find_root().obj).__name__ != "ScriptInfo":
        return False
    say(
        f"{place_in_user_code()}: run() is ignored inside of the command `flask`. Put it under"
        ' `if __name__ == "__main__":`'
    )
    return True


def refuse_inside_server() -> None:
    """Raises LaunchError where a production server serves the app, or a test imports it."""
    server = production_server() or running_tests()
    if server is not None:
        raise LaunchError(
            f"{place_in_user_code()}: run() was called inside of {server}, which has the app"
            ' already: nothing more is served here. Put it under `if __name__ == "__main__":`'
        )


def work(app: WSGIApplication | None = None) -> int:
    """Do what the supervisor says; returns the exit status. app: one that is there already."""
    from flask_debuglaunch.serving.ipc_messages import Failed, Preload, PreloadModules, Prepare
    from flask_debuglaunch.serving.processes.socket_inheritance import (
        inherit,
        let_interrupts_through,
    )

    inherited = inherit()
    task = inherited.task or inherited.channel.receive()
    if isinstance(task, Preload):
        from flask_debuglaunch.serving.processes.fork_server_main import run_fork_server

        inherited = run_fork_server(task, inherited)  # returns in each worker that it forks
        task = inherited.channel.receive()
    if isinstance(task, PreloadModules):
        from flask_debuglaunch.serving.processes.module_server_main import run_module_server

        inherited = run_module_server(task, inherited)
        task = inherited.channel.receive()
    if isinstance(task, Prepare):
        from flask_debuglaunch.serving.processes.waiting_worker import wait_for_task

        inherited = wait_for_task(task, inherited)
        task = inherited.task
    if task is None:  # it is not needed after all
        os._exit(0)
    let_interrupts_through()
    try:
        _require_flask()
    except LaunchError as error:
        inherited.channel.tell(Failed(str(error), error.exit_status))
        return error.exit_status
    from flask_debuglaunch.serving import worker_main

    return worker_main.work(task, inherited, app)


def serve(
    plan: Plan,
    app: WSGIApplication | None = None,
    resolve: Callable[[], Plan] | None = None,
    why: str = "python -m flask_debuglaunch explain",
) -> int:
    """Serve until told to end; returns the exit status.

    app: one that is there already; else it is imported as planned. resolve: gives the plan anew
    when a reload finds the configuration changed. why: the command that shows the reasons of this
    very plan. Raises LaunchError.
    """

    def serve_here() -> int:
        return _serve(plan, app, resolve, why)

    return below_init(serve_here) if app is None and needs_init(plan) else serve_here()


def _serve(
    plan: Plan, app: WSGIApplication | None, resolve: Callable[[], Plan] | None, why: str
) -> int:
    fill_standard_descriptors()
    drop_stale_variables()
    for line in (*banner(plan, why), *plan.notes):
        say(line)
    if plan.reload.value:
        from flask_debuglaunch.serving.supervisor import supervise

        return supervise(plan, resolve or (lambda: plan))
    _require_flask()
    from flask_debuglaunch.serving.single_process import serve_here

    with terminal_restored():
        return serve_here(plan, app)


def _require_flask() -> None:
    """Raises LaunchError where the Flask of this environment is missing or too old for us."""
    wanted = f"Install it for {sys.executable}: pip install 'flask>={OLDEST_FLASK}'"
    try:
        import flask  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "flask":
            raise
        raise LaunchError(f"Flask is not installed. {wanted}") from None
    from importlib.metadata import version  # Flask has imported it already

    if int(version("flask").partition(".")[0]) < int(OLDEST_FLASK):
        raise LaunchError(f"Flask {version('flask')} is too old for the launcher. {wanted}")

"""What a process does that the supervisor has started: become what the first message says, which is
a fork server, one of modules, a worker that waits, or a worker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.installed_packages import require_flask
from flask_debuglaunch.serving.app.environ_for_app import CHILD_MARKER

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def is_child() -> bool:
    """Was this process started by a supervisor, to serve the app or to help?"""
    return CHILD_MARKER in os.environ


def run_child(app: WSGIApplication | None = None) -> int:
    """Do what the supervisor says; returns the exit status. app: one that is there already."""
    # Not for each program that asks whether it is one.
    from flask_debuglaunch.serving.ipc_protocol import Failed, Preload, PreloadModules, Prepare
    from flask_debuglaunch.serving.processes.spawn_interpreter import (
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
        from flask_debuglaunch.serving.processes.fork_server_main import (
            run_project_module_server,
        )

        inherited = run_project_module_server(task, inherited)
        task = inherited.channel.receive()
    if isinstance(task, Prepare):
        from flask_debuglaunch.serving.processes.next_worker_without_fork import wait_for_task

        inherited = wait_for_task(task, inherited)
        task = inherited.task
    if task is None:  # it is not needed after all
        os._exit(0)
    let_interrupts_through()
    try:
        require_flask()
    except LaunchError as error:
        inherited.channel.tell(Failed(str(error), error.exit_status))
        return error.exit_status
    from flask_debuglaunch.serving import worker_main

    return worker_main.serve_as_worker(task, inherited, app)

"""What a worker does that was prepared ahead, when it finds that it is not like a new interpreter:
it becomes one, or has one take its place."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Collection
from dataclasses import replace
from typing import NoReturn

from flask_debuglaunch.debuggers.join_debug_session import children_left_alone
from flask_debuglaunch.serving.app.environ_for_app import CHILD_MARKER, environ_of_worker
from flask_debuglaunch.serving.ipc_protocol import Channel, Misfit, ModulesUnfit, Preloadable, Task
from flask_debuglaunch.serving.processes.own_command_line import own_command
from flask_debuglaunch.serving.processes.socket_inheritance import (
    Inheritance,
    interrupts_held_back,
)
from flask_debuglaunch.start_directory import START_DIRECTORY
from flask_debuglaunch.terminal import say


def start_afresh(task: Task, inherited: Inheritance, reason: str) -> NoReturn:
    """Make a new interpreter of this worker, with the same task: to the supervisor it is the same
    process. Windows can't; there the supervisor starts another one."""
    say(f"Started anew, in a new interpreter: {reason}")
    if inherited.lifeline is None:
        inherited.channel.tell(Misfit())
        os._exit(0)
    # The next worker must not come from the same fork server.
    if inherited.preloaded.hidden is not None:
        inherited.channel.tell(ModulesUnfit(frozenset()))
        task = replace(task, look_at_modules=True)
    else:
        inherited.channel.tell(Preloadable((), was_forked=False, unsafe=None))
    reading, writing = socket.socketpair()
    Channel(writing).send(task)
    sockets = (inherited.listener, inherited.channel, inherited.lifeline, reading)
    descriptors = [one if isinstance(one, int) else one.fileno() for one in sockets]
    _let_inherit_only(descriptors)
    marker = {CHILD_MARKER: ",".join(map(str, descriptors))}
    environ = environ_of_worker(task.plan, inherited.environ)
    command = own_command(under_debugger=False)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    with children_left_alone(), interrupts_held_back():
        if START_DIRECTORY is not None:
            os.chdir(START_DIRECTORY)
        os.execve(command[0], command, {**environ, **marker})


def _let_inherit_only(descriptors: Collection[int]) -> None:
    """Not what the app has opened: a port that it let inherit (Werkzeug's run_simple does) would
    stay taken, with nobody to answer."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        if descriptor > 2:
            with contextlib.suppress(OSError):  # the one that has listed them
                os.set_inheritable(descriptor, descriptor in descriptors)

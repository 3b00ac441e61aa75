"""Meeting the IDE's debugger: which process does it, and what if it can't be had."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from time import monotonic, sleep  # the originals: an app may patch the module (gevent)

from flask_debuglaunch.debuggers import join_debug_session
from flask_debuglaunch.debuggers.debugger_interface import Debugger, Endpoint
from flask_debuglaunch.debuggers.join_debug_session import DebugSession
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS, present_debugger
from flask_debuglaunch.errors import DebuggerUnavailable, LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.ipc_protocol import Task
from flask_debuglaunch.startup_banner import debugger_listens_line
from flask_debuglaunch.terminal_messages import say

ATTACH_SECONDS = 300.0
"""How long a late stop waits for an IDE."""
LISTEN_AGAIN = 5
"""How often in a run; an adapter that can't live would end again and again."""
LOST_SECONDS = 0.3
"""What ends us (the IDE's Stop, an interpreter that shuts down) may end the adapter first: so long
we wait with the news that it has ended."""

RunIsOver = Callable[[], bool]
"""Does the run end, so that nobody needs to listen for an IDE any more?"""


def debugger_of(plan: Plan) -> Debugger:
    """The planned one, or the external one that the app has started where none is planned."""
    return debugger_started_by_app(plan) or DEBUGGERS[plan.debugger.value]


def debugger_started_by_app(plan: Plan) -> Debugger | None:
    """The external debugger that the app has started by itself, if it has."""
    present = None if plan.is_external else present_debugger()
    return present.debugger if present else None


def attach_single(plan: Plan, run_is_over: RunIsOver) -> None:
    """In the one process that both meets the IDE and serves the app."""
    if plan.connection.value in ("listen", "connect"):
        _meet_ide(plan, run_is_over)
    debugger_of(plan).settle_in()


def attach_supervisor(plan: Plan, run_is_over: RunIsOver) -> DebugSession | None:
    """In the supervisor: hold the endpoint over restarts. Returns the session that workers join;
    None where each worker dials the IDE by itself, or there is no debugger."""
    if plan.connection.value == "present" or (
        _supervisor_has_connection(plan) and _meet_ide(plan, run_is_over)
    ):
        debugger_of(plan).settle_in()
        return current_session()
    return None


def current_session() -> DebugSession | None:
    """In the supervisor: the session that the next worker joins. It changes when debugpy's adapter
    had to be started anew; None while there is none."""
    return join_debug_session.session_of_this_process()


def session_to_join(task: Task) -> DebugSession | None:
    """The supervisor's session that a worker joins; None where it dials the IDE by itself, or is
    served without the debugger."""
    return task.session if task.use_debugger else None


def asks_ide(task: Task) -> bool:
    """Is an IDE asked for this worker that has no reason to refuse, so that the supervisor's
    deadlines are what it has to keep? One that is dialled for the first time has its own: there may
    be none (--wait), or something else that listens there."""
    return session_to_join(task) is not None or (task.ide_is_known and _dials_ide(task))


def attach_worker(task: Task) -> None:
    """In a worker: join the supervisor's session, or dial the IDE. Raises DebuggerUnavailable, but
    only on the first start: what serves already goes on without the debugger if need be."""
    if asks_ide(task):
        _join_session_or_dial_ide(task.plan, session_to_join(task))
    elif _dials_ide(task):
        _meet_ide(task.plan, run_is_over=lambda: False, may_fail=task.is_first_worker)
    debugger_of(task.plan).settle_in()


def _dials_ide(task: Task) -> bool:
    """Does the worker dial the IDE by itself?"""
    connects = task.plan.connection.value == "connect"
    return connects and task.use_debugger and not _supervisor_has_connection(task.plan)


def _join_session_or_dial_ide(plan: Plan, session: DebugSession | None) -> None:
    debugger = debugger_of(plan)
    try:
        if plan.connection.value != "present":  # an IDE that starts us knows the paths
            debugger.map_paths(plan.settings.path_mappings.value)
        if session is not None:
            join_debug_session.join(session)
        else:
            debugger.connect(Endpoint(plan.debug_host.value, plan.debug_port.value), is_known=True)
    except DebuggerUnavailable as error:
        say(f"{error}. Until the next reload the app is served without the debugger")


def meet_ide_late(plan: Plan, error: BaseException) -> str | None:
    """In the process that serves the app, long after its start: see to it that an IDE is met which
    takes the error. Returns what the person is to do, None if it does. Raises DebuggerUnavailable.
    """
    debugger = debugger_of(plan)
    endpoint = Endpoint(plan.debug_host.value, plan.debug_port.value)
    if not debugger.is_attached():
        if plan.connection.value == "listen":
            return f"Attach the IDE to {endpoint}: the debugger stops as soon as it is there"
        if plan.connection.value != "connect":
            raise DebuggerUnavailable("The IDE has left the app: start the app there again")
        debugger.map_paths(plan.settings.path_mappings.value)
        debugger.connect(endpoint)
        debugger.settle_in()
    if not debugger.would_stop_at(error):
        raise DebuggerUnavailable(_ide_does_not_stop_at(error))
    return None


def stop_late(plan: Plan, error: BaseException) -> None:
    """Stop at the error, once more if need be, as soon as an IDE is attached; give up after a
    while. To be called in a thread of its own: the others go on meanwhile."""
    debugger = debugger_of(plan)
    debugger.suspend_alone(threading.current_thread())
    deadline = monotonic() + ATTACH_SECONDS
    while not debugger.is_attached():
        if monotonic() > deadline:
            return
        # As gevent may have patched it: then we are in a greenlet, and the others must go on.
        time.sleep(0.1)
    debugger.forget_error(error)
    if not debugger.stop_on_error(error):
        say(_ide_does_not_stop_at(error))
    debugger.forget_error(error)


def _ide_does_not_stop_at(error: BaseException) -> str:
    return (
        f"The IDE is attached, but not set to stop at a {type(error).__name__}: tick its box for"
        " uncaught exceptions, then click again"
    )


def _supervisor_has_connection(plan: Plan) -> bool:
    """Is the connection made once, by the supervisor, and joined by each worker?"""
    return plan.connection.value == "listen" or debugger_of(plan).has_one_connection


def _meet_ide(plan: Plan, run_is_over: RunIsOver, *, may_fail: bool = True) -> bool:
    """Listen or connect as planned. Returns False if the app is served without the debugger.
    Raises DebuggerUnavailable if that may be, and the debugger was insisted on."""
    debugger = debugger_of(plan)
    endpoint = Endpoint(plan.debug_host.value, plan.debug_port.value, plan.announce.value)
    try:
        debugger.map_paths(plan.settings.path_mappings.value)
        if plan.connection.value == "listen":
            _listen(debugger, endpoint, run_is_over)
            say(debugger_listens_line(plan))
        else:
            _say_wait(plan, endpoint)
            debugger.connect(endpoint, plan.wait.value or 0)
    except DebuggerUnavailable as error:
        if plan.required.value and may_fail:
            raise
        doctor_says_more = "python -m flask_debuglaunch doctor says more"
        say(f"{error}. The app is served without it; {doctor_says_more}")
        return False
    _wait_for_ide(plan, debugger, endpoint)
    return True


def _listen(
    debugger: Debugger, endpoint: Endpoint, run_is_over: RunIsOver, times_again: int = LISTEN_AGAIN
) -> None:
    """Listen, and again, times_again, when nobody does any more."""

    def listen_again() -> None:
        sleep(LOST_SECONDS)
        if run_is_over():
            return
        say(f"{debugger.name} does not listen on {endpoint} any more: its adapter has ended")
        if not times_again:
            say("It has ended too often to start another. The app is served without it")
            return
        try:
            _listen(debugger, endpoint, run_is_over, times_again - 1)
        except DebuggerUnavailable as error:
            say(f"{error}. The app is served without it")
            return
        debugger.settle_in()
        say(f"{debugger.name} listens on {endpoint} again: attach the IDE anew")

    debugger.listen(endpoint, listen_again)


def _wait_for_ide(plan: Plan, debugger: Debugger, endpoint: Endpoint) -> None:
    seconds = plan.wait.value
    if seconds is None or plan.connection.value != "listen":
        return
    _say_wait(plan, endpoint)
    if not debugger.wait_for_client(seconds):
        raise LaunchError(
            f"{plan.settings.wait.origin}: no IDE has attached to {endpoint}"
            f" within {seconds:g} s. Attach it sooner, or wait longer with --wait"
        )


def _say_wait(plan: Plan, endpoint: Endpoint) -> None:
    if plan.wait.value is not None:
        say(f"Waiting {plan.wait.value:g} s for the IDE at {endpoint}")

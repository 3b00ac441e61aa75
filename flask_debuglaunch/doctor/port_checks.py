"""The debug port and the app's: can the IDE and the app meet, and can the app be served?

Nothing is connected to: whoever connects to a debug port takes the IDE's place there.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask_debuglaunch.debuggers.pydevd_base import PydevdBase
from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.errors import another_port
from flask_debuglaunch.plan import is_loopback
from flask_debuglaunch.procfs import PortOwner, is_met_elsewhere, owner_of_port

# The programs in which an IDE's debug server runs, by their process names.
IDE_PROCESSES = ("java", "eclipse", "pycharm", "idea", "liclipse", "aptana", "studio", "webstorm")


def _debug_port(evidence: Evidence) -> Iterator[Finding]:
    plan = evidence.plan
    if plan is None or plan.connection.value not in ("listen", "connect"):
        return
    if not is_loopback(plan.debug_host.value):
        return  # another machine's table can't be read
    owner = owner_of_port(plan.debug_port.value)
    look = _listening if plan.connection.value == "listen" else _connecting
    yield from look(evidence, owner)


def _listening(evidence: Evidence, owner: PortOwner | None) -> Iterator[Finding]:
    assert evidence.plan is not None
    port, where = evidence.plan.debug_port.value, f"DEBUG_PORT {evidence.plan.debug_port.value}"
    if owner is None or port == 0:
        yield Finding(Level.OK, "the debug port is free", where)
    elif owner.is_debugpy_adapter and evidence.launchers:
        yield Finding(Level.OK, "a launcher of this folder listens on the debug port", where)
    elif owner.is_debugpy_adapter and not is_met_elsewhere(owner, port):
        yield Finding(
            Level.ERROR,
            f"debugpy's adapter, {owner}, holds the debug port: its program has ended",
            where,
            f"kill {owner.pid}",
        )
    else:
        yield Finding(
            Level.ERROR,
            f"the debug port is taken by {owner}: the app is served without the debugger",
            where,
            f"python -m flask_debuglaunch {another_port('--debug-port', port)}",
        )


def _connecting(evidence: Evidence, owner: PortOwner | None) -> Iterator[Finding]:
    assert evidence.plan is not None
    assert isinstance(evidence.debugger, PydevdBase)  # no other connects
    where, debugger = f"DEBUG_PORT {evidence.plan.debug_port.value}", evidence.debugger.name
    start = evidence.debugger.ide_server.how_to_start
    if owner is None:
        yield Finding(Level.ERROR, "no IDE listens on the debug port", where, start)
    elif owner.is_debugpy_adapter:
        is_in_use = is_met_elsewhere(owner, evidence.plan.debug_port.value)
        end = "End the program that it debugs" if is_in_use else f"kill {owner.pid}"
        yield Finding(
            Level.ERROR,
            f"debugpy's adapter, {owner}, listens where {debugger} expects its IDE",
            where,
            f"{end}, then: {start}",
        )
    elif owner.name is not None and not owner.name.lower().startswith(IDE_PROCESSES):
        yield Finding(
            Level.WARNING,
            f"{owner} listens where {debugger} expects its IDE, and looks like no IDE",
            where,
            f"End it, then: {start}",
        )
    else:
        yield Finding(Level.OK, f"{owner} listens on the debug port", where)


def _http_port(evidence: Evidence) -> Iterator[Finding]:
    if evidence.plan is None or evidence.plan.port.value == 0:
        return
    port = evidence.plan.port.value
    owner = owner_of_port(port)
    if owner is None or evidence.launchers:
        yield Finding(Level.OK, "the app's port is free, or ours", f"PORT {port}")
        return
    yield Finding(
        Level.ERROR,
        f"the app's port is taken by {owner}",
        f"PORT {port}",
        f"python -m flask_debuglaunch {another_port('--port', port)}",
    )


def _reachable_by_others(evidence: Evidence) -> Iterator[Finding]:
    plan = evidence.plan
    if plan is None or not plan.debug.value or is_loopback(plan.host.value):
        return
    yield Finding(
        Level.WARNING,
        f"debug mode on HOST {plan.host.value}: other machines can reach the app",
        str(plan.settings.host.origin),
        "python -m flask_debuglaunch --host 127.0.0.1",
    )


CHECKS = (
    Check(
        "debug-port",
        "Nobody listens on the debug port, or somebody else does: another program, or an adapter"
        " that has outlived its program",
        "start the IDE's debug server; end the process that is named; or `--debug-port`",
        _debug_port,
    ),
    Check("http-port", "The app's port is taken", "end that process, or `--port`", _http_port),
    Check(
        "reachable-by-others",
        "Debug mode on an address that other machines reach",
        "`--host 127.0.0.1`",
        _reachable_by_others,
    ),
)

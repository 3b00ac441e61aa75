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


def _debug_port_findings(evidence: Evidence) -> Iterator[Finding]:
    plan = evidence.plan
    if plan is None or plan.connection.value not in ("listen", "connect"):
        return
    if not is_loopback(plan.debug_host.value):
        return  # another machine's table can't be read
    port_owner = owner_of_port(plan.debug_port.value)
    is_listening = plan.connection.value == "listen"
    yield from (_listening_debugger if is_listening else _connecting_debugger)(evidence, port_owner)


def _listening_debugger(evidence: Evidence, port_owner: PortOwner | None) -> Iterator[Finding]:
    assert evidence.plan is not None
    debug_port = evidence.plan.debug_port.value
    debug_port_setting = f"DEBUG_PORT {debug_port}"
    if port_owner is None or debug_port == 0:
        yield Finding(Level.OK, "the debug port is free", debug_port_setting)
    elif port_owner.is_debugpy_adapter and evidence.launchers:
        yield Finding(
            Level.OK, "a launcher of this folder listens on the debug port", debug_port_setting
        )
    elif port_owner.is_debugpy_adapter and not is_met_elsewhere(port_owner, debug_port):
        yield Finding(
            Level.ERROR,
            f"debugpy's adapter, {port_owner}, holds the debug port: its program has ended",
            debug_port_setting,
            f"kill {port_owner.pid}",
        )
    else:
        yield Finding(
            Level.ERROR,
            f"the debug port is taken by {port_owner}: the app is served without the debugger",
            debug_port_setting,
            f"python -m flask_debuglaunch {another_port('--debug-port', debug_port)}",
        )


def _connecting_debugger(evidence: Evidence, port_owner: PortOwner | None) -> Iterator[Finding]:
    assert evidence.plan is not None
    assert isinstance(evidence.debugger, PydevdBase)  # no other connects
    debugger_name = evidence.debugger.name
    debug_port_setting = f"DEBUG_PORT {evidence.plan.debug_port.value}"
    start_ide_server = evidence.debugger.ide_server.how_to_start
    if port_owner is None:
        yield Finding(
            Level.ERROR, "no IDE listens on the debug port", debug_port_setting, start_ide_server
        )
    elif port_owner.is_debugpy_adapter:
        is_in_use = is_met_elsewhere(port_owner, evidence.plan.debug_port.value)
        end_program = "End the program that it debugs" if is_in_use else f"kill {port_owner.pid}"
        yield Finding(
            Level.ERROR,
            f"debugpy's adapter, {port_owner}, listens where {debugger_name} expects its IDE",
            debug_port_setting,
            f"{end_program}, then: {start_ide_server}",
        )
    elif port_owner.name is not None and not port_owner.name.lower().startswith(IDE_PROCESSES):
        yield Finding(
            Level.WARNING,
            f"{port_owner} listens where {debugger_name} expects its IDE, and looks like no IDE",
            debug_port_setting,
            f"End it, then: {start_ide_server}",
        )
    else:
        yield Finding(Level.OK, f"{port_owner} listens on the debug port", debug_port_setting)


def _debug_port_in_container(evidence: Evidence) -> Iterator[Finding]:
    plan, container = evidence.plan, evidence.facts.container
    if container is None or plan is None or plan.connection.value != "listen":
        return
    debug_port = plan.debug_port.value
    # In a dev container the editor's own server is inside too.
    is_dev_container = "REMOTE_CONTAINERS" in evidence.environ or "CODESPACES" in evidence.environ
    if is_loopback(plan.debug_host.value) and not is_dev_container:
        yield Finding(
            Level.NOTE,
            f"this is a container ({container.engine}): its 127.0.0.1 is not the IDE's",
            str(plan.settings.debug_host.origin),
            "python -m flask_debuglaunch --debug-host 0.0.0.0 --published-on 127.0.0.1"
            f" (and: docker run -p 127.0.0.1:{debug_port}:{debug_port})",
        )


def _app_port_findings(evidence: Evidence) -> Iterator[Finding]:
    if evidence.plan is None or evidence.plan.port.value == 0:
        return
    app_port = evidence.plan.port.value
    port_owner = owner_of_port(app_port)
    if port_owner is None or evidence.launchers:
        yield Finding(Level.OK, "the app's port is free, or ours", f"PORT {app_port}")
        return
    yield Finding(
        Level.ERROR,
        f"the app's port is taken by {port_owner}",
        f"PORT {app_port}",
        f"python -m flask_debuglaunch {another_port('--port', app_port)}",
    )


def _debug_mode_for_other_machines(evidence: Evidence) -> Iterator[Finding]:
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
        _debug_port_findings,
    ),
    Check(
        "container",
        "In a container, the debug port listens on the container's own 127.0.0.1",
        "`--debug-host 0.0.0.0 --published-on 127.0.0.1`",
        _debug_port_in_container,
    ),
    Check(
        "http-port", "The app's port is taken", "end that process, or `--port`", _app_port_findings
    ),
    Check(
        "reachable-by-others",
        "Debug mode on an address that other machines reach",
        "`--host 127.0.0.1`",
        _debug_mode_for_other_machines,
    ),
)

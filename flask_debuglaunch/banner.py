"""The lines that say, once, what was decided and where the debugger is."""

from __future__ import annotations

from collections.abc import Iterator

from flask_debuglaunch.plan import Plan


def banner(plan: Plan) -> Iterator[str]:
    """What was decided, how to meet the debugger (where there is one to meet), and what could have
    been quicker."""
    yield _decided(plan)
    yield f"Debugger: {_debugger(plan)}"
    if plan.reload.value and not plan.preload.value:
        yield f"Each reload starts a new interpreter: {plan.preload.reason}"


def _decided(plan: Plan) -> str:
    options = (
        f"debug={plan.debug.value} use_debugger={plan.use_debugger.value}"
        f" use_reloader={plan.use_reloader.value} reload={'on' if plan.reload.value else 'off'}"
    )
    return f"{options} (why: python -m flask_debuglaunch explain)"


def _debugger(plan: Plan) -> str:
    name = plan.debugger.value
    address = f"{_bracketed(plan.debug_host.value)}:{plan.debug_port.value}"
    if plan.connection.value == "present":
        return plan.debugger.reason
    if plan.connection.value == "listen":
        how = "the IDE of this terminal attaches" if plan.announce.value else "attach the IDE to it"
        return f"{name} listens on {address}: {how}"
    if plan.connection.value == "connect":
        return f"{name} connects to the IDE's debug server at {address}"
    if plan.use_debugger.value:
        return "Werkzeug's, in the browser"
    return f"none ({plan.use_debugger.reason})"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

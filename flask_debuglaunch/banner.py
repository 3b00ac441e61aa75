"""The two lines that say, once, what was decided and where the debugger is."""

from __future__ import annotations

from flask_debuglaunch.plan import Plan


def banner(plan: Plan) -> str:
    """What was decided, then how to meet the debugger (where there is one to meet)."""
    return f"{_decided(plan)}\n{_debugger(plan)}"


def _decided(plan: Plan) -> str:
    options = (plan.debug, plan.use_debugger, plan.use_reloader)
    names = ("debug", "use_debugger", "use_reloader")
    words = " ".join(f"{name}={one.value}" for name, one in zip(names, options, strict=True))
    return f" * {words} reload={'on' if plan.reload.value else 'off'} (why: explain)"


def _debugger(plan: Plan) -> str:
    name = plan.debugger.value
    address = f"{_bracketed(plan.debug_host.value)}:{plan.debug_port.value}"
    where = {
        "present": f"{name} is in this process, started by the IDE",
        "listen": f"{name} listens on {address}: attach the IDE to it",
        "connect": f"{name} connects to the IDE's debug server at {address}",
    }
    none = "none" if name == "none" else f"{name} ({plan.debugger.reason})"
    return f" * Debugger: {where.get(plan.connection.value, none)}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""The lines that say once, as the launcher starts, what was decided and where the debugger is."""

from __future__ import annotations

from collections.abc import Iterator

from flask_debuglaunch.configuration.setting_types import Duration
from flask_debuglaunch.configuration.settings import values_of
from flask_debuglaunch.deployment.deployed_app import DeployedApp
from flask_debuglaunch.plan import Plan


def banner(plan: Plan, why: str) -> Iterator[str]:
    """What was decided, what shows the reasons (a command), the debugger, and what to do next. That
    a port is open is said when it is."""
    yield (
        f"debug={plan.debug.value} use_debugger={plan.use_debugger.value}"
        f" use_reloader={plan.use_reloader.value} reload={'on' if plan.reload.value else 'off'}"
    )
    yield f"Why: {why}"
    if plan.connection.value != "listen":
        yield f"Debugger: {_debugger(plan)}"
    if _nothing_is_given(plan):
        yield "Next: give --debug, or --debug-with and your IDE; `init` writes a YAML"
    if plan.deployed is not None:
        yield _deployed_as(plan.deployed)
    if plan.run_for.value is not None:
        yield f"Ends by itself in {Duration().to_text(plan.run_for.value)}"
    if plan.reload.value and not plan.preload.value:
        yield f"Each reload starts a new interpreter: {plan.preload.reason}"


def listening(plan: Plan) -> str:
    """That the debugger listens, when it does."""
    how = "the IDE of this terminal attaches" if plan.announce.value else "attach the IDE to it"
    return f"Debugger: {plan.debugger.value} listens on {_address(plan)}: {how}"


def _deployed_as(deployed: DeployedApp) -> str:
    user, folder = deployed.user, deployed.working_directory
    parts = [f"as {user.value} ({user.origin})" if user.value else "as this account"]
    parts += [f"in {folder.value} ({folder.origin})"] if folder.value else []
    return f"Runs {', '.join(parts)}"


def tunnel_command(plan: Plan, port: int) -> str:
    """What brings the app's port, and the debugger's, to the machine that the person sits at."""
    ends = [f"-L {port}:{_bracketed(plan.host.value)}:{port}"]
    debug_port = plan.debug_port.value
    if plan.connection.value == "listen":
        ends.append(f"-L {debug_port}:{_address(plan)}")
    elif plan.connection.value == "connect":  # the IDE listens there, and we dial it
        ends.append(f"-R {debug_port}:127.0.0.1:{debug_port}")
    return f"ssh {' '.join(ends)} {plan.tunnel_to.value}"


def _nothing_is_given(plan: Plan) -> bool:
    settings = plan.settings
    given = [declaration for declaration, value in values_of(settings) if not value.is_default]
    return not given and settings.config_file is None and plan.connection.value == "none"


def _debugger(plan: Plan) -> str:
    name = plan.debugger.value
    if plan.connection.value == "present":
        return plan.debugger.reason
    if plan.connection.value == "connect":
        return f"{name} connects to the IDE's debug server at {_address(plan)}"
    if plan.use_debugger.value:
        return "Werkzeug's, in the browser"
    return f"none ({plan.use_debugger.reason})"


def _address(plan: Plan) -> str:
    return f"{_bracketed(plan.debug_host.value)}:{plan.debug_port.value}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

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
        yield f"Debugger: {_where_debugger_is(plan)}"
    if _is_nothing_configured(plan):
        yield "Next: give --debug, or --debug-with and your IDE; `init` writes a YAML"
    if plan.deployed is not None:
        yield _runs_as_line(plan.deployed)
    if plan.run_for.value is not None:
        yield f"Ends by itself in {Duration().to_text(plan.run_for.value)}"
    if plan.settings.reload.value and not plan.reload.value:
        yield f"No reload ({plan.settings.reload.origin}): {plan.reload.reason}"
    if plan.reload.value and not plan.preload.value:
        yield f"Each reload starts a new interpreter: {plan.preload.reason}"


def debugger_listens_line(plan: Plan) -> str:
    """That the debugger listens, when it does."""
    how_to_attach = (
        "the IDE of this terminal attaches" if plan.announce.value else "attach the IDE to it"
    )
    return f"Debugger: {plan.debugger.value} listens on {_debug_address(plan)}: {how_to_attach}"


def _runs_as_line(deployed: DeployedApp) -> str:
    user, folder = deployed.user, deployed.working_directory
    account_and_folder = [f"as {user.value} ({user.origin})" if user.value else "as this account"]
    account_and_folder += [f"in {folder.value} ({folder.origin})"] if folder.value else []
    return f"Runs {', '.join(account_and_folder)}"


def tunnel_command(plan: Plan, app_port: int) -> str:
    """What brings the app's port, and the debugger's, to the machine that the person sits at."""
    ssh_forwardings = [f"-L {app_port}:{_bracketed_ipv6(plan.host.value)}:{app_port}"]
    debug_port = plan.debug_port.value
    if plan.connection.value == "listen":
        ssh_forwardings.append(f"-L {debug_port}:{_debug_address(plan)}")
    elif plan.connection.value == "connect":  # the IDE listens there, and we dial it
        ssh_forwardings.append(f"-R {debug_port}:127.0.0.1:{debug_port}")
    return f"ssh {' '.join(ssh_forwardings)} {plan.tunnel_to.value}"


def _is_nothing_configured(plan: Plan) -> bool:
    settings = plan.settings
    given_settings = [
        declaration for declaration, value in values_of(settings) if not value.is_default
    ]
    return not given_settings and settings.config_file is None and plan.connection.value == "none"


def _where_debugger_is(plan: Plan) -> str:
    name = plan.debugger.value
    if plan.connection.value == "present":
        return plan.debugger.reason
    if plan.connection.value == "connect":
        return f"{name} connects to the IDE's debug server at {_debug_address(plan)}"
    if plan.use_debugger.value:
        return "Werkzeug's, in the browser"
    return f"none ({plan.use_debugger.reason})"


def _debug_address(plan: Plan) -> str:
    return f"{_bracketed_ipv6(plan.debug_host.value)}:{plan.debug_port.value}"


def _bracketed_ipv6(host: str) -> str:
    return f"[{host}]" if ":" in host else host

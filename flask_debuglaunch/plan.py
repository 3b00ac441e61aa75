"""The rule table: from settings and facts to decisions, each with its reason. Pure.

The source of the rules is the Flask documentation's page "Debugging Application Errors": debuggers
interfere with each other, so beside an external debugger `use_debugger` and `use_reloader` must be
False, and `debug` must be True for the other two to have any value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from flask_debuglaunch.configuration.setting_types import split_address
from flask_debuglaunch.configuration.settings import Settings
from flask_debuglaunch.configuration.value_origins import Value
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS, debugger_by_name
from flask_debuglaunch.deployment.deployed_app import DeployedApp
from flask_debuglaunch.detect_environment import Facts
from flask_debuglaunch.errors import LaunchError

T_co = TypeVar("T_co", covariant=True)

EXTERNAL_DEBUGGERS = tuple(name for name, debugger in DEBUGGERS.items() if debugger.connections)
# As the docs say for Aptana and Eclipse; and an old IDE takes one connection only, no worker's.
RELOAD_ONLY_IF_ASKED = ("pydevd", "pydevd-pycharm")


@dataclass(frozen=True)
class Decision(Generic[T_co]):
    """A resolved value and why it is so."""

    value: T_co
    reason: str


@dataclass(frozen=True)
class Plan:
    """Everything that a launch needs to know, decided."""

    debug: Decision[bool]
    debugger: Decision[str]
    connection: Decision[str]
    use_debugger: Decision[bool]
    use_reloader: Decision[bool]
    reload: Decision[bool]
    preload: Decision[bool]
    stop_on_errors: Decision[str]
    app: Decision[str | None]
    app_directory: Decision[Path]
    host: Decision[str]
    port: Decision[int]
    debug_host: Decision[str]
    debug_port: Decision[int]
    local_clients: Decision[tuple[str, ...]]
    announce: Decision[Path | None]
    wait: Decision[float | None]
    required: Decision[bool]
    editor: Decision[str]
    run_for: Decision[float | None]
    tunnel_to: Decision[str | None]

    settings: Settings
    deployed: DeployedApp | None = None
    """What `--user` and `--as-service` bring."""
    app_is_given: bool = False
    """Has the program made it, and hands it over: run(app)?"""
    can_fork: bool = True
    """Can a process that has the packages imported be forked for each reload?"""
    notes: tuple[str, ...] = ()

    @property
    def published_port(self) -> int | None:
        """The port that the container's is on its host machine, if it is another one there."""
        published = self.settings.published_on.value if self.local_clients.value else None
        return split_address(published or "")[1]

    @property
    def config_file(self) -> Path | None:
        return self.settings.config_file

    @property
    def is_external(self) -> bool:
        """Is the debugger one that interferes with Werkzeug's?"""
        return self.debugger.value in EXTERNAL_DEBUGGERS


def resolve(settings: Settings, facts: Facts, deployed: DeployedApp | None = None) -> Plan:
    """Decide every value. Raises LaunchError for what would conflict or be unsafe."""
    debug = _decide_debug(settings, facts)
    production = _sign_of_production(settings, facts) if debug.value else None
    debugger = _decide_debugger(settings, facts, production)
    connection = _decide_connection(settings, facts, debugger)
    use_debugger = _decide_use_debugger(settings, debug, debugger, production)
    reload = _decide_reload(settings, facts, debug, debugger, connection)
    plan = Plan(
        debug=debug,
        debugger=debugger,
        connection=connection,
        use_debugger=use_debugger,
        use_reloader=_decide_use_reloader(settings, debug, debugger),
        reload=reload,
        preload=_decide_preload(settings, facts, reload),
        stop_on_errors=_decide_stop_on_errors(settings, debugger),
        app=_decide_app(settings, facts, deployed),
        app_directory=_decide_app_directory(settings, facts, deployed),
        host=_decision_as_given(settings.host),
        port=_decision_as_given(settings.port),
        debug_host=_decision_as_given(settings.debug_host),
        debug_port=_decision_as_given(settings.debug_port),
        local_clients=_decide_local_clients(settings, facts),
        announce=_decide_announce(settings, facts, connection),
        wait=_decide_wait(settings, connection),
        required=_decide_required(settings),
        editor=_decision_as_given(settings.editor),
        run_for=_decision_as_given(settings.run_for),
        tunnel_to=_decide_tunnel_to(settings, facts),
        settings=settings,
        deployed=deployed,
        app_is_given=facts.program_folder is not None,
        can_fork=facts.can_fork,
    )
    _refuse_reachable_debugger(plan)
    if production:
        _refuse_reachable_in_production(plan, production)
    return replace(plan, notes=tuple(_notes_on_plan(plan, facts)))


DECISIONS = tuple(
    plan_field.name for plan_field in fields(Plan) if str(plan_field.type).startswith("Decision")
)


def decisions_of(plan: Plan) -> Iterator[tuple[str, Decision[Any]]]:
    """Every decision by its name, in the order of the declaration."""
    for plan_field in fields(Plan):
        decision = getattr(plan, plan_field.name)
        if isinstance(decision, Decision):
            yield plan_field.name, decision


def is_loopback(host: str) -> bool:
    """Can only this machine reach the address? A name other than localhost counts as reachable."""
    if host.lower() in ("127.0.0.1", "localhost"):
        return True
    import ipaddress  # a millisecond that `explain` saves where the host is the default

    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _decide_debug(settings: Settings, facts: Facts) -> Decision[bool]:
    production = _sign_of_production(settings, facts)
    if settings.debug.value and production and settings.run_for.value is None:
        raise LaunchError(
            f"{settings.debug.origin}: debug mode is on, but this is production"
            f" ({production}): anyone could run code through it. Turn one of the two off, or debug"
            " for a while only, reached by yourself alone: --for 15m on the command line"
        )
    return _decision_as_given(settings.debug)


def _sign_of_production(settings: Settings, facts: Facts) -> str | None:
    """What says that this is production; None if nothing does."""
    flask_env = settings.flask_env
    is_production = (flask_env.value or "").strip().lower() == "production"
    return facts.production or (f"{flask_env.origin}=production" if is_production else None)


def _decide_debugger(settings: Settings, facts: Facts, production: str | None) -> Decision[str]:
    debug_with = settings.debug_with
    asked_debugger = debugger_by_name(debug_with.value).name if debug_with.value != "auto" else None
    if facts.present is not None:
        wins_over = (
            f", it wins over {asked_debugger} ({debug_with.origin})"
            if asked_debugger not in (None, facts.present)
            else ""
        )
        return Decision(facts.present, f"{facts.present} is in this process already{wins_over}")
    if production and asked_debugger in (None, "werkzeug"):
        return Decision("none", f"Werkzeug's is not for production ({production})")
    if asked_debugger is not None:
        return Decision(asked_debugger, f"asked for ({debug_with.origin})")
    if settings.use_debugger.value is False:
        return Decision("none", f"Werkzeug's is turned off ({settings.use_debugger.origin})")
    return Decision("werkzeug", "no other debugger is asked for or present")


def _decide_connection(settings: Settings, facts: Facts, debugger: Decision[str]) -> Decision[str]:
    possible_connections = DEBUGGERS[debugger.value].connections
    debug_connection = settings.debug_connection
    if not possible_connections:
        return Decision("none", f"{debugger.value} needs no connection")
    if facts.present is not None:
        return Decision("present", "the IDE started this process under its debugger")
    if debug_connection.value == "auto":
        return Decision(possible_connections[0], f"the usual way for {debugger.value}")
    if debug_connection.value not in possible_connections:
        raise LaunchError(
            f"{debug_connection.origin}: {debugger.value} can't {debug_connection.value}: it dials"
            f" the IDE's debug server. Set DEBUG_CONNECTION to {' or '.join(possible_connections)}"
        )
    return Decision(debug_connection.value, f"asked for ({debug_connection.origin})")


def _decide_use_debugger(
    settings: Settings, debug: Decision[bool], debugger: Decision[str], production: str | None
) -> Decision[bool]:
    use_debugger_setting = settings.use_debugger
    if production:
        if use_debugger_setting.value:
            raise LaunchError(
                f"{use_debugger_setting.origin}: Werkzeug's debugger runs code for whoever reaches"
                f" it, and this is production ({production}). Use an external debugger (DEBUG_WITH)"
            )
        return Decision(False, f"it runs code for whoever reaches it: production ({production})")
    if use_debugger_setting.value and debugger.value != "werkzeug":
        raise LaunchError(
            f"{use_debugger_setting.origin}: Werkzeug's debugger can't run beside {debugger.value}"
            f" ({debugger.reason}): it would catch the error first. Remove one of the two"
        )
    if not debug.value:
        return Decision(False, "debug must be True for it to have any value")
    if debugger.value in EXTERNAL_DEBUGGERS:
        return Decision(False, f"it would catch errors before {debugger.value} can")
    if debugger.value == "none" or use_debugger_setting.value is False:
        return Decision(False, _turned_off_by(settings))
    return Decision(True, "debug is on, and no other debugger would be disturbed")


def _turned_off_by(settings: Settings) -> str:
    off = settings.use_debugger if settings.use_debugger.value is False else settings.debug_with
    return f"turned off ({off.origin})"


def _decide_use_reloader(
    settings: Settings, debug: Decision[bool], debugger: Decision[str]
) -> Decision[bool]:
    if not debug.value:
        return Decision(False, "debug must be True for it to have any value")
    if debugger.value in EXTERNAL_DEBUGGERS:
        return Decision(False, f"it would fork a process that {debugger.value} may never see")
    if settings.reload.value is False:
        return Decision(False, f"turned off ({settings.reload.origin})")
    return Decision(True, "debug is on, and no other debugger would be disturbed")


def _decide_reload(
    settings: Settings,
    facts: Facts,
    debug: Decision[bool],
    debugger: Decision[str],
    connection: Decision[str],
) -> Decision[bool]:
    reload_setting = settings.reload
    if not debug.value:
        return Decision(False, "debug must be True for it to have any value")
    if reload_setting.value is False:
        return Decision(False, f"turned off ({reload_setting.origin})")
    if not facts.is_main_thread:
        return _decide_no_reload_in_thread(reload_setting)
    if connection.value == "present" and not (facts.presence and facts.presence.follows_children):
        return Decision(False, f"{debugger.value} would not follow a restarted process")
    if debugger.value in RELOAD_ONLY_IF_ASKED and not reload_setting.value:
        return Decision(
            False, f"as Flask's docs say for {debugger.value}; RELOAD: true turns it on"
        )
    if reload_setting.value:
        return Decision(True, f"asked for ({reload_setting.origin})")
    return Decision(True, "debug is on")


def _decide_no_reload_in_thread(reload_setting: Value[bool | None]) -> Decision[bool]:
    if reload_setting.value:
        raise LaunchError(
            f"{reload_setting.origin}: there is no reload outside of the main thread, which alone"
            " gets the signals. Call run() there, or leave RELOAD out"
        )
    return Decision(False, "run() was called outside of the main thread, which gets the signals")


def _decide_preload(settings: Settings, facts: Facts, reload: Decision[bool]) -> Decision[bool]:
    if not reload.value:
        return Decision(False, "there is no reload")
    if settings.preload.value == "off":
        return Decision(False, f"turned off ({settings.preload.origin})")
    if not facts.can_fork:
        return Decision(
            True,
            "a process that has the installed packages imported waits for the next reload:"
            f" none can be forked safely on {facts.platform}",
        )
    kept_modules = "the installed packages stay imported between reloads"
    if settings.preload.value == "packages":
        return Decision(True, kept_modules)
    kept_modules = f"{kept_modules}, and the project's modules that depend on no edited file"
    if settings.preload.value == "modules":
        return Decision(True, f"{kept_modules} ({settings.preload.origin})")
    where_slow = f"where they take longer than {MODULE_SECONDS_WORTH_KEEPING} s"
    return Decision(True, f"{kept_modules} {where_slow} ({settings.preload.origin})")


MODULE_SECONDS_WORTH_KEEPING = 0.25
"""Of processor time; what takes less is not worth the difference from a new interpreter."""


def seconds_worth_keeping(plan: Plan) -> float | None:
    """How long the project's own modules must take that they stay imported, too; None: they never
    do."""
    if not plan.preload.value or not plan.can_fork:
        return None
    return {"auto": MODULE_SECONDS_WORTH_KEEPING, "modules": 0.0}.get(plan.settings.preload.value)


def _decide_stop_on_errors(settings: Settings, debugger: Decision[str]) -> Decision[str]:
    if debugger.value not in EXTERNAL_DEBUGGERS:
        return Decision("off", "there is no external debugger to stop in")
    return _decision_as_given(settings.stop_on_errors)


def _decide_app(
    settings: Settings, facts: Facts, deployed: DeployedApp | None
) -> Decision[str | None]:
    if facts.program_folder is not None:
        return Decision(None, "handed over by the program: run(app)")
    if settings.app.value is None and deployed and deployed.app.value:
        return Decision(deployed.app.value, f"what the service serves ({deployed.app.origin})")
    if settings.app.value is None:
        return Decision(None, "searched as Flask does: wsgi.py, app.py, then main.py")
    return _decision_as_given(settings.app)


def _decide_app_directory(
    settings: Settings, facts: Facts, deployed: DeployedApp | None
) -> Decision[Path]:
    if facts.program_folder is not None:
        return Decision(facts.program_folder, "the folder of the program that hands the app over")
    file_naming_app = settings.app.origin.file
    if file_naming_app is not None:
        return Decision(
            file_naming_app.parent, f"the folder of {file_naming_app.name}, which names the app"
        )
    if deployed and deployed.working_directory.value:
        return Decision(facts.folder, f"the service's ({deployed.working_directory.origin})")
    if settings.app.is_default and settings.config_file is not None:
        return Decision(settings.config_file.parent, "the folder of the configuration")
    return Decision(facts.folder, "the working directory")


def _decide_local_clients(settings: Settings, facts: Facts) -> Decision[tuple[str, ...]]:
    """The addresses, besides loopback, of which the person at this machine is behind."""
    published_on, container = settings.published_on, facts.container
    if published_on.value is None:
        return Decision((), "this machine alone")
    if not is_loopback(split_address(published_on.value)[0]):
        return Decision(
            (), f"other machines reach {published_on.value} too ({published_on.origin})"
        )
    if container is None or not container.gateways:
        return Decision((), f"no container with a network of its own ({published_on.origin})")
    return Decision(
        container.gateways,
        f"ports of this container are published on {published_on.value} alone"
        f" ({published_on.origin}): what comes through its gateway comes from there",
    )


def _decide_announce(
    settings: Settings, facts: Facts, connection: Decision[str]
) -> Decision[Path | None]:
    """The file through which the IDE of this terminal learns of the debug port and attaches."""
    debug_connection = settings.debug_connection
    if connection.value != "listen":
        return Decision(None, "nothing listens")
    if facts.endpoints_file is None:
        return Decision(None, "this is no terminal of an IDE that attaches by itself")
    if debug_connection.value != "listen":
        return Decision(None, "DEBUG_CONNECTION: listen has the IDE of this terminal attach")
    return Decision(
        facts.endpoints_file, f"the IDE of this terminal attaches ({debug_connection.origin})"
    )


def _decide_wait(settings: Settings, connection: Decision[str]) -> Decision[float | None]:
    if connection.value in ("none", "present"):
        return Decision(None, "there is no IDE to wait for")
    return _decision_as_given(settings.wait)


def _decide_tunnel_to(settings: Settings, facts: Facts) -> Decision[str | None]:
    """Where ssh leads from the person's own machine to this one."""
    if settings.run_for.value is None:
        return Decision(None, "said with --for")
    if not is_loopback(settings.host.value):
        return Decision(None, f"HOST {settings.host.value} is reached without one")
    return Decision(facts.login, "who has logged in here, and where")


def _decide_required(settings: Settings) -> Decision[bool]:
    """Must the launch fail where the debugger can't be had?"""
    for debug_setting in (settings.debug_connection, settings.wait):
        if not debug_setting.is_default:
            return Decision(True, f"asked for ({debug_setting.origin})")
    return Decision(False, "the app is served without the debugger if that can't be had")


def _notes_on_plan(plan: Plan, facts: Facts) -> Iterator[str]:
    settings = plan.settings
    yield from settings.notes
    yield from plan.deployed.notes if plan.deployed else ()
    for variable in facts.stale_variables:
        yield f"env:{variable}: left by another server, dropped"
    if not (is_loopback(settings.host.value) or plan.local_clients.value):
        yield (
            f"{settings.host.origin}: HOST {settings.host.value}: other machines can reach the app"
        )
    if plan.is_external and not settings.with_threads.value:
        yield f"{settings.with_threads.origin}: without threads a breakpoint blocks every request"
    if settings.wait.value is not None and plan.connection.value in ("none", "present"):
        yield f"{settings.wait.origin}: nothing waits: {plan.connection.reason}"


def _refuse_reachable_debugger(plan: Plan) -> None:
    """What other machines could run code through needs the explicit switch."""
    settings = plan.settings
    if settings.allow_remote_debug.value:
        return
    is_published_here = bool(plan.local_clients.value)
    listens_on_published_port = plan.connection.value == "listen" and is_published_here
    has_connection = plan.connection.value in ("listen", "connect")
    if has_connection and not listens_on_published_port and not is_loopback(plan.debug_host.value):
        raise LaunchError(
            f"{settings.debug_host.origin}: DEBUG_HOST {plan.debug_host.value} lets other machines"
            " reach the debugger: whoever does can run code here. Use an SSH tunnel"
            f" (ssh -L {plan.debug_port.value}:127.0.0.1:{plan.debug_port.value} HOST) with"
            " DEBUG_HOST 127.0.0.1; in a container whose ports are published on 127.0.0.1 alone"
            " (docker run -p 127.0.0.1:...) say so with --published-on 127.0.0.1; or give"
            " --allow-remote-debug on the command line"
        )
    if plan.use_debugger.value and not (is_loopback(plan.host.value) or is_published_here):
        raise LaunchError(
            f"{settings.host.origin}: HOST {plan.host.value} lets other machines reach Werkzeug's"
            " debugger, which runs code. Use HOST 127.0.0.1, an external debugger"
            " (DEBUG_WITH) or --no-debugger; or give --allow-remote-debug on the command line"
        )


def _refuse_reachable_in_production(plan: Plan, production: str) -> None:
    """In production no switch and no container makes debug mode reachable by others."""
    settings = plan.settings
    reachable_settings = {"HOST": settings.host}
    if plan.connection.value in ("listen", "connect"):
        reachable_settings["DEBUG_HOST"] = settings.debug_host
    for host_key, host_setting in reachable_settings.items():
        if not is_loopback(host_setting.value):
            raise LaunchError(
                f"{host_setting.origin}: {host_key} {host_setting.value} lets other machines reach"
                f" what is debugged, and this is production ({production}). Use {host_key}"
                " 127.0.0.1 and the SSH tunnel that is shown at the start"
            )


def _decision_as_given(value: Value[Any]) -> Decision[Any]:
    return Decision(value.value, "default" if value.is_default else f"given ({value.origin})")

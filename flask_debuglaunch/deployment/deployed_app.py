"""What is known of a deployed app: each value with the line that it stands in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.redaction import redact_value

DEPLOYED_APP_SETTINGS = frozenset({"user", "as_service"})
"""The settings that name an account or a service."""
NOT_GIVEN: Value[None] = Value(None)
DEFAULT_UMASK: Value[int] = Value(0o022)
"""systemd's for services (systemd.exec(5), UMask=)."""
# Of the environment of whoever types the command: what a terminal and a language need, and what is
# meant for us, Flask and the debugger.
KEPT_VARIABLES = ("PATH", "LANG", "LANGUAGE", "TZ", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR",
        "GEVENT_SUPPORT")  # fmt: skip
KEPT_VARIABLE_PREFIXES = ("LC_", "DEBUGLAUNCH_", "FLASK_")


@dataclass(frozen=True)
class DeployedApp:
    """None where nobody says it: then it is as for whoever types the command."""

    service: str | None = None
    """The unit or the file that the values are from; None for an account alone."""
    user: Value[str | None] = NOT_GIVEN
    group: Value[str | None] = NOT_GIVEN
    supplementary_groups: tuple[Value[str], ...] = ()
    umask: Value[int] = DEFAULT_UMASK
    working_directory: Value[Path | None] = NOT_GIVEN
    app: Value[str | None] = NOT_GIVEN
    environment: Mapping[str, Value[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def environment_origins(self) -> dict[str, Origin]:
        """Of the variables of its environment."""
        return {name: variable.origin for name, variable in self.environment.items()}

    def environ(self, environ_as_typed: Mapping[str, str]) -> dict[str, str]:
        """The environment, made from that in which the command was typed."""
        environ = {
            name: value
            for name, value in environ_as_typed.items()
            if name in KEPT_VARIABLES or name.startswith(KEPT_VARIABLE_PREFIXES)
        }
        environ.update({name: variable.value for name, variable in self.environment.items()})
        return environ


def shown_values(deployed: DeployedApp) -> Iterator[tuple[str, Value[object]]]:
    """Everything that somebody has given, by its name; secrets are taken out."""
    supplementary_groups = deployed.supplementary_groups
    deployed_values: dict[str, Value[object]] = {
        "user": deployed.user,
        "group": deployed.group,
        "supplementary_groups": Value(
            tuple(given_value.value for given_value in supplementary_groups),
            supplementary_groups[-1].origin if supplementary_groups else NOT_GIVEN.origin,
        ),
        "umask": Value(f"{deployed.umask.value:04o}", deployed.umask.origin),
        "working_directory": deployed.working_directory,
        "app": deployed.app,
    }
    yield from (
        (name, given_value)
        for name, given_value in deployed_values.items()
        if given_value.value not in (None, ())
    )
    for name, given_value in deployed.environment.items():
        yield f"env {name}", Value(redact_value(name, given_value.value), given_value.origin)

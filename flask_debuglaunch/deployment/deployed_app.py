"""What is known of a deployed app: each value with the line that it stands in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.redaction import redact_value

NAMES_OF_DEPLOYED = frozenset({"user", "as_service"})
"""The settings that name an account or a service."""
UNKNOWN: Value[None] = Value(None)
DEFAULT_UMASK: Value[int] = Value(0o022)
"""systemd's for services (systemd.exec(5), UMask=)."""
# Of the environment of whoever types the command: what a terminal and a language need, and what is
# meant for us, Flask and the debugger.
KEPT = ("PATH", "LANG", "LANGUAGE", "TZ", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR",
        "GEVENT_SUPPORT")  # fmt: skip
KEPT_PREFIXES = ("LC_", "DEBUGLAUNCH_", "FLASK_")


@dataclass(frozen=True)
class Deployed:
    """None where nobody says it: then it is as for whoever types the command."""

    service: str | None = None
    """The unit or the file that the values are from; None for an account alone."""
    user: Value[str | None] = UNKNOWN
    group: Value[str | None] = UNKNOWN
    supplementary_groups: tuple[Value[str], ...] = ()
    umask: Value[int] = DEFAULT_UMASK
    working_directory: Value[Path | None] = UNKNOWN
    app: Value[str | None] = UNKNOWN
    environment: Mapping[str, Value[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def origins(self) -> dict[str, Origin]:
        """Of the variables of its environment."""
        return {name: one.origin for name, one in self.environment.items()}

    def environ(self, typed: Mapping[str, str]) -> dict[str, str]:
        """The environment, made from that in which the command was typed."""
        kept = {n: text for n, text in typed.items() if n in KEPT or n.startswith(KEPT_PREFIXES)}
        return {**kept, **{name: one.value for name, one in self.environment.items()}}


def shown_values(deployed: Deployed) -> Iterator[tuple[str, Value[object]]]:
    """Everything that somebody has given, by its name; secrets are taken out."""
    groups = deployed.supplementary_groups
    values: dict[str, Value[object]] = {
        "user": deployed.user,
        "group": deployed.group,
        "supplementary_groups": Value(
            tuple(one.value for one in groups), groups[-1].origin if groups else UNKNOWN.origin
        ),
        "umask": Value(f"{deployed.umask.value:04o}", deployed.umask.origin),
        "working_directory": deployed.working_directory,
        "app": deployed.app,
    }
    yield from ((name, one) for name, one in values.items() if one.value not in (None, ()))
    for name, one in deployed.environment.items():
        yield f"env {name}", Value(redact_value(name, one.value), one.origin)

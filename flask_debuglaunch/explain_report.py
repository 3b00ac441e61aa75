"""What `explain` prints: every setting with its origin and every decision with its reason, as a
table or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.settings import DECLARATIONS, Declaration, values_of
from flask_debuglaunch.configuration.value_origins import DEFAULT
from flask_debuglaunch.deployment.deployed_app import shown_values
from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.launcher_notes import NotesOfLauncher
from flask_debuglaunch.plan import DECISIONS, Plan, decisions_of
from flask_debuglaunch.redaction import redact
from flask_debuglaunch.terminal_messages import shown_path

JSON_SCHEMA = 1  # the number changes when a name or a meaning does, not when one is added
# The page of Flask's docs that this is about, and where debugging happens at all.
ALWAYS_SHOWN = ("debug", "debugger", "use_debugger", "use_reloader", "reload")
OF_A_CONNECTION = (
    "connection", "stop_on_errors", "debug_host", "debug_port", "announce", "wait", "required",
)  # fmt: skip
# What `explain KEY` can show: settings and decisions.
KEYS = tuple(dict.fromkeys((*DECLARATIONS, *DECISIONS)))


def as_json(
    plan: Plan, key: str | None = None, running: Sequence[NotesOfLauncher] = ()
) -> dict[str, Any]:
    """What `explain --json` prints; with ``key`` only that setting and decision. running: what the
    launchers that run here have said about their reloads."""
    settings = {
        one.name: {"value": _setting_value(one, value.value), "origin": str(value.origin)}
        for one, value in values_of(plan.settings)
        if key in (None, one.name)
    }
    decisions = {
        name: {"value": _json_value(decision.value), "reason": redact(decision.reason)}
        for name, decision in decisions_of(plan)
        if key in (None, name)
    }
    explained: dict[str, Any] = {"schema": JSON_SCHEMA, "plan": decisions, "settings": settings}
    if key in (None, "preload"):
        explained["running"] = [{"pid": one.pid, "said": list(one.lines)} for one in running]
    if key is None and plan.deployed is not None:
        explained["deployed"] = {
            name: {"value": _json_value(value.value), "origin": str(value.origin)}
            for name, value in shown_values(plan.deployed)
        }
    if key is None:
        explained["files"] = [
            {"path": str(one.path), "found": one.found} for one in plan.settings.lookups
        ]
        explained["notes"] = [redact(note) for note in plan.notes]
    return explained


def as_text(
    plan: Plan,
    key: str | None = None,
    running: Sequence[NotesOfLauncher] = (),
    *,
    defaults: bool = False,
) -> str:
    """What `explain` prints: what was given, and what follows from it.

    key, running: as for `as_json`. defaults: also what nobody gave and nothing depends on.
    """
    explained = as_json(plan, key, running)
    decisions, settings = explained["plan"], explained["settings"]
    if key is None and not defaults:
        decisions = {name: one for name, one in decisions.items() if _follows(name, plan)}
        settings = {name: one for name, one in settings.items() if one["origin"] != str(DEFAULT)}
    sections = [
        _table(("decision", "value", "reason"), decisions, "reason"),
        _table(("setting", "value", "origin"), settings, "origin"),
        _table(("deployed", "value", "origin"), explained.get("deployed", {}), "origin"),
        *map(_said, explained.get("running", ())),
    ]
    if key is None:
        sections.append("\n".join(_file_lines(plan, defaults)))
        sections.append("\n".join(f"note: {note}" for note in explained["notes"]))
        sections.append("" if defaults else "--all shows what is left at its default, too.")
    return "\n\n".join(section for section in sections if section)


def _follows(name: str, plan: Plan) -> bool:
    """Does the decision say more than a default, or one that another decision has made idle?"""
    if name in ALWAYS_SHOWN:
        return True
    decision = getattr(plan, name)
    is_idle = name in OF_A_CONNECTION and not plan.is_external
    return not is_idle and decision.value not in (None, ()) and decision.reason != str(DEFAULT)


def name_of(key: str) -> str:
    """The name that a KEY of `explain` means: PORT, port and --port are the same.

    Raises LaunchError for a name that is neither a setting nor a decision.
    """
    flags = {one.flag: one.name for one in DECLARATIONS.values()}
    name = flags.get(key, key.strip("-").lower().replace("-", "_"))
    if name not in KEYS:
        hint = did_you_mean(name, KEYS, ". `explain` without a KEY lists them all")
        raise LaunchError(f"argv:{key}: no such setting or decision{hint}")
    return name


def _setting_value(declaration: Declaration, value: object) -> Any:
    # None is "auto" of one type and "off" of another: the type knows the word.
    return _json_value(value) if value is not None else declaration.type.to_text(None) or None


def _json_value(value: object) -> Any:
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, (str, Path)):
        return redact(str(value))
    return value


def _table(titles: tuple[str, str, str], rows: dict[str, Any], why: str) -> str:
    if not rows:
        return ""
    cells = [titles, *((name, _word(row["value"]), row[why]) for name, row in rows.items())]
    first, second = (max(len(row[column]) for row in cells) for column in (0, 1))
    return "\n".join(f"{a:<{first}}  {b:<{min(second, 40)}}  {c}".rstrip() for a, b, c in cells)


def _said(launcher: Mapping[str, Any]) -> str:
    title = f"said by the launcher that runs here (process {launcher['pid']})"
    return "\n".join([title, *(f"  {line}" for line in launcher["said"])])


def _word(value: object) -> str:
    """A value as a person writes it: YAML's words, not Python's."""
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return redact(str(value))


def _file_lines(plan: Plan, defaults: bool) -> Iterator[str]:
    lookups = [one for one in plan.settings.lookups if one.found or defaults]
    if lookups:
        yield "files looked for"
    for one in lookups:
        state = "passed over" if one.passed_over else "read" if one.found else "not there"
        yield f"  {shown_path(one.path)}: {state}"

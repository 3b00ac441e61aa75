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

EXPLAIN_JSON_SCHEMA = 1  # the number changes when a name or a meaning does, not when one is added
# The page of Flask's docs that this is about, and where debugging happens at all.
DECISIONS_ALWAYS_SHOWN = ("debug", "debugger", "use_debugger", "use_reloader", "reload")
DECISIONS_ON_CONNECTION = (
    "connection", "stop_on_errors", "debug_host", "debug_port", "announce", "wait", "required",
)  # fmt: skip
# What `explain KEY` can show: settings and decisions.
EXPLAINED_KEYS = tuple(dict.fromkeys((*DECLARATIONS, *DECISIONS)))


def as_json(
    plan: Plan, key: str | None = None, launcher_notes: Sequence[NotesOfLauncher] = ()
) -> dict[str, Any]:
    """What `explain --json` prints; with ``key`` only that setting and decision. launcher_notes:
    what the launchers that run here have said about their reloads."""
    settings = {
        declaration.name: {
            "value": _json_value_of_setting(declaration, setting.value),
            "origin": str(setting.origin),
        }
        for declaration, setting in values_of(plan.settings)
        if key in (None, declaration.name)
    }
    decisions = {
        name: {"value": _json_value(decision.value), "reason": redact(decision.reason)}
        for name, decision in decisions_of(plan)
        if key in (None, name)
    }
    explained: dict[str, Any] = {
        "schema": EXPLAIN_JSON_SCHEMA,
        "plan": decisions,
        "settings": settings,
    }
    if key in (None, "preload"):
        explained["running"] = [
            {"pid": notes.pid, "said": list(notes.lines)} for notes in launcher_notes
        ]
    if key is None and plan.deployed is not None:
        explained["deployed"] = {
            name: {"value": _json_value(setting.value), "origin": str(setting.origin)}
            for name, setting in shown_values(plan.deployed)
        }
    if key is None:
        explained["files"] = [
            {"path": str(lookup.path), "found": lookup.found} for lookup in plan.settings.lookups
        ]
        explained["notes"] = [redact(note) for note in plan.notes]
    return explained


def as_text(
    plan: Plan,
    key: str | None = None,
    launcher_notes: Sequence[NotesOfLauncher] = (),
    *,
    defaults: bool = False,
) -> str:
    """What `explain` prints: what was given, and what follows from it.

    key, launcher_notes: as for `as_json`. defaults: also what nobody gave and nothing depends on.
    """
    explained = as_json(plan, key, launcher_notes)
    decisions, settings = explained["plan"], explained["settings"]
    if key is None and not defaults:
        decisions = {
            name: decision
            for name, decision in decisions.items()
            if _is_decision_worth_showing(name, plan)
        }
        settings = {
            name: setting for name, setting in settings.items() if setting["origin"] != str(DEFAULT)
        }
    sections = [
        _explained_table(("decision", "value", "reason"), decisions, "reason"),
        _explained_table(("setting", "value", "origin"), settings, "origin"),
        _explained_table(("deployed", "value", "origin"), explained.get("deployed", {}), "origin"),
        *map(_said_by_launcher, explained.get("running", ())),
    ]
    if key is None:
        sections.append("\n".join(_lines_on_files(plan, defaults)))
        sections.append("\n".join(f"note: {note}" for note in explained["notes"]))
        sections.append("" if defaults else "--all shows what is left at its default, too.")
    return "\n\n".join(section for section in sections if section)


def _is_decision_worth_showing(name: str, plan: Plan) -> bool:
    """Does the decision say more than a default, or one that another decision has made idle?"""
    if name in DECISIONS_ALWAYS_SHOWN:
        return True
    decision = getattr(plan, name)
    is_idle = name in DECISIONS_ON_CONNECTION and not plan.is_external
    return not is_idle and decision.value not in (None, ()) and decision.reason != str(DEFAULT)


def name_of(key: str) -> str:
    """The name that a KEY of `explain` means: PORT, port and --port are the same.

    Raises LaunchError for a name that is neither a setting nor a decision.
    """
    names_by_flag = {declaration.flag: declaration.name for declaration in DECLARATIONS.values()}
    name = names_by_flag.get(key, key.strip("-").lower().replace("-", "_"))
    if name not in EXPLAINED_KEYS:
        hint = did_you_mean(name, EXPLAINED_KEYS, ". `explain` without a KEY lists them all")
        raise LaunchError(f"argv:{key}: no such setting or decision{hint}")
    return name


def _json_value_of_setting(declaration: Declaration, setting_value: object) -> Any:
    # None is "auto" of one type and "off" of another: the type knows the word.
    return (
        _json_value(setting_value)
        if setting_value is not None
        else declaration.type.to_text(None) or None
    )


def _json_value(explained_value: object) -> Any:
    if isinstance(explained_value, tuple):
        return [_json_value(item) for item in explained_value]
    if isinstance(explained_value, (str, Path)):
        return redact(str(explained_value))
    return explained_value


def _explained_table(
    titles: tuple[str, str, str], explained: dict[str, Any], why_column: str
) -> str:
    if not explained:
        return ""
    table_rows = [
        titles,
        *(
            (name, _yaml_word_for(table_row["value"]), table_row[why_column])
            for name, table_row in explained.items()
        ),
    ]
    name_width, value_width = (
        max(len(table_row[column]) for table_row in table_rows) for column in (0, 1)
    )
    return "\n".join(
        f"{name:<{name_width}}  {value:<{min(value_width, 40)}}  {why}".rstrip()
        for name, value, why in table_rows
    )


def _said_by_launcher(launcher: Mapping[str, Any]) -> str:
    title = f"said by the launcher that runs here (process {launcher['pid']})"
    return "\n".join([title, *(f"  {line}" for line in launcher["said"])])


def _yaml_word_for(explained_value: object) -> str:
    """A value as a person writes it: YAML's words, not Python's."""
    if explained_value is None or explained_value == []:
        return "-"
    if isinstance(explained_value, bool):
        return "true" if explained_value else "false"
    return redact(str(explained_value))


def _lines_on_files(plan: Plan, defaults: bool) -> Iterator[str]:
    lookups = [lookup for lookup in plan.settings.lookups if lookup.found or defaults]
    if lookups:
        yield "files looked for"
    for lookup in lookups:
        state_of_file = (
            "passed over" if lookup.passed_over else "read" if lookup.found else "not there"
        )
        yield f"  {shown_path(lookup.path)}: {state_of_file}"

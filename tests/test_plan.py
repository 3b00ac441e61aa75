"""The rule table, row by row, and the law of the docs' recipe."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import flask_debuglaunch
from flask_debuglaunch.configuration.settings import Settings
from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.debuggers.debugger_interface import Presence
from flask_debuglaunch.detect_environment import Container, Facts, observe
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import (
    MODULE_SECONDS_WORTH_KEEPING,
    Plan,
    decisions_of,
    is_loopback,
    resolve,
    seconds_worth_keeping,
)

pytestmark = pytest.mark.quick

NOBODY = Facts(folder=Path("/project"), python=(3, 12), platform="linux")
EXTERNAL = ("debugpy", "pydevd", "pydevd-pycharm")


def plan(facts: Facts = NOBODY, **values: Any) -> Plan:
    given = {
        name: Value(value, Origin.flag("--" + name.replace("_", "-")))
        for name, value in values.items()
    }
    return resolve(replace(Settings(), **given), facts)


def present(name: str, follows_children: bool = True) -> Facts:
    return replace(
        NOBODY,
        present=name,
        presence=Presence(attached=True, follows_children=follows_children),
    )


def options(some: Plan) -> tuple[bool, bool, bool, bool]:
    return (
        some.debug.value,
        some.use_debugger.value,
        some.use_reloader.value,
        some.reload.value,
    )


T, F = True, False


@pytest.mark.parametrize(
    ("debug", "debug_with", "reload", "expected"),
    [
        (F, "auto", None, (F, F, F, F)),
        (F, "auto", T, (F, F, F, F)),
        (F, "debugpy", None, (F, F, F, F)),
        (F, "pydevd", T, (F, F, F, F)),
        (T, "auto", None, (T, T, T, T)),
        (T, "auto", T, (T, T, T, T)),
        (T, "auto", F, (T, T, F, F)),
        (T, "werkzeug", None, (T, T, T, T)),
        (T, "debugpy", None, (T, F, F, T)),
        (T, "debugpy", T, (T, F, F, T)),
        (T, "debugpy", F, (T, F, F, F)),
        (T, "vscode", None, (T, F, F, T)),
        (T, "pydevd", None, (T, F, F, F)),
        (T, "pydevd", T, (T, F, F, T)),
        (T, "pydevd", F, (T, F, F, F)),
        (T, "aptana", None, (T, F, F, F)),
        (T, "pydevd-pycharm", None, (T, F, F, F)),
        (T, "pycharm", T, (T, F, F, T)),
        (T, "none", None, (T, F, T, T)),
        (T, "off", F, (T, F, F, F)),
    ],
)
def test_rule_table(
    debug: bool, debug_with: str, reload: bool | None, expected: tuple[bool, ...]
) -> None:
    given = {} if reload is None else {"reload": reload}
    assert options(plan(debug=debug, debug_with=debug_with, **given)) == expected


def test_no_debugger_flag_turns_werkzeugs_off() -> None:
    some = plan(debug=True, use_debugger=False)
    assert options(some) == (T, F, T, T)
    assert some.debugger.value == "none"


@pytest.mark.parametrize("name", EXTERNAL)
def test_a_present_debugger_wins_and_the_reason_names_both(name: str) -> None:
    other = "pydevd" if name == "debugpy" else "debugpy"
    some = plan(present(name), debug=True, debug_with=other)
    assert (some.debugger.value, some.connection.value) == (name, "present")
    assert name in some.debugger.reason
    assert f"{other} (argv:--debug-with)" in some.debugger.reason


def test_a_present_debugger_that_follows_nobody_keeps_one_process() -> None:
    some = plan(present("debugpy", follows_children=False), debug=True, reload=True)
    assert some.reload.value is False
    assert "would not follow" in some.reload.reason


@pytest.mark.parametrize("block", ["FLASK", "MYAPP"])
@pytest.mark.parametrize(
    ("debug", "aptana"), list(itertools.product([None, True, False], repeat=2))
)
def test_the_law_of_the_docs(
    tmp_path: Path, block: str, debug: bool | None, aptana: bool | None
) -> None:
    """use_debugger = use_reloader = app.debug and not DEBUG_WITH_APTANA (Flask 1.1's docs)."""
    lines = [f"{block}:", "  OTHER: 1"]
    lines += [f"  DEBUG: {debug}"] if debug is not None else []
    lines += [f"  DEBUG_WITH_APTANA: {aptana}"] if aptana is not None else []
    lines += ["DEBUGLAUNCH:", f"  BLOCK: {block}"] if block != "FLASK" else []
    file = tmp_path / "config.yaml"
    file.write_text("\n".join(lines))

    law = bool(debug) and not aptana
    assert flask_debuglaunch.run_options(file) == {
        "debug": bool(debug),
        "use_debugger": law,
        "use_reloader": law,
    }


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("debugpy", "auto", "listen"),
        ("debugpy", "connect", "connect"),
        ("pydevd", "auto", "connect"),
        ("pydevd-pycharm", "auto", "connect"),
        ("werkzeug", "connect", "none"),
        ("none", "auto", "none"),
    ],
)
def test_connection(name: str, asked: str, expected: str) -> None:
    assert plan(debug_with=name, debug_connection=asked).connection.value == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"debug_with": "pydevd", "debug_connection": "listen"}, "pydevd can't listen"),
        (
            {"debug": True, "debug_with": "debugpy", "use_debugger": True},
            "can't run beside debugpy",
        ),
        ({"debug": True, "debug_with": "none", "use_debugger": True}, "can't run beside none"),
        (
            {"debug_with": "debugpy", "debug_host": "0.0.0.0"},
            "DEBUG_HOST 0.0.0.0 lets other machines",
        ),
        (
            {"debug_with": "pydevd", "debug_host": "10.0.0.7"},
            "DEBUG_HOST 10.0.0.7 lets other machines",
        ),
        ({"debug": True, "host": "0.0.0.0"}, "HOST 0.0.0.0 lets other machines reach Werkzeug's"),
        ({"debug": True, "host": "::"}, "HOST :: lets other machines reach Werkzeug's"),
    ],
)
def test_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(LaunchError, match=message) as caught:
        plan(**values)
    assert str(caught.value).startswith("argv:--")


@pytest.mark.parametrize(
    "values",
    [
        {"debug_with": "debugpy", "debug_host": "0.0.0.0"},
        {"debug": True, "host": "0.0.0.0"},
    ],
)
def test_allowed_with_the_switch(values: dict[str, Any]) -> None:
    assert plan(**values, allow_remote_debug=True)


BRIDGED = replace(NOBODY, container=Container("docker", ("172.17.0.1",)))
ON_THE_HOSTS_NETWORK = replace(NOBODY, container=Container("docker"))


@pytest.mark.parametrize(
    "values",
    [
        {"debug_with": "debugpy", "debug_host": "0.0.0.0"},
        {"debug": True, "host": "0.0.0.0"},
    ],
)
def test_allowed_in_a_container_that_only_this_machine_reaches(values: dict[str, Any]) -> None:
    published = plan(BRIDGED, **values, published_on="127.0.0.1")
    assert published.local_clients.value == ("172.17.0.1",)
    assert published.notes == ()
    for facts, address in [
        (BRIDGED, None),
        (BRIDGED, "0.0.0.0"),
        (ON_THE_HOSTS_NETWORK, "127.0.0.1"),
        (NOBODY, "127.0.0.1"),
    ]:
        with pytest.raises(LaunchError, match="other machines"):
            plan(facts, **values, published_on=address)


def test_dialling_another_machine_is_not_what_a_container_keeps_in() -> None:
    with pytest.raises(LaunchError, match="other machines"):
        plan(BRIDGED, debug_with="pydevd", debug_host="192.0.2.7", published_on="127.0.0.1")


@pytest.mark.parametrize(
    "values",
    [
        {"debug": False},
        {"debug": True, "debug_with": "debugpy"},
        {"debug": True, "use_debugger": False},
    ],
)
def test_a_reachable_host_without_the_console_is_allowed_and_said(values: dict[str, Any]) -> None:
    assert any(
        "other machines can reach the app" in note for note in plan(host="0.0.0.0", **values).notes
    )


def test_debug_is_refused_in_production() -> None:
    with pytest.raises(LaunchError, match=r"this is production \(gunicorn\)"):
        plan(replace(NOBODY, production="gunicorn"), debug=True)
    assert plan(replace(NOBODY, production="gunicorn"), debug=False)


@pytest.mark.parametrize(
    ("environ", "marker"),
    [
        ({"SERVER_SOFTWARE": "gunicorn/23"}, "gunicorn"),
        ({}, None),
    ],
)
def test_production_markers(environ: dict[str, str], marker: str | None) -> None:
    assert observe(environ).production == marker


def test_stale_variables_are_noted() -> None:
    facts = observe({"WERKZEUG_RUN_MAIN": "true", "FLASK_RUN_FROM_CLI": "true"})
    assert [note.split(":")[1] for note in plan(facts).notes] == [
        "WERKZEUG_RUN_MAIN", "FLASK_RUN_FROM_CLI",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("preload", "seconds"),
    [("auto", MODULE_SECONDS_WORTH_KEEPING), ("modules", 0.0), ("packages", None), ("off", None)],
)
def test_how_long_the_projects_modules_take_that_stay_imported(
    preload: str, seconds: float | None
) -> None:
    assert seconds_worth_keeping(plan(debug=True, preload=preload)) == seconds


def test_preload() -> None:
    assert plan(debug=True).preload.value is True
    assert plan(debug=True, preload="off").preload.value is False
    assert plan(debug=False).preload.value is False
    on_mac = plan(replace(NOBODY, platform="darwin"), debug=True)
    assert (on_mac.preload.value, on_mac.can_fork) == (True, False)
    assert "waits" in on_mac.preload.reason
    assert "darwin" in on_mac.preload.reason


def test_required_only_where_it_was_asked_for() -> None:
    assert plan(debug_with="debugpy").required.value is False
    assert plan(debug_with="debugpy", wait=3.0).required.value is True
    assert plan(debug_with="debugpy", debug_connection="listen").required.value is True


def test_every_decision_has_a_reason() -> None:
    for name, decision in decisions_of(plan(debug=True)):
        assert decision.reason, name


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "fe80::1%eth0"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_the_app_is_imported_from_the_folder_that_names_it(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    named = replace(Settings(), config_file=config, app=Value("main", Origin.line(config, 3)))
    assert resolve(named, NOBODY).app_directory.value == tmp_path
    assert resolve(replace(Settings(), config_file=config), NOBODY).app_directory.value == tmp_path
    assert plan(app="main").app_directory.value == NOBODY.folder

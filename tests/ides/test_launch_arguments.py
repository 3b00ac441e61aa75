"""Our arguments among those of a person: ours are given, theirs stay."""

from __future__ import annotations

from itertools import pairwise

import click
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flask_debuglaunch.cli import run
from flask_debuglaunch.ides.eclipse import quoted_argument as quoted_for_eclipse
from flask_debuglaunch.ides.eclipse import split_arguments as split_for_eclipse
from flask_debuglaunch.ides.launch_arguments import (
    argument_edits,
    merged_argument_line,
    merged_arguments,
)
from flask_debuglaunch.ides.pycharm import quoted_argument as quoted_for_pycharm
from flask_debuglaunch.ides.pycharm import split_arguments as split_for_pycharm
from tests.ides.argument_splitting import as_pycharm, as_pydev


@pytest.mark.parametrize(
    ("present", "ours", "expected"),
    [
        ("", "--config a.yaml", "--config a.yaml"),
        ("--debug", "--config a.yaml", "--debug --config a.yaml"),
        ("--debug --config a.yaml --wait", "--config a.yaml", "--debug --config a.yaml --wait"),
        ("-p 1 -c old.yaml x", "--config a.yaml --port=80", "-p 80 -c a.yaml x"),
        ("-p1 --config=old.yaml", "--config a.yaml --port=80", "-p80 --config=a.yaml"),
        ("--port=1 --port 2", "--port=2", "--port=1 --port 2"),
        ("--port=1 --port 2", "--port=3", "--port=1 --port 3"),
        ("--no-reload --debug", "--reload --no-debug", "--reload --no-debug"),
        ("--wait --debug", "--wait=3.0", "--wait=3.0 --debug"),
        ("--wait 3.0 run", "--wait=3.0", "--wait 3.0 run"),
        ("--config --port 80", "--port=80", "--config --port 80 --port=80"),  # a value is none
        ("--extra-files=a", '--extra-files=["b"]', '--extra-files=a --extra-files=["b"]'),
        ("--prot=1 ${x} --port", "--port=80", "--prot=1 ${x} --port=80"),
    ],
)
def test_merging(present: str, ours: str, expected: str) -> None:
    once = merged_arguments(present.split(), ours.split())
    assert once == expected.split()
    assert merged_arguments(once, ours.split()) == once


# A way to give each setting, and what belongs to none.
PIECES = [
    ["--config", "a.yaml"], ["-c", "a.yaml"], ["-ca.yaml"], ["--port=80"], ["-p80"], ["-p", "80"],
    ["--reload"], ["--no-debug"], ["-A", "x:y"], ["--wait"], ["--host", "${input:host}"],
    ["--env-file=x"], ["explain"], ["-v", "port"],
]  # fmt: skip
OURS = ["--port=8000", "--no-reload", "--debug", "--app=shop:create('a b')", "--wait=3.0"]
SETTINGS = {"-c": "--config", "-p": "--port", "-A": "--app"}


def setting_of(piece: list[str]) -> str:
    name = SETTINGS.get(piece[0][:2], piece[0].partition("=")[0])
    return name.replace("--no-", "--")


@given(
    st.lists(st.sampled_from(PIECES), unique_by=setting_of),
    st.lists(st.sampled_from(OURS), unique=True),
)
def test_ours_count_and_theirs_stay(pieces: list[list[str]], flags: list[str]) -> None:
    # A word behind a bare --wait is its value, for click as for us.
    assume(all(one != ["--wait"] or two[0][0] == "-" for one, two in pairwise(pieces)))
    ours = ["--config", "our.yaml", *flags]
    present = [word for piece in pieces for word in piece]
    after = list(map(str, merged_arguments(present, ours)))
    assert not list(argument_edits(after, ours))
    parser = run.make_parser(click.Context(run))
    parser.ignore_unknown_options = True
    values, expected = parser.parse_args(list(after))[0], parser.parse_args(list(ours))[0]
    assert {name: values[name] for name in expected} == expected
    asked = {setting_of([one]) for one in ours}
    theirs = [word for piece in pieces if setting_of(piece) not in asked for word in piece]
    remaining = iter(after)
    assert all(word in remaining for word in theirs), after  # in their order


line_text = st.text("ab\"'\\\\ \t$-=", max_size=12)


@given(line_text, st.lists(st.text("ab\"\\\\ '", max_size=4), max_size=3))
def test_lines_are_split_as_the_ides_split_them(line: str, arguments: list[str]) -> None:
    assert [word.text for word in split_for_pycharm(line.strip())] == as_pycharm(line)
    assert [word.text for word in split_for_eclipse(line)] == as_pydev(line)
    for split, quoted in (
        (split_for_pycharm, quoted_for_pycharm),
        (split_for_eclipse, quoted_for_eclipse),
    ):
        joined = " ".join(map(quoted, arguments))
        assert [word.text for word in split(joined)] == arguments
        assert [quoted(word.text) for word in split(joined)] == [
            joined[word.start : word.end] for word in split(joined)
        ]


def test_every_other_character_of_a_line_stays() -> None:
    line = "  --debug   -c 'old one.yaml' \"--app=a b\" "
    for split, quoted in (
        (split_for_pycharm, quoted_for_pycharm),
        (split_for_eclipse, quoted_for_eclipse),
    ):
        after = merged_argument_line(line, ["--config", "new one.yaml"], split, quoted)
        assert after.startswith('  --debug   -c "new one.yaml"')
        assert after.endswith(' "--app=a b" ')

"""Whatever stands in the YAML, the env files, the environment and on the command line: a plan, or
one LaunchError, of a bounded length. `--hypothesis-profile long` looks for longer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_debuglaunch.cli import main
from flask_debuglaunch.configuration.load_settings import load_settings
from flask_debuglaunch.configuration.settings import DECLARATIONS
from flask_debuglaunch.configuration.yaml_file import DEBUG_WITH_FLAGS, YAML_KEYS
from flask_debuglaunch.detect_environment import observe
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.explain_report import as_json, as_text
from flask_debuglaunch.plan import resolve
from flask_debuglaunch.redaction import LONGEST_SHOWN_TEXT
from flask_debuglaunch.serving.app.app_finder import AppTarget, FactoryCall, parse_call


@pytest.fixture(scope="module", autouse=True)
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("fuzzed"))
    yield
    os.chdir(before)


# What a scalar of YAML may look like: the words and numbers of every kind, tags, quotes, bombs.
odd_words = st.sampled_from(
    [
        "true", "off", "auto", "vscode", "5000", "05000", "22:22", "0x" + "f" * 5000, "1" + "0" * 400,
        "1e400", ".inf", ".nan", "-.inf", "~", "''", "!!int ''", "!!bool maybe", "!!float ''",
        "!!timestamp x", "!!binary x", "!!set {a}", "!!omap [a]", "!!pairs [a: b]", "!mine x",
        "!!python/object/apply:os.system [id]", '"\\UFFFFFFFF"', '"\\uD800"', "2026-99-99", "*x", "&x 1",
        "<<", "? x", "[", "{a: {a: {a: 1}}}", "|", ">-", "${HOST}", "{{ x }}", "a:b:c", "::1",
        "[::1]", "0.0.0.0", "main:create_app(password='x')", "/dev/zero", "~nouser/x", "x" * 5000,
        "\t", "\x85", "﻿x", "\U0001f600", "\u202e", "'a' 'b'", "%TAG ! x", "---", "...", "- - -",
    ]
)  # fmt: skip
words = odd_words | st.text(max_size=12)
keys = st.sampled_from([*YAML_KEYS, *DEBUG_WITH_FLAGS, "DEBUG", "ENV", "<<", "X", "debug"]) | words
block = st.lists(st.tuples(keys, words), max_size=5).map(
    lambda pairs: "".join(f"  {key}: {word}\n" for key, word in pairs)
)
block_names = st.sampled_from(["FLASK", "DEBUGLAUNCH", "DEBUGLUNCH", "APP", "FLASK", "'FLASK'"])
yamls = st.lists(st.tuples(block_names, block), max_size=3).map(
    lambda blocks: "".join(f"{name}:\n{lines}" for name, lines in blocks)
)
variable_names = st.sampled_from(
    [*(one.env for one in DECLARATIONS.values()),
     *(one.flask_env for one in DECLARATIONS.values() if one.flask_env),
     "FLASK_ENV", "FLASK_SKIP_DOTENV", "DEBUGLAUNCH_X", "DEBUGLAUNCH_CONFIG"]
)  # fmt: skip
# What an environment can hold, and an env file or YAML can't keep out.
values = words.filter(lambda one: "\0" not in one)
environments = st.dictionaries(variable_names, values, max_size=3)
env_files = st.lists(
    st.tuples(variable_names | words, words), max_size=3
).map(lambda pairs: "".join(f"{name}={text}\n" for name, text in pairs))  # fmt: skip
flags = st.dictionaries(
    st.sampled_from([name for name, one in DECLARATIONS.items() if not one.off_flag and not one.argv_only]),
    values, max_size=3,
)  # fmt: skip


def explained(environ: dict[str, str], given_flags: dict[str, str]) -> None:
    try:
        plan = resolve(load_settings(None, given_flags, environ, Path.cwd()), observe({}))
    except LaunchError as error:  # anything else that is raised fails the test
        length = len(str(error))
    else:
        as_json(plan)
        length = len(as_text(plan)) // len(DECLARATIONS)
    assert 0 < length < LONGEST_SHOWN_TEXT + 100


@given(yaml=yamls | words, env_file=env_files | words, environ=environments, given_flags=flags)
def test_any_sources(
    yaml: str, env_file: str, environ: dict[str, str], given_flags: dict[str, str]
) -> None:
    Path("config.yaml").write_text(yaml, encoding="utf-8", errors="replace")
    Path(".env").write_text(env_file, encoding="utf-8", errors="replace")
    explained(environ, given_flags)


@given(st.lists(st.sampled_from([one.flag for one in DECLARATIONS.values()]) | values, max_size=6))
def test_any_command_line(argv: list[str]) -> None:
    """`explain` ends with 0, or with 2 and a message; never with a traceback."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", *argv])
    assert ended.value.code in (0, 2)


pieces = ["create_app", "(", ")", ",", "=", "'", "[", "]", "{", "}", ":", "*", "**", "-", "1", "x", ".",
          " ", "lambda", "\\", "\n", "f'{x}'", "{[]: 1}", "password='x'", "1j", "..."]  # fmt: skip


@given(
    st.lists(st.sampled_from(pieces), max_size=12).map("".join)
    | st.text(max_size=12)
    | st.builds(lambda piece, n: piece * n, st.sampled_from(pieces), st.integers(500, 20_000))
)
def test_any_name_of_an_app(expression: str) -> None:
    try:
        call = parse_call(AppTarget(Path("main"), expression, "argv:--app"))
    except LaunchError as error:
        length = len(str(error))
    else:
        assert type(call) is FactoryCall
        return
    assert 0 < length < LONGEST_SHOWN_TEXT + 100

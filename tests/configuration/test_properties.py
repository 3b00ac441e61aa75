"""Whatever the sources hold: either Settings or a LaunchError; and to_argv inverts parsing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_debuglaunch.cli import main
from flask_debuglaunch.configuration.command_line_flags import to_argv
from flask_debuglaunch.configuration.load_settings import load_settings
from flask_debuglaunch.configuration.settings import DECLARATIONS, Settings, values_of
from flask_debuglaunch.configuration.yaml_file import DEBUG_WITH_FLAGS, YAML_KEYS, read_yaml
from flask_debuglaunch.errors import LaunchError

SHARED_FOLDER = settings(
    suppress_health_check=[
        *settings.default.suppress_health_check,
        HealthCheck.function_scoped_fixture,
    ]
)

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.dates(),
    st.sampled_from(["auto", "off", "on", "debugpy", "vscode", "listen", "127.0.0.1", "main:app"]),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=8,
)
launcher_blocks = st.dictionaries(st.sampled_from([*YAML_KEYS, "DEBUG", "PROT"]), anything)
app_blocks = st.dictionaries(st.sampled_from([*DEBUG_WITH_FLAGS, "DEBUG", "SECRET_KEY"]), anything)
documents = anything | st.fixed_dictionaries(
    {}, optional={"FLASK": app_blocks | anything, "DEBUGLAUNCH": launcher_blocks | anything}
)


@SHARED_FOLDER
@given(document=documents)
def test_any_document(tmp_path: Path, document: Any) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    _settings_or_launch_error(file)


@SHARED_FOLDER
@given(content=st.binary() | st.text("{}[]:,-&*!|>'\"%@` \n\t#aD").map(str.encode))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    _settings_or_launch_error(file)


def _settings_or_launch_error(file: Path) -> None:
    try:
        values = read_yaml(file, None).values
    except LaunchError:
        return  # anything else that is raised fails the test
    assert all(value.origin.file == file for value in values.values())
    Settings(**values)


path_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
good_launcher_blocks = st.fixed_dictionaries(
    {},
    optional={
        "APP": st.sampled_from(["main", "src/main.py", "shop:create_app('a b', k=1)"]),
        "HOST": st.sampled_from(["0.0.0.0", "::1", "localhost"]),
        "PORT": st.integers(0, 65535),
        "DEBUG_WITH": st.sampled_from(["auto", "vscode", "eclipse", "pycharm", "off"]),
        "WAIT": st.booleans() | st.floats(0.1, 1000),
        "RELOAD": st.sampled_from([True, False, "auto"]),
        "USE_DEBUGGER": st.sampled_from([True, False]),
        "WITH_THREADS": st.booleans(),
        "STOP_ON_ERRORS": st.sampled_from(["unhandled", "all", False]),
        "EXTRA_FILES": st.lists(path_text.filter(str.strip), max_size=3),
        "EXCLUDE_PATTERNS": st.lists(path_text.filter(str.strip), max_size=3),
        "PATH_MAPPINGS": st.dictionaries(
            path_text.filter(str.strip), path_text.filter(str.strip), max_size=2
        ),
    },
)


@SHARED_FOLDER
@given(launcher=good_launcher_blocks, debug=st.none() | st.booleans())
def test_to_argv_is_the_inverse_of_parsing(
    tmp_path: Path, launcher: dict[str, Any], debug: bool | None
) -> None:
    file = tmp_path / "config.yaml"
    app = {} if debug is None else {"DEBUG": debug}
    file.write_text(yaml.safe_dump({"FLASK": app, "DEBUGLAUNCH": launcher}), encoding="utf-8")
    from_yaml = load_settings(file, {}, {}, tmp_path)
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    argv = to_argv(replace(from_yaml, config_file=None))
    from_argv = load_settings(empty, _flags_as_the_command_line_reads_them(argv), {}, Path.cwd())
    assert _plain(from_argv) == _plain(from_yaml)


def _flags_as_the_command_line_reads_them(argv: list[str]) -> dict[str, Any]:
    command = main.commands["run"]
    params = command.make_context("run", argv).params
    return {name: raw for name, raw in params.items() if raw not in (None, ()) and name != "config"}


def _plain(some: Settings) -> dict[str, Any]:
    return {declaration.name: value.value for declaration, value in values_of(some)}


@pytest.mark.parametrize("name", DECLARATIONS)
def test_every_default_has_help_and_a_schema(name: str) -> None:
    declaration = DECLARATIONS[name]
    assert declaration.help.endswith(".")
    assert declaration.type.schema()

"""The starter YAML of `init`: what this project needs said, and the rest as comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flask_debuglaunch.app_in_source_files import AppInSourceFiles, find_app_in_source_files
from flask_debuglaunch.configuration.json_schema import SCHEMA_NAME, schema_text, yaml_schema
from flask_debuglaunch.configuration.load_settings import CONFIG_NAMES, load_settings
from flask_debuglaunch.configuration.setting_types import FALSE_WORDS, TRUE_WORDS
from flask_debuglaunch.configuration.settings import DECLARATIONS, YAML_BLOCK, Declaration
from flask_debuglaunch.configuration.value_origins import Value
from flask_debuglaunch.errors import LaunchError

STARTER_NAME = CONFIG_NAMES[0]
_NO_STRINGS_IN_YAML = (*TRUE_WORDS, *FALSE_WORDS, "y", "n", "null")
_DEFAULTS_OF_APP_BLOCK = (("debug", True), ("block", "FLASK"))


def starter_yaml(project: AppInSourceFiles, given_settings: Mapping[str, Value[Any]]) -> str:
    """The text of a commented starter YAML; the given settings stand in it without a #."""
    debug_value, app_block = (
        given_settings[name].value if name in given_settings else default
        for name, default in _DEFAULTS_OF_APP_BLOCK
    )
    return "\n".join(
        [
            f"# yaml-language-server: $schema={SCHEMA_NAME}",
            "",
            "# The app's own block. Debug with Eclipse, Aptana, PyCharm or VS Code by a flag:",
            "# DEBUG_WITH_ECLIPSE, DEBUG_WITH_APTANA, DEBUG_WITH_PYCHARM, DEBUG_WITH_VSCODE.",
            f"{_yaml_word(app_block)}:",
            f"  DEBUG: {_yaml_word(debug_value)}",
            "",
            "# The launcher's settings; the commented ones show their defaults.",
            f"{YAML_BLOCK}:",
            *_yaml_lines_of_app(project, given_settings),
            *_yaml_lines_of_other_settings(given_settings),
            "",
        ]
    )


def _yaml_lines_of_app(
    project: AppInSourceFiles, given_settings: Mapping[str, Value[Any]]
) -> Iterator[str]:
    yield from _yaml_comment_lines(DECLARATIONS["app"].help)
    if "app" in given_settings:
        yield f"  APP: {_yaml_word(given_settings['app'].value)}"
    elif project.app is None:
        yield "  # No app was found in this folder: name it."
        yield "  APP: main:app"
    elif project.found_by_itself:
        yield f"  # {project.app}.py is found without it."
        yield f"  APP: {project.app}"
    else:
        yield f"  APP: {json.dumps(project.app)}"


def _yaml_lines_of_other_settings(given_settings: Mapping[str, Value[Any]]) -> Iterator[str]:
    properties_in_schema = yaml_schema()["properties"][YAML_BLOCK]["properties"]
    for declaration in DECLARATIONS.values():
        if declaration.key not in properties_in_schema or declaration.name == "app":
            continue
        yield ""
        yield from _yaml_comment_lines(declaration.description)
        if declaration.name in given_settings:
            yield (
                f"  {declaration.key}:"
                f" {_yaml_word_of_setting(declaration, given_settings[declaration.name].value)}"
            )
            continue
        default = properties_in_schema[declaration.key].get("default")
        default_word = "" if default is None else _yaml_word(default)
        yield f"  # {declaration.key}: {default_word}".rstrip()


def _yaml_word_of_setting(declaration: Declaration, setting_value: Any) -> str:
    if setting_value is None or isinstance(setting_value, tuple):  # the type's own word, and JSON
        return declaration.type.to_text(setting_value)
    return _yaml_word(
        setting_value if isinstance(setting_value, (bool, int, float)) else str(setting_value)
    )


def _yaml_word(yaml_value: object) -> str:
    """The value as YAML has it, without quotes where it needs none."""
    if yaml_value is False:
        return "off"
    return (
        yaml_value
        if isinstance(yaml_value, str) and _is_plain_in_yaml(yaml_value)
        else json.dumps(yaml_value)
    )


def _is_plain_in_yaml(yaml_text: str) -> bool:
    is_word_or_address = re.fullmatch(r"[A-Za-z][\w./-]*|\d+\.\d+\.\d+\.\d+", yaml_text) is not None
    return is_word_or_address and yaml_text.lower() not in _NO_STRINGS_IN_YAML


def _yaml_comment_lines(help_text: str) -> list[str]:
    return textwrap.wrap(help_text, 90, initial_indent="  # ", subsequent_indent="  # ")


def refuse_second(folder: Path, force: bool) -> None:
    """Raise LaunchError where a configuration is there already and ``force`` is not given."""
    if force:
        return
    present_yaml = load_settings(None, {}, {}, folder).config_file
    if present_yaml is None:
        return
    what_force_does = (
        "--force replaces it"
        if present_yaml.name == STARTER_NAME
        else f"--force writes {STARTER_NAME}, which then is read instead"
    )
    raise LaunchError(
        f"{present_yaml.name}: is here already and is what the launcher reads. Edit it, or see the"
        f" starter with `init --stdout`; {what_force_does}"
    )


def refuse_above_the_app(
    folder: Path, project: AppInSourceFiles, given_flags: Mapping[str, object]
) -> None:
    """Raise LaunchError where no app is in the folder, but one is in a folder below it."""
    if project.app is not None or "app" in given_flags:
        return
    app_folders = [
        subfolder.name for subfolder in sorted(folder.iterdir()) if _is_folder_of_app(subfolder)
    ]
    if app_folders:
        raise LaunchError(
            f"there is no app in this folder, but in {', '.join(app_folders)}. Give the command"
            f" there (cd {app_folders[0]}), or name the app with --app"
        )


def _is_folder_of_app(folder: Path) -> bool:
    if folder.name.startswith((".", "test")) or not folder.is_dir():
        return False
    return find_app_in_source_files(folder).app is not None


def starter_files(yaml_text: str) -> Mapping[str, str]:
    """The texts of the starter and of the schema that it names, by their names."""
    return {SCHEMA_NAME: schema_text(), STARTER_NAME: yaml_text}

"""The starter YAML of `init`: what this project needs said, and the rest as comments."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.json_schema import SCHEMA_NAME, schema_text, yaml_schema
from flask_debuglaunch.configuration.load_settings import CONFIG_NAMES, load_settings
from flask_debuglaunch.configuration.setting_types import FALSE_WORDS, TRUE_WORDS
from flask_debuglaunch.configuration.settings import DECLARATIONS, YAML_BLOCK, Declaration
from flask_debuglaunch.configuration.value_origins import Value
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.regular_file import read_regular_file

STARTER_NAME = CONFIG_NAMES[0]
# What the launcher finds by itself, in its order: Flask's two, then the docs' entry point.
FOUND_BY_ITSELF = ("wsgi.py", "app.py", "main.py")
_OF_APPS_BLOCK = (("debug", True), ("block", "FLASK"))
FACTORY_NAMES = ("create_app", "make_app")  # flask.cli.find_best_app


@dataclass(frozen=True)
class Project:
    """What a look at the folder shows: the app's import name, None where none is found."""

    app: str | None
    found_by_itself: bool


def look_at_project(folder: Path) -> Project:
    """Find the app as Flask would, reading the files only: nothing is imported or run."""
    for name in FOUND_BY_ITSELF:
        if _holds_app(folder / name):
            return Project(name.removesuffix(".py"), found_by_itself=True)
    for file, module in _other_modules(folder):
        if _holds_app(file):
            return Project(module, found_by_itself=False)
    return Project(None, found_by_itself=False)


def _other_modules(folder: Path) -> Iterator[tuple[Path, str]]:
    for package in sorted(folder.glob("*/__init__.py")):
        yield package, package.parent.name
    for package in sorted(folder.glob("src/*/__init__.py")):
        yield package, f"src/{package.parent.name}"
    for file in sorted(folder.glob("*.py")):
        yield file, file.stem


def _holds_app(file: Path) -> bool:
    try:
        tree = ast.parse(read_regular_file(file))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(_is_app(statement) for statement in tree.body)


def _is_app(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef):
        return statement.name in FACTORY_NAMES
    if isinstance(statement, ast.ImportFrom):  # wsgi.py: from shop import app
        names = {alias.asname or alias.name for alias in statement.names}
        return bool(names & {"app", "application", *FACTORY_NAMES})
    if isinstance(statement, ast.Assign):
        called = statement.value.func if isinstance(statement.value, ast.Call) else None
        name = getattr(called, "attr", None) or getattr(called, "id", None)
        return name in ("Flask", *FACTORY_NAMES)
    return False


def starter_yaml(project: Project, given: Mapping[str, Value[Any]]) -> str:
    """The text of a commented starter YAML; the given settings stand in it without a #."""
    debug, block = (given[name].value if name in given else one for name, one in _OF_APPS_BLOCK)
    return "\n".join(
        [
            f"# yaml-language-server: $schema={SCHEMA_NAME}",
            "",
            "# The app's own block. Debug with Eclipse, Aptana, PyCharm or VS Code by a flag:",
            "# DEBUG_WITH_ECLIPSE, DEBUG_WITH_APTANA, DEBUG_WITH_PYCHARM, DEBUG_WITH_VSCODE.",
            f"{_yaml_word(block)}:",
            f"  DEBUG: {_yaml_word(debug)}",
            "",
            "# The launcher's settings; the commented ones show their defaults.",
            f"{YAML_BLOCK}:",
            *_app_lines(project, given),
            *_other_lines(given),
            "",
        ]
    )


def _app_lines(project: Project, given: Mapping[str, Value[Any]]) -> Iterator[str]:
    yield from _help_lines(DECLARATIONS["app"].help)
    if "app" in given:
        yield f"  APP: {_yaml_word(given['app'].value)}"
    elif project.app is None:
        yield "  # No app was found in this folder: name it."
        yield "  APP: main:app"
    elif project.found_by_itself:
        yield f"  # {project.app}.py is found without it."
        yield f"  APP: {project.app}"
    else:
        yield f"  APP: {json.dumps(project.app)}"


def _other_lines(given: Mapping[str, Value[Any]]) -> Iterator[str]:
    defaults = yaml_schema()["properties"][YAML_BLOCK]["properties"]
    for declaration in DECLARATIONS.values():
        if declaration.key not in defaults or declaration.name == "app":
            continue
        yield ""
        yield from _help_lines(declaration.description)
        if declaration.name in given:
            yield f"  {declaration.key}: {_given_word(declaration, given[declaration.name].value)}"
            continue
        default = defaults[declaration.key].get("default")
        yield f"  # {declaration.key}: {'' if default is None else _yaml_word(default)}".rstrip()


def _given_word(declaration: Declaration, value: Any) -> str:
    if value is None or isinstance(value, tuple):  # the type's own word, and JSON
        return declaration.type.to_text(value)
    return _yaml_word(value if isinstance(value, (bool, int, float)) else str(value))


def _yaml_word(value: object) -> str:
    """The value as YAML has it, without quotes where it needs none."""
    if value is False:
        return "off"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NO_STRINGS:
        return value
    return json.dumps(value)


_PLAIN = re.compile(r"[A-Za-z][\w./-]*|\d+\.\d+\.\d+\.\d+")
_NO_STRINGS = (*TRUE_WORDS, *FALSE_WORDS, "y", "n", "null")  # to YAML


def _help_lines(text: str) -> list[str]:
    return textwrap.wrap(text, 90, initial_indent="  # ", subsequent_indent="  # ")


def refuse_second(folder: Path, force: bool) -> None:
    """Raise LaunchError where a configuration is there already and ``force`` is not given."""
    if force:
        return
    there = load_settings(None, {}, {}, folder).config_file
    if there is None:
        return
    way_out = (
        "--force replaces it"
        if there.name == STARTER_NAME
        else f"--force writes {STARTER_NAME}, which then is read instead"
    )
    raise LaunchError(
        f"{there.name}: is here already and is what the launcher reads. Edit it, or see the starter"
        f" with `init --stdout`; {way_out}"
    )


def refuse_above_the_app(folder: Path, project: Project, given: Mapping[str, object]) -> None:
    """Raise LaunchError where no app is in the folder, but one is in a folder below it."""
    if project.app is not None or "app" in given:
        return
    below = [one.name for one in sorted(folder.iterdir()) if _is_folder_of_app(one)]
    if below:
        raise LaunchError(
            f"there is no app in this folder, but in {', '.join(below)}. Give the command there"
            f" (cd {below[0]}), or name the app with --app"
        )


def _is_folder_of_app(folder: Path) -> bool:
    if folder.name.startswith((".", "test")) or not folder.is_dir():
        return False
    return look_at_project(folder).app is not None


def starter_files(text: str) -> Mapping[str, str]:
    """The texts of the starter and of the schema that it names, by their names."""
    return {SCHEMA_NAME: schema_text(), STARTER_NAME: text}

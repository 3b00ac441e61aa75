"""The app of a folder, found by reading its source files only: nothing is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.regular_file import read_regular_file

# What the launcher finds by itself, in its order: Flask's two, then the docs' entry point.
FILES_SEARCHED_FIRST = ("wsgi.py", "app.py", "main.py")
FACTORY_NAMES = ("create_app", "make_app")  # flask.cli.find_best_app


@dataclass(frozen=True)
class AppInSourceFiles:
    """What a look at the folder shows: the app's import name, None where none is found."""

    app: str | None
    found_by_itself: bool


def find_app_in_source_files(folder: Path) -> AppInSourceFiles:
    """The one that Flask would find, else one that it has to be told of."""
    for name in FILES_SEARCHED_FIRST:
        if _source_holds_app(folder / name):
            return AppInSourceFiles(name.removesuffix(".py"), found_by_itself=True)
    for module_file, module in _other_app_modules(folder):
        if _source_holds_app(module_file):
            return AppInSourceFiles(module, found_by_itself=False)
    return AppInSourceFiles(None, found_by_itself=False)


def _other_app_modules(folder: Path) -> Iterator[tuple[Path, str]]:
    for package_init in sorted(folder.glob("*/__init__.py")):
        yield package_init, package_init.parent.name
    for package_init in sorted(folder.glob("src/*/__init__.py")):
        yield package_init, f"src/{package_init.parent.name}"
    for module_file in sorted(folder.glob("*.py")):
        yield module_file, module_file.stem


def _source_holds_app(source_file: Path) -> bool:
    try:
        tree = ast.parse(read_regular_file(source_file))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(_statement_makes_app(statement) for statement in tree.body)


def _statement_makes_app(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef):
        return statement.name in FACTORY_NAMES
    if isinstance(statement, ast.ImportFrom):  # wsgi.py: from shop import app
        imported_names = {alias.asname or alias.name for alias in statement.names}
        return bool(imported_names & {"app", "application", *FACTORY_NAMES})
    if isinstance(statement, ast.Assign):
        called_function = statement.value.func if isinstance(statement.value, ast.Call) else None
        function_name = getattr(called_function, "attr", None) or getattr(
            called_function, "id", None
        )
        return function_name in ("Flask", *FACTORY_NAMES)
    return False

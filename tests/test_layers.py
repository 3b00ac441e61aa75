"""Imports only go downwards, and the light commands import nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "flask_debuglaunch"
# From the top down; a room may import from its own layer's package and from those below.
LAYERS = [
    ["__init__"],  # the public API
    ["__main__"],
    ["cli"],
    ["click_command_group"],
    ["doctor"],
    ["serving", "ides", "explain_report"],
    ["startup_banner", "atomic_file_changes"],
    ["plan"],
    ["deployment"],
    ["detect_environment", "configuration"],
    ["debuggers"],
    ["app_in_source_files", "launcher_notes"],
    [
        "editor_links",
        "json_dataclasses",
        "installed_packages",
        "native_threads",
        "regular_file",
        "shadowed_modules",
        "start_directory",
        "terminal_messages",
        "wsgi_server_commands",
    ],
    ["errors"],
    ["procfs", "redaction"],
    ["__version__"],
]
# The same inside serving, the largest room.
SERVING_LAYERS = [
    ["__init__", "serve", "child_process_main"],
    ["supervisor", "worker_main", "serve_without_reload"],
    ["reloadable_plan", "supervisor_states"],
    ["processes"],
    ["watching"],
    ["preloading"],
    ["app"],
    ["time_limit"],
    ["attach_debugger"],
    ["ipc_protocol"],
    ["server"],
    ["self_pipe"],
]
DEBUGGER_LIBRARIES = {"debugpy", "pydevd", "pydevd_pycharm", "_pydevd_bundle", "_pydev_bundle"}


def layer_of(room: str, layers: list[list[str]]) -> int:
    return next(index for index, rooms in enumerate(layers) if room in rooms)


def is_downwards(room: str, target: str, layers: list[list[str]]) -> bool:
    return target == room or layer_of(target, layers) > layer_of(room, layers)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported_names(node: ast.AST) -> Iterator[str]:
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom) and found.module:
            yield found.module  # and what may be a module in it
            yield from (f"{found.module}.{alias.name}" for alias in found.names)


def test_imports_go_downwards() -> None:
    assert list(upward_imports("flask_debuglaunch", LAYERS)) == []


def test_imports_inside_serving_go_downwards() -> None:
    assert list(upward_imports("flask_debuglaunch.serving", SERVING_LAYERS)) == []


def upward_imports(package: str, layers: list[list[str]]) -> Iterator[str]:
    folder = PACKAGE.parent.joinpath(*package.split("."))
    for module in sorted(folder.rglob("*.py")):
        room = module.relative_to(folder).parts[0].removesuffix(".py")
        for name in imported_names(ast.parse(module.read_text(encoding="utf-8"))):
            target = name.removeprefix(f"{package}.").partition(".")[0]
            if name.startswith(f"{package}.") and not is_downwards(room, target, layers):
                yield f"{module}: {room} imports {name}"


def test_no_debugger_is_imported_at_a_modules_top() -> None:
    for module in modules():
        for statement in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                packages = {name.partition(".")[0] for name in imported_names(statement)}
                assert not packages & DEBUGGER_LIBRARIES, module


def test_no_module_is_named_like_one_it_imports() -> None:
    for module in modules():
        names = set(imported_names(ast.parse(module.read_text(encoding="utf-8"))))
        assert module.stem not in names | sys.stdlib_module_names, module


@pytest.mark.parametrize(
    "arguments",
    [["explain"], ["explain", "--json"], ["schema"], ["ide", "vscode", "eclipse", "pycharm"]],
)
def test_light_commands_import_neither_flask_nor_a_debugger(
    tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "app.py").write_text("raise SystemExit('the app was imported')")
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from flask_debuglaunch.cli import main\n"
        f"main({arguments!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "flask_debuglaunch" in loaded
    assert not loaded & {"flask", "werkzeug", "watchfiles", "app"}
    assert not loaded & DEBUGGER_LIBRARIES

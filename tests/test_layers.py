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
    ["__main__"],
    ["cli"],
    ["click_group", "click_options"],
    ["doctor"],
    ["serving", "ides", "explanation"],
    ["banner", "project_files"],
    ["plan"],
    ["deployment"],
    ["detect_environment", "configuration"],
    ["debuggers"],
    ["launcher_notes"],
    [
        "container",
        "editor_links",
        "errors",
        "fix_commands",
        "json_dataclasses",
        "installed_versions",
        "port_owner",
        "regular_file",
        "server_command",
        "shadowed_modules",
        "start_directory",
        "terminal",
    ],
    ["process_table", "redaction", "socket_table"],
]
# The same inside serving, the largest room.
SERVING_LAYERS = [
    ["__init__", "serve", "child_process_main"],
    ["supervisor", "worker_main", "single_process"],
    ["control_thread", "reloadable_plan", "supervisor_states"],
    ["processes"],
    ["watching"],
    ["app"],
    ["ipc_messages"],
    ["time_limit"],
    ["attach_debugger", "server"],
    ["installed_flask", "self_pipe", "terminal_modes", "working_directory"],
]
DEBUGGER_LIBRARIES = ("debugpy", "pydevd", "pydevd_pycharm", "_pydevd_bundle", "_pydev_bundle")


def layer_of(room: str, layers: list[list[str]]) -> int:
    return next(index for index, rooms in enumerate(layers) if room in rooms)


def is_downwards(room: str, target: str, layers: list[list[str]]) -> bool:
    return target == room or layer_of(target, layers) > layer_of(room, layers)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(node: ast.AST) -> Iterator[str]:
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom) and found.module:
            if found.module == "flask_debuglaunch":
                yield from (f"flask_debuglaunch.{alias.name}" for alias in found.names)
            else:
                yield found.module


@pytest.mark.parametrize("module", modules(), ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_go_downwards(module: Path) -> None:
    room = room_of(module)
    if room == "__init__":
        return  # the public API stands above every room
    for name in imported_names(ast.parse(module.read_text(encoding="utf-8"))):
        package, _, target = name.partition(".")
        target = target.partition(".")[0]
        if package != "flask_debuglaunch" or target in ("", "__version__"):
            continue
        assert is_downwards(room, target, LAYERS), f"{room} imports {name}"


@pytest.mark.parametrize(
    "module", sorted((PACKAGE / "serving").rglob("*.py")), ids=lambda m: str(m.relative_to(PACKAGE))
)
def test_imports_inside_serving_go_downwards(module: Path) -> None:
    room = module.relative_to(PACKAGE / "serving").parts[0].removesuffix(".py")
    for name in imported_names(ast.parse(module.read_text(encoding="utf-8"))):
        if name.startswith("flask_debuglaunch.serving."):
            target = name.split(".")[2]
            assert is_downwards(room, target, SERVING_LAYERS), f"{room} imports {name}"


@pytest.mark.parametrize("module", modules(), ids=lambda m: str(m.relative_to(PACKAGE)))
def test_no_debugger_is_imported_at_a_modules_top(module: Path) -> None:
    for statement in ast.parse(module.read_text(encoding="utf-8")).body:
        for name in imported_names(statement):
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                assert name.split(".")[0] not in DEBUGGER_LIBRARIES


@pytest.mark.parametrize("module", modules(), ids=lambda m: str(m.relative_to(PACKAGE)))
def test_no_module_is_named_like_one_it_imports(module: Path) -> None:
    names = set(imported_names(ast.parse(module.read_text(encoding="utf-8"))))
    assert module.stem not in names
    assert module.stem not in sys.stdlib_module_names


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
    assert not loaded & {"flask", "werkzeug", "watchfiles", "app", *DEBUGGER_LIBRARIES}

"""Imports a project both ways, each time in a fork: as a new interpreter does, and with its cold
modules run ahead. A program: a line of JSON in, a line out."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from flask_debuglaunch.json_dataclasses import decode, encode
from flask_debuglaunch.serving.ipc_protocol import ModuleRun, ModulesPreloaded
from flask_debuglaunch.serving.preloading.preloaded_modules import (
    HiddenModules,
    ImportRecorder,
    PreloadedModules,
)
from flask_debuglaunch.serving.preloading.project_module_graph import (
    cold_and_hot_modules,
    merged_runs,
)
from flask_debuglaunch.serving.preloading.project_module_recorder import ModuleRecorder
from flask_debuglaunch.serving.processes.fork_server_main import run_project_modules_again
from flask_debuglaunch.serving.processes.project_module_fork_servers import FilesOfModules


class Afresh(BaseException):
    """The worker would become a new interpreter."""


def in_fork(work: Callable[[], Any]) -> Any:
    """What it returns, as JSON has it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result: Any = {"result": work()}
        except BaseException:
            result = {"error": traceback.format_exc()}
        with os.fdopen(writing, "w") as out:
            json.dump(result, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as source:
        answer = json.load(source)
    os.waitpid(pid, 0)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["result"]


def imported(folder: Path) -> Any:
    """How its modules are after `import main`, in the order in which they stand in sys.modules."""
    error = None
    try:
        importlib.import_module("main")
    except Exception as raised:
        error = repr(raised)
    own = {
        name: module
        for name, module in sys.modules.items()
        if str(getattr(module, "__file__", None)).startswith(str(folder))
    }
    environ = {name: text for name, text in os.environ.items() if name.startswith("LAB")}
    return {
        "error": error,
        "order": list(own),
        "modules": {name: described(vars(one)) for name, one in own.items()},
        "environ": environ,
    }


def described(value: Any, depth: int = 4) -> Any:
    if isinstance(value, ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, FunctionType):
        return f"function {value.__module__}.{value.__qualname__}"
    if isinstance(value, (list, tuple)) and depth:
        return [described(one, depth - 1) for one in value]
    if isinstance(value, dict) and depth:
        names = [name for name in value if name not in ("__builtins__", "__cached__")]
        return {str(name): described(value[name], depth - 1) for name in names}
    if isinstance(value, type):
        return f"class {value.__module__}.{value.__qualname__} {sorted(vars(value))}"
    if isinstance(value, (str, int, float, type(None))):
        return repr(value)
    return type(value).__qualname__


def recorded() -> str:
    recorder = ModuleRecorder()
    with recorder, contextlib.suppress(Exception):
        importlib.import_module("main")
    return told(recorder.runs())


def looked_at_again(cold: tuple[ModuleRun, ...]) -> str:
    return told(run_project_modules_again(cold, ())[0])


def told(runs: tuple[ModuleRun, ...]) -> str:
    return encode(ModulesPreloaded(runs)).decode()


def heard(text: str) -> tuple[ModuleRun, ...]:
    runs: tuple[ModuleRun, ...] = decode(text.encode(), (ModulesPreloaded,)).module_runs
    return runs


def warm(cold: tuple[ModuleRun, ...], folder: Path) -> Any:
    _, snapshots = run_project_modules_again(cold, ())
    hidden = HiddenModules(cold, snapshots)

    def afresh(module: str, deed: str, **_: object) -> None:
        raise Afresh(f"{deed} before {module}")

    recorder = ImportRecorder(PreloadedModules(hidden_modules=hidden), afresh)
    try:
        with recorder:
            after = imported(folder)
            recorder.app_is_imported()
    except Afresh as reason:
        return {"afresh": str(reason)}
    return after


def both_ways(folder: Path, edited: dict[str, str]) -> Any:
    """edited: new texts of files."""
    path = [str(folder), str(folder / "lib")]
    sys.path[:0] = path
    os.chdir(folder)
    runs = heard(in_fork(recorded))
    before, made_from = in_fork(lambda: imported(folder)), FilesOfModules.of(runs)
    for name, text in edited.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    paths = made_from.changed_files()
    left_out: dict[str, str] = {}
    while True:
        selection = cold_and_hot_modules(runs, paths, left_out)
        again = in_fork(lambda cold=selection.cold: looked_at_again(cold))
        runs = merged_runs(runs, heard(again))
        left_out |= {run.name: run.effect for run in runs if run.effect is not None}
        if cold_and_hot_modules(runs, paths, left_out).cold == tuple(
            run for run in runs if run.name in {one.name for one in selection.cold}
        ):
            break
    importlib.invalidate_caches()
    fresh = in_fork(lambda: imported(folder))
    seen = in_fork(lambda: warm(selection.cold, folder))
    del sys.path[: len(path)]
    return {
        "cold": [run.name for run in selection.cold],
        "hot": dict(selection.hot),
        "before": before,
        "fresh": fresh,
        "warm": seen,
    }


def main() -> None:
    sys.dont_write_bytecode = True
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        project_and_edits = json.loads(line)
        print(
            json.dumps(both_ways(Path(project_and_edits["folder"]), project_and_edits["edited"])),
            file=out,
            flush=True,
        )


if __name__ == "__main__":
    main()

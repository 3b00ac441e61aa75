"""A fork server that has modules of the project, too: a fork of the one that has the packages.

It runs only modules that a worker was seen to run without any effect, and looks on once more; the
supervisor has the last word on whether it may fork.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
import signal
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flask_debuglaunch.serving.ipc_messages import (
    Changes,
    ModuleRun,
    ModulesPreloaded,
    PreloadModules,
)
from flask_debuglaunch.serving.preloading.hidden_modules import HiddenModules
from flask_debuglaunch.serving.preloading.import_time_code import Source, parse, reasons_to_run_anew
from flask_debuglaunch.serving.preloading.module_recorder import ModuleRecorder
from flask_debuglaunch.serving.preloading.state_snapshots import Snapshot
from flask_debuglaunch.serving.processes.fork_server_main import serve_forks
from flask_debuglaunch.serving.processes.import_effects import ImportEffects
from flask_debuglaunch.serving.processes.silenced_output import silenced_output
from flask_debuglaunch.serving.processes.socket_inheritance import Inheritance

IMPORT_SECONDS = 120
"""Nobody waits for it: the other fork server serves meanwhile."""


def run_module_server(order: PreloadModules, inherited: Inheritance) -> Inheritance:
    """Import the modules, then fork whenever the supervisor asks; returns in each forked worker."""
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(IMPORT_SECONDS)
    runs, snapshots = run_again(order.runs, inherited.preloaded.changes)
    there = [run for run in order.runs if run.name in sys.modules]
    hidden = HiddenModules(there, snapshots)
    inherited.channel.tell(ModulesPreloaded(runs))
    signal.alarm(0)
    preloaded = replace(inherited.preloaded, hidden=hidden)
    return serve_forks(replace(inherited, preloaded=preloaded), interrupt)


def run_again(
    runs: Sequence[ModuleRun], changes: Changes
) -> tuple[tuple[ModuleRun, ...], Mapping[str, Snapshot]]:
    """What was seen of the modules now, and how they are after that. changes: of the packages."""
    recorder = ModuleRecorder(changes, _bytes_written)
    found = reasons_to_run_anew(_sources(runs))
    with silenced_output(), ImportEffects() as effects, recorder, _no_bytecode_written():
        for run in runs:
            # What fails here has failed in the worker, or is found not to be as it was there.
            with contextlib.suppress(Exception):
                importlib.import_module(run.name)
            for _, effect in effects.found(run.name):
                found.setdefault(run.name, effect)
    seen = recorder.runs()
    judged = tuple(replace(run, effect=run.effect or found.get(run.name)) for run in seen)
    return judged, recorder.snapshots()


def _sources(runs: Sequence[ModuleRun]) -> dict[str, Source]:
    projects = frozenset(run.name.partition(".")[0] for run in runs)
    texts = {run.name: text for run in runs if (text := _text_of(run.file)) is not None}
    return {name: parse(text, projects) for name, text in texts.items()}


def _text_of(file: str | None) -> str | None:
    """None for what can't be read or parsed: it shows when it is imported."""
    if file is None:
        return None
    try:
        with tokenize.open(file) as source:
            text = source.read()
        ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return None
    return text


@contextlib.contextmanager
def _no_bytecode_written() -> Iterator[None]:
    """It would look as if the modules wrote."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _bytes_written() -> int:
    """By this process, to whatever (proc_pid_io(5)). Raises OSError where the kernel keeps it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with open("/proc/self/io", encoding="ascii") as file:
        return int(re.findall(r"^wchar: (\d+)", file.read(), re.MULTILINE)[0])

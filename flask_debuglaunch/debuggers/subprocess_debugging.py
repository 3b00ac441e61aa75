"""The debugger and child processes: the launcher's own are left alone, those of the app say when
they are stopped.

Each of those is a session of its own to the IDE, and the worker's debugger does not know of it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHILD_SCRIPT = Path(__file__).parent / "debugged_child" / "pydevd.py"
EXPIRY_SECONDS = 2.0
"""A child that was killed at a breakpoint says nothing more."""


@contextlib.contextmanager
def children_left_alone() -> Iterator[None]:
    """Start children that the debugger of this process does not take over."""
    monkey: Any = sys.modules.get("_pydev_bundle.pydev_monkey")
    skip = getattr(monkey, "skip_subprocess_arg_patch", None)
    with skip() if skip else _commands_left_alone(monkey):
        yield


@contextlib.contextmanager
def _commands_left_alone(monkey: Any) -> Iterator[None]:
    """The same for pydevd-pycharm, which has no such switch."""
    original = getattr(monkey, "patch_args", None)
    if original is None:  # no debugger, or none that follows children
        yield
        return
    monkey.patch_args = lambda args: args
    try:
        yield
    finally:
        monkey.patch_args = original


# Stops in children of the app


class ChildStops:
    """What children that the debugger follows say of their stops; readable when one says more."""

    def __init__(self) -> None:
        import secrets  # here: a light command does without
        import socket

        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._token = secrets.token_hex(8)
        self._are_equal = secrets.compare_digest  # later a module of the app's may have the name
        self._stops: dict[Any, tuple[str, float]] = {}
        """By sender: where, and when it said so last."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def follow(self) -> None:
        """Have children started from now on report: new interpreters, and forks."""
        monkey: Any = sys.modules.get("_pydev_bundle.pydev_monkey")
        original = getattr(monkey, "patch_args", None)
        if original is None:  # no debugger, or none that follows children
            return
        port = self._socket.getsockname()[1]
        monkey.patch_args = _reporting(original, port, self._token)
        if hasattr(os, "register_at_fork"):
            report_stops = _child_module().report_stops
            os.register_at_fork(after_in_child=lambda: report_stops(port, self._token))

    def hear(self) -> None:
        """Take in what has been said."""
        while True:
            try:
                message, sender = self._socket.recvfrom(4096)
            except BlockingIOError:
                return
            token, _, where = message.decode(errors="replace").partition(" ")
            if self._are_equal(token.encode(), self._token.encode()):
                self._stops[sender] = (where, time.monotonic())

    def stopped_at(self) -> str | None:
        """Where a child is stopped now."""
        since = time.monotonic() - EXPIRY_SECONDS
        return next((place for place, said in self._stops.values() if place and said > since), None)


def _child_module() -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location("_debuglaunch_child", CHILD_SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _reporting(
    original: Callable[..., list[Any]], port: int, token: str
) -> Callable[..., list[Any]]:
    """pydevd's function that makes a child's command line one with the debugger, with our part."""

    def patch_args(args: Any, *more: Any, **named: Any) -> list[Any]:
        patched = original(args, *more, **named)
        return patched if list(patched) == list(args) else _with_report(patched, port, token)

    return patch_args


def _with_report(args: list[Any], port: int, token: str) -> list[Any]:
    """Of `python pydevd.py ...` or `python -c "import sys; ...; import pydevd; ..."`."""
    for index, argument in enumerate(args):
        if isinstance(argument, str) and argument.endswith("pydevd.py"):
            ours = [str(CHILD_SCRIPT), f"{port}:{token}"]
            return [*args[:index], *ours, *args[index:]]
        if isinstance(argument, str) and "import pydevd; " in argument:
            load = f"import runpy; runpy.run_path({str(CHILD_SCRIPT)!r})"
            report = f"{load}['report_stops']({port}, {token!r}); "
            code = argument.replace("import pydevd; ", f"{report}import pydevd; ", 1)
            return [*args[:index], code, *args[index + 1 :]]
    return args

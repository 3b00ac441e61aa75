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
    pydev_monkey: Any = sys.modules.get("_pydev_bundle.pydev_monkey")
    skip_patch = getattr(pydev_monkey, "skip_subprocess_arg_patch", None)
    with skip_patch() if skip_patch else _commands_left_alone(pydev_monkey):
        yield


@contextlib.contextmanager
def _commands_left_alone(pydev_monkey: Any) -> Iterator[None]:
    """The same for pydevd-pycharm, which has no such switch."""
    original_patch_args = getattr(pydev_monkey, "patch_args", None)
    if original_patch_args is None:  # no debugger, or none that follows children
        yield
        return
    pydev_monkey.patch_args = lambda args: args
    try:
        yield
    finally:
        pydev_monkey.patch_args = original_patch_args


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
        self._stops_by_child: dict[Any, tuple[str, float]] = {}
        """By child: where it is stopped, and when it said so last."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def follow(self) -> None:
        """Have children started from now on report: new interpreters, and forks."""
        pydev_monkey: Any = sys.modules.get("_pydev_bundle.pydev_monkey")
        original_patch_args = getattr(pydev_monkey, "patch_args", None)
        if original_patch_args is None:  # no debugger, or none that follows children
            return
        port = self._socket.getsockname()[1]
        pydev_monkey.patch_args = _patch_args_to_report(original_patch_args, port, self._token)
        if hasattr(os, "register_at_fork"):
            report_stops = _child_script_as_module().report_stops
            os.register_at_fork(after_in_child=lambda: report_stops(port, self._token))

    def hear(self) -> None:
        """Take in what has been said."""
        while True:
            try:
                message, child_address = self._socket.recvfrom(4096)
            except BlockingIOError:
                return
            token, _, place = message.decode(errors="replace").partition(" ")
            if self._are_equal(token.encode(), self._token.encode()):
                self._stops_by_child[child_address] = (place, time.monotonic())

    def stopped_at(self) -> str | None:
        """Where a child is stopped now."""
        expired_before = time.monotonic() - EXPIRY_SECONDS
        for place, reported_at in self._stops_by_child.values():
            if place and reported_at > expired_before:
                return place
        return None


def _child_script_as_module() -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location("_debuglaunch_child", CHILD_SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _patch_args_to_report(
    original_patch_args: Callable[..., list[Any]], port: int, token: str
) -> Callable[..., list[Any]]:
    """pydevd's function that makes a child's command line one with the debugger, with our part."""

    def patch_args(command: Any, *args: Any, **kwargs: Any) -> list[Any]:
        debugged_command = original_patch_args(command, *args, **kwargs)
        if list(debugged_command) == list(command):
            return debugged_command
        return _with_report(debugged_command, port, token)

    return patch_args


def _with_report(command: list[Any], port: int, token: str) -> list[Any]:
    """Of `python pydevd.py ...` or `python -c "import sys; ...; import pydevd; ..."`."""
    for index, argument in enumerate(command):
        if isinstance(argument, str) and argument.endswith("pydevd.py"):
            child_script = [str(CHILD_SCRIPT), f"{port}:{token}"]
            return [*command[:index], *child_script, *command[index:]]
        if isinstance(argument, str) and "import pydevd; " in argument:
            run_child_script = f"import runpy; runpy.run_path({str(CHILD_SCRIPT)!r})"
            report_stops = f"{run_child_script}['report_stops']({port}, {token!r}); "
            code = argument.replace("import pydevd; ", f"{report_stops}import pydevd; ", 1)
            return [*command[:index], code, *command[index + 1 :]]
    return command

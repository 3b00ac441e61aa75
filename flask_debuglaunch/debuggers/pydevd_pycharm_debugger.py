"""pydevd-pycharm: the debugger of PyCharm and IntelliJ IDEA, a fork of pydevd.

https://www.jetbrains.com/help/pycharm/remote-debugging-with-product.html
"""

from __future__ import annotations

import re
import threading

from flask_debuglaunch.debuggers import pydevd_internals as internals
from flask_debuglaunch.debuggers.debugger_interface import Endpoint
from flask_debuglaunch.debuggers.ide_debug_server import IdeDebugServer
from flask_debuglaunch.debuggers.post_mortem_stop import PostMortemThread
from flask_debuglaunch.debuggers.pydevd_base import PydevdBase


class PydevdPycharm(PydevdBase):
    name = "pydevd-pycharm"
    ides = ("pycharm", "intellij")
    flags = ("DEBUG_WITH_PYCHARM",)
    connections = ("connect",)
    package = "pydevd-pycharm"
    module = library = "pydevd_pycharm"
    ide_server = IdeDebugServer(
        "debug server of PyCharm",
        re.compile(rb"50\d\t"),
        'Start its "Python Debug Server" configuration first',
    )

    def _attach(self, endpoint: Endpoint) -> None:
        import pydevd_pycharm

        pydevd_pycharm.settrace(
            endpoint.host, port=endpoint.port, suspend=False, **_output_to_ide(pydevd_pycharm)
        )

    def _stop_post_mortem(self, error: BaseException) -> None:
        internals.keep_errors_unprinted(
            lambda: isinstance(threading.current_thread(), PostMortemThread)
        )
        super()._stop_post_mortem(error)


def _output_to_ide(pydevd_pycharm: object) -> dict[str, bool]:
    """The arguments of settrace; builds before 2025 spell them in camel case."""
    import inspect

    parameters = inspect.signature(pydevd_pycharm.settrace).parameters  # type: ignore[attr-defined]
    spellings = ("stdout_to_server", "stderr_to_server", "stdoutToServer", "stderrToServer")
    return {spelling: True for spelling in spellings if spelling in parameters}

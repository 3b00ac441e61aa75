"""pydevd: the debugger of PyDev, in Eclipse, Aptana Studio and LiClipse.

https://www.pydev.org/manual_adv_remote_debugger.html
"""

from __future__ import annotations

import re

from flask_debuglaunch.debuggers.debugger_interface import Endpoint
from flask_debuglaunch.debuggers.ide_debug_server import IdeDebugServer
from flask_debuglaunch.debuggers.pydevd_base import PydevdBase
from flask_debuglaunch.installed_packages import is_module_installed


class Pydevd(PydevdBase):
    name = "pydevd"
    ides: tuple[str, ...] = ("eclipse", "aptana", "pydev", "liclipse")
    flags: tuple[str, ...] = ("DEBUG_WITH_APTANA", "DEBUG_WITH_ECLIPSE")
    connections = ("connect",)
    package = "pydevd"
    module = library = "pydevd"
    ide_server = IdeDebugServer(
        "debug server of PyDev",
        re.compile(rb"50\d\t"),
        'Start it there first (the Debug perspective: PyDev > "Start Debug Server")',
    )

    def installed(self) -> bool:
        # pydevd-pycharm ships a pydevd.py too; its own module tells the two apart.
        return is_module_installed("pydevd") and not is_module_installed("pydevd_pycharm")

    def _attach(self, endpoint: Endpoint) -> None:
        import pydevd

        pydevd.settrace(
            endpoint.host,
            port=endpoint.port,
            suspend=False,
            stdout_to_server=True,
            stderr_to_server=True,
        )

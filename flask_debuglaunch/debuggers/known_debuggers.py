"""Every debugger by its name, and which one is in this process already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask_debuglaunch.debuggers.debugger_interface import Debugger, Presence
from flask_debuglaunch.debuggers.debugpy_debugger import Debugpy
from flask_debuglaunch.debuggers.no_debugger import NoDebugger
from flask_debuglaunch.debuggers.pydevd_debugger import Pydevd
from flask_debuglaunch.debuggers.pydevd_pycharm_debugger import PydevdPycharm
from flask_debuglaunch.debuggers.werkzeug_debugger import Werkzeug

DEBUGGERS: Mapping[str, Debugger] = {
    "werkzeug": Werkzeug(),
    "debugpy": Debugpy(),
    "pydevd": Pydevd(),
    "pydevd-pycharm": PydevdPycharm(),
    "none": NoDebugger(),
}


@dataclass(frozen=True)
class PresentDebugger:
    """A debugger that is in this process already."""

    debugger: Debugger
    presence: Presence


def debugger_by_name(name: str) -> Debugger:
    """The debugger of that name, or the one that an IDE of that name uses; "off" is none.

    Raises KeyError for any other name.
    """
    if name == "off":
        return DEBUGGERS["none"]
    for debugger in DEBUGGERS.values():
        if name == debugger.name or name in debugger.ides:
            return debugger
    raise KeyError(name)


def present_debugger() -> PresentDebugger | None:
    """The debugger that traces this process now. Imports none."""
    for debugger in DEBUGGERS.values():
        presence = debugger.presence()
        if presence is not None:
            return PresentDebugger(debugger, presence)
    return None

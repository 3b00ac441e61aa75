"""Let a suspended thread go on as soon as the IDE says so.

pydevd 3.5 (debugpy 1.8.22 too) changes the state of a suspended thread and then wakes another one:
_update_stepping_info in pydevd_additional_thread_info uses the name of its argument for its loops
as well. The right thread looks again after up to 0.2 s: at every step, and at every Continue, from
about the second request on. Private names, so guarded: without them it is as slow as without us.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask_debuglaunch.debuggers import pydevd_internals as internals

# Where pydevd looks each function up when it is called.
CHANGE_THE_STATE = (
    ("_pydevd_bundle.pydevd_thread_lifecycle", "internal_run_thread"),
    ("_pydevd_bundle.pydevd_api", "internal_step_in_thread"),
    ("_pydevd_bundle.pydevd_api", "internal_smart_step_into"),
)


def wake_at_once() -> None:
    """From now on every change of a thread's state wakes all that wait for one."""
    if "_pydevd_bundle.pydevd_thread_lifecycle" not in sys.modules:
        return  # another pydevd, or none
    for module_name, name in CHANGE_THE_STATE:
        module = importlib.import_module(module_name)
        function = getattr(module, name, None)
        if function is not None and not hasattr(function, "__wrapped__"):
            setattr(module, name, _then_waking(function))


def _then_waking(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def changing(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        for event in list(getattr(internals.live_debugger(), "_thread_events", {}).values()):
            event.set()
        return result

    return changing

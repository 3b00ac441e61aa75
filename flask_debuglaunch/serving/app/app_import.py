"""Import the app as a server does: its environment first, its errors told as its own."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from flask_debuglaunch.debuggers.debugger_calls_in_app import notice_debuggers_started
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.app_finder import (
    find_target,
    load_app,
    make_importable,
    set_debug,
    without_our_frames,
)
from flask_debuglaunch.serving.app.environ_for_app import set_for_app
from flask_debuglaunch.serving.app.server_calls_in_app import let_others_serve, serving_ignored
from flask_debuglaunch.serving.app.unhandled_errors import relay_import_error
from flask_debuglaunch.serving.attach_debugger import debugger_of
from flask_debuglaunch.terminal_messages import say

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def take_over(app: WSGIApplication, plan: Plan, *, supervised: bool) -> None:
    """An app that its own program has made: what is set for an imported one, as far as it can be
    now. Under a supervisor the process was started with it already."""
    set_for_app(plan, supervised=supervised)
    let_others_serve()
    _look_only_in_imported_packages()
    set_debug(app, plan.debug.value)


def import_app(
    plan: Plan,
    *,
    supervised: bool,
    first: bool,
    recorder: AbstractContextManager[object] | None = None,
    when_imported: Callable[[], None] = lambda: None,
) -> WSGIApplication:
    """The app, imported, with the recorder looking on. when_imported: called when its module has
    run, and before a factory in it is called.

    Raises LaunchError, or what the app's own code raises; for its SystemExit a RuntimeError.
    """
    set_for_app(plan, supervised=supervised)
    let_others_serve()
    _look_only_in_imported_packages()
    notice_debuggers_started(say if first else lambda line: None)
    try:
        # Before the recorder: it is ours, and no change of the app's.
        target = find_target(plan)
        module = make_importable(target.path)
        tell = _tell_of_server if first else _tell_nobody
        with serving_ignored(tell), recorder or nullcontext():
            return load_app(plan, target, module, when_imported)
    except LaunchError:
        raise
    except SystemExit as error:
        ended = RuntimeError(f"the app ended itself while it was imported: {error!r}")
        raise ended.with_traceback(error.__traceback__) from None
    except Exception as error:
        error.__traceback__ = without_our_frames(error.__traceback__)
        relay_import_error(error, debugger_of(plan), plan.stop_on_errors.value)
        raise


def print_error(error: BaseException) -> None:
    """The app's error as Python would have printed it, had it run the app alone."""
    trace = without_our_frames(error.__traceback__)
    traceback.print_exception(type(error), error, trace, file=sys.stderr)


def _tell_of_server(place: str, call: str) -> None:
    say(
        f"{place}: {call} is ignored, the app is served already. Put it under"
        ' `if __name__ == "__main__":`'
    )


def _tell_nobody(*_: str) -> None:
    """It has been told of."""


TRACEBACKS_LOOK = "_find_incompatible_extension_module"


def _look_only_in_imported_packages() -> None:
    """From now on, have `traceback` look only into packages that have been imported.

    For a missing submodule Python 3.15's `traceback` imports the package around it, to look for a
    build of the module for another Python. A package whose import has failed would run again, and
    its error would leave `traceback`, and every server's and logger's call of it, in place of the
    text.
    """
    look: Any = getattr(traceback, TRACEBACKS_LOOK, None)
    if look is None or hasattr(look, "is_ours"):
        return

    def look_there(module: str | None) -> str | None:
        package = (module or "").rpartition(".")[0]
        found: str | None = look(module) if not package or package in sys.modules else None
        return found

    vars(look_there)["is_ours"] = True
    setattr(traceback, TRACEBACKS_LOOK, look_there)

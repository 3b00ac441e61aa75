"""Import the app as a server does: its environment first, its errors told as its own."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from flask_debuglaunch.debuggers.debugger_calls_in_app import take_debugger_calls_in_hand
from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.app_finder import (
    AppTarget,
    app_in_module,
    find_target,
    make_importable,
)
from flask_debuglaunch.serving.app.environ_for_app import set_for_app
from flask_debuglaunch.serving.app.module_origins import IMPORTLIB, OUR_FOLDER
from flask_debuglaunch.serving.app.server_calls_in_app import app_run_ignored, let_run_simple_serve
from flask_debuglaunch.serving.app.stop_on_unhandled_errors import relay_import_error
from flask_debuglaunch.serving.attach_debugger import debugger_of
from flask_debuglaunch.terminal_messages import say, shown_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def take_over(app: WSGIApplication, plan: Plan, *, supervised: bool) -> None:
    """An app that its own program has made: what is set for an imported one, as far as it can be
    now. Under a supervisor the process was started with it already."""
    set_for_app(plan, supervised=supervised)
    let_run_simple_serve()
    _let_traceback_import_nothing()
    _set_debug(app, plan.debug.value)


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
    let_run_simple_serve()
    _let_traceback_import_nothing()
    take_debugger_calls_in_hand(say if first else lambda line: None)
    try:
        # Before the recorder: it is ours, and no change of the app's.
        target = find_target(plan)
        module_name = make_importable(target.path)
        say_ignored_call = _say_ignored_server_call if first else _say_nothing
        with app_run_ignored(say_ignored_call), recorder or nullcontext():
            module = _import_module(target, module_name)
            when_imported()
            app = app_in_module(module, target, plan.config_file)
            _set_debug(app, plan.debug.value)
            return app
    except LaunchError:
        raise
    except SystemExit as error:
        import_error = RuntimeError(f"the app ended itself while it was imported: {error!r}")
        raise import_error.with_traceback(error.__traceback__) from None
    except Exception as error:
        error.__traceback__ = without_our_frames(error.__traceback__)
        relay_import_error(error, debugger_of(plan), plan.stop_on_errors.value)
        raise


def _import_module(target: AppTarget, module_name: str) -> ModuleType:
    try:
        # Not importlib.import_module: it would leave its own frames in the app's traceback.
        __import__(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise LaunchError(_no_such_module(module_name, target)) from None
        raise
    module = sys.modules[module_name]
    _refuse_namesake(module, target)
    return module


def _refuse_namesake(module: ModuleType, target: AppTarget) -> None:
    """A flask.py of the user's is never imported where that name is taken already."""
    module_path = Path(sys.path[0], *module.__name__.split("."))
    possible_files = (module_path.with_suffix(".py"), module_path / "__init__.py")
    app_files = [file for file in possible_files if file.is_file()]
    imported_file = getattr(module, "__file__", None)
    if not app_files or not imported_file:
        return
    if not any(os.path.samefile(file, imported_file) for file in app_files):
        raise LaunchError(
            f"{target.origin}: {shown_path(app_files[0])} can't be imported: {module.__name__} is"
            f" the module {imported_file} already. Rename the file"
        )


def _no_such_module(module_name: str, target: AppTarget) -> str:
    folder = target.path.parent
    importable_names = [
        *(file.stem for file in folder.glob("*.py")),
        *(init_file.parent.name for init_file in folder.glob("*/__init__.py")),
    ]
    fix = ". Name a module or file that is there, such as shop.web or shop/web.py"
    return (
        f"{target.origin}: there is no module {module_name} in {folder}"
        f"{did_you_mean(module_name, importable_names, fix)}"
    )


def _set_debug(app: WSGIApplication, debug: bool) -> None:
    """As `flask run` does: through the property, so that values derived from it follow."""
    from flask import Flask

    if isinstance(app, Flask):
        app.debug = debug


def _say_ignored_server_call(place: str, call: str) -> None:
    say(
        f"{place}: {call} is ignored, the app is served already. Put it under"
        ' `if __name__ == "__main__":`'
    )


def _say_nothing(*_: str) -> None:
    """It has been told of."""


# An import that fails


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from where the app's code begins."""
    # Of importlib's frames Python leaves the first, if it was called by a recorder of imports.
    files_before_the_app = (OUR_FOLDER, IMPORTLIB)
    while trace and trace.tb_frame.f_code.co_filename.startswith(files_before_the_app):
        trace = trace.tb_next
    return trace


def print_error(error: BaseException) -> None:
    """The app's error as Python would have printed it, had it run the app alone."""
    trace = without_our_frames(error.__traceback__)
    traceback.print_exception(type(error), error, trace, file=sys.stderr)


def failing_app(error: BaseException) -> WSGIApplication:
    """An app that answers every request with the error that kept the real one from loading."""

    trace = without_our_frames(error.__traceback__)  # each raise adds to it

    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001
        __traceback_hide__ = True  # Werkzeug's debugger leaves this frame out then
        raise error.with_traceback(trace)

    return app


_TRACEBACKS_SEARCH = "_find_incompatible_extension_module"


def _let_traceback_import_nothing() -> None:
    """From now on, have `traceback` look only into packages that have been imported.

    For a missing submodule Python 3.15's `traceback` imports the package around it, to look for a
    build of the module for another Python. A package whose import has failed would run again, and
    its error would leave `traceback`, and every server's and logger's call of it, in place of the
    text.
    """
    find_extension_module: Any = getattr(traceback, _TRACEBACKS_SEARCH, None)
    if find_extension_module is None or hasattr(find_extension_module, "is_ours"):
        return

    def find_in_imported_package(module_name: str | None) -> str | None:
        package = (module_name or "").rpartition(".")[0]
        if package and package not in sys.modules:
            return None
        extension_module: str | None = find_extension_module(module_name)
        return extension_module

    vars(find_in_imported_package)["is_ours"] = True
    setattr(traceback, _TRACEBACKS_SEARCH, find_in_imported_package)

"""Find and import the app: everything that Flask's --app takes, and any plain WSGI callable.

Our own and not `flask.cli.ScriptInfo.load_app`, because that refuses whatever is not a Flask
object (ProxyFix(app), DispatcherMiddleware, another framework's app), can't hand the factory our
configuration file, and turns the app's own error on import into text. What both take, both take
alike: a test compares them.
"""

from __future__ import annotations

import ast
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, cast

from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.redaction import redacted_repr
from flask_debuglaunch.serving.app.module_origins import IMPORTLIB, OUR_FOLDER
from flask_debuglaunch.terminal_messages import shown_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Flask's own names and order, with the docs' main.py after them.
SEARCHED_FILES = ("wsgi.py", "app.py", "main.py")
APP_NAMES = ("app", "application")
FACTORY_NAMES = ("create_app", "make_app")


@dataclass(frozen=True)
class Target:
    """What to import, and what in it is the app."""

    path: Path
    expression: str | None
    origin: str


@dataclass(frozen=True)
class Call:
    """A name of the module, and the arguments it is to be called with, if it was written so."""

    name: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    written: bool = False


def load_app(
    plan: Plan, target: Target, name: str, when_imported: Callable[[], None]
) -> WSGIApplication:
    """Import the app. name: of its module. when_imported: called before a factory is.

    Raises LaunchError if there is none, and whatever its own code raises.
    """
    module = _import(target, name)
    when_imported()
    if target.expression is None:
        app = _best_app(module, target, plan.config_file)
    else:
        app = _named_app(module, target, plan.config_file)
    _refuse_asgi(app, module, target)
    set_debug(app, plan.debug.value)
    return app


def _refuse_asgi(app: object, module: ModuleType, target: Target) -> None:
    """Quart's, Connexion 3's, FastAPI's: each request would be answered with an error."""
    called = app if inspect.isfunction(app) else type(app).__call__
    if not inspect.iscoroutinefunction(called):
        return
    names = [name for name, one in vars(module).items() if one is app]
    factories = [name for name in FACTORY_NAMES if hasattr(module, name)]
    flag, name = ("", names[0]) if names else ("--factory ", (factories or FACTORY_NAMES)[0])
    kind = type(app)
    raise LaunchError(
        f"{target.origin}: {_shown(module)} has an ASGI app, a {kind.__module__}.{kind.__name__}."
        " This server, as Flask's, is one for WSGI. Use pip install uvicorn, then"
        f" uvicorn --reload {flag}{module.__name__}:{name}"
    )


def find_target(plan: Plan) -> Target:
    """What the plan names, else the first of SEARCHED_FILES. Imports nothing."""
    folder, named = plan.app_directory.value, plan.app.value
    if named is not None:
        # The same split as Flask's: the colon of C:\main.py is not one.
        path, *expression = re.split(r":(?![\\/])", named, maxsplit=1)
        origin = str(plan.settings.app.origin)
        return Target(folder / path, expression[0] if expression else None, origin)
    for file in SEARCHED_FILES:
        package = folder / file.removesuffix(".py")
        if (folder / file).is_file() or (package / "__init__.py").is_file():
            return Target(folder / file, None, file)
    # Here, because a launch that finds its app does without it.
    from flask_debuglaunch.configuration.starter_yaml import look_at_project

    example = look_at_project(folder).app or "server.py"
    raise LaunchError(
        f"{folder}: there is no app: no {', '.join(SEARCHED_FILES)}. Name it with APP in the YAML"
        f" or on the command line, as in --app {example}"
    )


def source_folder(plan: Plan) -> Path:
    """Where the app's own modules are. Raises LaunchError if there is no app."""
    return plan.app_directory.value if plan.app_is_given else find_target(plan).path.parent


def _import(target: Target, name: str) -> ModuleType:
    try:
        # Not importlib.import_module: it would leave its own frames in the app's traceback.
        __import__(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise LaunchError(_no_module(name, target)) from None
        raise
    module = sys.modules[name]
    _refuse_namesake(module, target)
    return module


def _refuse_namesake(module: ModuleType, target: Target) -> None:
    """A flask.py of the user's is never imported where that name is taken already."""
    meant = Path(sys.path[0], *module.__name__.split("."))
    files = [one for one in (meant.with_suffix(".py"), meant / "__init__.py") if one.is_file()]
    imported = getattr(module, "__file__", None)
    if files and imported and not any(os.path.samefile(one, imported) for one in files):
        raise LaunchError(
            f"{target.origin}: {shown_path(files[0])} can't be imported: {module.__name__} is the"
            f" module {imported} already. Rename the file"
        )


def _no_module(name: str, target: Target) -> str:
    folder = target.path.parent
    others = [one.stem for one in folder.glob("*.py")] + [
        one.parent.name for one in folder.glob("*/__init__.py")
    ]
    fix = ". Name a module or file that is there, such as shop.web or shop/web.py"
    return (
        f"{target.origin}: there is no module {name} in {folder}{did_you_mean(name, others, fix)}"
    )


def make_importable(path: Path) -> str:
    """The module name of a file, package or dotted name; the folder it is in comes first on
    sys.path, as with Flask's --app."""
    path = Path(os.path.realpath(path))  # a loop of links is no error for it
    path = path.with_suffix("") if path.suffix == ".py" else path
    path = path.parent if path.name == "__init__" else path
    names = [path.name]
    while (path.parent / "__init__.py").exists():
        path = path.parent
        names.insert(0, path.name)
    if sys.path[0] != str(path.parent):
        sys.path.insert(0, str(path.parent))
    return ".".join(names)


def _best_app(module: ModuleType, target: Target, config_file: Path | None) -> WSGIApplication:
    from flask import Flask

    flasks = {name: one for name, one in vars(module).items() if isinstance(one, Flask)}
    preferred = [flasks[name] for name in APP_NAMES if name in flasks]
    if preferred:
        return preferred[0]
    if len(set(map(id, flasks.values()))) > 1:  # one app under two names is one app
        raise LaunchError(
            f"{target.origin}: {_shown(module)} has several Flask apps: {', '.join(flasks)}."
            f" Say which, as in --app {module.__name__}:{next(iter(flasks))}"
        )
    if flasks:
        return next(iter(flasks.values()))
    factories = [one for one in FACTORY_NAMES if inspect.isfunction(getattr(module, one, None))]
    callables = [one for one in APP_NAMES if callable(getattr(module, one, None))]
    for name in factories + callables:
        return _called(module, Call(name), target, config_file)
    raise LaunchError(
        f"{target.origin}: {_shown(module)} has no app: no Flask object, no"
        f" {' or '.join(FACTORY_NAMES)}, no WSGI callable named {' or '.join(APP_NAMES)}."
        f" Say what it is, as in --app {module.__name__}:name"
    )


def _named_app(module: ModuleType, target: Target, config_file: Path | None) -> WSGIApplication:
    call = parse_call(target)
    if not hasattr(module, call.name):
        names = [name for name, one in vars(module).items() if callable(one)]
        fix = f". Write the name of what is the app in it, as in --app {module.__name__}:app"
        raise LaunchError(
            f"{target.origin}: {_shown(module)} has no {call.name}"
            f"{did_you_mean(call.name, names, fix)}"
        )
    return _called(module, call, target, config_file)


def _shown(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return f"{module.__name__} ({shown_path(Path(file))})" if file else module.__name__


def parse_call(target: Target) -> Call:
    """What stands behind the colon. Raises LaunchError for anything but a name or such a call."""
    text = (target.expression or "").strip()
    wrong = LaunchError(
        f"{target.origin}: what follows the colon must be a name, or a call with literal arguments,"
        f" such as create_app('dev'), not {text!r}"
    )
    try:
        expression = ast.parse(text, mode="eval").body
        if isinstance(expression, ast.Name):
            return Call(expression.id)
        if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Name):
            raise wrong
        args = [ast.literal_eval(one) for one in expression.args]
        kwargs = {str(one.arg): ast.literal_eval(one.value) for one in expression.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        # TypeError for {[]: 1}; the others for what is nested without end.
        raise wrong from None
    return Call(expression.func.id, args, kwargs, written=True)


def _called(
    module: ModuleType, call: Call, target: Target, config_file: Path | None
) -> WSGIApplication:
    """The app that the name is, or that the factory of that name returns."""
    named = getattr(module, call.name)
    name = f"{module.__name__}:{call.name}"
    if not (isinstance(named, functools.partial) or inspect.isfunction(named)):
        if not callable(named):
            raise LaunchError(
                f"{target.origin}: {name} is no app, but {redacted_repr(named)}. Name a Flask"
                " object, a factory or another WSGI callable"
            )
        return cast("WSGIApplication", named)
    kwargs = {**call.kwargs, **_config_argument(named, call, config_file)}
    if _takes(named, *call.args, **kwargs):
        return _made(named, call.args, kwargs, f"{target.origin}: the factory {name}")
    if call.written or call.name in FACTORY_NAMES or not _is_wsgi(named):
        given = "with these" if call.written else "without"
        raise LaunchError(
            f"{target.origin}: the factory {name}{inspect.signature(named)} can't be called {given}"
            f" arguments. Write them as literals, as in --app \"{name}('dev')\""
        )
    return cast("WSGIApplication", named)


def _made(
    factory: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], subject: str
) -> WSGIApplication:
    if inspect.iscoroutinefunction(factory):
        raise LaunchError(
            f"{subject} is async, but an app is made before there is an event loop. Make it a"
            " plain function; the views may be async"
        )
    app = factory(*args, **kwargs)
    if not callable(app):
        raise LaunchError(
            f"{subject} returned {redacted_repr(app)}, expected the app. End it with `return app`"
        )
    return cast("WSGIApplication", app)


def _takes(function: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _is_wsgi(function: Callable[..., Any]) -> bool:
    return _takes(function, "environ", "start_response")


def _config_argument(
    factory: Callable[..., Any], call: Call, config_file: Path | None
) -> dict[str, str]:
    """`create_app(config="config.yaml")` as in Flask's docs: a factory that asks for it gets the
    configuration's path, unless it was written."""
    signature = inspect.signature(factory)
    asking = next((one for one in signature.parameters.values() if _asks_for_file(one)), None)
    if config_file is None or asking is None:
        return {}
    try:
        written = signature.bind_partial(*call.args, **call.kwargs).arguments
    except TypeError:
        return {}
    return {} if asking.name in written else {asking.name: str(config_file)}


def _asks_for_file(parameter: inspect.Parameter) -> bool:
    """Is the path of a YAML what it wants, beyond doubt?

    `config=None` may as well be a mapping, an object or "dev" for the factory that can do without;
    where it can't, a path is what the docs' factory takes.
    """
    named_yaml = "yaml" in parameter.name
    if not (named_yaml or parameter.name == "config") or parameter.kind not in _BY_NAME:
        return False
    default = parameter.default
    if default is None:
        annotated = inspect.formatannotation(parameter.annotation)
        return named_yaml or re.search(r"\bPath(Like)?\b", annotated) is not None
    return default is parameter.empty or str(default).endswith((".yaml", ".yml"))


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def set_debug(app: WSGIApplication, debug: bool) -> None:
    """As `flask run` does: through the property, so that values derived from it follow."""
    from flask import Flask

    if isinstance(app, Flask):
        app.debug = debug


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from where the app's code begins."""
    # Of importlib's frames Python leaves the first, if it was called by a recorder of imports.
    before = (OUR_FOLDER, IMPORTLIB)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(before):
        trace = trace.tb_next
    return trace


def failing_app(error: BaseException) -> WSGIApplication:
    """An app that answers every request with the error that kept the real one from loading."""

    trace = without_our_frames(error.__traceback__)  # each raise adds to it

    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001
        __traceback_hide__ = True  # Werkzeug's debugger leaves this frame out then
        raise error.with_traceback(trace)

    return app

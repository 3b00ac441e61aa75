"""Find the app: the file that has it, and what in the imported module it is. Takes everything that
Flask's --app takes, and any plain WSGI callable.

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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.redaction import redacted_repr
from flask_debuglaunch.terminal_messages import shown_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Flask's own names and order, with the docs' main.py after them.
SEARCHED_FILES = ("wsgi.py", "app.py", "main.py")
APP_NAMES = ("app", "application")
FACTORY_NAMES = ("create_app", "make_app")
_KEYWORD_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class AppTarget:
    """What to import, and what in it is the app."""

    path: Path
    app_expression: str | None
    origin: str


@dataclass(frozen=True)
class FactoryCall:
    """A name of the module, and the arguments it is to be called with, if it was written so."""

    name: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    is_written: bool = False


def find_target(plan: Plan) -> AppTarget:
    """What the plan names, else the first of SEARCHED_FILES. Imports nothing."""
    folder, named_app = plan.app_directory.value, plan.app.value
    if named_app is not None:
        # The same split as Flask's: the colon of C:\main.py is not one.
        path, *expression = re.split(r":(?![\\/])", named_app, maxsplit=1)
        origin = str(plan.settings.app.origin)
        return AppTarget(folder / path, expression[0] if expression else None, origin)
    for file in SEARCHED_FILES:
        package = folder / file.removesuffix(".py")
        if (folder / file).is_file() or (package / "__init__.py").is_file():
            return AppTarget(folder / file, None, file)
    # Here, because a launch that finds its app does without it.
    from flask_debuglaunch.app_in_source_files import find_app_in_source_files

    example_app = find_app_in_source_files(folder).app or "server.py"
    raise LaunchError(
        f"{folder}: there is no app: no {', '.join(SEARCHED_FILES)}. Name it with APP in the YAML"
        f" or on the command line, as in --app {example_app}"
    )


def source_folder(plan: Plan) -> Path:
    """Where the app's own modules are. Raises LaunchError if there is no app."""
    return plan.app_directory.value if plan.app_is_given else find_target(plan).path.parent


def make_importable(path: Path) -> str:
    """The module name of a file, package or dotted name; the folder it is in comes first on
    sys.path, as with Flask's --app."""
    path = Path(os.path.realpath(path))  # a loop of links is no error for it
    path = path.with_suffix("") if path.suffix == ".py" else path
    path = path.parent if path.name == "__init__" else path
    package_names = [path.name]
    while (path.parent / "__init__.py").exists():
        path = path.parent
        package_names.insert(0, path.name)
    if sys.path[0] != str(path.parent):
        sys.path.insert(0, str(path.parent))
    return ".".join(package_names)


def app_in_module(
    module: ModuleType, target: AppTarget, config_file: Path | None
) -> WSGIApplication:
    """The app in the imported module, made by its factory if need be; the factory may be given the
    path of the configuration file.

    Raises LaunchError if there is none, and whatever the factory raises.
    """
    if target.app_expression is None:
        app = _best_app(module, target, config_file)
    else:
        app = _named_app(module, target, config_file)
    _refuse_asgi(app, module, target)
    return app


def _best_app(module: ModuleType, target: AppTarget, config_file: Path | None) -> WSGIApplication:
    from flask import Flask

    flask_apps = {name: value for name, value in vars(module).items() if isinstance(value, Flask)}
    preferred_apps = [flask_apps[name] for name in APP_NAMES if name in flask_apps]
    if preferred_apps:
        return preferred_apps[0]
    if len(set(map(id, flask_apps.values()))) > 1:  # one app under two names is one app
        raise LaunchError(
            f"{target.origin}: {_module_and_file(module)} has several Flask apps:"
            f" {', '.join(flask_apps)}."
            f" Say which, as in --app {module.__name__}:{next(iter(flask_apps))}"
        )
    if flask_apps:
        return next(iter(flask_apps.values()))
    factories = [name for name in FACTORY_NAMES if inspect.isfunction(getattr(module, name, None))]
    wsgi_callables = [name for name in APP_NAMES if callable(getattr(module, name, None))]
    for name in factories + wsgi_callables:
        return _app_by_name(module, FactoryCall(name), target, config_file)
    raise LaunchError(
        f"{target.origin}: {_module_and_file(module)} has no app: no Flask object, no"
        f" {' or '.join(FACTORY_NAMES)}, no WSGI callable named {' or '.join(APP_NAMES)}."
        f" Say what it is, as in --app {module.__name__}:name"
    )


def _named_app(module: ModuleType, target: AppTarget, config_file: Path | None) -> WSGIApplication:
    call = parse_call(target)
    if not hasattr(module, call.name):
        callables = [name for name, value in vars(module).items() if callable(value)]
        fix = f". Write the name of what is the app in it, as in --app {module.__name__}:app"
        raise LaunchError(
            f"{target.origin}: {_module_and_file(module)} has no {call.name}"
            f"{did_you_mean(call.name, callables, fix)}"
        )
    return _app_by_name(module, call, target, config_file)


def _module_and_file(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return f"{module.__name__} ({shown_path(Path(file))})" if file else module.__name__


def parse_call(target: AppTarget) -> FactoryCall:
    """What stands behind the colon. Raises LaunchError for anything but a name or such a call."""
    app_expression = (target.app_expression or "").strip()
    refusal = LaunchError(
        f"{target.origin}: what follows the colon must be a name, or a call with literal arguments,"
        f" such as create_app('dev'), not {app_expression!r}"
    )
    try:
        expression = ast.parse(app_expression, mode="eval").body
        if isinstance(expression, ast.Name):
            return FactoryCall(expression.id)
        if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Name):
            raise refusal
        args = [ast.literal_eval(argument) for argument in expression.args]
        kwargs = {
            str(keyword.arg): ast.literal_eval(keyword.value) for keyword in expression.keywords
        }
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        # TypeError for {[]: 1}; the others for what is nested without end.
        raise refusal from None
    return FactoryCall(expression.func.id, args, kwargs, is_written=True)


def _app_by_name(
    module: ModuleType, call: FactoryCall, target: AppTarget, config_file: Path | None
) -> WSGIApplication:
    """The app that the name is, or that the factory of that name returns."""
    app_or_factory = getattr(module, call.name)
    app_name = f"{module.__name__}:{call.name}"
    is_function = inspect.isfunction(app_or_factory)
    if not (isinstance(app_or_factory, functools.partial) or is_function):
        if not callable(app_or_factory):
            raise LaunchError(
                f"{target.origin}: {app_name} is no app, but {redacted_repr(app_or_factory)}."
                " Name a Flask object, a factory or another WSGI callable"
            )
        return cast("WSGIApplication", app_or_factory)
    kwargs = {**call.kwargs, **_config_argument(app_or_factory, call, config_file)}
    subject = f"{target.origin}: the factory {app_name}"
    if _accepts_arguments(app_or_factory, *call.args, **kwargs):
        return _app_of_factory(app_or_factory, call.args, kwargs, subject)
    if call.is_written or call.name in FACTORY_NAMES or not _is_wsgi(app_or_factory):
        these_or_none = "with these" if call.is_written else "without"
        raise LaunchError(
            f"{subject}{inspect.signature(app_or_factory)} can't be called {these_or_none}"
            f" arguments. Write them as literals, as in --app \"{app_name}('dev')\""
        )
    return cast("WSGIApplication", app_or_factory)


def _app_of_factory(
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


def _refuse_asgi(app: object, module: ModuleType, target: AppTarget) -> None:
    """Quart's, Connexion 3's, FastAPI's: each request would be answered with an error."""
    app_function = app if inspect.isfunction(app) else type(app).__call__
    if not inspect.iscoroutinefunction(app_function):
        return
    app_names = [name for name, value in vars(module).items() if value is app]
    factories = [name for name in FACTORY_NAMES if hasattr(module, name)]
    flag, name = (
        ("", app_names[0]) if app_names else ("--factory ", (factories or FACTORY_NAMES)[0])
    )
    app_class = f"{type(app).__module__}.{type(app).__name__}"
    raise LaunchError(
        f"{target.origin}: {_module_and_file(module)} has an ASGI app, a {app_class}."
        " This server, as Flask's, is one for WSGI. Use pip install uvicorn, then"
        f" uvicorn --reload {flag}{module.__name__}:{name}"
    )


def _accepts_arguments(function: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _is_wsgi(function: Callable[..., Any]) -> bool:
    return _accepts_arguments(function, "environ", "start_response")


def _config_argument(
    factory: Callable[..., Any], call: FactoryCall, config_file: Path | None
) -> dict[str, str]:
    """`create_app(config="config.yaml")` as in Flask's docs: a factory that asks for it gets the
    configuration's path, unless it was written."""
    factory_signature = inspect.signature(factory)
    parameters = factory_signature.parameters.values()
    config_parameter = next(filter(_asks_for_config_file, parameters), None)
    if config_file is None or config_parameter is None:
        return {}
    try:
        written_arguments = factory_signature.bind_partial(*call.args, **call.kwargs).arguments
    except TypeError:
        return {}
    if config_parameter.name in written_arguments:
        return {}
    return {config_parameter.name: str(config_file)}


def _asks_for_config_file(parameter: inspect.Parameter) -> bool:
    """Is the path of a YAML what it wants, beyond doubt?

    `config=None` may as well be a mapping, an object or "dev" for the factory that can do without;
    where it can't, a path is what the docs' factory takes.
    """
    is_named_yaml = "yaml" in parameter.name
    if not (is_named_yaml or parameter.name == "config") or parameter.kind not in _KEYWORD_KINDS:
        return False
    default = parameter.default
    if default is None:
        annotation = inspect.formatannotation(parameter.annotation)
        return is_named_yaml or re.search(r"\bPath(Like)?\b", annotation) is not None
    return default is parameter.empty or str(default).endswith((".yaml", ".yml"))

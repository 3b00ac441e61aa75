"""Start a Flask app under any debugger, from one YAML, and say why.

The docs' recipe, without its last six lines::

    import flask_debuglaunch

    if __name__ == "__main__":
        flask_debuglaunch.run(create_app(config="config.yaml"), config="config.yaml")
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_debuglaunch import start_directory  # noqa: F401  (notes the directory of now)
from flask_debuglaunch.errors import LaunchError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from flask_debuglaunch.plan import Plan

__version__ = "0.1.0"
__all__ = ["LaunchError", "__version__", "explain", "run", "run_options"]


def run(app: WSGIApplication, config: str | os.PathLike[str] | None = None, **options: Any) -> None:
    """Serve an app that is there already, as `python -m flask_debuglaunch` would.

    config: the YAML, else it is looked for in the working directory. options: settings by their
    names in lower case (``host="0.0.0.0"``, ``port=8000``); they count like command-line flags.

    Serves until the process is told to end, and then raises SystemExit: 130 for Ctrl-C, 143 for
    SIGTERM; 2, with a message, where the configuration is wrong, and 1 where the port is taken.
    Returns at once where the app is only imported to be served: by `python -m flask_debuglaunch`
    and by commands of Flask. Raises LaunchError inside of a production server, and of pytest.

    With reload the whole program is started again, in the directory in which it was when
    flask_debuglaunch was imported; without, env files are read only now, as `app.run` does it.
    Outside of the main thread there is no reload.
    """
    from flask_debuglaunch.serving.child_process_main import is_child, run_child
    from flask_debuglaunch.serving.serve import is_only_imported, refuse_inside_server, serve
    from flask_debuglaunch.terminal_messages import show_error

    if is_only_imported():
        return
    refuse_inside_server()
    try:
        if is_child():
            raise SystemExit(run_child(app))
        plan = _planner(config, options, app_is_given=True)
        status = serve(plan(), app, resolve_plan=plan)
    except LaunchError as error:
        show_error(str(error))
        raise SystemExit(error.exit_status) from None
    if status:
        raise SystemExit(status)


def run_options(config: str | os.PathLike[str] | None = None, **options: Any) -> dict[str, Any]:
    """The arguments for `app.run`: ``app.run(**run_options("config.yaml", host="0.0.0.0"))``.

    Gives debug, use_debugger and use_reloader as resolved, and host and port where they are set.
    Starts no debugger: that is for the IDE, or for `run`. Nor does it stop the IDE at an error
    that Flask turns into a 500: `run` does, `app.run` leaves errors to Flask. Raises LaunchError
    for a wrong configuration, and for a host on which others could reach Werkzeug's debugger.
    """
    plan = _plan(config, options)
    if plan.run_for.value is not None:
        raise LaunchError(
            "call:run_for: `app.run` does not end by itself. Use run(app, run_for=...)"
        )
    debug_options = {
        "debug": plan.debug.value,
        "use_debugger": plan.use_debugger.value,
        "use_reloader": plan.use_reloader.value,
    }
    settings = plan.settings
    address_settings = {"host": settings.host, "port": settings.port}
    return debug_options | {
        name: setting.value for name, setting in address_settings.items() if not setting.is_default
    }


def explain(config: str | os.PathLike[str] | None = None, **options: Any) -> dict[str, Any]:
    """What `explain --json` prints, as a dictionary: settings with origins, plan with reasons."""
    from flask_debuglaunch.explain_report import as_json
    from flask_debuglaunch.launcher_notes import notes_of_launchers

    return as_json(_plan(config, options), launcher_notes=notes_of_launchers(Path.cwd()))


def _plan(config: str | os.PathLike[str] | None, options: dict[str, Any]) -> Plan:
    return _planner(config, options)()


def _planner(
    config: str | os.PathLike[str] | None, options: dict[str, Any], *, app_is_given: bool = False
) -> Callable[[], Plan]:
    """What reads the files and decides: again whenever it is called, by the facts of now."""
    from flask_debuglaunch.configuration.load_settings import load_settings, read_arguments
    from flask_debuglaunch.deployment.deployed_app import DEPLOYED_APP_SETTINGS
    from flask_debuglaunch.detect_environment import observe
    from flask_debuglaunch.plan import resolve

    config_file = Path(config) if config is not None else None
    keyword_settings = read_arguments(options, Path.cwd())
    for name in DEPLOYED_APP_SETTINGS & keyword_settings.keys():
        raise LaunchError(
            f"{keyword_settings[name].origin}: this program is somebody's already, and its app may"
            " be made. Give the flag to `python -m flask_debuglaunch`"
        )
    folder, environ = Path.cwd(), dict(os.environ)
    facts = observe(app_is_given=app_is_given)
    return lambda: resolve(load_settings(config_file, {}, environ, folder, keyword_settings), facts)

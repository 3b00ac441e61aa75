"""What of the app can't be debugged or served as planned: said with what to write instead."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flask_debuglaunch.debuggers.pydevd_internals import lives_with_gevent
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.terminal_messages import say

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

GREENLET_ASYNC_MODES = ("eventlet", "gevent", "gevent_uwsgi")


def warn_of_incompatibilities(app: WSGIApplication, plan: Plan) -> None:
    """Say what of the app, now that it is imported, can't be debugged or served as planned."""
    _warn_of_own_debugger(app, plan)
    for hint in _extension_hints(app, debug=plan.debug.value):
        say(hint)
    if plan.is_external and is_patched_for_greenlets() and not lives_with_gevent():
        say(
            "Warning: gevent or eventlet patches the app's threads, and the debugger does not know:"
            " a breakpoint would hang the app. Set GEVENT_SUPPORT=True in the environment before"
            ' the start (in launch.json: "gevent": true)'
        )


def is_patched_for_greenlets() -> bool:
    """By gevent or eventlet: are the app's threads theirs?"""
    gevent, eventlet = (sys.modules.get(name) for name in ("gevent.monkey", "eventlet.patcher"))
    if gevent is not None and gevent.is_module_patched("threading"):
        return True
    return eventlet is not None and bool(eventlet.is_monkey_patched("thread"))


def _warn_of_own_debugger(app: WSGIApplication, plan: Plan) -> None:
    """The app brings Werkzeug's debugger along, where the plan is to have none."""
    if plan.use_debugger.value or not _is_werkzeugs_debugger(getattr(app, "wsgi_app", app)):
        return
    say(
        "Warning: the app wraps itself in Werkzeug's DebuggedApplication, which catches every"
        " error and runs code from the browser, though use_debugger=False"
        f" ({plan.use_debugger.reason}). Remove it: the launcher adds it where it is wanted"
    )


def _is_werkzeugs_debugger(app: WSGIApplication) -> bool:
    werkzeug_debug = sys.modules.get("werkzeug.debug")  # not there: nobody can have used it
    return werkzeug_debug is not None and isinstance(app, werkzeug_debug.DebuggedApplication)


def _extension_hints(app: WSGIApplication, *, debug: bool) -> Iterator[str]:
    """A line for each extension of the app that is served without something it has."""
    yield from _socketio_hint(getattr(app, "extensions", {}).get("socketio"))
    if debug:
        yield from _dash_hint(sys.modules.get("dash"))


def _socketio_hint(socketio: Any) -> Iterator[str]:
    """Its websockets are served by the server that its async_mode names, which socketio.run()
    starts; under Werkzeug's only `threading` has any, by the package simple-websocket."""
    async_mode = getattr(socketio, "async_mode", None)
    if async_mode in GREENLET_ASYNC_MODES:
        yield (
            f"Flask-SocketIO is in async_mode {async_mode!r}, whose websockets this server has not:"
            " clients poll. While you debug: SocketIO(async_mode='threading') and pip install"
            " simple-websocket"
        )
    elif async_mode == "threading" and find_spec("simple_websocket") is None:
        yield "Flask-SocketIO has no websockets, clients poll: pip install simple-websocket"


def _dash_hint(dash: Any) -> Iterator[str]:
    """Dash.run(debug=True) turns its dev tools on, and so may the app itself."""
    if dash is None:
        return
    try:
        dash_app = dash.get_app()
    except Exception:  # none has been made; Dash raises Exception itself
        return
    if not getattr(dash_app, "_dev_tools", {}).get("ui"):
        yield (
            "Dash's dev tools are off, because app.run(debug=True) is not what starts it here:"
            " write app.enable_dev_tools(debug=True, dev_tools_hot_reload=False) after the layout"
        )

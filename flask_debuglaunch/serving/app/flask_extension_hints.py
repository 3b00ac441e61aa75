"""What extensions do in their own run() and miss here, said with what to write."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

GREENLETS = ("eventlet", "gevent", "gevent_uwsgi")


def extension_hints(app: WSGIApplication, *, debug: bool) -> Iterator[str]:
    """A line for each extension of the app that is served without something it has."""
    yield from _socketio_hint(getattr(app, "extensions", {}).get("socketio"))
    if debug:
        yield from _dash_hint(sys.modules.get("dash"))


def _socketio_hint(socketio: Any) -> Iterator[str]:
    """Its websockets are served by the server that its async_mode names, which socketio.run()
    starts; under Werkzeug's only `threading` has any, by the package simple-websocket."""
    mode = getattr(socketio, "async_mode", None)
    if mode in GREENLETS:
        yield (
            f"Flask-SocketIO is in async_mode {mode!r}, whose websockets this server has not:"
            " clients poll. While you debug: SocketIO(async_mode='threading') and pip install"
            " simple-websocket"
        )
    elif mode == "threading" and find_spec("simple_websocket") is None:
        yield "Flask-SocketIO has no websockets, clients poll: pip install simple-websocket"


def _dash_hint(dash: Any) -> Iterator[str]:
    """Dash.run(debug=True) turns its dev tools on, and so may the app itself."""
    if dash is None:
        return
    try:
        app = dash.get_app()
    except Exception:  # none has been made; Dash raises Exception itself
        return
    if not getattr(app, "_dev_tools", {}).get("ui"):
        yield (
            "Dash's dev tools are off, because app.run(debug=True) is not what starts it here:"
            " write app.enable_dev_tools(debug=True, dev_tools_hot_reload=False) after the layout"
        )

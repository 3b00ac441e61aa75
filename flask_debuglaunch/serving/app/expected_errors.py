"""Errors that are none: what servers and protocols raise on purpose, to be dropped by the server.

At the end of each websocket engineio (Flask-SocketIO) and flask-sock raise ConnectionError, under
gunicorn StopIteration, so that the server sends no second response. Werkzeug's server drops a
ConnectionError or a TimeoutError of any request (WSGIRequestHandler.run_wsgi).
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType

from werkzeug.exceptions import ClientDisconnected

from flask_debuglaunch.serving.app.module_origins import is_installed

ENDS_OF_A_CONNECTION = (ConnectionError, TimeoutError, StopIteration)


def is_expected(error: BaseException) -> bool:
    """Has it left the app only to tell the server that this connection is over?

    Not so where the app's own code raised it, or called what did: its database is not there.
    """
    if isinstance(error, ClientDisconnected):
        return True
    return isinstance(error, ENDS_OF_A_CONNECTION) and not any(_of_the_apps_own(error))


def _of_the_apps_own(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        # A middleware of the app's only hands on what comes from inside.
        hands_on = _is_wsgi_call(frame) and trace is not None
        if not hands_on and not _is_installed(frame):
            yield frame


def _is_wsgi_call(frame: FrameType) -> bool:
    code = frame.f_code
    return "start_response" in code.co_varnames[: code.co_argcount]


def _is_installed(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith("<frozen ") or is_installed(file)

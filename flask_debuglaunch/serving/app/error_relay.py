"""An unhandled error stops the IDE, once, where it was raised; a handled one does not.

Flask and the WSGI server catch every error, so a debugger that waits for uncaught ones never sees
any. Three places see all that nobody handles:

- Flask's signal `got_request_exception`: views, before- and after-request functions, templates,
  and error handlers that fail themselves. Flask sends it for what it turns into a 500, also where
  a handler for 500 or InternalServerError is then told of the error: that error is unhandled. It
  does not send it for what `abort()` raises, nor where a handler for the error's class answers;
  one for `Exception` handles everything. In debug mode it does for a missing key of a form, to
  have it debugged (TRAP_BAD_REQUEST_ERRORS).
- The WSGI call: teardown functions, streamed responses, middleware around the app.
- The import of the app.

Of a group of errors (a TaskGroup's, Flask 3.2's of failing teardown functions) each member is
shown where it was raised: the group itself was raised where they met.

STOP_ON_ERRORS chooses: "unhandled" is all of these, "all" also stops at what an error handler of
the app takes (HTTP errors excepted), "off" stops at nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from flask import Flask, got_request_exception
from werkzeug.exceptions import ClientDisconnected, HTTPException

from flask_debuglaunch.debuggers import Debugger

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_shown_on_import: list[BaseException] = []
# An error passes several of the places. What was shown is kept for each request, not marked on the
# error: a program may raise one and the same object again and again.
_shown_in_request: ContextVar[list[BaseException]] = ContextVar("shown_in_request")


def relay_errors(app: WSGIApplication, debugger: Debugger, mode: str) -> WSGIApplication:
    """The app, with its errors relayed to the debugger's IDE.

    mode: as STOP_ON_ERRORS. To be called once for a process, with the app as it will be served.
    """
    if mode == "off":
        return app
    relay = _Relay(debugger)
    got_request_exception.connect(relay.on_signal, weak=False)
    if mode == "all" and isinstance(app, Flask):
        relay.watch_handlers(app)
    return relay.around(app)


def relay_import_error(error: Exception, debugger: Debugger, mode: str) -> None:
    """Stop the IDE for an error of the app's import."""
    if mode != "off":
        for raised in raised_errors(error):
            _shown_on_import.append(raised)
            debugger.stop_on_error(raised)


def raised_errors(error: BaseException) -> list[BaseException]:
    """The error, or the members of a group that were raised themselves, at any depth.

    A group of errors that nobody has raised is an error like any other.
    """
    if not _is_group(error):
        return [error]
    members: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    raised = [one for member in members for one in raised_errors(member)]
    return [one for one in raised if one.__traceback__ is not None] or [error]


def _is_group(error: BaseException) -> bool:
    # By name: on Python 3.10 it is a class of the package exceptiongroup.
    return any(one.__name__ == "BaseExceptionGroup" for one in type(error).__mro__)


class _Relay:
    def __init__(self, debugger: Debugger) -> None:
        self._debugger = debugger

    def show(self, error: BaseException) -> None:
        """Stop the IDE for the error, unless it has been stopped for it before."""
        shown = _shown_in_request.get([])
        for raised in raised_errors(error):
            if not any(one is raised for one in (*_shown_on_import, *shown)):
                shown.append(raised)
                self._debugger.stop_on_error(raised)

    def forget_shown(self) -> None:
        """The request is over: let go of its errors, whose frames they keep alive."""
        for error in _shown_in_request.get([]):
            self._debugger.forget_error(error)
        _shown_in_request.set([])

    def on_signal(self, sender: object, *, exception: BaseException, **_: object) -> None:
        self.show(exception)

    def on_escape(self, error: Exception) -> None:
        """An error has left the app. A client that has gone is none of the app's."""
        if not isinstance(error, ClientDisconnected):
            self.show(error)

    def watch_handlers(self, app: Flask) -> None:
        """Show also what Flask is about to find a handler for."""
        handle = app.handle_user_exception

        # The error is the last argument; Flask 3.2 puts its context in front of it.
        def handle_user_exception(*args: Any) -> Any:
            if not isinstance(args[-1], HTTPException):
                self.show(args[-1])
            return handle(*args)

        app.handle_user_exception = handle_user_exception  # type: ignore

    def around(self, app: WSGIApplication) -> WSGIApplication:
        def relayed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            _shown_in_request.set([])
            try:
                return _Response(app(environ, start_response), self)
            except Exception as error:
                self.on_escape(error)
                self.forget_shown()
                raise

        return relayed


class _Response:
    """The iterable of a response, which may fail half way or when it is closed."""

    def __init__(self, response: Iterable[bytes], relay: _Relay) -> None:
        self._response = response
        self._relay = relay

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response
        except Exception as error:
            self._relay.on_escape(error)
            raise

    def close(self) -> None:
        try:
            getattr(self._response, "close", lambda: None)()
        except Exception as error:
            self._relay.on_escape(error)
            raise
        finally:
            self._relay.forget_shown()

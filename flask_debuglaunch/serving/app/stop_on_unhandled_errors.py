"""An unhandled error stops the IDE, once, where it was raised; a handled one does not.

Flask and the WSGI server catch every error, so a debugger that waits for uncaught ones never sees
any. Three places see all that nobody handles:

- Flask's signal `got_request_exception`: views, before- and after-request functions, templates,
  and error handlers that fail themselves. Flask sends it for what it turns into a 500, also where
  a handler for 500 or InternalServerError is then told of the error: that error is unhandled. It
  does not send it for what `abort()` raises, nor where a handler for the error's class answers. In
  debug mode it does for a missing key of a form, to have it debugged (TRAP_BAD_REQUEST_ERRORS).
- The WSGI call: teardown functions, streamed responses, middleware around the app.
- The import of the app.

Of some errors only the response tells whether they were handled: those are doubtful until then.
A handler for `Exception` takes every error, on purpose or as the last resort: where it answers
with a 5xx, the error is unhandled. Flask-RESTX and Flask-RESTful send the signal also for what
`abort()` raises: unhandled where the response does not have the status that was asked for.

Of a group of errors (a TaskGroup's, Flask 3.2's of failing teardown functions) each member is
shown where it was raised: the group itself was raised where they met.

STOP_ON_ERRORS chooses: "unhandled" is all of these, "all" also stops at what an error handler of
the app takes (HTTP errors excepted), "off" stops at nothing.

Some errors are none: servers and protocols raise them on purpose, to be dropped by the server. At
the end of each websocket engineio (Flask-SocketIO) and flask-sock raise ConnectionError, under
gunicorn StopIteration, so that the server sends no second response. Werkzeug's server drops a
ConnectionError or a TimeoutError of any request (WSGIRequestHandler.run_wsgi).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from flask import Flask, got_request_exception, request_started
from werkzeug.exceptions import ClientDisconnected, HTTPException

from flask_debuglaunch.debuggers.debugger_interface import Debugger
from flask_debuglaunch.serving.app.module_origins import is_installed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    NotTakenByIde = Callable[[BaseException, WSGIEnvironment], None]

_errors_shown_on_import: list[BaseException] = []


@dataclass
class RequestErrors:
    """The errors of one request. An error passes several of the places; it is not marked on the
    error itself, for a program may raise one and the same object again and again."""

    shown_errors: list[BaseException] = field(default_factory=list)
    doubtful_errors: list[BaseException] = field(default_factory=list)
    environ: WSGIEnvironment = field(default_factory=dict)


_errors_of_request: ContextVar[RequestErrors] = ContextVar("errors_of_request")


def relay_errors(
    app: WSGIApplication,
    debugger: Debugger,
    stop_on_errors: str,
    not_taken_by_ide: NotTakenByIde = lambda error, environ: None,
) -> WSGIApplication:
    """The app, with its errors relayed to the debugger's IDE.

    stop_on_errors: as STOP_ON_ERRORS. not_taken_by_ide: called for each error that no IDE takes. To
    be called once for a process, with the app as it will be served.
    """
    if stop_on_errors == "off":
        return app
    relay = _ErrorRelay(debugger, stop_on_errors, not_taken_by_ide)
    got_request_exception.connect(relay.on_signal, weak=False)
    # Not the app at hand: it may be wrapped, or be several.
    request_started.connect(relay.on_request, weak=False)
    return relay.wrap(app)


def relay_import_error(error: Exception, debugger: Debugger, stop_on_errors: str) -> None:
    """Stop the IDE for an error of the app's import."""
    if stop_on_errors != "off":
        for raised in raised_errors(error):
            _errors_shown_on_import.append(raised)
            debugger.stop_on_error(raised)


def raised_errors(error: BaseException) -> list[BaseException]:
    """The error, or the members of a group that were raised themselves, at any depth.

    A group of errors that nobody has raised is an error like any other.
    """
    if not _is_exception_group(error):
        return [error]
    members: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    leaf_errors = [leaf for member in members for leaf in raised_errors(member)]
    return [leaf for leaf in leaf_errors if leaf.__traceback__ is not None] or [error]


def _is_exception_group(error: BaseException) -> bool:
    # By name: on Python 3.10 it is a class of the package exceptiongroup.
    return any(base.__name__ == "BaseExceptionGroup" for base in type(error).__mro__)


class _ErrorRelay:
    def __init__(
        self,
        debugger: Debugger,
        stop_on_errors: str,
        not_taken_by_ide: NotTakenByIde,
    ) -> None:
        self._debugger = debugger
        self._stop_on_errors = stop_on_errors
        self._not_taken_by_ide = not_taken_by_ide
        self._watched_apps: WeakSet[Flask] = WeakSet()

    def show_in_ide(self, error: BaseException) -> None:
        """Stop the IDE for the error, unless it has been stopped for it before."""
        shown_errors = _request_errors().shown_errors
        for raised in raised_errors(error):
            if not any(shown is raised for shown in (*_errors_shown_on_import, *shown_errors)):
                shown_errors.append(raised)
                if not self._debugger.stop_on_error(raised):
                    self._not_taken_by_ide(raised, _request_errors().environ)

    def forget_shown(self) -> None:
        """The request is over: let go of its errors, whose frames they keep alive."""
        for error in _request_errors().shown_errors:
            self._debugger.forget_error(error)
        _errors_of_request.set(RequestErrors())

    def on_signal(self, sender: Flask, *, exception: BaseException, **_: object) -> None:
        if isinstance(exception, HTTPException) and not sender.trap_http_exception(exception):
            _request_errors().doubtful_errors.append(exception)
        else:
            self.show_in_ide(exception)

    def on_escaped_error(self, error: Exception) -> None:
        """An error has left the app."""
        if not is_for_the_server(error):
            self.show_in_ide(error)

    def on_status(self, status: str) -> None:
        """The response begins: it tells what became of the doubtful errors."""
        status_code, request_errors = int(status.split()[0]), _request_errors()
        for error in request_errors.doubtful_errors:
            if status_code >= 500 and status_code != getattr(error, "code", None):
                self.show_in_ide(error)
        request_errors.doubtful_errors.clear()

    def on_request(self, sender: Flask, **_: object) -> None:
        """The first time that an app gets a request: look on, from now on, at its handlers."""
        if sender in self._watched_apps:
            return
        self._watched_apps.add(sender)
        if self._stop_on_errors == "all":
            self._watch_all_handlers(sender)
        else:
            self._watch_last_resorts(sender)

    def _watch_all_handlers(self, app: Flask) -> None:
        """Show what Flask, or an extension in its place, is about to find a handler for."""
        flasks_handle_user_exception = app.handle_user_exception

        # The error is the last argument; Flask 3.2 puts its context in front of it.
        def handle_user_exception(*args: Any) -> Any:
            __traceback_hide__ = True
            if not isinstance(args[-1], HTTPException):
                self.show_in_ide(args[-1])
            return flasks_handle_user_exception(*args)

        app.handle_user_exception = handle_user_exception  # type: ignore

    def _watch_last_resorts(self, app: Flask) -> None:
        """Doubt what a handler of Exception takes. Not by way of handle_user_exception: our frame
        would be in the traceback of every error that nobody handles."""
        for handlers_by_code in app.error_handler_spec.values():
            handlers: dict[Any, Callable[[Any], Any]] = handlers_by_code.get(None, {})
            if Exception in handlers:
                handlers[Exception] = self._doubting(app.ensure_sync(handlers[Exception]))

    def _doubting(self, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @wraps(handler)
        def doubting_handler(error: Exception) -> Any:
            if not isinstance(error, HTTPException):
                _request_errors().doubtful_errors.append(error)
            return handler(error)

        return doubting_handler

    def wrap(self, app: WSGIApplication) -> WSGIApplication:
        def app_with_errors_relayed(
            environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterable[bytes]:
            _errors_of_request.set(RequestErrors(environ=environ))
            try:
                return _RelayedResponse(app(environ, self._with_status_seen(start_response)), self)
            except Exception as error:
                self.on_escaped_error(error)
                self.forget_shown()
                raise

        return app_with_errors_relayed

    def _with_status_seen(self, start_response: StartResponse) -> StartResponse:
        def start_seen_response(status: str, *arguments: Any) -> Callable[[bytes], object]:
            self.on_status(status)
            return start_response(status, *arguments)

        return start_seen_response


def _request_errors() -> RequestErrors:
    return _errors_of_request.get(RequestErrors())


class _RelayedResponse:
    """The iterable of a response, which may fail half way or when it is closed."""

    def __init__(self, response: Iterable[bytes], relay: _ErrorRelay) -> None:
        self._response = response
        self._relay = relay

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response
        except Exception as error:
            self._relay.on_escaped_error(error)
            raise

    def close(self) -> None:
        try:
            getattr(self._response, "close", lambda: None)()
        except Exception as error:
            self._relay.on_escaped_error(error)
            raise
        finally:
            self._relay.forget_shown()


# Errors that are none

ENDS_OF_A_CONNECTION = (ConnectionError, TimeoutError, StopIteration)


def is_for_the_server(error: BaseException) -> bool:
    """Has it left the app only to tell the server that this connection is over?

    Not so where the app's own code raised it, or called what did: its database is not there.
    """
    if isinstance(error, ClientDisconnected):
        return True
    return isinstance(error, ENDS_OF_A_CONNECTION) and not any(_frames_of_the_apps_code(error))


def _frames_of_the_apps_code(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        # A middleware of the app's only hands on what comes from inside.
        is_middleware = _is_wsgi_call(frame) and trace is not None
        if not is_middleware and not _is_of_installed_code(frame):
            yield frame


def _is_wsgi_call(frame: FrameType) -> bool:
    code = frame.f_code
    return "start_response" in code.co_varnames[: code.co_argcount]


def _is_of_installed_code(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith("<frozen ") or is_installed(file)

"""The last unhandled errors that no IDE took, with their frames: to be stopped at later.

An error's traceback keeps its frames alive, with all that they hold. So they are bounded by number,
by age and by that memory; and a reload ends the process that has them.

A page lists them, with a button for each. A click runs nothing that comes from the browser. It is a
POST with the token of this process, from a client on this machine that knows it by a name of its
own (local_clients.py), and not from another site's page, as the browser tells: no other site can
make it, nor read the token, nor have these pages in a frame.
"""

from __future__ import annotations

import contextvars
import gc
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup, escape
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request, Response

from flask_debuglaunch.errors import DebuggerUnavailable
from flask_debuglaunch.serving.app.local_clients import LocalClients
from flask_debuglaunch.serving.app.retained_size import bytes_held_by
from flask_debuglaunch.serving.app.traceback_page import ERROR_PAGE_HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MOST_ERRORS = 5
MOST_BYTES = 256 * 1024 * 1024
"""Of all together, less what the app holds without them; lower bounds, see retained_size.py."""
SECONDS = 600.0
STEP_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class KeptError:
    """request: "GET /view"; context: of the request, in which `request` and `g` evaluate."""

    error: BaseException
    request: str
    context: contextvars.Context
    since: float = field(default_factory=time.monotonic)
    key: str = field(default_factory=lambda: secrets.token_hex(8))

    def __str__(self) -> str:
        return f"{type(self.error).__name__} in {self.request}"


class KeptErrors:
    """start_hidden_thread: starts a thread that neither the debugger nor the app sees. say: is
    called in it with what is let go for its memory."""

    def __init__(
        self,
        start_hidden_thread: Callable[[Callable[[], None]], None],
        say: Callable[[str], None],
        *,
        seconds: float = SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.token = secrets.token_urlsafe(16)
        """Whoever has it may have the IDE stop: of this process, so not good after a reload."""
        self._start_hidden_thread = start_hidden_thread
        self._say = say
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._kept_errors: tuple[KeptError, ...] = ()
        self._lock = threading.Lock()
        self._is_bounded = False
        self._is_weighed = False

    def keep(self, error: BaseException, request: str) -> KeptError:
        kept_error = KeptError(error, request, contextvars.copy_context())
        with self._lock:
            # Ends after the lock is left: their objects may have a __del__.
            earlier_errors = self._kept_errors
            self._kept_errors = (*earlier_errors, kept_error)[-MOST_ERRORS:]
            was_bounded, self._is_bounded, self._is_weighed = self._is_bounded, True, False
        if not was_bounded:
            self._start_hidden_thread(self._keep_bounded)
        return kept_error

    def all(self) -> tuple[KeptError, ...]:
        """The newest first."""
        return self._kept_errors[::-1]

    def find(self, *, key: str = "", error: BaseException | None = None) -> KeptError | None:
        return next((kept for kept in self.all() if kept.key == key or kept.error is error), None)

    def _keep_bounded(self) -> None:
        """Let go of each when its time has come, or at once where they hold too much; ends with
        the last one."""
        while self._is_bounded:
            # As gevent may have patched it: unless pydevd knows, our thread is a greenlet then.
            time.sleep(STEP_SECONDS)
            has_let_go = self._let_go(self._expired_errors())  # in no variable that outlasts it
            if not self._is_weighed:
                self._is_weighed = True
                has_let_go |= self._let_go_of_heavy()
            if has_let_go:
                # Flask's frames hold the error that holds them: an idle app would keep both.
                gc.collect()
            with self._lock:
                self._is_bounded = bool(self._kept_errors)

    def _expired_errors(self) -> list[KeptError]:
        expired_before = time.monotonic() - self._seconds
        return [kept for kept in self._kept_errors if kept.since < expired_before]

    def _let_go_of_heavy(self) -> bool:
        """Here, a moment later: while its request ran, an error alone held nothing."""
        has_let_go = False
        while (bytes_held := bytes_held_by(*self._kept_errors)) > self._most_bytes:
            heaviest = max(self._kept_errors, key=bytes_held_by)
            has_let_go = self._let_go([heaviest])
            self._say(
                f"{heaviest} can't be stopped at any more: kept errors may hold"
                f" {_megabytes(self._most_bytes)}, and with this one they held"
                f" {_megabytes(bytes_held)}"
            )
        return has_let_go

    def _let_go(self, dropped: list[KeptError]) -> bool:
        """Returns whether there are any."""
        with self._lock:  # it is the caller whose list keeps them until the lock is left
            self._kept_errors = tuple(kept for kept in self._kept_errors if kept not in dropped)
        return bool(dropped)


def _megabytes(bytes_held: int) -> str:
    return f"{bytes_held / 1024**2:,.0f} MiB"


# The page

LIST_PATH = "/__debuglaunch__/errors"
LIST_HEADERS = {**ERROR_PAGE_HEADERS, "Referrer-Policy": "no-referrer"}  # the URL has the token
MOST_BYTES_OF_FORM = 10_000
LIST_PAGE = Markup("""\
<!doctype html>
<html lang=en>
<title>Kept errors</title>
<style>body {{ font-family: sans-serif; margin: 2em }} form {{ display: inline }}</style>
<h1>Kept errors</h1>
<p>{message}</p>
<ul>{error_items}</ul>
</html>
""")
STOP_BUTTON = Markup("""\
<form method=post action="{path}/{key}"><input type=hidden name=token value="{token}">\
<button>Stop here in the debugger</button></form>""")


@dataclass(frozen=True)
class DebuggerStop:
    """How the debugger is had to stop at an error.

    meet_ide: sees to it that an IDE is met that takes the error; returns what to tell the person,
    None if one is there. Raises DebuggerUnavailable. stop_late: stops in this thread, as soon as it
    is there.
    """

    meet_ide: Callable[[BaseException], str | None]
    stop_late: Callable[[BaseException], None]


def stop_button(kept_errors: KeptErrors, error: BaseException) -> Markup:
    """The button for an error; empty if it is not kept."""
    kept_error = kept_errors.find(error=error)
    return _button_html(kept_errors, kept_error) if kept_error else Markup("")


def link_to_list(
    kept_errors: KeptErrors, environ: WSGIEnvironment, published_port: int | None
) -> str:
    """The list's address, for the terminal. Not by the Host that the client has named: whoever
    follows the link gives the token to that host. published_port: instead of the container's."""
    server_name = str(environ["SERVER_NAME"])
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server_name, server_name)
    url_host = f"[{host}]" if ":" in host else host
    port = published_port or environ["SERVER_PORT"]
    server_url = f"{environ['wsgi.url_scheme']}://{url_host}:{port}"
    return f"{server_url}{LIST_PATH}?open={quote(kept_errors.token)}"


def with_kept_errors(
    app: WSGIApplication,
    kept_errors: KeptErrors,
    debugger_stop: DebuggerStop,
    local_clients: LocalClients,
) -> WSGIApplication:
    """The app, and beside it the list of its kept errors."""

    def app_with_list(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if f"{path}/".startswith(f"{LIST_PATH}/") and local_clients.include(environ):
            response = _list_response(Request(environ), kept_errors, debugger_stop)
            return response(environ, start_response)
        return app(environ, start_response)

    return app_with_list


def _list_response(
    request: Request, kept_errors: KeptErrors, debugger_stop: DebuggerStop
) -> Response:
    if request.method not in ("GET", "HEAD", "POST"):
        return Response(
            "This is to be read, or clicked", 405, {**LIST_HEADERS, "Allow": "GET, POST"}
        )
    if not _is_same_token(_token_in(request), kept_errors.token):
        return Response(
            "Not this process's token: open the link that it printed", 403, LIST_HEADERS
        )
    if request.method != "POST":
        return _list_page(kept_errors, "")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return Response("Not from another site's page", 403, LIST_HEADERS)
    kept_error = kept_errors.find(key=request.path.rpartition("/")[2])
    if kept_error is None:
        return _list_page(kept_errors, "That error is not kept any more.")
    try:
        to_do = debugger_stop.meet_ide(kept_error.error)
    except DebuggerUnavailable as error:
        return _list_page(kept_errors, str(error))
    message = to_do or f"The debugger stops at {kept_error}: see the IDE."
    response = _list_page(kept_errors, message)
    # When it has been sent: a stop suspends this thread too.
    response.call_on_close(lambda: _stop_thread(kept_error, debugger_stop.stop_late).start())
    return response


def _list_page(kept_errors: KeptErrors, message: str) -> Response:
    error_items = Markup("").join(
        Markup("<li>{} {}").format(kept_error, _button_html(kept_errors, kept_error))
        for kept_error in kept_errors.all()
    )
    page = LIST_PAGE.format(message=message, error_items=error_items)
    return Response(page, 200, LIST_HEADERS, mimetype="text/html")


def _token_in(request: Request) -> str:
    if request.method != "POST":
        # In the terminal it must be legible, so it is not called by the name redacted there.
        return request.args.get("open", "")
    request.max_content_length = MOST_BYTES_OF_FORM
    try:
        return request.form.get("token", "")
    except RequestEntityTooLarge:
        return ""


def _is_same_token(token_of_request: str, token: str) -> bool:
    import hmac

    return hmac.compare_digest(token_of_request.encode(), token.encode())


def _stop_thread(
    kept_error: KeptError, stop_late: Callable[[BaseException], None]
) -> threading.Thread:
    """Stops at the error, named for it and its request, while the server serves.

    With the error as an argument, which a thread lets go of at its end: pydevd remembers threads.
    """
    request_context = kept_error.context.copy()
    return threading.Thread(
        target=request_context.run,
        args=(stop_late, kept_error.error),
        name=str(kept_error),
        daemon=True,
    )


def _button_html(kept_errors: KeptErrors, kept_error: KeptError) -> Markup:
    return STOP_BUTTON.format(path=LIST_PATH, key=kept_error.key, token=escape(kept_errors.token))

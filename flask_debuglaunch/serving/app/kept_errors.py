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
    """start_hidden_thread: starts a thread that neither the debugger nor the app sees. tell: is
    told in it what is let go for its memory."""

    def __init__(
        self,
        start_hidden_thread: Callable[[Callable[[], None]], None],
        tell: Callable[[str], None],
        *,
        seconds: float = SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.token = secrets.token_urlsafe(16)
        """Whoever has it may have the IDE stop: of this process, so not good after a reload."""
        self._start_hidden_thread = start_hidden_thread
        self._tell = tell
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._kept: tuple[KeptError, ...] = ()
        self._lock = threading.Lock()
        self._is_bounded = False
        self._is_weighed = False

    def keep(self, error: BaseException, request: str) -> KeptError:
        kept = KeptError(error, request, contextvars.copy_context())
        with self._lock:
            before = self._kept  # ends after the lock is left: their objects may have a __del__
            self._kept = (*before, kept)[-MOST_ERRORS:]
            begins, self._is_bounded, self._is_weighed = not self._is_bounded, True, False
        if begins:
            self._start_hidden_thread(self._keep_bounded)
        return kept

    def all(self) -> tuple[KeptError, ...]:
        """The newest first."""
        return self._kept[::-1]

    def find(self, *, key: str = "", error: BaseException | None = None) -> KeptError | None:
        return next((one for one in self.all() if one.key == key or one.error is error), None)

    def _keep_bounded(self) -> None:
        """Let go of each when its time has come, or at once where they hold too much; ends with
        the last one."""
        while self._is_bounded:
            # As gevent may have patched it: unless pydevd knows, our thread is a greenlet then.
            time.sleep(STEP_SECONDS)
            oldest = time.monotonic() - self._seconds
            has_let_go = self._let_go([one for one in self._kept if one.since < oldest])
            if not self._is_weighed:
                self._is_weighed = True
                has_let_go |= self._let_go_of_heavy()
            if has_let_go:
                # Flask's frames hold the error that holds them: an idle app would keep both.
                gc.collect()
            with self._lock:
                self._is_bounded = bool(self._kept)

    def _let_go_of_heavy(self) -> bool:
        """Here, a moment later: while its request ran, an error alone held nothing."""
        has_let_go = False
        while (held := bytes_held_by(*self._kept)) > self._most_bytes:
            heaviest = max(self._kept, key=bytes_held_by)
            has_let_go = self._let_go([heaviest])
            self._tell(
                f"{heaviest} can't be stopped at any more: kept errors may hold"
                f" {_megabytes(self._most_bytes)}, and with this one they held {_megabytes(held)}"
            )
        return has_let_go

    def _let_go(self, those: list[KeptError]) -> bool:
        """Returns whether there are any."""
        with self._lock:  # it is the caller whose list keeps them until the lock is left
            self._kept = tuple(one for one in self._kept if one not in those)
        return bool(those)


def _megabytes(number: int) -> str:
    return f"{number / 1024**2:,.0f} MiB"


# The page

PATH = "/__debuglaunch__/errors"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # its address has the token
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
}
MOST_BYTES_OF_FORM = 10_000
PAGE = Markup("""\
<!doctype html>
<html lang=en>
<title>Kept errors</title>
<style>body {{ font-family: sans-serif; margin: 2em }} form {{ display: inline }}</style>
<h1>Kept errors</h1>
<p>{said}</p>
<ul>{items}</ul>
</html>
""")
BUTTON = Markup("""\
<form method=post action="{path}/{key}"><input type=hidden name=token value="{token}">\
<button>Stop here in the debugger</button></form>""")


@dataclass(frozen=True)
class Stopping:
    """How the debugger is had to stop at an error.

    meet: sees to it that an IDE is met that takes the error; returns what to tell the person, None
    if one is there. Raises DebuggerUnavailable. stop: stops in this thread, as soon as it is there.
    """

    meet: Callable[[BaseException], str | None]
    stop: Callable[[BaseException], None]


def button(kept: KeptErrors, error: BaseException) -> Markup:
    """The button for an error; empty if it is not kept."""
    found = kept.find(error=error)
    return _button(kept, found) if found else Markup("")


def link(kept: KeptErrors, environ: WSGIEnvironment, published_port: int | None) -> str:
    """The list's address, for the terminal. Not by the Host that the client has named: whoever
    follows the link gives the token to that host. published_port: instead of the container's."""
    host = str(environ["SERVER_NAME"])
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{here}]" if ":" in here else here
    port = published_port or environ["SERVER_PORT"]
    address = f"{environ['wsgi.url_scheme']}://{shown}:{port}"
    return f"{address}{PATH}?open={quote(kept.token)}"


def with_kept_errors(
    app: WSGIApplication, kept: KeptErrors, stopping: Stopping, clients: LocalClients
) -> WSGIApplication:
    """The app, and beside it the list of its kept errors."""

    def listed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if f"{path}/".startswith(f"{PATH}/") and clients.include(environ):
            return _answer(Request(environ), kept, stopping)(environ, start_response)
        return app(environ, start_response)

    return listed


def _answer(request: Request, kept: KeptErrors, stopping: Stopping) -> Response:
    if request.method not in ("GET", "HEAD", "POST"):
        return Response("This is to be read, or clicked", 405, {**HEADERS, "Allow": "GET, POST"})
    if not _is_same(_given_token(request), kept.token):
        return Response("Not this process's token: open the link that it printed", 403, HEADERS)
    if request.method != "POST":
        return _page(kept, "")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return Response("Not from another site's page", 403, HEADERS)
    found = kept.find(key=request.path.rpartition("/")[2])
    if found is None:
        return _page(kept, "That error is not kept any more.")
    try:
        to_do = stopping.meet(found.error)
    except DebuggerUnavailable as error:
        return _page(kept, str(error))
    response = _page(kept, to_do or f"The debugger stops at {found}: see the IDE.")
    # When it has been sent: a stop suspends this thread too.
    response.call_on_close(lambda: _stop_thread(found, stopping.stop).start())
    return response


def _page(kept: KeptErrors, said: str) -> Response:
    items = Markup("").join(
        Markup("<li>{} {}").format(one, _button(kept, one)) for one in kept.all()
    )
    return Response(PAGE.format(said=said, items=items), 200, HEADERS, mimetype="text/html")


def _given_token(request: Request) -> str:
    if request.method != "POST":
        # In the terminal it must be legible, so it is not called by the name redacted there.
        return request.args.get("open", "")
    request.max_content_length = MOST_BYTES_OF_FORM
    try:
        return request.form.get("token", "")
    except RequestEntityTooLarge:
        return ""


def _is_same(given: str, token: str) -> bool:
    import hmac

    return hmac.compare_digest(given.encode(), token.encode())


def _stop_thread(kept: KeptError, stop: Callable[[BaseException], None]) -> threading.Thread:
    """Stops at the error, named for it and its request, while the server serves.

    With the error as an argument, which a thread lets go of at its end: pydevd remembers threads.
    """
    context = kept.context.copy()
    return threading.Thread(
        target=context.run, args=(stop, kept.error), name=str(kept), daemon=True
    )


def _button(kept: KeptErrors, one: KeptError) -> Markup:
    return BUTTON.format(path=PATH, key=one.key, token=escape(kept.token))

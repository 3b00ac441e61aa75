"""What the browser shows for an unhandled error, where Werkzeug's debugger must not be.

Werkzeug's own traceback, without its console, PIN and scripts: nothing in it runs code. Each frame
is a link that opens the file in the editor. For the person at this machine only: other clients get
what they get in production, and a client that asks for JSON gets a line of it.
"""

from __future__ import annotations

import html
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from markupsafe import escape
from werkzeug.debug.tbtools import DebugTraceback
from werkzeug.wrappers import Request, Response

from flask_debuglaunch.editor_links import EditorLinks
from flask_debuglaunch.serving.app.app_import import without_our_frames
from flask_debuglaunch.serving.app.local_clients import LocalClients
from flask_debuglaunch.serving.app.stop_on_unhandled_errors import is_for_the_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ERROR_PAGE = """\
<!doctype html>
<html lang=en>
<title>{title}</title>
<style>{style} h4 a {{ color: inherit }}</style>
<div class=debugger>
<h1>{error_class}</h1>
<div class=detail><p class=errormsg>{title}</p></div>
{stop_button}
<h2 class=traceback>Traceback <em>(most recent call last)</em></h2>
{traceback_html}
<div class=plain><p>To copy:</p><textarea readonly cols=50 rows=10>{traceback_text}</textarea></div>
</div>
</html>
"""
# Whatever an error's message holds, it can't become a script; and no other site can have the button
# in a frame, to be clicked unseen.
ERROR_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
}
# A message may hold a whole response, and an endless recursion has a thousand frames.
MOST_CHARACTERS = 10_000
MOST_NOTES = 20
MOST_FRAMES = 200
"""The innermost."""
THIS_MACHINE = LocalClients()
# As Werkzeug renders a frame's heading, and the source of a frame of the app's own.
FRAME_HEADING = re.compile(
    r'File <cite class="filename">"(?P<file>[^"]*)"</cite>,'
    r'\s*line <em class="line">(?P<line>\d+)</em>'
)
OWN_SOURCE = '<div class="source ">'


def with_error_page(
    app: WSGIApplication,
    editor_links: EditorLinks,
    local_clients: LocalClients = THIS_MACHINE,
    stop_button: Callable[[BaseException], str] = lambda error: "",
) -> WSGIApplication:
    """The app, whose unhandled errors are shown to a client on this machine.

    stop_button: what to offer for an error, as HTML.
    """

    def app_with_error_page(
        environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if not local_clients.include(environ):
            return app(environ, start_response)
        return _app_or_error_page(app, editor_links, stop_button, environ, start_response)

    return app_with_error_page


def _app_or_error_page(
    app: WSGIApplication,
    editor_links: EditorLinks,
    stop_button: Callable[[BaseException], str],
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> Iterator[bytes]:
    try:
        response = app(environ, start_response)
        try:
            yield from response
        finally:
            getattr(response, "close", lambda: None)()
    except Exception as error:
        if is_for_the_server(error):  # the server knows what to do
            raise
        error_response = _error_response(error, editor_links, stop_button(error), environ)
        response_body = error_response(environ, _replacing(start_response))
        environ["wsgi.errors"].write(_traceback_of(error).render_traceback_text())
        yield from response_body


def _replacing(start_response: StartResponse) -> Any:
    """Start the response anew in place of the failed one.

    WSGI's rule: given the error, start_response raises it again if the headers are out already.
    Then the server ends the response as it is, and logs the error.
    """
    exc_info = sys.exc_info()

    def start_error_response(status: str, headers: list[tuple[str, str]]) -> Any:
        return start_response(status, headers, exc_info)

    return start_error_response


def _error_response(
    error: Exception, editor_links: EditorLinks, stop_button: str, environ: WSGIEnvironment
) -> Response:
    accepted = Request(environ).accept_mimetypes
    if accepted.best_match(["text/html", "application/json"]) == "application/json":
        import json

        error_json = {"error": "Internal Server Error", "exception": _error_message(error)}
        return Response(
            json.dumps(error_json), 500, ERROR_PAGE_HEADERS, mimetype="application/json"
        )
    page = render_page(error, editor_links, stop_button)
    return Response(page, 500, ERROR_PAGE_HEADERS, mimetype="text/html")


def render_page(error: BaseException, editor_links: EditorLinks, stop_button: str = "") -> str:
    """The page of an error, complete in itself."""
    trace = _traceback_of(error)
    style = pkgutil.get_data("werkzeug.debug", "shared/style.css") or b""
    return ERROR_PAGE.format(
        title=escape(_error_message(error)),
        error_class=escape(type(error).__name__),
        stop_button=stop_button,
        style=style.decode(),
        traceback_html=_with_editor_links(
            trace.render_traceback_html(include_title=False), editor_links
        ),
        traceback_text=escape(trace.render_traceback_text()),
    )


def _traceback_of(error: BaseException) -> DebugTraceback:
    trace = without_our_frames(error.__traceback__)
    trace_exception = traceback.TracebackException(
        type(error), error.with_traceback(trace), trace, lookup_lines=False
    )
    for chained_exception in _chained_exceptions(trace_exception):
        _shorten_message(chained_exception)
    depth = sum(1 for _ in traceback.walk_tb(trace))
    return DebugTraceback(error, te=trace_exception, skip=max(0, depth - MOST_FRAMES))


def _chained_exceptions(
    error: traceback.TracebackException,
) -> Iterator[traceback.TracebackException]:
    """It, the errors that it was raised from, and those of groups."""
    chain: list[traceback.TracebackException | None] = [error]
    while chain:
        chained = chain.pop()
        if chained is not None:
            yield chained
            group: list[traceback.TracebackException] = getattr(chained, "exceptions", None) or []
            chain += [chained.__cause__, chained.__context__, *group]


def _shorten_message(error: traceback.TracebackException) -> None:
    """Bound what the error says; Python has no public way to do so."""
    shortened: Any = error
    if isinstance(getattr(error, "_str", None), str):
        shortened._str = _cut(shortened._str)
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, (list, tuple)):
        shortened.__notes__ = [
            _cut(note) if isinstance(note, str) else note for note in notes[:MOST_NOTES]
        ]


def _cut(message: str) -> str:
    excess = len(message) - MOST_CHARACTERS
    if excess <= 0:
        return message
    return f"{message[:MOST_CHARACTERS]} ... ({excess:,} more characters)"


def _error_message(error: BaseException) -> str:
    # Not str(error): that may fail itself.
    return _cut("".join(traceback.format_exception_only(error)).strip())


def _with_editor_links(traceback_html: str, editor_links: EditorLinks) -> str:
    """Werkzeug's traceback, with its headings as links and the app's own source unfolded."""

    def heading_with_link(heading: re.Match[str]) -> str:
        link = editor_links.to(html.unescape(heading["file"]), int(heading["line"]))
        return f'<a href="{escape(link)}">{heading[0]}</a>' if link else heading[0]

    return FRAME_HEADING.sub(heading_with_link, traceback_html).replace(
        OWN_SOURCE, '<div class="source expanded">'
    )

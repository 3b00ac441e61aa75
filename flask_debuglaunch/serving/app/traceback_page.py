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
from flask_debuglaunch.serving.app.unhandled_errors import is_expected

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PAGE = """\
<!doctype html>
<html lang=en>
<title>{title}</title>
<style>{style} h4 a {{ color: inherit }}</style>
<div class=debugger>
<h1>{kind}</h1>
<div class=detail><p class=errormsg>{title}</p></div>
{button}
<h2 class=traceback>Traceback <em>(most recent call last)</em></h2>
{traceback}
<div class=plain><p>To copy:</p><textarea readonly cols=50 rows=10>{text}</textarea></div>
</div>
</html>
"""
# Whatever an error's message holds, it can't become a script; and no other site can have the button
# in a frame, to be clicked unseen.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
}
# A message may hold a whole response, and an endless recursion has a thousand frames.
MOST_CHARACTERS = 10_000
MOST_NOTES = 20
MOST_FRAMES = 200
"""The innermost."""
THIS_MACHINE = LocalClients()
# As Werkzeug renders a frame's heading, and the source of a frame of the app's own.
FRAME = re.compile(
    r'File <cite class="filename">"(?P<file>[^"]*)"</cite>,'
    r'\s*line <em class="line">(?P<line>\d+)</em>'
)
OWN_SOURCE = '<div class="source ">'


def with_error_page(
    app: WSGIApplication,
    links: EditorLinks,
    clients: LocalClients = THIS_MACHINE,
    button: Callable[[BaseException], str] = lambda error: "",
) -> WSGIApplication:
    """The app, whose unhandled errors are shown to a client on this machine.

    button: what to offer for an error, as HTML.
    """

    def shown(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not clients.include(environ):
            return app(environ, start_response)
        return _show(app, links, button, environ, start_response)

    return shown


def _show(
    app: WSGIApplication,
    links: EditorLinks,
    button: Callable[[BaseException], str],
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
        if is_expected(error):  # the server knows what to do
            raise
        page = _response(error, links, button(error), environ)
        shown = page(environ, _replacing(start_response))
        environ["wsgi.errors"].write(_traceback_of(error).render_traceback_text())
        yield from shown


def _replacing(start_response: StartResponse) -> Any:
    """Start the response anew in place of the failed one.

    WSGI's rule: given the error, start_response raises it again if the headers are out already.
    Then the server ends the response as it is, and logs the error.
    """
    failure = sys.exc_info()

    def start(status: str, headers: list[tuple[str, str]]) -> Any:
        return start_response(status, headers, failure)

    return start


def _response(
    error: Exception, links: EditorLinks, button: str, environ: WSGIEnvironment
) -> Response:
    accepted = Request(environ).accept_mimetypes
    if accepted.best_match(["text/html", "application/json"]) == "application/json":
        import json

        told = {"error": "Internal Server Error", "exception": _summary(error)}
        return Response(json.dumps(told), 500, HEADERS, mimetype="application/json")
    return Response(render_page(error, links, button), 500, HEADERS, mimetype="text/html")


def render_page(error: BaseException, links: EditorLinks, button: str = "") -> str:
    """The page of an error, complete in itself."""
    trace = _traceback_of(error)
    style = pkgutil.get_data("werkzeug.debug", "shared/style.css") or b""
    return PAGE.format(
        title=escape(_summary(error)),
        kind=escape(type(error).__name__),
        button=button,
        style=style.decode(),
        traceback=_linked(trace.render_traceback_html(include_title=False), links),
        text=escape(trace.render_traceback_text()),
    )


def _traceback_of(error: BaseException) -> DebugTraceback:
    trace = without_our_frames(error.__traceback__)
    told = traceback.TracebackException(
        type(error), error.with_traceback(trace), trace, lookup_lines=False
    )
    for one in _all_of(told):
        _shorten(one)
    depth = sum(1 for _ in traceback.walk_tb(trace))
    return DebugTraceback(error, te=told, skip=max(0, depth - MOST_FRAMES))


def _all_of(error: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """It, the errors that it was raised from, and those of groups."""
    found: list[traceback.TracebackException | None] = [error]
    while found:
        one = found.pop()
        if one is not None:
            yield one
            group: list[traceback.TracebackException] = getattr(one, "exceptions", None) or []
            found += [one.__cause__, one.__context__, *group]


def _shorten(error: traceback.TracebackException) -> None:
    """Bound what the error says; Python has no public way to do so."""
    texts: Any = error
    if isinstance(getattr(texts, "_str", None), str):
        texts._str = _cut(texts._str)
    notes = getattr(texts, "__notes__", None)
    if isinstance(notes, (list, tuple)):
        texts.__notes__ = [_cut(one) if isinstance(one, str) else one for one in notes[:MOST_NOTES]]


def _cut(text: str) -> str:
    rest = len(text) - MOST_CHARACTERS
    return text if rest <= 0 else f"{text[:MOST_CHARACTERS]} ... ({rest:,} more characters)"


def _summary(error: BaseException) -> str:
    # Not str(error): that may fail itself.
    return _cut("".join(traceback.format_exception_only(error)).strip())


def _linked(rendered: str, links: EditorLinks) -> str:
    """Werkzeug's traceback, with its headings as links and the app's own source unfolded."""

    def link(found: re.Match[str]) -> str:
        target = links.to(html.unescape(found["file"]), int(found["line"]))
        return f'<a href="{escape(target)}">{found[0]}</a>' if target else found[0]

    return FRAME.sub(link, rendered).replace(OWN_SOURCE, '<div class="source expanded">')

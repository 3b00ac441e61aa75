"""Flask's page "Application Errors", section by section, is true under each debugger.

With an IDE attached the person continues at each stop; what the app does is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from ..support.debug_session import READY, debug_app, python_m
from ..support.processes import Program, Response, free_port, http_get
from ..support.requirements import require_debugger

APP = Path(__file__).parent / "failing_app" / "documented.py"
WITHOUT_IDE = {
    "werkzeug": ["--debug-with", "auto"],
    "none": ["--debug-with", "off"],
    "debugpy, nobody attached": ["--debug-with", "debugpy", "--debug-port", "0"],
}
WITH_IDE = {"debugpy": "listen", "pydevd": "connect", "pydevd-pycharm": "connect"}

Get = Callable[[str], Response]


class Mailbox(MessageHandler):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Message[str, str]] = []

    def handle_message(self, message: Message[str, str]) -> None:
        self.mails.append(message)


@pytest.fixture(autouse=True)
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A real mail server; the app sends to it."""
    box = Mailbox()
    server = Controller(box, hostname="127.0.0.1", port=free_port())
    monkeypatch.setenv("TEST_SMTP_PORT", str(server.port))
    server.start()
    yield box
    server.stop()


@contextmanager
def run(mode: str, *, debug: bool) -> Iterator[tuple[Get, Program]]:
    if mode in WITH_IDE:
        with debug_app(mode, WITH_IDE[mode], APP, debug=debug) as session:
            yield lambda path: response_of(session.get(path)), session.program
        return
    if mode not in ("werkzeug", "none"):
        require_debugger("debugpy")
    flags = ["--debug" if debug else "--no-debug", *WITHOUT_IDE[mode], "--port", "0"]
    command = ["run", "--app", APP.name, "--no-reload", *flags]
    with Program(python_m(command), cwd=APP.parent) as program:
        url = program.wait_for_line(READY)[1]
        yield lambda path: http_get(url + path), program


def response_of(visit: tuple[Response | None, Any]) -> Response:
    assert visit[0] is not None
    return visit[0]


modes = pytest.mark.parametrize("mode", [*WITHOUT_IDE, *WITH_IDE])
both = pytest.mark.parametrize("debug", [True, False], ids=["debug", "no debug"])


@pytest.mark.slow
@both
@modes
def test_error_logging_tools(mode: str, debug: bool) -> None:
    """Each unhandled error is reported, once; no handled one is."""
    with run(mode, debug=debug) as (get, _):
        for expected in ([], ["LookupError"], ["LookupError"] * 2):
            assert json.loads(get("/events").body) == expected
            get("/forbidden")
            get("/refused")
            get("/unhandled")


@pytest.mark.slow
@both
@modes
def test_error_handlers(mode: str, debug: bool) -> None:
    with run(mode, debug=debug) as (get, program):
        # Registering
        assert says(get("/bad-request"), 400, "bad request!")
        assert says(get("/insufficient-storage"), 507, "storage is full")
        # Handling: the most specific class, whatever the order of registering
        assert says(get("/refused"), 503, "connection refused")
        assert says(get("/reset"), 502, "connection error")
        # first by code, then by class
        assert says(get("/no-such-page"), 404, "the app's 404")
        assert says(get("/forbidden"), 403, "any")
        # the blueprint's first, but it can't handle 404 routing errors
        assert says(get("/blueprint/abort"), 404, "the blueprint's 404")
        assert says(get("/blueprint/refused"), 502, "the blueprint's")
        assert says(get("/blueprint/no-such-page"), 404, "the app's 404")
        # Not "Traceback": pydevd 3.2 logs one of its own if gevent is being imported meanwhile.
        assert 'documented.py", line' not in program.output
        assert get("/unhandled").status == 500
        program.wait_for_line('documented.py", line')


def says(response: Response, status: int, text: str) -> bool:
    return (response.status, response.text, response.complete) == (status, text, True)


@modes
def test_logging(mode: str, mailbox: Mailbox) -> None:
    """In production mode the traceback is logged once, and mailed once."""
    with run(mode, debug=False) as (get, program):
        # "other exceptions are converted to a generic 500", which the app's handler makes a page of
        assert says(get("/unhandled"), 500, "any")
        get("/forbidden")
        program.wait_for_line("GET /forbidden")
        assert program.output.count("Traceback (most recent call last)") == 1
    [mail] = mailbox.mails
    assert mail["Subject"] == "Application Error"
    assert str(mail.get_payload()).count("LookupError: nobody handles it") == 1


@modes
def test_debug_mode_shows_the_traceback(mode: str, mailbox: Mailbox) -> None:
    """ "to enable debug mode and catch exceptions": in the browser, and logged once."""
    with run(mode, debug=True) as (get, program):
        page = get("/unhandled")
        program.wait_for_line("^LookupError: nobody handles it")
        get("/forbidden")
        program.wait_for_line("GET /forbidden")
        assert program.output.count("Traceback (most recent call last)") == 1
    assert page.status == 500
    assert "LookupError" in page.text
    assert mailbox.mails == []


def test_a_code_that_is_no_standard_one() -> None:
    """ "Non-standard HTTP codes cannot be registered by code"."""
    from flask import Flask

    with pytest.raises(ValueError, match="507"):
        Flask(__name__).register_error_handler(507, lambda _: "")

"""Nobody but the person at this machine has the debugger stop, or gets the token for it.

In one process; the same over a real connection, and after a reload, in test_kept_errors.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from flask_debuglaunch.serving.app import kept_errors
from flask_debuglaunch.serving.app.local_clients import LocalClients

from ..support.processes import wait_until

HERE = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:5000"}


@dataclass
class Target:
    """An app with one kept error, and the stops that the debugger was had to make."""

    client: Client
    kept: kept_errors.KeptErrors
    stops: list[BaseException]

    @property
    def action(self) -> str:
        return f"{kept_errors.LIST_PATH}/{self.kept.all()[0].key}"

    def click(
        self, path: str = "", *, token: str | None = None, query: str = "", **environ: str
    ) -> TestResponse:
        form = {"token": self.kept.token if token is None else token}
        return self.send("POST", path or self.action, data=form, query=query, **environ)

    def send(self, method: str, path: str, *, query: str = "", **details: Any) -> TestResponse:
        data = details.pop("data", None)
        environ = {**HERE, **details}
        with self.client.open(
            path, method=method, query_string=query, data=data, environ_overrides=environ
        ) as response:
            response.get_data()
        return response

    def expect_one_stop(self) -> None:
        """For one click of the person's; none came for what was sent before it."""
        assert self.click().status_code == 200
        wait_until(lambda: self.stops)
        assert len(self.stops) == 1


@pytest.fixture
def target() -> Iterator[Target]:
    kept, stops, local = (
        kept_errors.KeptErrors(lambda function: None, print),
        list[BaseException](),
        LocalClients(),
    )

    def app(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"the app's"]

    kept.keep(ValueError("view"), "GET /view")
    debugger_stop = kept_errors.DebuggerStop(lambda error: None, stops.append)
    target = Target(
        Client(kept_errors.with_kept_errors(app, kept, debugger_stop, local)), kept, stops
    )
    yield target
    target.expect_one_stop()


def test_cross_site_posts(target: Target) -> None:
    """Of a page elsewhere in the person's browser, which can't read the token; were it to have it,
    the browser tells where the click comes from."""
    assert target.click(token="").status_code == 403
    for site in ("cross-site", "same-site", "none"):
        assert target.click(HTTP_SEC_FETCH_SITE=site).status_code == 403
    answer = target.send("OPTIONS", target.action, HTTP_ORIGIN="http://attacker.example")
    assert answer.status_code == 405
    for path in (kept_errors.LIST_PATH, target.action):
        answer = target.send("GET", path, HTTP_ORIGIN="http://attacker.example")
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_host_name_that_was_pointed_here(target: Target) -> None:
    """DNS rebinding: the app gets the request, as if there were no kept errors."""
    for host in ("attacker.example:5000", "localhost.attacker.example", "localhost@a.example", ""):
        assert target.click(HTTP_HOST=host).text == "the app's"
        query = f"open={target.kept.token}"
        assert (
            target.send("GET", kept_errors.LIST_PATH, query=query, HTTP_HOST=host).text
            == "the app's"
        )


def test_clients_elsewhere(target: Target) -> None:
    """Also with a header that claims they are here, which a proxy may have passed on."""
    assert target.click(REMOTE_ADDR="192.0.2.7").text == "the app's"
    assert (
        target.click(REMOTE_ADDR="192.0.2.7", HTTP_X_FORWARDED_FOR="127.0.0.1").text == "the app's"
    )
    for header in ("X_FORWARDED_FOR", "FORWARDED", "X_REAL_IP", "VIA", "CF_CONNECTING_IP"):
        assert target.click(**{f"HTTP_{header}": "127.0.0.1"}).text == "the app's"


def test_guessed_tokens(target: Target) -> None:
    token = target.kept.token
    assert len(token) >= 22  # 128 bits
    guesses = ["", "x", token[:-1], token + "x", token.swapcase(), "\0", "ü", "x" * 9_000]
    for guess in guesses:
        assert target.click(token=guess).status_code == 403
        assert target.send("GET", kept_errors.LIST_PATH, query=f"open={guess}").status_code == 403
    assert target.click(token="x" * 50_000_000).status_code == 403
    assert kept_errors.KeptErrors(lambda function: None, print).token != token


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods(target: Target, method: str) -> None:
    """An image or a link elsewhere makes a GET: with the token it reads, and does nothing."""
    answer = target.send(method, target.action, query=f"open={target.kept.token}")
    assert answer.status_code == (200 if method in ("GET", "HEAD") else 405)
    overridden = {"HTTP_X_HTTP_METHOD_OVERRIDE": "POST"}
    target.send(method, target.action, query=f"open={target.kept.token}", **overridden)


def test_a_token_that_is_only_in_the_address(target: Target) -> None:
    """It may be in a log, or in a browser's history."""
    assert target.click(token="", query=f"token={target.kept.token}").status_code == 403
    assert target.click(token="", query=f"open={target.kept.token}").status_code == 403


def test_paths(target: Target) -> None:
    for path in (
        kept_errors.LIST_PATH,
        f"{kept_errors.LIST_PATH}/",
        f"{kept_errors.LIST_PATH}/x",
        f"{target.action}/..",
        f"{target.action}x",
    ):
        assert "not kept any more" in target.click(path).text
    for path in (
        f"/x{kept_errors.LIST_PATH}",
        f"{kept_errors.LIST_PATH}x",
        kept_errors.LIST_PATH.upper(),
        "/__debuglaunch__/",
    ):
        assert target.click(path).text == "the app's"


def test_frames_scripts_and_referrers(target: Target) -> None:
    """No other site can have the button in a frame, and the address with the token stays here."""
    listed = target.send("GET", kept_errors.LIST_PATH, query=f"open={target.kept.token}")
    for answer in (listed, target.click(token="")):
        policy = answer.headers["Content-Security-Policy"]
        for rule in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"):
            assert rule in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "<script" not in answer.text
    assert listed.headers["Referrer-Policy"] == "no-referrer"


def test_what_a_browser_sends_becomes_no_code(target: Target) -> None:
    target.kept.keep(ValueError(), "GET /<script>alert(1)</script>")
    listed = target.send("GET", kept_errors.LIST_PATH, query=f"open={target.kept.token}").text
    assert "<script" not in listed
    assert "&lt;script&gt;alert(1)" in listed


def test_who_has_no_token_gets_none(target: Target) -> None:
    for answer in (
        target.send("GET", kept_errors.LIST_PATH),
        target.send("GET", target.action),
        target.click(token="x"),
    ):
        assert target.kept.token not in answer.text
        assert target.kept.token not in str(answer.headers)

"""A real browser, driven as by a person: Chromium by way of its chromedriver (W3C WebDriver)."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .processes import Program, free_port, http_get, wait_for_port
from .requirements import require

OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
TIMEOUT = 90.0
"""Seconds for one order: starting a browser on a busy machine takes some."""
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name that the standard gives a reference to an element."""


@dataclass(frozen=True)
class Browser:
    """An open window."""

    session: str
    """Its address at the driver."""

    def open(self, url: str) -> None:
        _order("POST", f"{self.session}/url", url=url)

    def click(self, selector: str) -> None:
        """Press what the CSS selector finds, and wait for the page that this opens."""
        _order("POST", f"{self._find(selector)}/click")

    def text(self, selector: str = "body") -> str:
        """What is to be read there."""
        return str(_order("GET", f"{self._find(selector)}/text"))

    def _find(self, selector: str) -> str:
        found = _order("POST", f"{self.session}/element", using="css selector", value=selector)
        return f"{self.session}/element/{found[ELEMENT]}"


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Skips the test if there is none. profile: a folder for what it keeps."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    missing = None if chromium and driver else "chromium, or chromium-driver, is not installed"
    require("chromium", missing=missing)
    port = free_port()
    options = {"binary": chromium, "args": [*OPTIONS, f"--user-data-dir={profile}"]}
    wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
    with Program([str(driver), f"--port={port}"]):
        wait_for_port(port, TIMEOUT)
        driven = f"http://127.0.0.1:{port}/session"
        yield Browser(f"{driven}/{_order('POST', driven, **wanted)['sessionId']}")


def _order(method: str, address: str, **details: Any) -> Any:
    body = json.dumps(details).encode() if method == "POST" else None
    answer = http_get(address, method=method, body=body, timeout=TIMEOUT)
    value = json.loads(answer.body)["value"]
    assert answer.status == 200, value
    return value

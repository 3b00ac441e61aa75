"""F5 in a real VS Code: the container starts, is debugged, and is stopped with the session."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..ides.real_vscode import VSCode, opened
from ..support.processes import TIMEOUT, http_get, in_background, wait_until
from ..support.sources import marked_line
from .compose_shop import ENGINE, Shop, engine


@pytest.fixture
def environment(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VS Code's tasks find the engine's command, and this shop's names and ports."""
    commands = tmp_path_factory.mktemp("commands")
    wrapper = commands / "podman-compose"
    real = engine("which", "podman-compose").stdout.strip()
    wrapper.write_text(f'#!/bin/sh\nexec {ENGINE} {real} "$@"\n')
    wrapper.chmod(0o755)
    for name in ("HOME", "SHOP_PORT", "COMPOSE_PROJECT_NAME"):
        monkeypatch.setenv(name, shop.environment[name])
    # VS Code takes the variables of a login shell, and /etc/profile sets the path anew.
    (shop.home / ".profile").write_text(f"export PATH={commands}:$PATH\n")


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_f5_starts_debugs_and_stops_the_container(shop: Shop) -> None:
    shop.debug_files()
    source = shop.folder / "shop.py"
    with opened(shop.folder) as vscode:
        try:
            vscode.ask("breakpoint", file=str(source), line=marked_line(source))
            assert vscode.ask("start", name=shop.configuration["name"]) is True
            vscode.ask("armed", count=2)  # the supervisor's session and the worker's
            stops_and_goes_on(vscode, shop, "Hello, World!")
            vscode.ask("edit", file=str(source), find='f"Hello', text='f"Again')
            vscode.ask("armed", count=3)  # the new worker's
            stops_and_goes_on(vscode, shop, "Again, World!")
            vscode.ask("stop")
            wait_until(lambda: state(shop) == ("exited", 143), message="the container stops")
        finally:
            shop.remove()


def stops_and_goes_on(vscode: VSCode, shop: Shop, greeting: str) -> None:
    response = in_background(http_get, shop.url("/hello/World"))
    stop = vscode.ask("stopped")
    assert (stop["reason"], Path(stop["file"])) == ("breakpoint", shop.folder / "shop.py")
    assert stop["variables"]["greeting"] == f"'{greeting}'"
    vscode.ask("continue")
    assert response.result(TIMEOUT).text == greeting


def state(shop: Shop) -> tuple[str, int]:
    found = json.loads(engine("podman", "inspect", shop.container).stdout)[0]["State"]
    return found["Status"], found["ExitCode"]

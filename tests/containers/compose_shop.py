"""A shop in a container: its project, the real engine, and what is to be known of its service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..support.dap import Editor
from ..support.processes import TIMEOUT, Program, free_port, http_get, in_background, wait_until
from ..support.requirements import require
from ..support.sources import marked_line

ENGINE = Path(__file__).with_name("engine") / "in-engine"
START_SECONDS = 120.0

FILES = {
    "shop.py": """\
        import os
        import subprocess

        from flask import Flask

        app = Flask(__name__)


        @app.get("/hello/<name>")
        def hello(name):
            greeting = f"Hello, {name}!"
            return greeting  # @bp


        @app.get("/fail")
        def fail():
            raise ValueError("apple")


        @app.get("/mode")
        def mode():
            return os.environ["SHOP_MODE"]


        @app.get("/orphan")
        def orphan():
            subprocess.run(["sh", "-c", "sleep 0.1 &"])
            return "left"
        """,
    "Dockerfile": """\
        FROM localhost/debuglaunch-flask
        WORKDIR /app
        COPY . .
        CMD ["gunicorn", "-b", "0.0.0.0:8000", "-w", "2", "shop:app"]
        """,
    "compose.yaml": """\
        services:
          web:
            build: .
            ports: ["${SHOP_PORT}:8000"]
            env_file: shop.env
            restart: always
        """,
    "shop.env": "SHOP_MODE=tuna\n",
    # What differs from test to test: without it, all have the image that is built first.
    ".dockerignore": "compose*.yaml\n.vscode\n",
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")


def require_engine() -> None:
    """Skip the test where there is no engine with its images."""
    missing = None
    if not shutil.which("podman-compose") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        missing = "podman-compose is not installed, or this is not root"
    elif engine("podman", "image", "exists", "localhost/debuglaunch-flask").returncode:
        missing = "run tests/containers/engine/setup first"
    require("containers", missing=missing)


def engine(
    *argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ENGINE), *argv], cwd=cwd, env={**os.environ, **(env or {})},
        capture_output=True, text=True, timeout=START_SECONDS,
    )  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """A project on ports of its own; `home` has the folder that containers get the launcher from."""

    folder: Path
    home: Path
    port: int = field(default_factory=free_port)
    debug_port: int = field(default_factory=free_port)

    @property
    def environment(self) -> dict[str, str]:
        name = f"shop{self.port}"
        mine = {"HOME": str(self.home), "PWD": str(self.folder), "SHOP_PORT": str(self.port)}
        return {**os.environ, **mine, "COMPOSE_PROJECT_NAME": name}

    @property
    def container(self) -> str:
        return f"shop{self.port}_web_1"

    def write(self, files: Mapping[str, str]) -> None:
        write(self.folder, files)

    def ide(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Give the `ide` command; the launcher's other words for the container come last."""
        import sys

        argv = [sys.executable, "-m", "flask_debuglaunch", "ide", *arguments]
        return subprocess.run(
            argv, cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=START_SECONDS,
        )  # fmt: skip

    def debug_files(self, *flags: str) -> None:
        """Have compose.debug.yaml, launch.json and tasks.json written."""
        for words in (["compose", "web"], ["vscode", "--with", "docker"]):
            port = f"--debug-port={self.debug_port}"
            done = self.ide(*words, port, *(flags if words[0] == "compose" else ()))
            assert done.returncode == 0, done.stderr

    @contextmanager
    def up(self, *, env: Mapping[str, str] | None = None) -> Iterator[Program]:
        """What the task of tasks.json runs, from its start to the ready line."""
        task, _ = self.tasks
        argv = [str(ENGINE), task["command"], *task["args"]]
        with Program(argv, cwd=self.folder, env={**self.environment, **(env or {})}) as program:
            try:
                program.wait_for_line(task_is_ready(task), START_SECONDS)
                yield program
            finally:
                self.remove()

    def remove(self) -> None:
        """The container, its network, and the image's name; the image itself is the next one's."""
        name = self.environment["COMPOSE_PROJECT_NAME"]
        remove = f"podman rm --force --time 0 {self.container}"
        engine("sh", "-c", f"{remove}; podman network rm {name}_default; podman untag {name}_web")

    @property
    def tasks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.folder / ".vscode/tasks.json").read_text())[
            "tasks"
        ]
        return found

    @property
    def configuration(self) -> dict[str, Any]:
        """The entry of launch.json that attaches to the container."""
        entries = json.loads((self.folder / ".vscode/launch.json").read_text())["configurations"]
        found: dict[str, Any] = next(one for one in entries if one["name"].endswith("to container"))
        return found

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def text(self, path: str) -> str:
        return http_get(self.url(path), headers={"Accept": "text/html"}).text

    def wait_for_text(self, text: str, path: str) -> None:
        wait_until(lambda: text in self.text(path), message=text)

    def edit(self, find: str, text: str, name: str = "shop.py") -> None:
        file = self.folder / name
        before = file.read_text()
        assert find in before
        file.write_text(before.replace(find, text))

    def inside(self, *argv: str) -> str:
        """What a command prints in the container."""
        done = engine("podman", "exec", self.container, *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout


def task_is_ready(task: Mapping[str, Any]) -> str:
    pattern: str = task["problemMatcher"]["background"]["endsPattern"]
    return pattern


def stops_before_and_after_a_save(
    shop: Shop, program: Program, remote_root: str, sync: Callable[[], None] = lambda: None
) -> None:
    """sync: takes a save of the project's folder into the container, where that is not mounted."""
    source = shop.folder / "shop.py"
    mapping = {"localRoot": str(shop.folder), "remoteRoot": remote_root}
    with Editor.attach(
        shop.debug_port,
        configuration={"pathMappings": [mapping]},
        workspace=shop.folder,
        breakpoints={source: [marked_line(source)]},
    ) as editor:
        editor.wait_for_session(2)
        for word in ("Hello", "Again"):
            response = in_background(http_get, shop.url("/hello/World"))
            stop = editor.wait_for_stop()
            assert Path(stop.file) == source
            stop.resume()
            assert response.result(TIMEOUT).text == f"{word}, World!"
            if word == "Hello":
                shop.edit("Hello,", "Again,")
                sync()
                program.wait_for_line("Reloaded in")

"""What relaying errors to the IDE costs: requests per second with it and without, side by side.

    python tests/bench/errors.py [--rounds 30] [--requests 100] [--json]

All servers run at once and take turns, so that a busy machine is busy for all of them. Each ratio
is the median of the ratios of the rounds. "attached": a debug adapter client is, with the boxes
that VS Code ticks; "the bare debugger" is `debugpy -m flask run --debug --no-debugger`.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.dap import Editor
from tests.support.processes import Program, free_port, wait_for_port

APP = """\
from flask import Flask
app = Flask(__name__)

@app.get("/")
def index():
    return "ok"

@app.get("/error")
def error():
    raise ValueError("wrong")
"""
OURS = "flask_debuglaunch", "run", "--debug-with", "debugpy", "--no-reload"


@dataclass(frozen=True)
class Server:
    """flags: of the command; attached: is a client attached to its debugger?"""

    command: tuple[str, ...]
    attached: bool


SERVERS = {
    "the bare debugger": Server(("flask", "run", "--no-debugger", "--no-reload"), True),
    "ours": Server(OURS, True),
    "ours, not relaying": Server((*OURS, "--stop-on-errors", "off"), True),
    "ours, nobody attached": Server(OURS, False),
    "ours, not relaying, nobody attached": Server((*OURS, "--stop-on-errors", "off"), False),
}
# what is compared, on which page
COMPARED = [
    ("ours", "the bare debugger", "/"),
    ("ours", "ours, not relaying", "/"),
    ("ours, nobody attached", "ours, not relaying, nobody attached", "/error"),
]


def start(server: Server, folder: str, cleanup: ExitStack) -> int:
    """Start a server; returns its port."""
    port, debug_port = free_port(), free_port()
    where = ["--debug", "--port", str(port)]
    if server.command[0] == "flask":
        listen = ["-m", "debugpy", "--listen", str(debug_port)]
        command = [*listen, "-m", "flask", "--debug", *server.command[1:], *where[1:]]
    else:
        command = ["-m", *server.command, *where, "--debug-port", str(debug_port)]
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    cleanup.enter_context(Program([sys.executable, *command], cwd=folder, env=environment))
    wait_for_port(debug_port)
    wait_for_port(port)
    if server.attached:
        cleanup.enter_context(Editor.attach(debug_port))
    return port


def requests_per_second(port: int, path: str, number: int) -> float:
    began = time.perf_counter()
    for _ in range(number):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            while connection.recv(65536):
                pass
    return number / (time.perf_counter() - began)


def measure(rounds: int, number: int) -> list[dict[str, object]]:
    with ExitStack() as cleanup:
        folder = cleanup.enter_context(tempfile.TemporaryDirectory())
        Path(folder, "app.py").write_text(APP)
        ports = {name: start(server, folder, cleanup) for name, server in SERVERS.items()}
        for port in ports.values():
            requests_per_second(port, "/", number)  # to warm up
        return [_compare(one, other, path, ports, rounds, number) for one, other, path in COMPARED]


def _compare(
    one: str, other: str, path: str, ports: dict[str, int], rounds: int, number: int
) -> dict[str, object]:
    speeds: dict[str, list[float]] = {one: [], other: []}
    for turn in range(rounds):
        for name in (one, other) if turn % 2 else (other, one):
            speeds[name].append(requests_per_second(ports[name], path, number))
    ratios = [a / b for a, b in zip(speeds[one], speeds[other], strict=True)]
    return {
        "page": path,
        "compared": [one, other],
        "requests per second": [round(statistics.median(speeds[name])) for name in (one, other)],
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=100, help="of one turn")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measured = measure(arguments.rounds, arguments.requests)
    if arguments.json:
        print(json.dumps(measured, indent=2))
        return
    for row in measured:
        (one, other), speeds = row["compared"], row["requests per second"]
        least, most = row["ratios"]
        print(
            f"{row['page']:<7} {one}: {speeds[0]}/s, {other}: {speeds[1]}/s,"
            f" {row['ratio']} ({least} to {most})"
        )


if __name__ == "__main__":
    main()

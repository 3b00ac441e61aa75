"""What a running server takes: requests per second, also beside slow clients, and requests lost in
reloads; ours beside `flask run`, in one run.

    python tests/bench/load.py [--seconds 2] [--rounds 3] [--clients 4] [--slow 50] [--saves 10]

Requests per second are a median with the smallest and the largest of the rounds, in which the
servers take turns. Slow clients send a byte of their request now and then, and are there all the time.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.processes import Program, free_port, in_background, wait_until

APP = (
    "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef index(): return '{text}'\n"
)
KINDS = {
    "here": ("-m", "flask_debuglaunch", "--app", "main", "--debug", "--no-debugger", "--port"),
    "flask run --debug": ("-m", "flask", "--app", "main", "run", "--debug", "--port"),
}


class Load:
    """Clients that ask one after the other, each on a connection of its own."""

    def __init__(self, port: int, clients: int) -> None:
        self.port, self.answered, self.lost = port, 0, 0
        self._over = threading.Event()
        self._clients: list[Future[None]] = [in_background(self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                with contextlib.closing(asked):
                    asked.request("GET", "/")
                    asked.getresponse().read()
                self.answered += 1
            except (OSError, http.client.HTTPException):
                self.lost += 1

    def end(self) -> None:
        self._over.set()
        for client in self._clients:
            client.result(60)


def text_at(port: int) -> str:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(asked), contextlib.suppress(OSError, http.client.HTTPException):
        asked.request("GET", "/")
        return asked.getresponse().read().decode()
    return ""


@contextlib.contextmanager
def served(arguments: tuple[str, ...], folder: Path) -> Iterator[int]:
    (folder / "main.py").write_text(APP.format(text="0"))
    port = free_port()
    with Program([sys.executable, *arguments, str(port)], cwd=folder):
        wait_until(lambda: text_at(port) == "0")  # ours listens before it serves
        yield port


def rate(port: int, clients: int, seconds: float) -> float:
    load = Load(port, clients)
    time.sleep(seconds)
    load.end()
    return load.answered / seconds


def rate_beside_slow_clients(port: int, clients: int, seconds: float, slow: int) -> float:
    with ExitStack() as stack:
        for _ in range(slow):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            one.sendall(b"GET / HTTP/1.1\r\nHo")
        return rate(port, clients, seconds)


def lost_in_reloads(port: int, clients: int, folder: Path, saves: int) -> int:
    load = Load(port, clients)
    for number in range(1, saves + 1):
        new = folder / ".main.new"
        new.write_text(APP.format(text=str(number)))
        os.replace(new, folder / "main.py")
        deadline = time.monotonic() + 30
        while text_at(port) != str(number) and time.monotonic() < deadline:
            time.sleep(0.05)
    load.end()
    return load.lost


def spread(figures: list[float]) -> str:
    return f"{statistics.median(figures):.0f} ({min(figures):.0f} to {max(figures):.0f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--slow", type=int, default=50)
    parser.add_argument("--saves", type=int, default=10)
    asked = parser.parse_args()
    alone: dict[str, list[float]] = {name: [] for name in KINDS}
    beside: dict[str, list[float]] = {name: [] for name in KINDS}
    with ExitStack() as stack:
        folders = {name: Path(stack.enter_context(TemporaryDirectory())) for name in KINDS}
        ports = {
            name: stack.enter_context(served(arguments, folders[name]))
            for name, arguments in KINDS.items()
        }
        for _ in range(asked.rounds):
            for name, port in ports.items():
                alone[name].append(rate(port, asked.clients, asked.seconds))
                slow = rate_beside_slow_clients(port, asked.clients, asked.seconds, asked.slow)
                beside[name].append(slow)
        lost = {
            name: lost_in_reloads(port, asked.clients, folders[name], asked.saves)
            for name, port in ports.items()
        }
    header = f"{'requests/s':22}{f'beside {asked.slow} slow':22}lost in {asked.saves} reloads"
    print(f"{'':20}{header}")
    for name in KINDS:
        print(f"{name:20}{spread(alone[name]):22}{spread(beside[name]):22}{lost[name]}")


if __name__ == "__main__":
    main()

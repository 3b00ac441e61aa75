"""Start-up: from the command to the first response, ours and Flask's own, side by side.

    python tests/bench/startup.py [--rounds 15] [--json]

Prints medians in milliseconds, the smallest and largest figure, and the ratios. The peers take
turns, so that a busy machine is busy for all of them. `explain` and `ide vscode` are measured
against the two imports that no command line of this kind can do without.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APP = "from flask import Flask\napp = Flask(__name__)\n\n@app.get('/')\ndef index():\n    return 'ok'\n"
PYTHON = [sys.executable, "-m"]
# name: (command, the peer it is compared to)
SERVERS = {
    "flask run": ([*PYTHON, "flask", "run"], None),
    "flask run --debug": ([*PYTHON, "flask", "run", "--debug"], None),
    "ours, no reload": ([*PYTHON, "flask_debuglaunch"], "flask run"),
    "ours, reload": ([*PYTHON, "flask_debuglaunch", "--debug"], "flask run --debug"),
}
COMMANDS = {
    "import click, yaml": ([sys.executable, "-c", "import click, yaml"], None),
    "explain": ([*PYTHON, "flask_debuglaunch", "explain"], "import click, yaml"),
    "ide vscode": ([*PYTHON, "flask_debuglaunch", "ide", "vscode"], "import click, yaml"),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_response(command: list[str], folder: str) -> float:
    """Seconds from the start of the command to its first response."""
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while b"200 OK" not in answer(port):
            assert process.poll() is None, f"{command} has ended"
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(10)


def answer(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(65536)
    except ConnectionError:
        time.sleep(0.001)
        return b""


def run_time(command: list[str], folder: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each, and its ratio to the peer."""
    seconds: dict[str, list[float]] = {name: [] for name in (*SERVERS, *COMMANDS)}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "app.py").write_text(APP)
        Path(folder, "config.yaml").write_text("FLASK: {DEBUG: false}\n")  # reading it is our job
        for turn in range(rounds + 1):
            for name, (command, _) in SERVERS.items():
                seconds[name].append(first_response(command, folder))
            for name, (command, _) in COMMANDS.items():
                seconds[name].append(run_time(command, folder))
            if turn == 0:  # the first round fills caches: bytecode, the disk's
                seconds = {name: [] for name in seconds}
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {name: {**_figures(name, medians), **_spread(seconds[name])} for name in medians}


def _spread(times: list[float]) -> dict[str, float]:
    return {"least": round(min(times) * 1000, 1), "most": round(max(times) * 1000, 1)}


def _figures(name: str, medians: dict[str, float]) -> dict[str, float]:
    _, peer = {**SERVERS, **COMMANDS}[name]
    figures = {"ms": round(medians[name] * 1000, 1)}
    return {**figures, "ratio": round(medians[name] / medians[peer], 2)} if peer else figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    measured = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(measured, indent=2))
        return
    for name, figures in measured.items():
        peer = {**SERVERS, **COMMANDS}[name][1]
        ratio = f"  {figures['ratio']:.2f} of {peer}" if peer else ""
        spread = f"({figures['least']:.1f} to {figures['most']:.1f})"
        print(f"{name:<20} {figures['ms']:>8.1f} ms {spread:<20}{ratio}")


if __name__ == "__main__":
    main()

"""What a save costs on Windows' Python under wine: ours beside `flask run --debug`, taking turns.

    python tests/bench/windows_reload.py [--saves 5]

From a save to the first response of the new code, no debugger; as root, after .ci/install-windows.
`--preload off` starts an interpreter at each reload; otherwise one waits with the packages imported.
Each figure is a median with the smallest and the largest one; the ratio is to `flask run --debug`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.processes import Program, free_port, http_get, wait_until
from tests.windows.wine import ROOT, Windows, bring_project_to, wine_running

APP = """\
from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "{text}"
"""
LAUNCHER = ("-m", "flask_debuglaunch", "--app", "main", "--debug", "--no-debugger", "--port")
FLASK = ("-m", "flask", "--app", "main", "run", "--debug", "--no-debugger", "--port")
KINDS = {
    "ours": LAUNCHER,
    "ours, --preload off": (*LAUNCHER[:-1], "--preload", "off", "--port"),
    "flask run --debug": FLASK,
}
PEER = "flask run --debug"
START_SECONDS = 180.0
REST_SECONDS = 3.0
"""Between two saves, as a person has it: who waits for the next one has had the time to."""


class Server:
    """One of them, running in a folder of its own."""

    def __init__(self, windows: Windows, command: tuple[str, ...], cleanup: ExitStack) -> None:
        self._windows, self._number, port = windows, 0, free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._save()
        program: Program = windows.start(*command, str(port))
        cleanup.enter_context(program)
        self._wait()

    def time_a_save(self) -> float:
        start = time.perf_counter()
        self._save()
        self._wait()
        return time.perf_counter() - start

    def _save(self) -> None:
        self._number += 1
        self._windows.save("main.py", APP.format(text=self._number))

    def _wait(self) -> None:
        wait_until(self._is_served, START_SECONDS)

    def _is_served(self) -> bool:
        try:
            return http_get(self._url).text == str(self._number)
        except OSError:  # nobody listens between two processes of Werkzeug's reloader
            return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--saves", type=int, default=5)
    saves = parser.parse_args().saves
    own = ROOT / "win" / "tests" / uuid.uuid4().hex
    times: dict[str, list[float]] = {name: [] for name in KINDS}
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, own)
        bring_project_to(own / "site")
        cleanup.enter_context(wine_running())
        servers = {}
        for number, (name, command) in enumerate(KINDS.items()):
            (folder := own / str(number)).mkdir()
            servers[name] = Server(Windows(folder, own / "site"), command, cleanup)
        for _ in range(saves):
            for name, server in servers.items():
                time.sleep(REST_SECONDS)
                times[name].append(server.time_a_save())
    peer = statistics.median(times[PEER])
    for name, all_of in times.items():
        median = statistics.median(all_of)
        spread = f"{min(all_of):.2f} to {max(all_of):.2f}"
        print(f"{name}: {median:.2f} s ({spread}), ratio {median / peer:.2f}")


if __name__ == "__main__":
    main()

"""What a save costs: ours beside the peers, in one run, taking turns.

    pip install -e ".[bench]"
    python tests/bench/reload.py [--saves 10] [--only small,heavy,...] [--json]

own: the same with modules of the project's own, the first save of one and later ones; uvicorn-hmr
takes part where it is installed (Python 3.12 and later). small, heavy: from a save to the first response of the new code, no debugger; the heavy app imports
pandas and SQLAlchemy. debugpy: from a save to the stop at a breakpoint in the new code, with a
client attached; then how long the client waits for an evaluation and for a step with stack, scopes
and variables. launched: the same waits where the IDE has started the server. ides: from a save to
the stop, started by the debugger that an IDE brings along (pip fetches copies of debugpy and
pydevd). idle: processor time while nothing happens, on a project of 5,000 files. polling: the
same, and saves of any file at any moment, where the system tells of no change. streams: from a
save to the response while a client holds a connection that may never end. load: requests lost during reloads. Each figure is a median with the smallest and the largest one; the ratio is to
the first peer named.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import json
import os
import random
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from socket import create_connection
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.dap import Editor
from tests.support.ide import Ide
from tests.support.processes import Program, free_port, in_background, wait_for_port
from tests.support.pydevd_ide import PyDev

APP = """\
{imports}
from flask import Flask
VERSION = "{version}"
app = Flask(__name__)

@app.get("/")
def index():
    one = 1
    two = one + 1
    three = two + 1
    four = three + 1
    five = four + 1
    six = five + 1
    return VERSION
"""
MODULE_LINE, VIEW_LINE = 3, 8
# Each process of it answers something else, whichever file it was started for.
APP_OF_MANY_FILES = """\
import uuid
from flask import Flask
STARTED = str(uuid.uuid4())
app = Flask(__name__)

@app.get("/")
def index():
    return STARTED
"""
HEAVY = "import pandas, sqlalchemy.orm"
LAUNCHER = ("-m", "flask_debuglaunch", "--app", "main", "--debug", "--no-debugger", "--port")
FLASK = ("-m", "flask", "--app", "main", "run", "--debug", "--no-debugger", "--port")
UVICORN = ("-m", "uvicorn", "main:app", "--interface", "wsgi", "--reload", "--port")


@dataclass(frozen=True)
class Kind:
    """A way to serve with reload; the port comes last."""

    name: str
    command: tuple[str, ...]
    watchdog: bool = False
    """May Werkzeug use it? It takes watchdog for its stat loop wherever that is installed."""
    polls: bool = False
    """Does the launcher have to do without events?"""


OURS = Kind("ours", LAUNCHER)
OURS_AUTO = Kind("ours, PRELOAD: auto", (*LAUNCHER[:-1], "--preload", "auto", "--port"))
STAT = Kind("flask run --debug (stat)", FLASK)
PLAIN = [
    OURS,
    STAT,
    Kind("flask run --debug (watchdog)", FLASK, True),
    Kind("uvicorn --reload", UVICORN),
]
OURS_POLLING = Kind("ours, polling", LAUNCHER, polls=True)
DEBUG_PORT = "{debug_port}"
OURS_DEBUGPY = Kind(
    "ours",
    ("-m", "flask_debuglaunch", "--app", "main", "--debug", "--debug-with", "debugpy",
     "--debug-port", DEBUG_PORT, "--port"),
)  # fmt: skip
BARE_DEBUGPY = Kind(
    "debugpy -m flask run --debug", ("-m", "debugpy", "--listen", DEBUG_PORT, *FLASK)
)


START_SECONDS = 120.0
"""A large app may take so long until it listens."""


@dataclass
class Server:
    """One of them, running in a project of its own."""

    kind: Kind
    folder: Path
    imports: str = ""
    views: str = ""
    tls: bool = False
    port: int = field(default_factory=free_port)
    debug_port: int = field(default_factory=free_port)
    version: int = 0
    program: Program | None = None

    def start(self, cleanup: ExitStack) -> Server:
        self.save()
        (self.folder / "blocked").mkdir()
        (self.folder / "blocked" / "watchdog.py").write_text("raise ImportError")
        env = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        if not self.kind.watchdog:
            paths = [str(self.folder / "blocked"), *filter(None, [env.get("PYTHONPATH")])]
            env["PYTHONPATH"] = os.pathsep.join(paths)
        if self.kind.polls:
            env["WATCHFILES_FORCE_POLLING"] = "1"
        command = [part.replace(DEBUG_PORT, str(self.debug_port)) for part in self.kind.command]
        argv = [sys.executable, *command, str(self.port)]
        self.program = cleanup.enter_context(Program(argv, cwd=self.folder, env=env))
        wait_for_port(self.port, START_SECONDS)
        self.wait_until_served()
        return self

    def save(self) -> float:
        """Save the next version of the app; returns when."""
        self.version += 1
        self.write_version()
        return time.perf_counter()

    def write_version(self) -> None:
        text = APP.format(imports=self.imports, version=self.version) + self.views
        replace_text(self.folder / "main.py", text)

    def wait_until_served(self) -> None:
        while get(self.port, self.tls) != str(self.version):
            pass

    def time_a_save(self) -> float:
        start = self.save()
        self.wait_until_served()
        return time.perf_counter() - start


def replace_text(file: Path, text: str) -> None:
    """At once, as editors do."""
    new = file.with_name(".new")
    new.write_text(text)
    os.replace(new, file)


TRUSTING = ssl._create_unverified_context()


def get(port: int, tls: bool = False) -> str | None:
    """The answer, or None if the server did not take or finish the request."""
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=TRUSTING)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    )
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


Rows = dict[str, list[float]]


def time_saves(imports: str, saves: int) -> Rows:
    with ExitStack() as cleanup:
        servers = [Server(kind, folder(cleanup), imports).start(cleanup) for kind in PLAIN]
        take_turns(servers, 2, Server.time_a_save)  # the first reload of each is not like the rest
        return take_turns(servers, saves, Server.time_a_save)


# A module as projects have them: data classes with methods.
OWN_MODULE = """\
import re
from dataclasses import dataclass
{imports}

VERSION = "{version}"
PATTERN = re.compile(r"(a{number}|b)+")
""" + "".join(
    f"""
@dataclass
class Class{number}:
    one: int = 1
    two: str = "x"
    three: float = 2.0

    def method(self):
        return self.one
"""
    for number in range(6)
)
OWN_APP = """\
{imports}
from flask import Flask
from own import {edited}

app = Flask(__name__)


@app.get("/")
def index():
    return {edited}.VERSION
"""
OWN_ASGI = (
    "from asgiref.wsgi import WsgiToAsgi\nfrom main import app as wsgi\napp = WsgiToAsgi(wsgi)\n"
)
OWN = [
    OURS,
    STAT,
    OURS_AUTO,
    Kind("uvicorn-hmr", ("-m", "uvicorn_hmr", "asgi:app", "--port")),
]
OWN_SIZES = "10,100,300,1000"
SETTLE_SECONDS = 0.02
"""For each module: until a server has done what it does between two saves."""


@dataclass
class OwnServer(Server):
    """One with modules of its own, of which one is edited."""

    modules: int = 10
    edited: int = 0

    def start(self, cleanup: ExitStack) -> Server:
        (self.folder / "own").mkdir()
        (self.folder / "own" / "__init__.py").touch()
        for number in range(self.modules):
            self.write(number)
        imports = "".join(f"import own.m{number}\n" for number in range(self.modules))
        app = OWN_APP.format(imports=imports, edited=f"m{self.edited}")
        (self.folder / "main.py").write_text(app)
        (self.folder / "asgi.py").write_text(OWN_ASGI)
        return super().start(cleanup)

    def write(self, number: int) -> None:
        # Features of ten modules, each of which imports the one before.
        imports = f"from own import m{number - 1}" if number % 10 else ""
        text = OWN_MODULE.format(imports=imports, version=self.version, number=number)
        replace_text(self.folder / "own" / f"m{number}.py", text)

    def write_version(self) -> None:
        self.write(self.edited)


def time_own(modules: int, edited: int, saves: int) -> tuple[Rows, Rows]:
    """The first save of a module, and later ones."""
    with ExitStack() as cleanup:
        servers = [
            OwnServer(kind, folder(cleanup), modules=modules, edited=edited).start(cleanup)
            for kind in OWN
            if kind.name != "uvicorn-hmr" or importlib.util.find_spec("uvicorn_hmr")
        ]
        return first_and_later(servers, saves, 2 + modules * SETTLE_SECONDS)


def first_and_later(servers: Sequence[Server], saves: int, settle: float) -> tuple[Rows, Rows]:
    """settle: the seconds until a server has done what it does between two saves."""
    time.sleep(settle)
    first = take_turns(servers, 1, Server.time_a_save)
    time.sleep(settle)
    return first, take_turns(servers, saves, Server.time_a_save)


def take_turns(servers: Sequence[Server], rounds: int, measure: Callable[[Server], float]) -> Rows:
    rows: Rows = {server.kind.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            time.sleep(random.uniform(0.5, 1.5))  # a stat loop looks once a second
            rows[server.kind.name].append(measure(server))
    return rows


def time_debugging(saves: int) -> dict[str, Rows]:
    with ExitStack() as cleanup:
        kinds = (OURS_DEBUGPY, BARE_DEBUGPY)
        servers = [Server(kind, folder(cleanup)).start(cleanup) for kind in kinds]
        editors = {}
        for server in servers:
            editor = cleanup.enter_context(Editor.attach(server.debug_port))
            editor.wait_for_session(2)
            editors[server.port] = editor

        def to_breakpoint(server: Server) -> float:
            return time_to_breakpoint(server, editors[server.port])

        take_turns(servers, 2, to_breakpoint)
        to_stop = take_turns(servers, saves, to_breakpoint)
        trips = [time_round_trips(server, editors[server.port]) for server in servers]
        names = [server.kind.name for server in servers]
        return {
            "save to breakpoint, debugpy attached": to_stop,
            "evaluate": {name: trip[0] for name, trip in zip(names, trips, strict=True)},
            "step, stack, scopes, variables": {
                name: trip[1] for name, trip in zip(names, trips, strict=True)
            },
        }


def time_launched() -> dict[str, Rows]:
    """The round trips where the IDE has started the server under its debugger."""
    trips = {}
    for kind in (OURS, STAT):
        with ExitStack() as cleanup:
            server = Server(kind, folder(cleanup))
            server.save()
            _, module, *flags = kind.command
            configuration = {
                "module": module,
                "args": [*flags, str(server.port)],
                "cwd": str(server.folder),
                "jinja": True,
            }
            editor = cleanup.enter_context(Editor.launch(configuration))
            server.wait_until_served()
            editor.wait_for_session(2)
            trips[kind.name] = time_round_trips(server, editor)
    return {
        "evaluate, launched by the IDE": {name: trip[0] for name, trip in trips.items()},
        "step, stack, scopes, variables, launched": {name: trip[1] for name, trip in trips.items()},
    }


# What an IDE runs, as a file: PyDev runs nothing else.
STARTERS = {
    "ours": "from flask_debuglaunch.cli import main\nmain()\n",
    STAT.name: "from flask.cli import main\nmain()\n",
}

IDE_FLAGS = ("--app", "main", "--debug", "--reload", "--port")


def time_ides_own(saves: int) -> dict[str, Rows]:
    """From a save to the breakpoint, started by the debugger that an IDE brings along: it is not
    where pip would have it."""
    with tempfile.TemporaryDirectory() as folder_of_ides:
        bundled, pysrc = Path(folder_of_ides) / "debugpy", Path(folder_of_ides) / "pysrc"
        for package, target in (("debugpy", bundled), ("pydevd", pysrc)):
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            subprocess.run([*pip, "--target", str(target), package], check=True, timeout=300)
        return {
            "save to breakpoint, launched by an IDE's own debugpy": time_launched_saves(
                saves, partial(press_f5, bundled)
            ),
            "save to breakpoint, launched by PyDev's pysrc": time_launched_saves(
                saves, partial(debug_as, pysrc)
            ),
        }


def press_f5(bundled: Path, server: Server, arguments: list[str]) -> Ide[Any]:
    program = {"program": str(server.folder / "start.py"), "args": arguments}
    configuration = {**program, "cwd": str(server.folder), "jinja": True}
    return Editor.launch(configuration, bundled=bundled)


def debug_as(pysrc: Path, server: Server, arguments: list[str]) -> Ide[Any]:
    ide = PyDev(pysrc=pysrc)
    ide.launch(server.folder / "start.py", *arguments)
    return ide


def time_launched_saves(saves: int, launch: Callable[[Server, list[str]], Ide[Any]]) -> Rows:
    with ExitStack() as cleanup:
        servers, ides = [], {}
        for kind in (OURS, STAT):
            server = Server(kind, folder(cleanup))
            server.save()
            (server.folder / "start.py").write_text(STARTERS[kind.name])
            flags = IDE_FLAGS if kind is OURS else kind.command[2:]
            ide = cleanup.enter_context(launch(server, [*flags, str(server.port)]))
            server.wait_until_served()
            ide.wait_for_session(2)
            servers.append(server)
            ides[server.port] = ide

        def to_breakpoint(server: Server) -> float:
            return time_to_breakpoint(server, ides[server.port])

        take_turns(servers, 2, to_breakpoint)
        return take_turns(servers, saves, to_breakpoint)


def time_to_breakpoint(server: Server, ide: Ide[Any]) -> float:
    ide.set_breakpoints(server.folder / "main.py", [MODULE_LINE])
    start = server.save()
    stop = ide.wait_for_stop()
    seconds = time.perf_counter() - start
    ide.set_breakpoints(server.folder / "main.py", [])
    stop.resume()
    server.wait_until_served()
    return seconds


def time_round_trips(server: Server, editor: Editor) -> tuple[list[float], list[float]]:
    editor.set_breakpoints(server.folder / "main.py", [VIEW_LINE])
    evaluations, steps = [], []
    for _ in range(3):
        response = in_background(get, server.port)
        stop = editor.wait_for_stop()
        stop.variables()
        for _ in range(5):
            start = time.perf_counter()
            stop.evaluate("1 + 1")
            evaluations.append(time.perf_counter() - start)
            start = time.perf_counter()
            stop = stop.step_over()
            stop.variables()
            steps.append(time.perf_counter() - start)
        stop.resume()
        response.result(60)
    return evaluations, steps


def time_idling(seconds: float) -> Rows:
    with ExitStack() as cleanup:
        return idling([large(kind, cleanup) for kind in PLAIN[:3]], seconds)


def time_polling(files: int, saves: int, seconds: float) -> tuple[Rows, Rows]:
    """Saves of any file at any moment, then idling."""
    with ExitStack() as cleanup:
        servers = [large(kind, cleanup, files) for kind in (OURS_POLLING, STAT)]
        for server in servers:
            (server.folder / "main.py").write_text(APP_OF_MANY_FILES)
        take_turns(servers, 3, time_a_save_of_any)
        return take_turns(servers, saves, time_a_save_of_any), idling(servers, seconds)


def time_a_save_of_any(server: Server) -> float:
    """From the save of a file of `large` to the answer of another process."""
    file = random.choice(list(server.folder.glob("package_*/*.py")))
    before = get(server.port)
    file.write_text(f"x = {time.time_ns()}\n")
    start = time.perf_counter()
    while get(server.port) in (before, None):
        time.sleep(0.001)
    return time.perf_counter() - start


def large(kind: Kind, cleanup: ExitStack, files: int = 5_000) -> Server:
    server = Server(kind, folder(cleanup))
    for number in range(files):
        file = server.folder / f"package_{number // 50}" / f"module_{number}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text("x = 1\n")
    return server.start(cleanup)


def idling(servers: Sequence[Server], seconds: float) -> Rows:
    time.sleep(3)
    before = [processor_seconds(server) for server in servers]
    time.sleep(seconds)
    return {
        server.kind.name: [
            sum(now - was.get(task, 0.0) for task, now in processor_seconds(server).items())
        ]
        for server, was in zip(servers, before, strict=True)
    }


def processor_seconds(server: Server) -> dict[Path, float]:
    """Of each thread of all its processes, as the scheduler has it: the clock ticks of
    /proc/PID/stat would miss what wakes up for microseconds only."""
    assert server.program
    return {
        task: int((task / "schedstat").read_text().split()[0]) / 1e9
        for pid in server.program.family.members()
        for task in Path(f"/proc/{pid}/task").iterdir()
    }


@dataclass(frozen=True)
class Conversation:
    """What a client says before it falls silent and leaves the connection open."""

    opening: bytes
    is_answered: bool = False
    tls: bool = False


CONVERSATIONS = {
    "nothing": Conversation(b""),
    "an event stream": Conversation(b"GET /events HTTP/1.1\r\n\r\n", is_answered=True),
    "a websocket": Conversation(
        b"GET /socket HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        is_answered=True,
    ),
    "half a request": Conversation(b"GET / HTTP/1.1\r\nHost"),
    "nothing, TLS": Conversation(b"", tls=True),
    "half a TLS handshake": Conversation(b"\x16\x03\x01", tls=True),
}
STREAMING_VIEWS = """
import itertools, time
from flask import request

@app.get("/events")
def events():
    endless = (time.sleep(0.05) or "data: 1\\n\\n" for _ in itertools.count())
    return app.response_class(endless, mimetype="text/event-stream")

@app.get("/socket", websocket=True)
def socket():
    connection = request.environ["werkzeug.socket"]
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n")
    while connection.recv(100):
        pass
    return ""
"""


def time_streams(conversation: Conversation, saves: int) -> Rows:
    with ExitStack() as cleanup:
        kinds = [over_tls(kind) if conversation.tls else kind for kind in (OURS, STAT)]
        servers = [
            Server(kind, folder(cleanup), views=STREAMING_VIEWS, tls=conversation.tls).start(
                cleanup
            )
            for kind in kinds
        ]
        time_it = partial(time_a_save_beside, conversation)
        take_turns(servers, 2, time_it)
        return take_turns(servers, saves, time_it)


def over_tls(kind: Kind) -> Kind:
    *command, port_flag = kind.command
    return replace(kind, command=(*command, "--cert", "adhoc", port_flag))


def time_a_save_beside(conversation: Conversation, server: Server) -> float:
    if not conversation.opening:
        return server.time_a_save()
    with create_connection(("127.0.0.1", server.port), 60) as client:
        client.sendall(conversation.opening)
        if conversation.is_answered:
            client.recv(12)
        else:
            time.sleep(SETTLE_SECONDS)  # until the server has taken it
        return server.time_a_save()


def count_lost(reloads: int) -> Rows:
    with ExitStack() as cleanup:
        servers = [Server(kind, folder(cleanup)).start(cleanup) for kind in (OURS, STAT)]
        return {server.kind.name: [float(lost_by(server, reloads))] for server in servers}


def lost_by(server: Server, reloads: int) -> int:
    over = threading.Event()

    def load() -> int:
        return sum(get(server.port) is None for _ in iter(over.is_set, True))

    clients = [in_background(load) for _ in range(3)]
    for _ in range(reloads):
        server.time_a_save()
    over.set()
    return sum(client.result(60) for client in clients)


def folder(cleanup: ExitStack) -> Path:
    return Path(cleanup.enter_context(tempfile.TemporaryDirectory())).resolve()


def measure(
    only: Sequence[str], saves: int, sizes: Sequence[int]
) -> Iterator[tuple[str, str, Rows]]:
    """Name, unit and figures of each measurement."""
    if "small" in only:
        yield "save to response, small app", "ms", time_saves("", saves)
    if "own" in only:
        for modules in sizes:
            for place, edited in (("first", 0), ("middle", modules // 2), ("last", modules - 1)):
                first, later = time_own(modules, edited, saves)
                name = f"{modules} own modules, {place} edited"
                yield f"{name}, first save to response", "ms", first
                yield f"{name}, later saves to response", "ms", later
    if "heavy" in only:
        yield "save to response, heavy app", "ms", time_saves(HEAVY, saves)
    if "debugpy" in only:
        for name, rows in time_debugging(saves).items():
            yield name, "ms", rows
    if "launched" in only:
        for name, rows in time_launched().items():
            yield name, "ms", rows
    if "ides" in only:
        for name, rows in time_ides_own(saves).items():
            yield name, "ms", rows
    if "idle" in only:
        yield "processor time in 20 idle seconds, 5,000 files", "s", time_idling(20)
    if "polling" in only:
        for files in (2_000, 5_000):
            rows, idle = time_polling(files, saves, 20)
            yield f"save to response, polling {files:,} files", "ms", rows
            yield f"processor time in 20 idle seconds, polling {files:,} files", "s", idle
    if "streams" in only:
        for name, conversation in CONVERSATIONS.items():
            yield f"save to response beside {name}", "ms", time_streams(conversation, saves)
    if "load" in only:
        yield "requests lost in 50 reloads under load", "", count_lost(50)


def summary(rows: Rows, unit: str) -> dict[str, dict[str, float]]:
    medians = {name: statistics.median(figures) for name, figures in rows.items()}
    peer = list(medians.values())[1]
    factor = 1000 if unit == "ms" else 1
    return {
        name: {
            "median": round(median * factor, 2),
            "least": round(min(rows[name]) * factor, 2),
            "most": round(max(rows[name]) * factor, 2),
            "ratio": round(median / peer, 3) if peer else 0,
        }
        for name, median in medians.items()
    }


def print_rows(name: str, unit: str, rows: Rows) -> None:
    print(f"{name}{f' ({unit})' if unit else ''}")
    for server, figures in summary(rows, unit).items():
        spread = f"({figures['least']} to {figures['most']})"
        print(f"  {server:32} {figures['median']:>10} {spread:24} ratio {figures['ratio']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--saves", type=int, default=10)
    parser.add_argument("--only", default="small,heavy,debugpy,launched,ides,idle,polling,load")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sizes", default=OWN_SIZES, help="of the projects of `own`")
    options = parser.parse_args()
    sizes = [int(one) for one in options.sizes.split(",")]
    results = {}
    for name, unit, rows in measure(options.only.split(","), options.saves, sizes):
        results[name] = {"unit": unit, "figures": summary(rows, unit)}
        if not options.json:
            print_rows(name, unit, rows)
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

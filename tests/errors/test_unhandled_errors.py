"""Every unhandled error stops the IDE once, at the line that raised it; no handled one does."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..support.dap import DapStop
from ..support.debug_session import (
    CONNECTIONS,
    CommandLine,
    DebugSession,
    debug_app,
    debug_session,
)
from ..support.ide import Stop
from ..support.processes import TIMEOUT, http_get, in_background, wait_until
from ..support.sources import marked_line
from .failing_app.app import FAILING, HANDLED

APP = Path(__file__).parent / "failing_app" / "app.py"
TRUSTING = ssl._create_unverified_context()
# What the client gets where it is not a complete 500: the status is on its way already.
STATUS = {"stream": (200, False), "closing": (200, True)}
VIEW = marked_line(APP, "view")
KINDS = {
    "view": "ValueError",
    "nested": "LookupError",
    "library": "JSONDecodeError",
    "template": "ZeroDivisionError",
    "missing-key": "BadRequestKeyError",
}


def visit(session: DebugSession, place: str) -> list[Stop]:
    """The stops at an unhandled error; the client gets the same as without a debugger."""
    response, stops = session.get(FAILING[place])
    assert response is not None, place
    assert (response.status, response.complete) == STATUS.get(place, (500, True)), place
    if place == "closing" and not stops:  # the response was complete before
        stops = [session.take_stop()]
    return stops


def is_at(stop: Stop, place: str) -> bool:
    """Is it the raising line, or the app's nearest where a library raised it?"""
    line = marked_line(APP, place)
    return any(Path(one.file) == APP and one.line == line for one in stop.stack()[:15])


def count_handled(session: DebugSession) -> dict[str, int]:
    return {place: len(session.get(path)[1]) for place, path in HANDLED.items()}


@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_the_one_box(debugger: str, connection: str) -> None:
    """The box for unhandled errors: VS Code and PyCharm tick it, in PyDev it is to be ticked."""
    with debug_app(debugger, connection, APP) as session:
        for place in FAILING:
            stops = visit(session, place)
            assert [str(stop) for stop in stops if is_at(stop, place)] == [str(s) for s in stops]
            assert len(stops) == 1, place
            found = stops[0].exception_info()
            kind = KINDS.get(place, "RuntimeError")
            assert (found.type, found.break_mode) == (kind, "unhandled"), place
        assert count_handled(session) == dict.fromkeys(HANDLED, 0)
        assert session.get("/")[0].text == "fine"


OLD_DEBUGPY = """\
import debugpy
from flask import Flask

vars(debugpy).pop("trigger_exception_handler", None)  # as before 1.8.22
app = Flask(__name__)


@app.get("/")
def view():
    raise ValueError
"""


@pytest.mark.slow
def test_no_two_threads_have_one_name_where_debugpy_needs_one_to_stop(tmp_path: Path) -> None:
    """The request's, and the one that dies of its error for the debugger to stop in."""
    app = tmp_path / "app.py"
    app.write_text(OLD_DEBUGPY)
    with debug_app("debugpy", "present", app) as session:
        response = in_background(http_get, session.url)
        stop = session.ide.wait_for_stop()
        assert isinstance(stop, DapStop)
        names = [one["name"] for one in stop.session.request("threads")["threads"]]
        assert sum(name.startswith("ValueError in ") for name in names) == 1, names
        assert len(set(names)) == len(names), names
        stop.resume()
        assert response.result(TIMEOUT).status == 500


@pytest.mark.slow
@pytest.mark.parametrize("filters", [("uncaught", "userUnhandled"), ("uncaught", "raised")])
@pytest.mark.parametrize("debugger", ["debugpy", "pydevd"])
def test_more_boxes(debugger: str, filters: tuple[str, ...]) -> None:
    """Once also where the IDE would stop again and again while the error is on its way."""
    with debug_app(debugger, "present", APP, filters=filters) as session:
        counts = {place: len(visit(session, place)) for place in FAILING}
        # Two errors: the one that is handled, and that of its handler.
        assert counts == {**dict.fromkeys(FAILING, 1), "handler": 2}


def test_pycharms_on_raise() -> None:
    """It stops at every error that any library raises, the one in question among them. None of
    the stops is ours."""
    with debug_app("pydevd-pycharm", "connect", APP, filters=("uncaught", "raised")) as session:
        stops = visit(session, "view")
        assert any((Path(stop.file), stop.line) == (APP, VIEW) for stop in stops)
        assert {stop.exception_info().break_mode for stop in stops} == {"always"}


@pytest.mark.slow
@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_no_box(debugger: str, connection: str) -> None:
    with debug_app(debugger, connection, APP, filters=()) as session:
        for place, path in FAILING.items():
            assert (place, session.get(path)[1]) == (place, [])
        assert count_handled(session) == dict.fromkeys(HANDLED, 0)


@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_what_the_person_sees(debugger: str, connection: str) -> None:
    """Locals, the exception, and the request's context evaluate at the stop."""
    with debug_app(debugger, connection, APP) as session:
        response = in_background(http_get, f"{session.url}/view")
        stop = session.ide.wait_for_stop()
        assert (Path(stop.file), stop.line) == (APP, VIEW)
        assert stop.exception_info().message == "view ['apple']"
        assert "['apple']" in stop.variables()["basket"]  # pydevd puts the type in front
        assert stop.evaluate("request.path") == "'/view'"
        assert stop.evaluate("g.customer") == "'Ada'"
        assert not response.done()
        stop.resume()
        assert response.result(TIMEOUT).status == 500
        assert len(session.ide.stops) == 1


@pytest.mark.slow
def test_each_worker_of_a_reload() -> None:
    with debug_app("debugpy", "listen", APP, reload=True) as session:
        assert [str(stop) for stop in visit(session, "view")] == [
            f"exception at {APP}:{VIEW} in view"
        ]


def test_an_error_object_that_is_raised_again(tmp_path: Path) -> None:
    app = write_app(tmp_path, "error = ValueError()", "raise error")
    with debug_app("debugpy", "listen", app) as session:
        assert [len(session.get("/")[1]) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("setting_up", "view", "kind"),
    [
        (
            "import functools, json\napp.before_request(functools.partial(json.loads, '{'))",
            "",
            "JSON",
        ),
        ("", "return None", "TypeError"),
    ],
)
@pytest.mark.parametrize(("debugger", "connection"), [("debugpy", "listen"), ("pydevd", "connect")])
def test_an_error_without_a_frame_of_the_apps(
    tmp_path: Path, debugger: str, connection: str, setting_up: str, view: str, kind: str
) -> None:
    """One that only libraries raised: "just my code" would filter every frame out, and show
    nothing; then the libraries' frames are shown, of this stop alone."""
    app = write_app(tmp_path, setting_up, view or "return ''")
    with debug_app(debugger, connection, app) as session:
        _, [stop] = session.get("/")
        assert kind in stop.exception_info().type
        assert Path(stop.file).suffix == ".py"
        files = {Path(frame.file) for frame in stop.stack()}
        assert any(file.parts[-2:] == ("flask", "app.py") for file in files)
        assert not any("flask_debuglaunch" in file.parts[:-1] for file in files)


# STOP_ON_ERRORS, and the two handlers that are told of everything


@pytest.mark.parametrize(("mode", "stops"), [("unhandled", 0), ("all", 1), ("off", 0)])
def test_a_handler_of_exception_handles(mode: str, stops: int) -> None:
    with debug_app("debugpy", "listen", APP, "--stop-on-errors", mode) as session:
        assert len(session.get(HANDLED["catch-all"])[1]) == stops
        assert len(session.get(HANDLED["abort"])[1]) == 0
        assert len(session.get(HANDLED["class"])[1]) == stops
        assert len(session.get(FAILING["view"])[1]) == (0 if mode == "off" else 1)


@pytest.mark.slow
@pytest.mark.parametrize("debugger_way", CONNECTIONS)
def test_a_handler_of_500_is_told_of_an_unhandled_error(
    tmp_path: Path, debugger_way: tuple[str, str]
) -> None:
    """Without debug, for in debug mode Flask does not ask that handler."""
    handler = '@app.errorhandler(500)\ndef sorry(error): return "sorry", 500'
    app = write_app(tmp_path, handler, "raise ValueError")
    with debug_app(*debugger_way, app, debug=False) as session:
        response, stops = session.get("/")
        assert response is not None
        assert (response.status, response.text) == (500, "sorry")
        assert [stop.exception_info().type for stop in stops] == ["ValueError"]


LAST_RESORT = """
from werkzeug.middleware.proxy_fix import ProxyFix

class Known(Exception): pass

@app.errorhandler(Exception)
def sorry(error): return "sorry", getattr(error, "code", 500)

@app.errorhandler(Known)
def known(error): return "known", 503

@app.get("/known")
def raising_known(): raise Known

application = ProxyFix(app)
"""


@pytest.mark.parametrize(("mode", "stops"), [("unhandled", [1, 0, 0]), ("all", [1, 1, 0])])
def test_a_handler_of_exception_that_answers_500_is_the_last_resort(
    tmp_path: Path, mode: str, stops: list[int]
) -> None:
    """Also in an app that is wrapped. The handler of a class handles, whatever it answers."""
    app = write_app(tmp_path, LAST_RESORT, "raise ValueError")
    target = f"{app.name}:application"
    flags = ("--app", target, "--stop-on-errors", mode)
    with debug_app("debugpy", "listen", app, *flags) as session:
        found = {path: session.get(path) for path in ("/", "/known", "/no-such-page")}
        assert [len(stopped) for _, stopped in found.values()] == stops
        statuses = [response and response.status for response, _ in found.values()]
        assert statuses == [500, 503, 404]
        [stop] = found["/"][1]
        assert (Path(stop.file), stop.line) == (app, len(app.read_text().splitlines()))


RESTX = "from flask_restx import Api, Resource, abort, reqparse"
RESTFUL = "from flask_restful import Api, Resource, abort, reqparse"
RESOURCES = """
parser = reqparse.RequestParser()
parser.add_argument("size", type=int, required=True, location="args")
api = Api(app)

@api.resource("/abort") if hasattr(api, "resource") else api.route("/abort")
class Aborts(Resource):
    def get(self): abort(404)

@api.resource("/parse") if hasattr(api, "resource") else api.route("/parse")
class Parses(Resource):
    def get(self): return parser.parse_args()

@api.resource("/fail") if hasattr(api, "resource") else api.route("/fail")
class Fails(Resource):
    def get(self): raise ValueError
"""


@pytest.mark.parametrize("extension", [RESTX, RESTFUL], ids=["RESTX", "RESTful"])
@pytest.mark.parametrize("debug", [True, False])
def test_what_abort_raises_in_an_extension_is_no_error(
    tmp_path: Path, extension: str, debug: bool
) -> None:
    """They send Flask's signal for it, and for arguments that can't be parsed."""
    pytest.importorskip(extension.split()[1])
    app = write_app(tmp_path, f"{extension}\n{RESOURCES}", "return 'fine'")
    with debug_app("debugpy", "listen", app, debug=debug) as session:
        found = {path: session.get(path) for path in ("/abort", "/parse?size=x", "/fail")}
        assert [len(stops) for _, stops in found.values()] == [0, 0, 1]
        assert [response and response.status for response, _ in found.values()] == [404, 400, 500]


# A client that has gone


def test_a_client_that_sends_half_a_body() -> None:
    with debug_app("debugpy", "listen", APP) as session, connected(session) as client:
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        client.shutdown(socket.SHUT_WR)
        assert b" 400 " in client.recv(1000)  # the view has ended
        assert session.get("/")[1] == []


def test_a_client_that_sends_half_a_body_while_the_response_runs() -> None:
    with debug_app("debugpy", "listen", APP) as session:
        with connected(session) as client:
            client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
            client.shutdown(socket.SHUT_WR)
            while client.recv(1000):
                pass
        session.program.wait_for_line("the echo is closed")
        assert session.get("/")[1] == []


def test_a_client_that_leaves_during_the_response() -> None:
    with debug_app("debugpy", "listen", APP) as session:
        with connected(session) as client:
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(1000)
        session.program.wait_for_line("the endless response is closed")
        assert session.get("/")[1] == []


CLIENTS = """
import socket, sys

@app.get("/endless")
def endless():
    try:
        while True:
            yield "x" * 1000
    finally:
        print("the endless response is closed", file=sys.stderr)

@app.get("/exit")
def exiting():
    yield "first part"
    sys.exit(1)

@app.get("/end-of-iteration")
def end_of_iteration():
    return next(iter(()))

@app.get("/own-client")
def own_client():
    socket.create_connection(("127.0.0.1", 1))

@app.get("/streaming-client")
def streaming_client():
    yield "first part"
    own_client()

@app.get("/goes-on-after-its-end")
def goes_on():
    try:
        while True:
            yield "x" * 1000
    except GeneratorExit:
        yield "more"
"""
GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_clients_do_is_no_error(tmp_path: Path, scheme: str) -> None:
    app = write_app(tmp_path, CLIENTS, "return 'fine'")
    tls = ("--cert", "adhoc") if scheme == "https" else ()
    with debug_app("debugpy", "listen", app, "--stop-on-errors", "all", *tls) as session:

        def send(text: bytes, *, tls: bool = scheme == "https") -> bytes:
            """Returns the beginning of the answer; then the client leaves."""
            with connected(session) as plain:
                if not tls:
                    plain.sendall(text)
                    return plain.recv(1000)
                with TRUSTING.wrap_socket(plain) as client:
                    client.sendall(text)
                    return client.recv(1000)

        assert b" 200 " in send(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 200 " in send(GET % b"/endless")
        session.program.wait_for_line("the endless response is closed")
        with connected(session) as client:
            client.sendall(b"GET / HT")  # half a request, or no handshake
        with suppress(OSError):  # TLS on a plain port, and the reverse
            send(GET % b"/", tls=scheme == "http")
        assert session.get("/exit")[1] == []
        assert session.get("/")[0] is not None
        assert session.ide.stops == []
        assert "Traceback" not in session.program.output

        # These are some, of the app's own.
        kinds = ["end-of-iteration", "own-client", "streaming-client"]
        stops = [session.get(f"/{kind}")[1] for kind in kinds]
        assert [[stop.exception_info().type for stop in one] for one in stops] == [
            ["StopIteration"],
            ["ConnectionRefusedError"],
            ["ConnectionRefusedError"],
        ]
        send(GET % b"/goes-on-after-its-end")
        assert "GeneratorExit" in session.take_stop().exception_info().message


FLASK_SOCK = """
from flask_sock import Sock
sock = Sock(app)

@sock.route("/echo")
def echo(connection):
    while True:
        connection.send(connection.receive())

@sock.route("/bye")
def bye(connection):
    connection.send(connection.receive())
"""


@pytest.mark.slow
def test_whoever_ends_a_websocket(tmp_path: Path) -> None:
    """Of flask-sock: either side, and a browser that is gone."""
    pytest.importorskip("flask_sock")
    websocket = pytest.importorskip("simple_websocket")
    app = write_app(tmp_path, FLASK_SOCK, "return 'fine'")
    with debug_app("debugpy", "listen", app, "--stop-on-errors", "all") as session:
        address = urlsplit(session.url).netloc
        closed = websocket.Client(f"ws://{address}/echo")
        closed.send("hello")
        assert closed.receive(TIMEOUT) == "hello"
        closed.close()
        ended = websocket.Client(f"ws://{address}/bye")
        ended.send("bye")  # the client loses what comes together with the answer to its handshake
        assert ended.receive(TIMEOUT) == "bye"
        with pytest.raises(websocket.ConnectionClosed):
            ended.receive(TIMEOUT)
        gone = websocket.Client(f"ws://{address}/echo")
        gone.sock.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: session.program.output.count('"GET /echo') == 2)
        assert session.get("/")[1] == []
        assert session.ide.stops == []
        assert "Traceback" not in session.program.output


WEBSOCKET = """
from flask_socketio import SocketIO
SocketIO(app)

def middleware(inner):
    def call(environ, start_response):
        if environ["PATH_INFO"] == "/refused":
            raise ConnectionRefusedError("the database")
        return inner(environ, start_response)
    return call

app.wsgi_app = middleware(app.wsgi_app)
"""


@pytest.mark.slow
def test_the_end_of_a_websocket(tmp_path: Path) -> None:
    """Flask-SocketIO ends it with a ConnectionError, to be dropped by the server."""
    pytest.importorskip("flask_socketio")
    websocket = pytest.importorskip("simple_websocket")
    app = write_app(tmp_path, WEBSOCKET, "return 'fine'")
    with debug_app("debugpy", "listen", app) as session:
        address = urlsplit(session.url).netloc
        client = websocket.Client(f"ws://{address}/socket.io/?EIO=4&transport=websocket")
        assert client.receive(TIMEOUT).startswith("0")
        client.close()
        response, stops = session.get("/refused")  # one of the app's own is one
        assert response is not None
        assert response.status == 500
        assert [stop.exception_info().type for stop in stops] == ["ConnectionRefusedError"]
        wait_until(lambda: "websocket" in session.program.output)
        assert session.program.output.count("Traceback (most recent call last)") == 1


# The import


@pytest.mark.slow
@pytest.mark.parametrize(
    ("debugger", "connection"), [("debugpy", "present"), ("pydevd", "connect")]
)
def test_an_error_of_the_import(tmp_path: Path, debugger: str, connection: str) -> None:
    app = tmp_path / "app.py"
    app.write_text("import json\nnumber = 1 / 0\n")
    launcher = CommandLine(app)
    with debug_session(debugger, connection, launcher, filters=("uncaught",)) as session:
        ide, program = session.ide, session.program
        stop = ide.wait_for_stop()
        assert (Path(stop.file), stop.line) == (app, 2)
        assert stop.exception_info().type == "ZeroDivisionError"
        stop.resume()
        program.wait_for_line("ZeroDivisionError")
        program.wait_exit()
        assert len(ide.stops) == 1


@pytest.mark.slow
def test_an_error_of_the_import_after_a_save(tmp_path: Path) -> None:
    app = write_app(tmp_path, "", "return 'fine'")
    fine = app.read_text()
    with debug_app("debugpy", "listen", app, reload=True) as session:
        app.write_text("number = 1 / 0\n")
        stop = session.take_stop()
        assert (Path(stop.file), stop.line) == (app, 1)
        session.program.wait_for_line("ZeroDivisionError")
        response, stops = session.get("/")
        assert response is not None
        assert (response.status, stops) == (500, [])  # shown already
        app.write_text(fine)
        wait_until(lambda: http_get(session.url).text == "fine")


# The log


@pytest.mark.slow
@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_the_traceback_is_logged_once(debugger: str, connection: str, debug: bool) -> None:
    with debug_app(debugger, connection, APP, debug=debug) as session:
        assert len(visit(session, "view")) == 1
        session.get("/")
        session.program.wait_for_line(r"GET / HTTP/1.1. 200")
        assert session.program.output.count("Traceback (most recent call last)") == 1


def write_app(folder: Path, setting_up: str, view: str) -> Path:
    app = folder / "app.py"
    start = "from flask import Flask\napp = Flask(__name__)\n"
    app.write_text(f'{start}{setting_up}\n@app.get("/")\ndef index():\n    {view}\n')
    return app


def connected(session: DebugSession) -> socket.socket:
    address = urlsplit(session.url)
    return socket.create_connection((address.hostname, address.port), TIMEOUT)

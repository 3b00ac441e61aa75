"""What a reload waits for: an app at work, and nothing that may never end."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import pytest
from flask import Flask, Response, request
from werkzeug.serving import generate_adhoc_ssl_context

from flask_debuglaunch.serving.server.http_server import (
    CUT_OFF_AFTER_SECONDS,
    AppServer,
    make_server,
)

from ..support.processes import TIMEOUT, http_get, in_background, wait_until
from .project import HELLO, Project

FOR_EVER = 60.0
WEBSOCKET = b"GET /websocket HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Gate:
    """A view that works until it is told to answer."""

    def __init__(self) -> None:
        self.is_at_work, self.may_answer = threading.Event(), threading.Event()


def app_with(gate: Gate) -> Flask:
    app = Flask(__name__)

    @app.get("/stream")
    def stream() -> Response:
        def endless() -> Iterator[str]:
            while True:
                yield "data: x\n\n"
                time.sleep(0.01)

        return Response(endless(), mimetype="text/event-stream")

    @app.get("/websocket", websocket=True)
    def websocket() -> str:
        connection: socket.socket = request.environ["werkzeug.socket"]
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        while connection.recv(100):
            pass
        return ""

    @app.post("/upload")
    def upload() -> str:
        return str(len(request.get_data()))

    @app.get("/big")
    def big() -> bytes:
        return bytes(50_000_000)

    @app.get("/half")
    def half() -> Response:
        def slowly() -> Iterator[str]:
            yield "do"
            gate.may_answer.wait(TIMEOUT)
            yield "ne"

        return Response(slowly(), headers={"Content-Length": "4"})

    @app.get("/work")
    def work() -> str:
        gate.is_at_work.set()
        gate.may_answer.wait(TIMEOUT)
        return "done"

    return app


@contextmanager
def serving(
    gate: Gate, *, threads: bool = True, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[AppServer, threading.Thread]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        server = make_server(listener, app_with(gate), tls, threads=threads)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        try:
            yield server, thread
        finally:
            gate.may_answer.set()
            server.stop()
            wait_until(lambda: server.cut_off() or not thread.is_alive())
            server.close()


def port_of(server: AppServer) -> int:
    port: int = server.socket.getsockname()[1]
    return port


def connected(server: AppServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(server)), TIMEOUT)


def sent(text: bytes) -> Callable[[socket.socket], object]:
    return lambda client: client.sendall(text)


def begun(text: bytes, status: bytes = b"200") -> Callable[[socket.socket], object]:
    def ask(client: socket.socket) -> None:
        client.sendall(text)
        assert client.recv(12).endswith(status)

    return ask


OPEN: dict[str, Callable[[socket.socket], object]] = {
    "half a request": sent(b"GET / HTTP/1.1\r\nHost"),
    "half a body": sent(b"POST /upload HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc"),
    "a stream": begun(b"GET /stream HTTP/1.1\r\n\r\n"),
    "a slow reader": begun(b"GET /big HTTP/1.1\r\n\r\n"),
    "a websocket": begun(WEBSOCKET, b"101"),
}


def never() -> bool:
    return False


@pytest.mark.parametrize("threads", [True, False], ids=["threads", "no threads"])
@pytest.mark.parametrize("kind", OPEN)
def test_what_may_never_end_is_not_waited_for(kind: str, threads: bool) -> None:
    gate = Gate()
    with serving(gate, threads=threads) as (server, thread), connected(server) as client:
        OPEN[kind](client)
        wait_until(lambda: server._open_connections)
        server.stop()
        # A server without threads is in the request: somebody else has to end that.
        wait_until(lambda: server.cut_off() or not thread.is_alive())
        began = time.monotonic()
        server.drain(FOR_EVER, never)
        assert time.monotonic() - began < FOR_EVER / 4


def test_half_a_tls_handshake_is_not_waited_for() -> None:
    gate = Gate()
    with (
        serving(gate, tls=generate_adhoc_ssl_context()) as (server, _),
        connected(server) as client,
    ):
        client.sendall(b"\x16\x03\x01")
        wait_until(lambda: server._open_connections)
        server.stop()
        assert not server.drain(FOR_EVER, never)


def test_an_app_at_work_is_waited_for() -> None:
    gate = Gate()
    with serving(gate) as (server, _), connected(server) as stream:
        OPEN["a stream"](stream)
        answer = in_background(http_get, f"http://127.0.0.1:{port_of(server)}/work")
        assert gate.is_at_work.wait(TIMEOUT)
        server.stop()
        drained = in_background(server.drain, FOR_EVER, never)
        with pytest.raises(futures.TimeoutError):  # another one before 3.11
            drained.result(1)
        gate.may_answer.set()
        assert answer.result(TIMEOUT).text == "done"
        assert drained.result(TIMEOUT) is False  # the stream goes on


def test_a_request_that_its_thread_has_not_seen_yet_is_waited_for() -> None:
    """On a busy machine it may take long until the thread that was started for it runs."""
    with serving(Gate()) as (server, _):
        serve = server.process_request_thread  # type: ignore[attr-defined]
        may_run = threading.Event()

        def serve_late(*arguments: object) -> None:
            assert may_run.wait(TIMEOUT)
            serve(*arguments)

        vars(server)["process_request_thread"] = serve_late
        with connected(server) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            wait_until(lambda: server._open_connections)
            assert is_awaited(server)
            may_run.set()
            assert client.recv(12).endswith(b"404")


def test_the_rest_of_an_answer_of_known_length_is_waited_for() -> None:
    gate = Gate()
    with serving(gate) as (server, _), connected(server) as client:
        begun(b"GET /half HTTP/1.1\r\n\r\n")(client)
        assert is_awaited(server)


def is_awaited(server: AppServer) -> bool:
    """Does a reload wait longer than it does for a connection that may stay open for ever?"""
    server.stop()
    began = time.monotonic()
    server.drain(3 * CUT_OFF_AFTER_SECONDS, never)
    return time.monotonic() - began >= 3 * CUT_OFF_AFTER_SECONDS


def test_a_stream_is_waited_for_while_a_thread_is_stopped() -> None:
    gate, stopped = Gate(), [True]
    with serving(gate) as (server, _), connected(server) as client:
        OPEN["a stream"](client)
        server.stop()
        drained = in_background(server.drain, 0.0, lambda: bool(stopped))
        with pytest.raises(futures.TimeoutError):  # another one before 3.11
            drained.result(1)
        stopped.clear()
        assert drained.result(TIMEOUT) is False


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--without-threads"]], ids=["threads", "no threads"])
def test_reloads_beside_an_open_stream(project: Project, flags: list[str]) -> None:
    """Each would take the 2 seconds that a running view has."""
    stream = "\n\n@app.get('/stream')\ndef stream():\n    import itertools\n    import time\n"
    stream += "    return (time.sleep(0.01) or f'{n}' for n in itertools.count())\n"
    project.save("main.py", HELLO.format(text="one") + stream)
    with project.served(*flags) as served:
        port = int(served.url.rpartition(":")[2])
        for number in range(1, 4):
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as client:
                client.sendall(b"GET /stream HTTP/1.1\r\n\r\n")
                assert client.recv(10)
                project.save("main.py", HELLO.format(text=f"text {number}") + stream)
                served.wait_for_text(f"text {number}")
                served.wait_for_reload(number)
        lines = [line for line in served.program.lines if "Reloaded in" in line]
    assert min(float(line.split()[3]) for line in lines) < 1.5, lines

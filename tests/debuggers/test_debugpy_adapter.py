"""debugpy's adapter, the process that holds the debug port: it ends with the launcher, whatever
came to the port, is started anew when it has been killed, and answers the IDE without delays.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_debuglaunch.procfs import PortOwner, owner_of_port
from flask_debuglaunch.serving.attach_debugger import LISTEN_AGAIN

from ..support.dap import Children, Editor
from ..support.debug_session import READY
from ..support.processes import (
    TIMEOUT,
    Program,
    free_port,
    http_get,
    in_background,
    is_listening,
)
from ..support.requirements import require_debugger
from .shop import Shop

RELOAD = pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])


@contextlib.contextmanager
def listening(shop: Shop, reload: bool) -> Iterator[tuple[Program, str, int]]:
    """The launcher with debugpy listening: the program, its URL and the debug port."""
    require_debugger("debugpy")
    port = free_port()
    shop.configure(DEBUG_WITH="debugpy", DEBUG_PORT=port, RELOAD=reload)
    with shop.start() as program:
        yield program, program.wait_for_line(READY)[1], port


def adapter_on(port: int) -> PortOwner:
    owner = owner_of_port(port)
    assert owner is not None
    assert owner.is_debugpy_adapter
    assert owner.pid
    return owner


def connect_and_leave(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), TIMEOUT).close()


def ask_for_a_page(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        browser.recv(10)


def attach_and_fail(port: int) -> None:
    with Editor.attach(port) as editor:
        editor.vanish()


@pytest.mark.parametrize(
    ("number", "reload"),
    [
        (signal.SIGINT, False),
        (signal.SIGTERM, True),
        (signal.SIGKILL, False),
        (signal.SIGKILL, True),
    ],
)
def test_it_ends_with_the_launcher(shop: Shop, number: signal.Signals, reload: bool) -> None:
    with listening(shop, reload) as (program, _, port):
        for visit in (connect_and_leave, ask_for_a_page, attach_and_fail):
            visit(port)
        program.signal(number)
        program.wait_exit()
        program.assert_nothing_left()


@RELOAD
def test_whoever_comes_and_leaves_keeps_no_ide_out(shop: Shop, reload: bool) -> None:
    with listening(shop, reload) as (_, url, port):
        for _ in range(5):
            connect_and_leave(port)
            ask_for_a_page(port)
        with Editor.attach(port, breakpoints=shop.breakpoint()) as editor:
            editor.wait_for_session(2 if reload else 1)
            stop_in_view(editor, url)


@RELOAD
def test_it_is_started_anew_when_it_has_been_killed(shop: Shop, reload: bool) -> None:
    with listening(shop, reload) as (program, url, port):
        kill_adapter(program, port)
        program.wait_for_line(rf"debugpy listens on 127.0.0.1:{port} again: attach the IDE anew")
        assert http_get(f"{url}/greet/you").text == "Hello, you!"
        with Editor.attach(port, breakpoints=shop.breakpoint()) as editor:
            if reload:
                shop.greet_with("Hullo")
                program.wait_for_line("Reloaded in")
                editor.wait_for_session(2)
            stop_in_view(editor, url)
        assert "Traceback" not in program.output


@pytest.mark.slow
def test_one_that_ends_again_and_again_is_not_started_for_ever(shop: Shop) -> None:
    with listening(shop, reload=True) as (program, url, port):
        for _ in range(LISTEN_AGAIN):
            said = len(program.lines)
            kill_adapter(program, port)
            program.wait_for_line("listens on .* again", since=said)
        kill_adapter(program, port)
        program.wait_for_line("It has ended too often to start another")
        shop.greet_with("Hullo")
        program.wait_for_line("Reloaded in")
        assert http_get(f"{url}/greet/you").text == "Hullo, you!"
        assert "Traceback" not in program.output
        assert not is_listening(port)


def kill_adapter(program: Program, port: int) -> None:
    said = len(program.lines)
    pid = adapter_on(port).pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    program.wait_for_line(rf"debugpy does not listen on 127.0.0.1:{port} any more", since=said)


def test_it_sends_each_message_at_once(shop: Shop) -> None:
    """What sets TCP_NODELAY is on its path, and there: looked up, not timed."""
    with listening(shop, reload=False) as (_, _, port):
        environment = Path(f"/proc/{adapter_on(port).pid}/environ").read_text().split("\0")
        path = next(one for one in environment if one.startswith("PYTHONPATH="))
        folder = Path(path.removeprefix("PYTHONPATH=").split(os.pathsep)[0])
        assert "TCP_NODELAY" in (folder / "sitecustomize.py").read_text()


@pytest.mark.parametrize("children", ["startDebugging", "debugpyAttach"])
def test_the_apps_process_has_a_name(shop: Shop, children: Children) -> None:
    with (
        listening(shop, reload=True) as (_, _, port),
        Editor.attach(port, children=children) as editor,
    ):
        worker = editor.wait_for_session(2)
        assert worker.configuration["name"] == f"Worker {worker.process_id}"


def stop_in_view(editor: Editor, url: str) -> None:
    response = in_background(http_get, f"{url}/greet/you")
    editor.wait_for_stop().resume()
    assert response.result(TIMEOUT).status == 200

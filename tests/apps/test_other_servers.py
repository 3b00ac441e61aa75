"""A second server that the app starts in a thread, and `run_simple()` left in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.processes import free_port, http_get, is_listening, wait_for_port
from .project import NO_RELOAD, RELOAD, saying, served, write

SECOND = """
import threading
import flask
{imported}
admin = flask.Flask("admin")
@admin.get("/")
def _():
    return "admin of {text}"
threading.Thread(target=lambda: {call}, daemon=True).start()
"""
CALLS = {
    "run_simple": "werkzeug.serving.run_simple('127.0.0.1', {port}, admin, use_reloader=True)",
    "run_simple by its name": "run_simple(hostname='127.0.0.1', port={port}, application=admin)",
    "app.run": "admin.run(port={port}, debug=True, use_reloader=False)",
    "make_server": "werkzeug.serving.make_server('127.0.0.1', {port}, admin).serve_forever()",
}


@pytest.mark.parametrize("kind", CALLS)
def test_a_second_server_serves_beside(tmp_path: Path, kind: str) -> None:
    port = free_port()

    def both(text: str) -> str:
        imported = "import werkzeug.serving\nfrom werkzeug.serving import run_simple"
        call = CALLS[kind].format(port=port)
        return saying(text) + SECOND.format(imported=imported, call=call, text=text)

    write(tmp_path, {"main.py": both("one")})
    with served(tmp_path, *RELOAD) as launched:
        assert launched.text() == "one"
        wait_for_port(port)
        assert http_get(f"http://127.0.0.1:{port}").text == "admin of one"
        write(tmp_path, {"main.py": both("two")})
        launched.program.wait_for_line("Reloaded")
        assert launched.text() == "two"
        wait_for_port(port)
        assert http_get(f"http://127.0.0.1:{port}").text == "admin of two"
    assert "Traceback" not in launched.program.output


def test_a_second_server_beside_an_app_that_is_not_reloaded(tmp_path: Path) -> None:
    port = free_port()
    call = CALLS["run_simple"].format(port=port)
    second = SECOND.format(imported="import werkzeug.serving", call=call, text="one")
    write(tmp_path, {"main.py": saying("one") + second})
    with served(tmp_path, *NO_RELOAD):
        wait_for_port(port)
        assert http_get(f"http://127.0.0.1:{port}").text == "admin of one"


def test_run_simple_left_in_is_ignored_and_told_of(tmp_path: Path, mode: tuple[str, ...]) -> None:
    port = free_port()
    left = f"from werkzeug.serving import run_simple\nrun_simple('127.0.0.1', {port}, app)\n"
    write(tmp_path, {"main.py": saying("served") + left})
    with served(tmp_path, *mode) as launched:
        assert launched.text() == "served"
        assert not is_listening(port)
    assert f"{tmp_path}/main.py:10: run_simple() is ignored" in launched.program.output

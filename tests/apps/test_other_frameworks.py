"""Apps that this server can't serve, or not with all they have: refused, or said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from .project import NO_RELOAD, ended, saying, served, write

QUART = "import quart\napp = quart.Quart(__name__)\n"
BY_HAND = "class App:\n    async def __call__(self, scope, receive, send): ...\n"


@pytest.mark.parametrize(
    ("module", "code", "instead"),
    [
        ("quart", QUART, "main:app"),
        (None, f"{BY_HAND}application = App()\n", "main:application"),
        (None, f"{BY_HAND}def create_app():\n    return App()\n", "--factory main:create_app"),
    ],
    ids=["Quart", "a callable", "a factory"],
)
def test_an_asgi_app_is_refused(
    tmp_path: Path, module: str | None, code: str, instead: str
) -> None:
    if module:
        pytest.importorskip(module)
    write(tmp_path, {"main.py": code})
    program = ended(tmp_path, *NO_RELOAD)
    assert program.status == 2
    assert "has an ASGI app" in program.output
    assert program.output.endswith(f"uvicorn --reload {instead}")
    assert "Traceback" not in program.output


@pytest.mark.parametrize(("mode", "module"), [("gevent", "gevent"), ("eventlet", "eventlet")])
def test_websockets_of_flask_socketio(tmp_path: Path, mode: str, module: str) -> None:
    pytest.importorskip("flask_socketio")
    pytest.importorskip(module)
    socketio = f"import flask_socketio\nflask_socketio.SocketIO(app, async_mode={mode!r})\n"
    write(tmp_path, {"main.py": saying("one") + socketio})
    with served(tmp_path, *NO_RELOAD) as launched:
        assert launched.text() == "one"
    assert f"Flask-SocketIO is in async_mode {mode!r}" in launched.program.output


@pytest.mark.parametrize("on", [False, True])
def test_dev_tools_of_dash(tmp_path: Path, on: bool) -> None:
    pytest.importorskip("dash")
    code = "import dash\ndashboard = dash.Dash(__name__)\ndashboard.layout = dash.html.Div()\napp = dashboard.server\n"
    turned_on = "dashboard.enable_dev_tools(debug=True, dev_tools_hot_reload=False)\n" * on
    write(tmp_path, {"main.py": code + turned_on})
    with served(tmp_path, *NO_RELOAD) as launched:
        assert launched.get().status == 200
    assert ("Dash's dev tools are off" in launched.program.output) is not on

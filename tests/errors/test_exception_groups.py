"""Errors that come together stop the IDE where each of them was raised, not where they met."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ..support.debug_session import debug_app
from ..support.sources import marked_line

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="except* is of Python 3.11")

APP = """\
import asyncio

from flask import Flask

app = Flask(__name__)


def fail(name):
    raise {"first": ValueError, "second": KeyError, "third": OSError}[name](name)  # @bp:raised


def together(*names):
    errors = []
    for name in names:
        try:
            fail(name)
        except Exception as error:
            errors.append(error)
    raise BaseExceptionGroup("together", errors)


@app.get("/tasks")
async def tasks():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(fail, "first"))


@app.get("/rest")
def rest():
    try:
        together("first", "second")
    except* ValueError:
        pass


@app.get("/nested")
def nested():
    try:
        together("first", "second")
    except BaseException as error:
        raise BaseExceptionGroup("outer", [error, OSError("not raised")])


@app.get("/unraised")
def unraised():
    raise ExceptionGroup("whole", [ValueError(), KeyError()])  # @bp:whole


# As Flask 3.2 does with what teardown functions raise.
@app.get("/teardown")
def fine():
    return "fine"


@app.teardown_request
def teardown(_error):
    from flask import request

    if request.path == "/teardown":
        together("first", "third")
"""
RAISED = {
    "/tasks": [("raised", "ValueError")],
    "/rest": [("raised", "KeyError")],
    "/nested": [("raised", "ValueError"), ("raised", "KeyError")],
    "/unraised": [("whole", "ExceptionGroup")],
    "/teardown": [("raised", "ValueError"), ("raised", "OSError")],
}


@pytest.mark.parametrize(
    ("debugger", "connection"),
    [("debugpy", "listen"), ("pydevd", "connect"), ("pydevd-pycharm", "connect")],
)
def test_each_error_of_a_group_stops_where_it_was_raised(
    tmp_path: Path, debugger: str, connection: str
) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP, encoding="utf-8")
    with debug_app(debugger, connection, app) as session:
        for path, raised in RAISED.items():
            response, stops = session.get(path)
            assert response is not None
            assert response.status == 500, path
            places = [(stop.file, stop.line, stop.exception_info().type) for stop in stops]
            expected = [(str(app), marked_line(app, mark), kind) for mark, kind in raised]
            assert places == expected, path

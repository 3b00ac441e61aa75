"""Messages are plain data: what was said arrives, and anything else is no message."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_debuglaunch.configuration.load_settings import load_settings
from flask_debuglaunch.configuration.settings import Settings
from flask_debuglaunch.debuggers.join_debug_session import DebugSession
from flask_debuglaunch.detect_environment import observe
from flask_debuglaunch.json_dataclasses import decode, encode
from flask_debuglaunch.plan import Plan, resolve
from flask_debuglaunch.serving import ipc_protocol
from flask_debuglaunch.serving.ipc_protocol import (
    MESSAGES_FROM_CHILD,
    MESSAGES_TO_CHILD,
    AppImport,
    Channel,
    LeftOutPackage,
    ModuleRun,
    Preload,
    Retire,
    Stopped,
    Task,
    UnlikeChange,
    Watch,
    channel_to_child,
)

from .project import Project

CONFIG = """
FLASK: {DEBUG: true, DEBUG_WITH_VSCODE: true}
DEBUGLAUNCH:
  WAIT: 2.5
  CERT: adhoc
  EXTRA_FILES: [a, ü]
  PATH_MAPPINGS: {/home/me: /app, b: c}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / ".env").write_text("A=b\nDEBUGLAUNCH_KEY=server.key\n")
    return resolve(load_settings(None, {"port": "0"}, {}, folder), observe())


def test_a_whole_plan_arrives(plan: Plan) -> None:
    session = DebugSession("debugpy", "/x", None, "127.0.0.1", 1, "t", None, os.getpid())
    for certificate in (None, (Path("cert"), None), (Path("cert"), Path("key"))):
        task = Task(plan, certificate, session, is_first_worker=True, serve_errors=False)
        assert decode(encode(task), MESSAGES_TO_CHILD) == task
    odd = replace(plan, settings=Settings(config_file=Path("/\udcff/\n")))
    preload = Preload((AppImport("a", (("x", "y"),)),), {"b": frozenset({"c"})}, odd, None)
    assert decode(encode(preload), MESSAGES_TO_CHILD) == preload


def test_every_message_is_for_one_side() -> None:
    declared = {
        one
        for one in vars(ipc_protocol).values()
        if isinstance(one, type) and one.__module__ == ipc_protocol.__name__
    }
    assert declared - {Channel, AppImport, LeftOutPackage, ModuleRun, UnlikeChange} == {
        *MESSAGES_TO_CHILD,
        *MESSAGES_FROM_CHILD,
    }
    assert not {*MESSAGES_TO_CHILD} & {*MESSAGES_FROM_CHILD}


def has_usual_numbers(message: object) -> bool:
    numbers = [one for one in vars(message).values() if isinstance(one, (int, float))]
    return all(abs(one) < 2**63 for one in numbers)


reports = st.one_of(*map(st.from_type, MESSAGES_FROM_CHILD)).filter(has_usual_numbers)


@pytest.mark.slow
@given(reports)
def test_every_report_arrives(message: object) -> None:
    assert decode(encode(message), MESSAGES_FROM_CHILD) == message


def test_each_side_takes_only_what_is_for_it() -> None:
    with pytest.raises(ValueError, match="no class that is expected"):
        decode(encode(Retire(1.0)), MESSAGES_FROM_CHILD)
    with pytest.raises(ValueError, match="no class that is expected"):
        decode(encode(Stopped("x")), MESSAGES_TO_CHILD)


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([one.__name__ for one in MESSAGES_FROM_CHILD])


def mutated(message: object, with_data: Any, number: int) -> bytes:
    """The message with one value of its JSON, wherever it stands, replaced."""
    tree = json.loads(encode(message))
    places = [(tree, key) for key in tree]
    for container, key in places:
        child = container[key]
        if isinstance(child, (dict, list)):
            inner = child if isinstance(child, dict) else range(len(child))
            places.extend((child, one) for one in inner)
    container, key = places[number % len(places)]
    container[key] = with_data
    return json.dumps(tree).encode()


@given(reports, json_data, st.integers(0, 50))
def test_any_change_is_a_message_again_or_none(message: object, data: Any, number: int) -> None:
    _is_message_or_none(mutated(message, data, number))


@given(
    st.binary()
    | st.builds(lambda data: json.dumps(data).encode(), json_data)
    | st.builds(lambda n, f: json.dumps({"class": n, "fields": f}).encode(), names, json_data)
    | st.builds(lambda n: b"[" * n, st.integers(1000, 100_000))
)
def test_any_bytes_are_a_message_or_none(content: bytes) -> None:
    _is_message_or_none(content)


def _is_message_or_none(content: bytes) -> None:
    try:
        message = decode(content, MESSAGES_FROM_CHILD)
    except ValueError:
        return  # anything else that is raised fails the test
    assert type(message) in MESSAGES_FROM_CHILD
    assert decode(encode(message), MESSAGES_FROM_CHILD) == message


def test_a_changed_plan_too(plan: Plan) -> None:
    chance = random.Random(7)
    task = Task(plan, None, None, is_first_worker=True, serve_errors=True)
    for number in range(300):
        try:
            found = decode(
                mutated(task, chance.choice([None, 7, "x", [], {}]), number), MESSAGES_TO_CHILD
            )
        except ValueError:
            continue
        assert type(found) is Task
        assert decode(encode(found), MESSAGES_TO_CHILD) == found


@pytest.mark.parametrize(
    "content", [b"", b"x", b"null", b"\x80", encode(Watch(frozenset(), frozenset(), 0.0))[:-1]]
)
def test_a_channel_gives_up_who_says_what_is_no_message(
    capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack("!I", len(content)) + content)
        assert channel_to_child(ours).receive() is None
        assert "has sent what is no message" in capsys.readouterr().err
        Channel(theirs).send(Stopped("here"))
        assert channel_to_child(ours).receive() == Stopped("here")
        theirs.sendall(struct.pack("!I", 2**32 - 1))
        assert channel_to_child(ours).receive() is None


ATTACK = """
import os, pickle, socket, struct, sys
from pathlib import Path
import flask

app = flask.Flask(__name__)

class Touch:
    def __reduce__(self):
        return (Path.touch, (Path("run-by-the-supervisor"),))

@app.get("/")
def hello():
    return "one"

@app.get("/attack")
def attack():
    content = pickle.dumps(Touch())
    for name in os.listdir("/proc/self/fd"):
        try:
            channel = socket.socket(fileno=os.dup(int(name)))
            creator = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", creator)[0] not in (0, os.getpid()):
                channel.sendall(struct.pack("!I", len(content)) + content)
        except OSError:
            continue
    return "sent"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="finds the channel in /proc")
def test_an_app_that_sends_a_pickle_runs_nothing_in_the_supervisor(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save("main.py", ATTACK)
    with project.served() as served:
        with contextlib.suppress(ConnectionError):  # it is ended at once
            served.text("/attack")
        served.program.wait_for_line("has sent what is no message")
        served.program.wait_for_line("The app's process (was ended|ended)")
        project.say("two")  # the launcher lives, and so does the next worker
        served.wait_for_text("two")
    assert not (tmp_path / "run-by-the-supervisor").exists()

"""What the kept errors hold is bounded, and all of it comes free."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, got_request_exception, request_started
from werkzeug.test import Client

from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS
from flask_debuglaunch.serving.app.kept_errors import MOST_ERRORS, KeptErrors
from flask_debuglaunch.serving.app.retained_size import MOST_OBJECTS, bytes_held_by
from flask_debuglaunch.serving.app.stop_on_unhandled_errors import relay_errors

from ..support.debug_session import READY, python_m
from ..support.processes import Program, http_get, wait_until
from ..support.requirements import require_debugger

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MB = 1_000_000


class Big:
    """As big as it is told."""

    def __init__(self, size: int) -> None:
        self.content = bytearray(b"x") * size


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """relay_errors() is for a whole process: errors of later tests would be kept as well."""
    signals = (got_request_exception, request_started)
    before = [[*signal.receivers_for(None)] for signal in signals]
    yield
    for signal, known in zip(signals, before, strict=True):
        for receiver in [*signal.receivers_for(None)]:
            if receiver not in known:
                signal.disconnect(receiver)


def keep_one(kept: KeptErrors, size: int = 0) -> weakref.ref[Big]:
    big = Big(size)
    try:
        raise ValueError
    except ValueError as error:
        kept.keep(error, f"GET /{size}")
    return weakref.ref(big)


def alive(held: list[weakref.ref[Big]]) -> int:
    gc.collect()
    return sum(one() is not None for one in held)


def resident_bytes(process_id: int) -> int:
    pages = Path(f"/proc/{process_id}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


# Bounded


def test_only_the_last_ones_are_kept_and_only_for_a_while() -> None:
    threads: list[Callable[[], None]] = []
    kept = KeptErrors(threads.append, print, seconds=0)
    held = [keep_one(kept) for _ in range(2 * MOST_ERRORS)]
    assert alive(held) == len(kept.all()) == MOST_ERRORS
    [keep_bounded] = threads
    keep_bounded()
    assert alive(held) == len(kept.all()) == 0


@pytest.mark.slow
def test_the_heaviest_is_let_go() -> None:
    told: list[str] = []

    def start(function: Callable[[], None]) -> None:
        threading.Thread(target=function, daemon=True).start()

    kept = KeptErrors(start, told.append, seconds=30, most_bytes=3 * MB)
    held = [keep_one(kept, size) for size in (MB, 5 * MB, MB)]
    wait_until(lambda: told)  # not alive(): what is looked at just then is not the errors' alone
    wait_until(lambda: alive(held) == 2)
    assert held[1]() is None
    assert told[0].startswith("ValueError in GET /5000000 can't be stopped at any more: ")
    assert told[0].endswith("may hold 3 MiB, and with this one they held 7 MiB")


def failing_client(kept: KeptErrors, size: int) -> tuple[Client, list[weakref.ref[Big]]]:
    """Of an app whose view fails with so big an object, which is returned as well."""
    app = Flask(__name__)
    app.logger.disabled = True  # pytest keeps what is logged
    held: list[weakref.ref[Big]] = []

    @app.get("/")
    def view() -> str:
        basket = Big(size)
        held.append(weakref.ref(basket))
        raise ValueError

    def keep(error: BaseException, environ: WSGIEnvironment) -> None:
        kept.keep(error, environ["PATH_INFO"])

    return Client(relay_errors(app.wsgi_app, DEBUGGERS["none"], "unhandled", keep)), held


def fail(client: Client) -> None:
    with client.get("/") as response:
        assert response.status_code == 500


def test_a_hundred_megabytes_come_free_with_age() -> None:
    threads: list[Callable[[], None]] = []
    kept = KeptErrors(threads.append, print, seconds=0)
    client, held = failing_client(kept, 100 * MB)
    fail(client)
    assert alive(held) == 1
    those = kept.all()
    held_bytes = bytes_held_by(*those)  # before pytest looks at anything
    assert 95 * MB < held_bytes < 105 * MB
    del those
    before = resident_bytes(os.getpid())
    threads[0]()
    assert held[0]() is None  # though nobody has asked for a garbage collection
    assert resident_bytes(os.getpid()) < before - 95 * MB


@pytest.mark.slow
def test_a_thousand_errors_leave_nothing_behind() -> None:
    client, held = failing_client(KeptErrors(lambda function: None, print), MB)

    def objects_after(errors: int) -> int:
        for _ in range(errors):
            fail(client)
        assert alive(held) == MOST_ERRORS
        held.clear()
        return len(gc.get_objects())

    before = objects_after(100)
    assert objects_after(1000) - before < 100


APP = """\
import os

from flask import Flask

app = Flask(__name__)


@app.get("/heavy")
def heavy():
    basket = bytearray(b"x") * 100_000_000
    raise ValueError("heavy")


@app.get("/process")
def process():
    return str(os.getpid())
"""


@pytest.mark.slow
def test_a_hundred_megabytes_come_free_with_a_reload(tmp_path: Path) -> None:
    require_debugger("debugpy")
    file = tmp_path / "app.py"
    file.write_text(APP)
    flags = ["--port", "0", "--debug", "--debug-with", "debugpy", "--debug-port", "0", "--reload"]
    with Program(python_m(["run", *flags]), cwd=tmp_path) as program:
        url = program.wait_for_line(READY)[1]
        worker = int(http_get(f"{url}/process").text)
        light = resident_bytes(worker)
        assert http_get(f"{url}/heavy").status == 500
        assert resident_bytes(worker) - light > 95 * MB
        file.write_text(APP + "\n")
        program.wait_for_line("Reloaded in")
        wait_until(lambda: not Path(f"/proc/{worker}").exists())
        assert resident_bytes(int(http_get(f"{url}/process").text)) < light + 20 * MB


# The measure


class Hostile:
    """Runs code of its own, and fails, whatever is asked."""

    def __init__(self) -> None:
        self.content = bytearray(MB)

    def fail(self, *_: object) -> Any:
        raise AssertionError("code of the app has run")

    __sizeof__ = __eq__ = __hash__ = __len__ = __iter__ = __repr__ = fail
    __class__ = base = property(fail)  # type: ignore[assignment]


def error_with(make: Callable[[], object]) -> BaseException:
    """An error whose frame has it."""
    local = make()
    try:
        raise ValueError(id(local))
    except ValueError as error:
        return error


def numpy_view() -> Any:
    numpy = pytest.importorskip("numpy")
    return numpy.zeros(MB, "u1").reshape(10, -1)[0]


def cycle() -> list[Any]:
    content: list[Any] = [bytearray(MB)]
    content.append(content)
    return content


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytearray(MB),
        lambda: {"rows": [{"a": (bytes(MB),)}]},
        lambda: Big(MB),
        lambda: (None for _ in [bytearray(MB)]),
        cycle,
        numpy_view,
        Hostile,
    ],
    ids=["bytes", "nested", "attribute", "generator", "cycle", "numpy view", "hostile"],
)
def test_what_only_a_frame_has_counts(make: Callable[[], Any]) -> None:
    held = bytes_held_by(error_with(make))  # before pytest looks at anything
    assert MB <= held < 1.1 * MB


@pytest.mark.slow
def test_what_others_have_too_does_not_count() -> None:
    models = [{"weights": [bytearray(MB)]}]
    first, second = error_with(lambda: models[0]), error_with(lambda: models[0])
    while_it_lives = bytes_held_by(first, second)
    models.clear()
    one, both = bytes_held_by(first), bytes_held_by(first, second)
    assert while_it_lives < 0.1 * MB
    assert one < 0.1 * MB
    assert MB <= both < 1.1 * MB


def test_it_looks_at_so_many_objects_and_no_more() -> None:
    error = error_with(lambda: [[number] for number in range(4 * MOST_OBJECTS)])
    assert MB < bytes_held_by(error) < 6 * MB  # of 20 MB

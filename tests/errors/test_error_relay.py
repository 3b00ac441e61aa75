"""Every unhandled error stops the IDE once, at the line that raised it; no handled one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.ide import Stop
from ..support.sources import marked_line
from .meeting import WAYS, Meeting, meet
from .places.app import FAILING, HANDLED

APP = Path(__file__).parent / "places" / "app.py"
# What the client gets where it is not a complete 500: the status is on its way already.
STATUS = {"stream": (200, False), "closing": (200, True)}
KINDS = {
    "view": "ValueError",
    "nested": "LookupError",
    "library": "JSONDecodeError",
    "template": "ZeroDivisionError",
    "missing-key": "BadRequestKeyError",
}


def visit(meeting: Meeting, place: str) -> list[Stop]:
    """The stops at an unhandled error; the client gets the same as without a debugger."""
    response, stops = meeting.get(FAILING[place])
    assert response is not None, place
    assert (response.status, response.complete) == STATUS.get(place, (500, True)), place
    if place == "closing" and not stops:  # the response was complete before
        stops = [meeting.take_stop()]
    return stops


def is_at(stop: Stop, place: str) -> bool:
    """Is it the raising line, or the app's nearest where a library raised it?"""
    line = marked_line(APP, place)
    return any(Path(one.file) == APP and one.line == line for one in stop.stack()[:15])


def count_handled(meeting: Meeting) -> dict[str, int]:
    return {place: len(meeting.get(path)[1]) for place, path in HANDLED.items()}


@pytest.mark.parametrize(("debugger", "way"), WAYS)
def test_the_one_box(debugger: str, way: str) -> None:
    """The box for unhandled errors: VS Code and PyCharm tick it, in PyDev it is to be ticked."""
    with meet(debugger, way, APP) as meeting:
        for place in FAILING:
            stops = visit(meeting, place)
            assert [str(stop) for stop in stops if is_at(stop, place)] == [str(s) for s in stops]
            assert len(stops) == 1, place
            found = stops[0].exception_info()
            kind = KINDS.get(place, "RuntimeError")
            assert (found.type, found.break_mode) == (kind, "unhandled"), place
        assert count_handled(meeting) == dict.fromkeys(HANDLED, 0)
        assert meeting.get("/")[0].text == "fine"


@pytest.mark.parametrize("filters", [("uncaught", "userUnhandled"), ("uncaught", "raised")])
@pytest.mark.parametrize("debugger", ["debugpy", "pydevd"])
def test_more_boxes(debugger: str, filters: tuple[str, ...]) -> None:
    """Once also where the IDE would stop again and again while the error is on its way."""
    with meet(debugger, "launched", APP, filters=filters) as meeting:
        counts = {place: len(visit(meeting, place)) for place in FAILING}
        # Two errors: the one that is handled, and that of its handler.
        assert counts == {**dict.fromkeys(FAILING, 1), "handler": 2}


@pytest.mark.parametrize(("debugger", "way"), WAYS)
def test_no_box(debugger: str, way: str) -> None:
    with meet(debugger, way, APP, filters=()) as meeting:
        for place, path in FAILING.items():
            assert (place, meeting.get(path)[1]) == (place, [])
        assert count_handled(meeting) == dict.fromkeys(HANDLED, 0)

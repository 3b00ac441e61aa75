"""Breakpoints hit with every debugger, in every way to meet it, with reload and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.sources import marked_line
from .meeting import WAYS, Meeting, Shop, meet

BANNER = {
    "present": "{debugger}, started by the IDE",
    "listen": "{debugger} listens on 127.0.0.1:{port}: attach the IDE to it",
    "connect": "{debugger} connects to the IDE's debug server at 127.0.0.1:{port}",
}


@pytest.mark.parametrize("own_main", [False, True], ids=["command", "run(app)"])
@pytest.mark.parametrize("asked", [None, True, False], ids=["default", "reload", "no reload"])
@pytest.mark.parametrize(("debugger", "way"), WAYS)
def test_a_breakpoint_in_a_view(
    shop: Shop, debugger: str, way: str, asked: bool | None, own_main: bool
) -> None:
    settings = {} if asked is None else {"RELOAD": asked}
    reload = asked or (asked is None and debugger == "debugpy")
    with meet(shop, debugger, way, own_main=own_main, reload=reload, **settings) as meeting:
        stop = meeting.stop_in_view()
        assert (stop.file, stop.line) == (str(shop.main), marked_line(shop.main))
        if reload:
            shop.greet_with("Goodbye")
            meeting.wait_for_reload()
            again = meeting.stop_in_view("Goodbye")
            assert (again.file, again.line) == (stop.file, stop.line)
            assert again.process_id != stop.process_id
        assert len(meeting.ide.stops) == (2 if reload else 1)
        assert is_said(meeting, debugger, way)


def is_said(meeting: Meeting, debugger: str, way: str) -> bool:
    """Does the banner's line say, once, where the debugger is?"""
    where = BANNER[way].format(debugger=debugger, port=meeting.debug_port)
    said = [line for line in meeting.program.lines if line.startswith(" * Debugger: ")]
    return said == [f" * Debugger: {where}"]


@pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])
@pytest.mark.parametrize(("debugger", "way"), [_ for _ in WAYS if _[1] != "present"])
def test_an_app_that_the_ide_knows_elsewhere(
    shop: Shop, debugger: str, way: str, reload: bool
) -> None:
    """As in a container: the IDE's folder is not there. One that starts the launcher itself
    knows where it is."""
    theirs, line = Path("/home/me/projects/shop/main.py"), marked_line(shop.main)
    mappings = {str(theirs.parent): str(shop.root)}
    with meet(
        shop, debugger, way, breakpoints={theirs: [line]}, reload=reload, RELOAD=reload, PATH_MAPPINGS=mappings
    ) as meeting:
        stop = meeting.stop_in_view()
        assert (stop.file, stop.line) == (str(theirs), line)
        if reload:
            shop.greet_with("Goodbye")
            meeting.wait_for_reload()
            assert meeting.stop_in_view("Goodbye").file == str(theirs)

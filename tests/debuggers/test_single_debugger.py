"""A debugger that is in the process already is the one: none is attached beside it, nor again."""

from __future__ import annotations

import re

import pytest

from ..support.debug_session import READY
from ..support.debugging import DEBUGGERS, listening_ide
from ..support.processes import free_port, http_get, is_listening
from ..support.requirements import require_debugger
from .shop import Shop, debug_shop


@pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])
@pytest.mark.parametrize("asked", DEBUGGERS)
@pytest.mark.parametrize("present", DEBUGGERS)
def test_the_debugger_that_is_asked_for_stays_out(
    shop: Shop, present: str, asked: str, reload: bool
) -> None:
    require_debugger(present)
    with listening_ide("pydevd") as other:
        settings = {"DEBUG_WITH": asked, "DEBUG_PORT": other.port, "RELOAD": reload}
        with debug_shop(shop, present, "present", reload=reload, **settings) as session:
            shop.stop_in_view(session)
            assert len(session.ide.sessions) == (2 if reload else 1)
            assert f" * Debugger: {reason(shop, present, asked)}" in session.program.lines
        assert other.sessions == []


def reason(shop: Shop, present: str, asked: str) -> str:
    beats = f", it wins over {asked} ({shop.origin_of('DEBUG_WITH')})" if asked != present else ""
    return f"{present} is in this process already{beats}"


@pytest.mark.slow
@pytest.mark.parametrize("present", DEBUGGERS)
def test_a_debugger_that_is_present_does_not_listen(shop: Shop, present: str) -> None:
    port = free_port()
    settings = {"DEBUG_WITH": "debugpy", "DEBUG_CONNECTION": "listen", "DEBUG_PORT": port}
    with debug_shop(shop, present, "present", reload=True, RELOAD=True, **settings) as session:
        shop.stop_in_view(session)
        assert not is_listening(port)


@pytest.mark.slow
@pytest.mark.parametrize("asked", DEBUGGERS)
@pytest.mark.parametrize("present", DEBUGGERS)
def test_explain_names_both(shop: Shop, present: str, asked: str) -> None:
    shop.configure(DEBUG_WITH=asked)
    with shop.press_debug(present, "explain", "debugger") as ide:
        assert ide.program
        ide.program.wait_for_line(re.escape(reason(shop, present, asked)))


@pytest.mark.slow
def test_werkzeugs_does_not_come_in_by_an_edit_of_the_yaml(shop: Shop) -> None:
    """debugpy can't be taken out of the running process, so Werkzeug's stays out."""
    require_debugger("debugpy")
    port = free_port()
    shop.configure(DEBUG_WITH="debugpy", DEBUG_PORT=port)
    with shop.start() as program:
        url = program.wait_for_line(READY)[1]
        shop.configure(DEBUG_WITH="werkzeug", DEBUG_PORT=port)
        program.wait_for_line("Until the launcher is started again, as before: .*debugger")
        program.wait_for_line("Reloaded in")
        its_style = "/greet/you?__debugger__=yes&cmd=resource&f=style.css"
        assert http_get(url + its_style).text == "Hello, you!"

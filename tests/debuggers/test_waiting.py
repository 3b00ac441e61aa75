"""`--wait`: not a line of the app runs before the IDE is there, and nobody waits for ever."""

from __future__ import annotations

import signal

import pytest

from ..support.dap import Editor
from ..support.debug_session import READY, DebugSession
from ..support.debugging import DEBUGGERS, listening_ide
from ..support.processes import free_port
from ..support.requirements import require_debugger
from ..support.sources import marked_line
from .shop import Shop, refusing_port

RELOAD = pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])
WAITING = r"Waiting (\S+) s for the IDE at 127.0.0.1:{port}"


def stop_at_the_first_line(shop: Shop, session: DebugSession) -> None:
    """The breakpoint at module level hits; then the app is served."""
    stop = session.ide.wait_for_stop()
    assert (stop.file, stop.line) == (str(shop.main), marked_line(shop.main, "module"))
    assert not any("Running on" in line for line in session.program.lines)
    stop.resume()
    session.program.wait_for_line(READY)


@RELOAD
def test_until_an_ide_attaches(shop: Shop, reload: bool) -> None:
    require_debugger("debugpy")
    port = free_port()
    shop.configure(DEBUG_WITH="debugpy", DEBUG_PORT=port, RELOAD=reload)
    with shop.start("--wait", "30") as program:
        program.wait_for_line(WAITING.format(port=port))
        with Editor.attach(port, breakpoints=shop.breakpoint("module")) as ide:
            stop_at_the_first_line(shop, DebugSession(ide, program, port))


@RELOAD
@pytest.mark.parametrize("debugger", DEBUGGERS)
def test_until_the_ide_listens(shop: Shop, debugger: str, reload: bool) -> None:
    require_debugger(debugger)
    port = free_port()
    settings = {"DEBUG_WITH": debugger, "DEBUG_CONNECTION": "connect", "DEBUG_PORT": port}
    shop.configure(**settings, RELOAD=reload, WAIT=30)
    with shop.start() as program:
        program.wait_for_line(WAITING.format(port=port))
        with listening_ide(debugger, port, breakpoints=shop.breakpoint("module")) as ide:
            stop_at_the_first_line(shop, DebugSession(ide, program, port))


@RELOAD
def test_until_no_ide_has_attached_in_time(shop: Shop, reload: bool) -> None:
    require_debugger("debugpy")
    port = free_port()
    shop.configure(DEBUG_WITH="debugpy", DEBUG_PORT=port, RELOAD=reload)
    gives_up(shop, port, f"argv:--wait: no IDE has attached to 127.0.0.1:{port} within 0.2 s")


@RELOAD
@pytest.mark.parametrize(
    ("debugger", "fix"),
    [
        ("debugpy", 'Start its attach configuration with "listen" first'),
        ("pydevd", 'PyDev > "Start Debug Server"'),
        ("pydevd-pycharm", 'Start its "Python Debug Server" configuration first'),
    ],
)
def test_until_no_ide_has_listened_in_time(
    shop: Shop, debugger: str, fix: str, reload: bool
) -> None:
    require_debugger(debugger)
    with refusing_port() as port:
        settings = {"DEBUG_WITH": debugger, "DEBUG_CONNECTION": "connect", "DEBUG_PORT": port}
        shop.configure(**settings, RELOAD=reload)
        gives_up(shop, port, f"no IDE listens on 127.0.0.1:{port} .*{fix}")


def gives_up(shop: Shop, port: int, says: str) -> None:
    with shop.start("--wait", "0.2") as program:
        assert program.wait_exit() == 2
        program.wait_for_line(f"^Error: {says}")
        assert program.wait_for_line(WAITING.format(port=port))[1] == "0.2"
        assert "Traceback" not in program.output
        program.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize("debugger", DEBUGGERS)
def test_not_for_an_ide_that_is_there(shop: Shop, debugger: str) -> None:
    shop.configure(WAIT=30)
    with shop.press_debug(debugger, breakpoints=shop.breakpoint()) as ide:
        assert ide.program
        shop.stop_in_view(DebugSession(ide, ide.program, 0))
        assert "Waiting" not in ide.program.output


@RELOAD
def test_ctrl_c_ends_the_wait(shop: Shop, reload: bool) -> None:
    require_debugger("debugpy")
    shop.configure(DEBUG_WITH="debugpy", DEBUG_PORT=free_port(), RELOAD=reload)
    with shop.start("--wait", "600") as program:
        program.wait_for_line("Waiting 600 s for the IDE")
        program.signal_group(signal.SIGINT)
        assert program.wait_exit(timeout=10) == 130
        assert "Traceback" not in program.output

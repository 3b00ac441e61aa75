"""Breakpoints hit with every debugger, in every way to meet it, with reload and without."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..support.dap import Editor
from ..support.debug_session import CONNECTIONS, READY, DebugSession
from ..support.debugging import DEBUGGERS, listening_ide
from ..support.processes import Program, free_port
from ..support.requirements import require_debugger
from ..support.sources import marked_line
from .shop import Shop, debug_shop

BANNER = {
    "present": "{debugger} is in this process already",
    "listen": "{debugger} listens on 127.0.0.1:{port}: attach the IDE to it",
    "connect": "{debugger} connects to the IDE's debug server at 127.0.0.1:{port}",
}


@pytest.mark.parametrize("own_main", [False, True], ids=["command", "run(app)"])
@pytest.mark.parametrize("asked", [None, True, False], ids=["default", "reload", "no reload"])
@pytest.mark.parametrize(("debugger", "connection"), CONNECTIONS)
def test_a_breakpoint_in_a_view(
    shop: Shop, debugger: str, connection: str, asked: bool | None, own_main: bool
) -> None:
    settings = {} if asked is None else {"RELOAD": asked}
    reload = asked or (asked is None and debugger == "debugpy")
    with debug_shop(
        shop, debugger, connection, own_main=own_main, reload=reload, **settings
    ) as session:
        stop = shop.stop_in_view(session)
        assert (stop.file, stop.line) == (str(shop.main), marked_line(shop.main))
        if reload:
            shop.greet_with("Goodbye")
            session.wait_for_reload()
            again = shop.stop_in_view(session, "Goodbye")
            assert (again.file, again.line) == (stop.file, stop.line)
            assert again.process_id != stop.process_id
        assert len(session.ide.stops) == (2 if reload else 1)
        assert is_said(session, debugger, connection)


def is_said(session: DebugSession, debugger: str, connection: str) -> bool:
    """Does the banner's line say, once, where the debugger is?"""
    where = BANNER[connection].format(debugger=debugger, port=session.debug_port)
    said = [line for line in session.program.lines if line.startswith(" * Debugger: ")]
    return said == [f" * Debugger: {where}"]


@pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])
@pytest.mark.parametrize(("debugger", "connection"), [_ for _ in CONNECTIONS if _[1] != "present"])
def test_an_app_that_the_ide_knows_elsewhere(
    shop: Shop, debugger: str, connection: str, reload: bool
) -> None:
    """As in a container: the IDE's folder is not there. One that starts the launcher itself
    knows where it is."""
    theirs, line = Path("/home/me/projects/shop/main.py"), marked_line(shop.main)
    mappings = {str(theirs.parent): str(shop.root)}
    with debug_shop(
        shop,
        debugger,
        connection,
        breakpoints={theirs: [line]},
        reload=reload,
        RELOAD=reload,
        PATH_MAPPINGS=mappings,
    ) as session:
        stop = shop.stop_in_view(session)
        assert (stop.file, stop.line) == (str(theirs), line)
        if reload:
            shop.greet_with("Goodbye")
            session.wait_for_reload()
            assert shop.stop_in_view(session, "Goodbye").file == str(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])
@pytest.mark.parametrize("debugger", DEBUGGERS)
def test_the_copy_that_the_ide_brings_along(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, debugger: str, reload: bool
) -> None:
    """Nothing is installed in the app's environment: the usual case in VS Code, Eclipse, PyCharm."""
    require_debugger(debugger)
    theirs = copy_of(debugger, tmp_path / "ide")
    monkeypatch.syspath_prepend(theirs)
    monkeypatch.setenv("PYTHONPATH", str(theirs))
    ours = {"PYTHONPATH": str(without_debuggers(tmp_path / "ours"))}
    with debug_shop(shop, debugger, "present", env=ours, RELOAD=reload) as session:
        shop.stop_in_view(session)
        if reload:
            shop.greet_with("Goodbye")
            session.wait_for_reload()
            shop.stop_in_view(session, "Goodbye")


def copy_of(distribution: str, folder: Path) -> Path:
    """Its installed files, in another folder."""
    for file in importlib.metadata.files(distribution) or []:
        if ".." not in file.parts:
            copy = folder / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file.locate(), copy)  # with its time, else its bytecode is of no use
    return folder


def without_debuggers(folder: Path) -> Path:
    """For the front of sys.path: no debugger can be imported from what comes after it."""
    folder.mkdir()
    for name in ("debugpy", "pydevd", "pydevd_pycharm", "_pydevd_bundle"):
        folder.joinpath(f"{name}.py").write_text("raise ImportError('not installed')\n")
    return folder


@pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])
def test_under_debugpy_by_hand(shop: Shop, reload: bool) -> None:
    """`python -m debugpy --listen 5678 -m flask_debuglaunch`"""
    require_debugger("debugpy")
    shop.configure(RELOAD=reload)
    port = free_port()
    command = [sys.executable, "-m", "debugpy", "--listen", str(port)]
    with Program([*command, "-m", "flask_debuglaunch"], cwd=shop.root) as program:
        program.wait_for_line(READY)
        with Editor.attach(port, breakpoints=shop.breakpoint()) as ide:
            ide.wait_for_session(2 if reload else 1)
            session = DebugSession(ide, program, port)
            shop.stop_in_view(session)
            if reload:
                shop.greet_with("Goodbye")
                session.wait_for_reload()
                shop.stop_in_view(session, "Goodbye")


OWN_CALL = {
    "debugpy": "import debugpy; debugpy.listen(('127.0.0.1', {port}))",
    "pydevd": "import pydevd; pydevd.settrace('127.0.0.1', port={port}, suspend=False)",
    "pydevd-pycharm": (
        "import pydevd_pycharm; pydevd_pycharm.settrace('127.0.0.1', port={port}, suspend=False)"
    ),
}


@pytest.mark.parametrize("debugger", DEBUGGERS)
def test_where_the_program_calls_its_debugger_itself(shop: Shop, debugger: str) -> None:
    """Found, and left as it is. It does not follow workers, so there is no reload."""
    require_debugger(debugger)
    shop.configure(RELOAD=True, DEBUG_WITH=debugger)
    with ExitStack() as stack:
        ide = None if debugger == "debugpy" else stack.enter_context(listening_ide(debugger))
        port = ide.port if ide else free_port()
        shop.begin_main_with(OWN_CALL[debugger].format(port=port))
        if ide:
            ide.breakpoints = dict(shop.breakpoint())
        program = stack.enter_context(shop.start(own_main=True))
        if ide is None:
            program.wait_for_line(READY)
            ide = stack.enter_context(Editor.attach(port, breakpoints=shop.breakpoint()))
        shop.stop_in_view(DebugSession(ide, program, port))
        assert f" * Debugger: {debugger} is in this process already" in program.lines
        assert len(ide.sessions) == 1


@pytest.mark.slow
@pytest.mark.parametrize("reload", [False, True], ids=["no reload", "reload"])
@pytest.mark.parametrize("debugger", DEBUGGERS)
def test_mappings_for_elsewhere_do_not_disturb_an_ide_that_starts_us_here(
    shop: Shop, debugger: str, reload: bool
) -> None:
    """One YAML for the container and for the Debug button, which knows where it starts us."""
    mappings = {str(shop.root): "/app"}
    with debug_shop(shop, debugger, "present", RELOAD=reload, PATH_MAPPINGS=mappings) as session:
        assert shop.stop_in_view(session).file == str(shop.main)

"""Is the debugger there, whole, new enough, and in the interpreter that the IDE takes?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.installed_packages import (
    install_command,
    installed_version,
    upgrade_command,
    written,
)
from flask_debuglaunch.terminal_messages import shown_path

# The first releases that work on a Python: their release notes, and what was tried.
OLDEST_DEBUGPY = {(3, 12): (1, 8, 0), (3, 13): (1, 8, 6), (3, 14): (1, 8, 17), (3, 15): (1, 8, 22)}
OLDEST_PYDEVD = {(3, 12): (3, 0, 0), (3, 13): (3, 2, 3), (3, 14): (3, 4, 0), (3, 15): (3, 5, 0)}


def _installed(evidence: Evidence) -> Iterator[Finding]:
    debugger = evidence.debugger
    if debugger is None or evidence.facts.present is not None:
        return
    if debugger.installed():
        yield Finding(Level.OK, f"{debugger.name} is installed", sys.executable)
    else:
        fix = install_command(str(debugger.package))
        yield Finding(Level.ERROR, f"{debugger.name} is not installed", sys.executable, fix)


def _new_enough(evidence: Evidence) -> Iterator[Finding]:
    debugger = evidence.debugger
    oldest = {"debugpy": OLDEST_DEBUGPY, "pydevd": OLDEST_PYDEVD}.get(
        debugger.name if debugger else "", {}
    )
    needed = oldest.get(evidence.facts.python)
    installed = installed_version(debugger.package) if debugger and debugger.package else None
    if debugger is None or needed is None or installed is None:
        return
    python = written(evidence.facts.python)
    what = f"{debugger.name} {written(installed)} on Python {python}"
    if installed >= needed:
        yield Finding(Level.OK, what, sys.executable)
        return
    fix = upgrade_command(str(debugger.package))
    yield Finding(
        Level.ERROR, f"{what} is too old: it needs {written(needed)} or newer", sys.executable, fix
    )


def _over_each_other(_: Evidence) -> Iterator[Finding]:
    """Both bring _pydevd_bundle: the one that came last has overwritten the other's files, and the
    one that was uninstalled has taken them along."""
    installed = [one for one in ("pydevd", "pydevd-pycharm") if installed_version(one)]
    spec = PathFinder.find_spec("_pydevd_bundle")
    if len(installed) == 2:
        yield Finding(
            Level.ERROR,
            "pydevd and pydevd-pycharm are both installed: each has overwritten files of the other",
            str(Path(spec.origin).parent) if spec and spec.origin else sys.prefix,
            f"{sys.executable} -m pip uninstall -y {' '.join(installed)}"
            f" && {install_command('pydevd')}",
        )
    elif installed and spec is None:
        yield Finding(
            Level.ERROR,
            f"{installed[0]} is installed, and its files are gone: the other one was uninstalled",
            sys.prefix,
            install_command(f"--force-reinstall {installed[0]}"),
        )


def _other_interpreter(evidence: Evidence) -> Iterator[Finding]:
    """VS Code starts the app with the interpreter that is selected there, not with this one."""
    selected = _selected_in_vscode(evidence.folder)
    if selected is None:
        return
    where, python = selected
    if not os.path.exists(python):
        yield Finding(
            Level.ERROR,
            f"the interpreter that VS Code has selected is not there: {python}",
            where,
            'Command Palette, "Python: Select Interpreter": ' + sys.executable,
        )
    elif python.parent.parent.resolve() != Path(sys.prefix).resolve():
        missing = [name for name in ("flask", "flask_debuglaunch") if not _has(python, name)]
        if missing:
            yield Finding(
                Level.ERROR,
                f"VS Code's interpreter is {python}, which has no {' and no '.join(missing)}",
                where,
                f"{python} -m pip install flask-debuglaunch",
            )


def _selected_in_vscode(folder: Path) -> tuple[str, Path] | None:
    """The interpreter of .vscode/settings.json; what is selected by hand is not in any file."""
    file = folder / ".vscode" / "settings.json"
    if not os.path.exists(file):
        return None
    from flask_debuglaunch import atomic_file_changes
    from flask_debuglaunch.ides import jsonc_edit

    try:
        root = jsonc_edit.parse(atomic_file_changes.read_text(file) or "{}")
    except (jsonc_edit.JsoncError, LaunchError):
        return None
    value = root.value if root else None
    python = value.get("python.defaultInterpreterPath") if isinstance(value, dict) else None
    if not isinstance(python, str) or "${env" in python or "${command" in python:
        return None
    python = python.replace("${workspaceFolder}", str(folder))
    path = Path(os.path.expanduser(python))
    path = path / "bin" / "python" if os.path.exists(path / "bin" / "python") else path
    return shown_path(file), folder / path


def _has(python: Path, module: str) -> bool:
    """Is it among the packages of that interpreter's environment?"""
    prefix = python.parent.parent
    folders = [*prefix.glob("lib/python*/site-packages"), prefix / "Lib" / "site-packages"]
    names = (module, f"__editable__*{module}*", f"{module}*.dist-info")
    return any(next(folder.glob(name), None) for folder in folders for name in names)


def _no_gevent_support(evidence: Evidence) -> Iterator[Finding]:
    """Without GEVENT_SUPPORT pydevd takes greenlets for one thread: breakpoints are missed."""
    if evidence.debugger is None or evidence.environ.get("GEVENT_SUPPORT") == "True":
        return
    for source in evidence.sources:
        for line, text in enumerate(source.content.splitlines(), 1):
            words = text.strip()
            if b"monkey" in words and b"patch" in words and b"(" in words and words[:1] != b"#":
                yield Finding(
                    Level.WARNING,
                    "gevent or eventlet patches the app: without GEVENT_SUPPORT the debugger"
                    " misses breakpoints in greenlets",
                    f"{shown_path(source.path)}:{line}",
                    "export GEVENT_SUPPORT=True",
                )
                return


CHECKS = (
    Check(
        "debugger-installed",
        "The debugger that is asked for is not installed here",
        "`python -m pip install debugpy` (`pydevd`, `pydevd-pycharm`)",
        _installed,
    ),
    Check(
        "debugger-version",
        "It is too old for this Python",
        "`python -m pip install --upgrade debugpy`",
        _new_enough,
    ),
    Check(
        "debuggers-over-each-other",
        "`pydevd` and `pydevd-pycharm` are both installed, and overwrite each other's files",
        "uninstall both, install one",
        _over_each_other,
    ),
    Check(
        "interpreter-of-the-ide",
        "The IDE starts another interpreter than the one with the packages",
        "select this one, or install the packages there",
        _other_interpreter,
    ),
    Check(
        "gevent-support",
        "gevent or eventlet patches the app, and the debugger was not told",
        "`export GEVENT_SUPPORT=True`",
        _no_gevent_support,
    ),
)

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
    version_text,
)
from flask_debuglaunch.terminal_messages import shown_path

# The first releases that work on a Python: their release notes, and what was tried.
OLDEST_DEBUGPY = {(3, 12): (1, 8, 0), (3, 13): (1, 8, 6), (3, 14): (1, 8, 17), (3, 15): (1, 8, 22)}
OLDEST_PYDEVD = {(3, 12): (3, 0, 0), (3, 13): (3, 2, 3), (3, 14): (3, 4, 0), (3, 15): (3, 5, 0)}


def _debugger_not_installed(evidence: Evidence) -> Iterator[Finding]:
    debugger = evidence.debugger
    if debugger is None or evidence.facts.present is not None:
        return
    if debugger.installed():
        yield Finding(Level.OK, f"{debugger.name} is installed", sys.executable)
    else:
        fix = install_command(str(debugger.package))
        yield Finding(Level.ERROR, f"{debugger.name} is not installed", sys.executable, fix)


def _debugger_too_old(evidence: Evidence) -> Iterator[Finding]:
    debugger = evidence.debugger
    if debugger is None or debugger.package is None:
        return
    oldest_versions = {"debugpy": OLDEST_DEBUGPY, "pydevd": OLDEST_PYDEVD}.get(debugger.name, {})
    needed_version = oldest_versions.get(evidence.facts.python)
    debugger_version = installed_version(debugger.package)
    if needed_version is None or debugger_version is None:
        return
    python_version = version_text(evidence.facts.python)
    debugger_on_python = (
        f"{debugger.name} {version_text(debugger_version)} on Python {python_version}"
    )
    if debugger_version >= needed_version:
        yield Finding(Level.OK, debugger_on_python, sys.executable)
        return
    fix = upgrade_command(debugger.package)
    yield Finding(
        Level.ERROR,
        f"{debugger_on_python} is too old: it needs {version_text(needed_version)} or newer",
        sys.executable,
        fix,
    )


def _pydevd_and_pydevd_pycharm(_: Evidence) -> Iterator[Finding]:
    """Both bring _pydevd_bundle: the one that came last has overwritten the other's files, and the
    one that was uninstalled has taken them along."""
    installed_pydevds = [
        package for package in ("pydevd", "pydevd-pycharm") if installed_version(package)
    ]
    bundle = PathFinder.find_spec("_pydevd_bundle")
    if len(installed_pydevds) == 2:
        yield Finding(
            Level.ERROR,
            "pydevd and pydevd-pycharm are both installed: each has overwritten files of the other",
            str(Path(bundle.origin).parent) if bundle and bundle.origin else sys.prefix,
            f"{sys.executable} -m pip uninstall -y {' '.join(installed_pydevds)}"
            f" && {install_command('pydevd')}",
        )
    elif installed_pydevds and bundle is None:
        yield Finding(
            Level.ERROR,
            f"{installed_pydevds[0]} is installed, and its files are gone: the other one was"
            " uninstalled",
            sys.prefix,
            install_command(f"--force-reinstall {installed_pydevds[0]}"),
        )


def _interpreter_of_vscode(evidence: Evidence) -> Iterator[Finding]:
    """VS Code starts the app with the interpreter that is selected there, not with this one."""
    selected_interpreter = _interpreter_selected_in_vscode(evidence.folder)
    if selected_interpreter is None:
        return
    where, vscode_python = selected_interpreter
    if not os.path.exists(vscode_python):
        yield Finding(
            Level.ERROR,
            f"the interpreter that VS Code has selected is not there: {vscode_python}",
            where,
            'Command Palette, "Python: Select Interpreter": ' + sys.executable,
        )
    elif vscode_python.parent.parent.resolve() != Path(sys.prefix).resolve():
        missing_packages = [
            package
            for package in ("flask", "flask_debuglaunch")
            if not _has_module_installed(vscode_python, package)
        ]
        if missing_packages:
            yield Finding(
                Level.ERROR,
                f"VS Code's interpreter is {vscode_python}, which has no"
                f" {' and no '.join(missing_packages)}",
                where,
                f"{vscode_python} -m pip install flask-debuglaunch",
            )


def _interpreter_selected_in_vscode(folder: Path) -> tuple[str, Path] | None:
    """The interpreter of .vscode/settings.json; what is selected by hand is not in any file."""
    vscode_settings = folder / ".vscode" / "settings.json"
    if not os.path.exists(vscode_settings):
        return None
    from flask_debuglaunch import atomic_file_changes
    from flask_debuglaunch.ides import jsonc_edit

    try:
        settings_document = jsonc_edit.parse(atomic_file_changes.read_text(vscode_settings) or "{}")
    except (jsonc_edit.JsoncError, LaunchError):
        return None
    members = settings_document.value if settings_document else None
    if not isinstance(members, dict):
        return None
    python = members.get("python.defaultInterpreterPath")
    if not isinstance(python, str) or "${env" in python or "${command" in python:
        return None
    python = python.replace("${workspaceFolder}", str(folder))
    interpreter = folder / os.path.expanduser(python)
    in_environment = interpreter / "bin" / "python"
    is_environment = os.path.exists(in_environment)
    return shown_path(vscode_settings), in_environment if is_environment else interpreter


def _has_module_installed(python: Path, package: str) -> bool:
    """Is it among the packages of that interpreter's environment?"""
    environment_prefix = python.parent.parent
    site_packages = [
        *environment_prefix.glob("lib/python*/site-packages"),
        environment_prefix / "Lib" / "site-packages",
    ]
    installed_names = (package, f"__editable__*{package}*", f"{package}*.dist-info")
    return any(
        next(folder.glob(name), None) for folder in site_packages for name in installed_names
    )


def _greenlets_without_gevent_support(evidence: Evidence) -> Iterator[Finding]:
    """Without GEVENT_SUPPORT pydevd takes greenlets for one thread: breakpoints are missed."""
    if evidence.debugger is None or evidence.environ.get("GEVENT_SUPPORT") == "True":
        return
    for source in evidence.sources:
        for line_number, source_line in enumerate(source.content.splitlines(), 1):
            code_line = source_line.strip()
            if (
                b"monkey" in code_line
                and b"patch" in code_line
                and b"(" in code_line
                and code_line[:1] != b"#"
            ):
                yield Finding(
                    Level.WARNING,
                    "gevent or eventlet patches the app: without GEVENT_SUPPORT the debugger"
                    " misses breakpoints in greenlets",
                    f"{shown_path(source.path)}:{line_number}",
                    "export GEVENT_SUPPORT=True",
                )
                return


CHECKS = (
    Check(
        "debugger-installed",
        "The debugger that is asked for is not installed here",
        "`python -m pip install debugpy` (`pydevd`, `pydevd-pycharm`)",
        _debugger_not_installed,
    ),
    Check(
        "debugger-version",
        "It is too old for this Python",
        "`python -m pip install --upgrade debugpy`",
        _debugger_too_old,
    ),
    Check(
        "debuggers-over-each-other",
        "`pydevd` and `pydevd-pycharm` are both installed, and overwrite each other's files",
        "uninstall both, install one",
        _pydevd_and_pydevd_pycharm,
    ),
    Check(
        "interpreter-of-the-ide",
        "The IDE starts another interpreter than the one with the packages",
        "select this one, or install the packages there",
        _interpreter_of_vscode,
    ),
    Check(
        "gevent-support",
        "gevent or eventlet patches the app, and the debugger was not told",
        "`export GEVENT_SUPPORT=True`",
        _greenlets_without_gevent_support,
    ),
)

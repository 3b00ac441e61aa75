"""Import the app once, in a process of its own: `doctor --import-app`."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from flask_debuglaunch.doctor.breakpoint_checks import Line
from flask_debuglaunch.doctor.findings import Finding, Level
from flask_debuglaunch.plan import Plan

IMPORT_SECONDS = 60.0
LONGEST_ANSWER = 16 * 1024 * 1024  # bytes


def findings_of_import(plan: Plan, line: Line | None) -> Iterator[Finding]:
    """Does it succeed, and is the file of the line among the modules?"""
    files = _imported_files(plan)
    if files is None:
        yield Finding(
            Level.ERROR,
            "the app can't be imported: what it printed says why",
            str(plan.app.value or plan.app_directory.value),
            "python -m flask_debuglaunch",
        )
    elif line is None or line.file.resolve() in files:
        yield Finding(Level.OK, "the app can be imported", str(line or ""))
    else:
        yield Finding(
            Level.ERROR,
            "the app's import does not run this file: no breakpoint in it is hit before something"
            " imports it",
            str(line),
            "Import it from the app",
        )


def _imported_files(plan: Plan) -> frozenset[Path] | None:
    """None if the import fails or takes longer than IMPORT_SECONDS."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_import, args=(plan, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(IMPORT_SECONDS):
            return None
        # Not recv(), which would unpickle: whatever the app has become says this.
        return frozenset(Path(str(one)) for one in json.loads(ours.recv_bytes(LONGEST_ANSWER)))
    except (EOFError, OSError, ValueError, TypeError):  # it has ended without a word: a SystemExit,
        return None  # a crash, an error; or it has said something else
    finally:
        child.kill()
        child.join()


def _import(plan: Plan, channel: Connection) -> None:
    os.dup2(2, 1)  # what the app prints must not come between our own lines
    from flask_debuglaunch.serving.app.app_import import import_app, print_error
    from flask_debuglaunch.serving.app.module_origins import namespace_of

    try:
        import_app(plan, supervised=False, first=True)
    except Exception as error:
        print_error(error)
        return
    files = [namespace_of(one).get("__file__") for one in list(sys.modules.values())]
    paths = [str(Path(one).resolve()) for one in files if isinstance(one, str)]
    channel.send_bytes(json.dumps(paths).encode())

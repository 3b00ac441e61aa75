"""Does the configuration say what the person meant?"""

from __future__ import annotations

import importlib.util
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from flask_debuglaunch.configuration.setting_types import Patterns
from flask_debuglaunch.doctor.evidence import Evidence, files_of_app
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.doctor.source_tree import MINDS_CASE, spelt_on_disk
from flask_debuglaunch.serving.app.app_finder import SEARCHED_FILES
from flask_debuglaunch.terminal_messages import shown_path


def _readable(evidence: Evidence) -> Iterator[Finding]:
    """The refusals of the configuration are errors of their own, each with its line and its fix."""
    if evidence.refusal is None:
        file = evidence.settings.config_file
        yield Finding(Level.OK, "the configuration is understood", shown_path(file) if file else "")
        return
    where, _, what = evidence.refusal.partition(": ")
    yield Finding(Level.ERROR, what, where, "python -m flask_debuglaunch explain")


def _passed_over(evidence: Evidence) -> Iterator[Finding]:
    for one in evidence.settings.lookups:
        if one.passed_over:
            fix = f"python -m flask_debuglaunch --config {shown_path(one.path)}"
            yield Finding(Level.NOTE, one.passed_over, shown_path(one.path), fix)


def _app_there(evidence: Evidence) -> Iterator[Finding]:
    plan = evidence.plan
    if plan is None:
        return
    target = evidence.target
    if target is None or not _exists(target.path):
        named = f"APP {plan.app.value} is not there" if plan.app.value else "no app was found"
        where = str(plan.settings.app.origin) if plan.app.value else shown_path(evidence.app_folder)
        from flask_debuglaunch.configuration.starter_yaml import look_at_project

        example = look_at_project(evidence.app_folder).app or "server.py"
        fix = f"python -m flask_debuglaunch --app {shlex.quote(example)}"
        yield Finding(Level.ERROR, named, where, fix)
        return
    file = evidence.app_file
    on_disk = _spelt_otherwise(file, evidence.app_folder) if file else None
    if on_disk is not None:
        module = ".".join(on_disk.with_suffix("").parts).removesuffix(".__init__")
        app = ":".join(one for one in (module, target.app_expression) if one)
        yield Finding(
            Level.ERROR,
            f"the app's file is spelt {on_disk} on disk: {MINDS_CASE}",
            target.origin,
            f"python -m flask_debuglaunch --app {shlex.quote(app)}",
        )
        return
    yield Finding(Level.OK, "the app is there", shown_path(target.path))
    if plan.app.value is None:
        yield from _ambiguous(evidence.app_folder, target.path)


def _ambiguous(folder: Path, taken: Path) -> Iterator[Finding]:
    others = [
        name for name in SEARCHED_FILES if name != taken.name and os.path.isfile(folder / name)
    ]
    if others:
        yield Finding(
            Level.NOTE,
            f"{taken.name} is taken for the app, not {' or '.join(others)}",
            shown_path(folder),
            f"python -m flask_debuglaunch --app {others[0].removesuffix('.py')}",
        )


def _exists(path: Path) -> bool:
    """A file, a package, or a dotted name that begins with one."""
    dotted = path.parent / path.name.partition(".")[0]
    return (
        any(map(os.path.isfile, files_of_app(path)))
        or ("." in path.name and (os.path.isdir(dotted) or os.path.isfile(f"{dotted}.py")))
        or _is_importable(path.name.partition(".")[0])
    )


def _spelt_otherwise(file: Path, folder: Path) -> Path | None:
    """The file's path as on disk, below the folder, where it is named in another case."""
    on_disk = os.path.relpath(spelt_on_disk(file), spelt_on_disk(folder))
    return None if on_disk == os.path.relpath(file, folder) else Path(on_disk)


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _variables(evidence: Evidence) -> Iterator[Finding]:
    for name in evidence.facts.stale_variables:
        what = f"{name} is left over from another server's process"
        yield Finding(Level.WARNING, what, f"env:{name}", f"unset {name}")
    left = evidence.settings.flask_env
    if left.value:
        in_shell, in_file = "unset FLASK_ENV; export FLASK_DEBUG=1", "Write FLASK_DEBUG=1 instead"
        fix = in_file if left.origin.file else in_shell
        what = "FLASK_ENV means nothing since Flask 2.3"
        yield Finding(Level.NOTE, what, str(left.origin), fix)


def _shadowed_debug(evidence: Evidence) -> Iterator[Finding]:
    """FLASK_DEBUG of the shell wins over the YAML: the usual reason that DEBUG has no effect."""
    plan = evidence.plan
    if plan is None or plan.settings.config_file is None:
        return
    origin = str(plan.settings.debug.origin)
    if origin.startswith("env:") and not plan.debug.value:
        yield Finding(
            Level.WARNING,
            "debug mode is off by the environment, whatever the YAML says",
            origin,
            "unset FLASK_DEBUG",
        )


def _matching_nothing(evidence: Evidence) -> Iterator[Finding]:
    settings = evidence.settings
    for name in settings.extra_files.value:
        if not os.path.exists(name):
            what = f"EXTRA_FILES: {shown_path(Path(name))} is not there"
            fix = "Name a file or folder that is there, or delete the entry"
            yield Finding(Level.WARNING, what, str(settings.extra_files.origin), fix)
    for pattern in settings.exclude_patterns.value:
        if not any(Patterns.matches(pattern, str(one.path)) for one in evidence.sources):
            yield Finding(
                Level.NOTE,
                f"EXCLUDE_PATTERNS: {pattern} matches no Python file of the project",
                str(settings.exclude_patterns.origin),
                "Write a name, such as generated, or a pattern as for fnmatch, or delete the entry",
            )


def _mapped_nowhere(evidence: Evidence) -> Iterator[Finding]:
    """The second of each pair is a folder of this machine."""
    for _, remote in evidence.settings.path_mappings.value:
        if not os.path.exists(remote):
            yield Finding(
                Level.WARNING,
                f"PATH_MAPPINGS: {remote} is not there: no breakpoint below it is hit",
                str(evidence.settings.path_mappings.origin),
                f"--path-mappings LOCAL={shown_path(evidence.app_folder.absolute())}",
            )


CHECKS = (
    Check(
        "configuration",
        "The configuration can't be understood: a flag in the wrong block, a block twice, a value"
        " of the wrong kind",
        "the message names the line and what to write",
        _readable,
    ),
    Check(
        "passed-over",
        "A configuration is passed over: it has none of our blocks, or is another user's",
        "`--config FILE`, or name it `flask-debuglaunch.yaml`",
        _passed_over,
    ),
    Check(
        "app", "There is no app, or another file is taken for it", "`--app main:app`", _app_there
    ),
    Check(
        "variables",
        "Variables of another server, or of an older Flask, are set",
        "`unset` them",
        _variables,
    ),
    Check(
        "debug-off",
        "FLASK_DEBUG turns off what the YAML turns on",
        "`unset FLASK_DEBUG`",
        _shadowed_debug,
    ),
    Check(
        "path-mappings",
        "A path mapping leads to a folder that is not there",
        "correct PATH_MAPPINGS",
        _mapped_nowhere,
    ),
    Check(
        "patterns",
        "EXTRA_FILES or EXCLUDE_PATTERNS match nothing",
        "correct or delete the entry",
        _matching_nothing,
    ),
)

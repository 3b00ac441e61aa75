"""Does the configuration say what the person meant?"""

from __future__ import annotations

import importlib.util
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from flask_debuglaunch.configuration.setting_types import Patterns
from flask_debuglaunch.doctor.evidence import Evidence, files_app_may_be
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.doctor.source_tree import IMPORT_MINDS_CASE, path_as_on_disk
from flask_debuglaunch.serving.app.app_finder import SEARCHED_FILES
from flask_debuglaunch.terminal_messages import shown_path


def _not_understood(evidence: Evidence) -> Iterator[Finding]:
    """The refusals of the configuration are errors of their own, each with its line and its fix."""
    if evidence.refusal is None:
        config_file = evidence.settings.config_file
        where = shown_path(config_file) if config_file else ""
        yield Finding(Level.OK, "the configuration is understood", where)
        return
    where, _, refusal = evidence.refusal.partition(": ")
    yield Finding(Level.ERROR, refusal, where, "python -m flask_debuglaunch explain")


def _passed_over_config_files(evidence: Evidence) -> Iterator[Finding]:
    for config_lookup in evidence.settings.lookups:
        if config_lookup.passed_over:
            fix = f"python -m flask_debuglaunch --config {shown_path(config_lookup.path)}"
            yield Finding(
                Level.NOTE, config_lookup.passed_over, shown_path(config_lookup.path), fix
            )


def _app_missing(evidence: Evidence) -> Iterator[Finding]:
    plan = evidence.plan
    if plan is None:
        return
    target = evidence.target
    if target is None or not _app_exists(target.path):
        app_problem = f"APP {plan.app.value} is not there" if plan.app.value else "no app was found"
        where = str(plan.settings.app.origin) if plan.app.value else shown_path(evidence.app_folder)
        from flask_debuglaunch.app_in_source_files import find_app_in_source_files

        example_app = find_app_in_source_files(evidence.app_folder).app or "server.py"
        fix = f"python -m flask_debuglaunch --app {shlex.quote(example_app)}"
        yield Finding(Level.ERROR, app_problem, where, fix)
        return
    app_file = evidence.app_file
    app_file_on_disk = (
        _app_file_spelt_otherwise(app_file, evidence.app_folder) if app_file else None
    )
    if app_file_on_disk is not None:
        app_module = ".".join(app_file_on_disk.with_suffix("").parts).removesuffix(".__init__")
        app_import_name = ":".join(part for part in (app_module, target.app_expression) if part)
        yield Finding(
            Level.ERROR,
            f"the app's file is spelt {app_file_on_disk} on disk: {IMPORT_MINDS_CASE}",
            target.origin,
            f"python -m flask_debuglaunch --app {shlex.quote(app_import_name)}",
        )
        return
    yield Finding(Level.OK, "the app is there", shown_path(target.path))
    if plan.app.value is None:
        yield from _other_app_files(evidence.app_folder, target.path)


def _other_app_files(folder: Path, chosen_file: Path) -> Iterator[Finding]:
    unchosen_files = (name for name in SEARCHED_FILES if name != chosen_file.name)
    other_files = [name for name in unchosen_files if os.path.isfile(folder / name)]
    if other_files:
        yield Finding(
            Level.NOTE,
            f"{chosen_file.name} is taken for the app, not {' or '.join(other_files)}",
            shown_path(folder),
            f"python -m flask_debuglaunch --app {other_files[0].removesuffix('.py')}",
        )


def _app_exists(app_path: Path) -> bool:
    """A file, a package, or a dotted name that begins with one."""
    first_name, dot, _ = app_path.name.partition(".")
    package = app_path.parent / first_name
    return (
        any(map(os.path.isfile, files_app_may_be(app_path)))
        or (bool(dot) and (os.path.isdir(package) or os.path.isfile(f"{package}.py")))
        or _is_importable(first_name)
    )


def _app_file_spelt_otherwise(app_file: Path, folder: Path) -> Path | None:
    """The file's path as on disk, below the folder, where it is named in another case."""
    on_disk = os.path.relpath(path_as_on_disk(app_file), path_as_on_disk(folder))
    return None if on_disk == os.path.relpath(app_file, folder) else Path(on_disk)


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _stale_variables(evidence: Evidence) -> Iterator[Finding]:
    for variable in evidence.facts.stale_variables:
        variable_problem = f"{variable} is left over from another server's process"
        yield Finding(Level.WARNING, variable_problem, f"env:{variable}", f"unset {variable}")
    flask_env = evidence.settings.flask_env
    if flask_env.value:
        in_shell, in_file = "unset FLASK_ENV; export FLASK_DEBUG=1", "Write FLASK_DEBUG=1 instead"
        fix = in_file if flask_env.origin.file else in_shell
        variable_problem = "FLASK_ENV means nothing since Flask 2.3"
        yield Finding(Level.NOTE, variable_problem, str(flask_env.origin), fix)


def _debug_off_by_environment(evidence: Evidence) -> Iterator[Finding]:
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


def _patterns_without_match(evidence: Evidence) -> Iterator[Finding]:
    settings = evidence.settings
    for extra_file in settings.extra_files.value:
        if not os.path.exists(extra_file):
            extra_file_problem = f"EXTRA_FILES: {shown_path(Path(extra_file))} is not there"
            fix = "Name a file or folder that is there, or delete the entry"
            yield Finding(Level.WARNING, extra_file_problem, str(settings.extra_files.origin), fix)
    for exclude_pattern in settings.exclude_patterns.value:
        source_paths = (str(source.path) for source in evidence.sources)
        if not any(Patterns.matches(exclude_pattern, path) for path in source_paths):
            yield Finding(
                Level.NOTE,
                f"EXCLUDE_PATTERNS: {exclude_pattern} matches no Python file of the project",
                str(settings.exclude_patterns.origin),
                "Write a name, such as generated, or a pattern as for fnmatch, or delete the entry",
            )


def _mappings_to_nowhere(evidence: Evidence) -> Iterator[Finding]:
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
        _not_understood,
    ),
    Check(
        "passed-over",
        "A configuration is passed over: it has none of our blocks, or is another user's",
        "`--config FILE`, or name it `flask-debuglaunch.yaml`",
        _passed_over_config_files,
    ),
    Check(
        "app", "There is no app, or another file is taken for it", "`--app main:app`", _app_missing
    ),
    Check(
        "variables",
        "Variables of another server, or of an older Flask, are set",
        "`unset` them",
        _stale_variables,
    ),
    Check(
        "debug-off",
        "FLASK_DEBUG turns off what the YAML turns on",
        "`unset FLASK_DEBUG`",
        _debug_off_by_environment,
    ),
    Check(
        "path-mappings",
        "A path mapping leads to a folder that is not there",
        "correct PATH_MAPPINGS",
        _mappings_to_nowhere,
    ),
    Check(
        "patterns",
        "EXTRA_FILES or EXCLUDE_PATTERNS match nothing",
        "correct or delete the entry",
        _patterns_without_match,
    ),
)

"""One visit: gather the evidence, run the checks, and collect the edits that are safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flask_debuglaunch.detect_environment import observe
from flask_debuglaunch.doctor import (
    app_code_checks,
    configuration_checks,
    debugger_checks,
    file_permission_checks,
    ide_file_checks,
    machine_checks,
    port_checks,
)
from flask_debuglaunch.doctor.breakpoint_checks import (
    Line,
    findings_for,
    findings_of_import,
    parse_line,
)
from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Diagnosis, Finding
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan

if TYPE_CHECKING:
    from flask_debuglaunch.ides.generate_files import GeneratedFiles

CHECKS: tuple[Check, ...] = (
    *configuration_checks.CHECKS,
    *debugger_checks.CHECKS,
    *port_checks.CHECKS,
    *app_code_checks.CHECKS,
    *ide_file_checks.CHECKS,
    *machine_checks.CHECKS,
    *file_permission_checks.CHECKS,
)


def gather(resolve: Callable[[], Plan], environ: Mapping[str, str]) -> Evidence:
    """resolve: gives the plan; the LaunchError that it raises becomes a finding."""
    facts = observe(environ)
    try:
        return Evidence(facts.folder, environ, facts, plan=resolve())
    except LaunchError as error:
        return Evidence(facts.folder, environ, facts, refusal=str(error))


def diagnose(evidence: Evidence, place: str | None, *, import_app: bool) -> Diagnosis:
    """Every finding with the name of its check; place: FILE:LINE, if it is about one line.

    Raises LaunchError if there is no such place.
    """
    line = parse_line(place, evidence.folder) if place else None
    return list(_diagnosis(evidence, line, import_app=import_app))


def _diagnosis(
    evidence: Evidence, line: Line | None, *, import_app: bool
) -> Iterator[tuple[str, Finding]]:
    for check in CHECKS:
        yield from ((check.name, finding) for finding in check.look(evidence))
    if line is not None:
        yield from (("breakpoint", finding) for finding in findings_for(line, evidence))
    if import_app and evidence.plan is not None:
        found = findings_of_import(evidence.plan, line)
        yield from (("import", finding) for finding in found)


def repairs_of(diagnosis: Diagnosis, folder: Path) -> GeneratedFiles:
    """The changed texts of the files that can be mended without asking. Nothing is written."""
    from flask_debuglaunch import atomic_file_changes
    from flask_debuglaunch.ides import generate_files

    files = [file for _, finding in diagnosis for file in finding.repairs]
    changed = generate_files.changes(
        files, lambda path: atomic_file_changes.read_text(folder / path)
    )
    return generate_files.GeneratedFiles(folder, tuple(changed), ())

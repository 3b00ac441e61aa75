"""One visit: run the checks on the evidence, and collect the edits that are safe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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
    BreakpointLine,
    breakpoint_findings,
    import_findings,
    parse_breakpoint_line,
)
from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Diagnosis, Finding

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


def diagnose(evidence: Evidence, place: str | None, *, import_app: bool) -> Diagnosis:
    """Every finding with the name of its check; place: FILE:LINE, if it is about one line.

    Raises LaunchError if there is no such place.
    """
    breakpoint_line = parse_breakpoint_line(place, evidence.folder) if place else None
    return list(_run_checks(evidence, breakpoint_line, import_app=import_app))


def _run_checks(
    evidence: Evidence, breakpoint_line: BreakpointLine | None, *, import_app: bool
) -> Iterator[tuple[str, Finding]]:
    for check in CHECKS:
        yield from ((check.name, finding) for finding in check.look(evidence))
    if breakpoint_line is not None:
        yield from (
            ("breakpoint", finding) for finding in breakpoint_findings(breakpoint_line, evidence)
        )
    if import_app and evidence.plan is not None:
        findings_of_import = import_findings(evidence.plan, breakpoint_line)
        yield from (("import", finding) for finding in findings_of_import)


def repairs_of(diagnosis: Diagnosis, folder: Path) -> GeneratedFiles:
    """The changed texts of the files that can be mended without asking. Nothing is written."""
    from flask_debuglaunch import atomic_file_changes
    from flask_debuglaunch.ides import generate_files

    repaired_files = [repair for _, finding in diagnosis for repair in finding.repairs]
    file_changes = generate_files.changes(
        repaired_files, lambda path: atomic_file_changes.read_text(folder / path)
    )
    return generate_files.GeneratedFiles(folder, tuple(file_changes), ())

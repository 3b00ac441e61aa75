"""`doctor`: why is my breakpoint not hit, and what do I type to mend it?

run_checks.py gathers the evidence and has the *_checks.py look, each check for one cause;
doctor_report.py says it.
Nothing here serves the app; a new check is a function and a row of its file's CHECKS.
"""

from __future__ import annotations

from flask_debuglaunch.doctor import (
    account_checks,
    code_checks,
    configuration_checks,
    debug_port_checks,
    debugger_checks,
    ide_file_checks,
    machine_checks,
)
from flask_debuglaunch.doctor.findings import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = (
    *configuration_checks.CHECKS,
    *debugger_checks.CHECKS,
    *debug_port_checks.CHECKS,
    *code_checks.CHECKS,
    *ide_file_checks.CHECKS,
    *machine_checks.CHECKS,
    *account_checks.CHECKS,
)

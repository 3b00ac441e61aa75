"""What to type to mend it: one wording for each fix, in messages and in what `doctor` says."""

from __future__ import annotations

import sys

DOCTOR = "python -m flask_debuglaunch doctor says more"


def install(package: str) -> str:
    """The command that installs a package for this interpreter."""
    return f"{sys.executable} -m pip install {package}"


def upgrade(package: str) -> str:
    return install(f"--upgrade {package}")


def another_port(flag: str, taken: int) -> str:
    """The flag with a port beside the one that is taken."""
    return f"{flag} {taken + 1 if taken < 65535 else taken - 1}"

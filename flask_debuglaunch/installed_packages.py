"""Installed packages: their versions, and the commands that install them.

The versions are read from the names of the packages' folders, not by importlib.metadata: importing
it takes longer than all checks of the doctor together.
"""

from __future__ import annotations

import sys
from pathlib import Path

Version = tuple[int, ...]


def installed_version(package: str) -> Version | None:
    """The version's leading numbers, such as (1, 8, 22); None if it is not installed here."""
    name = package.replace("-", "_")
    for folder in filter(None, sys.path):
        for info in Path(folder).glob(f"{name}-*.dist-info"):
            numbers = info.name.removesuffix(".dist-info").rpartition("-")[2].split(".")
            return tuple(int(part) for part in numbers[:3] if part.isdigit())
    return None


def written(version: Version) -> str:
    return ".".join(map(str, version))


def install_command(package: str) -> str:
    """What to type to install a package for this interpreter."""
    return f"{sys.executable} -m pip install {package}"


def upgrade_command(package: str) -> str:
    return install_command(f"--upgrade {package}")

"""Versions of installed packages, by the names of their folders.

Not importlib.metadata: importing it takes longer than all checks together.
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

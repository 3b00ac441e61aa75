"""What the tests of serving share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a hello app in main.py."""
    return Project(tmp_path)

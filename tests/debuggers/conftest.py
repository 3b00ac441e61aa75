"""What the tests of the debuggers share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An app with its configuration, in a folder of its own."""
    root = tmp_path / "shop"
    root.mkdir()
    return Shop(root)

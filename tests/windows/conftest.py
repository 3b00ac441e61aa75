from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .wine import ROOT, Windows, bring_project_to, require_windows, wine_running


@pytest.fixture(scope="session")
def site() -> Iterator[Path]:
    """The launcher, installed where Windows sees it; wine runs."""
    require_windows()
    own = ROOT / "win" / "tests" / uuid.uuid4().hex
    bring_project_to(own / "site")
    with wine_running():
        yield own / "site"
    shutil.rmtree(own)


@pytest.fixture
def windows(site: Path) -> Windows:
    """A folder of this test's own."""
    folder = site.parent / f"shop-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    return Windows(folder, site)

"""A shop whose service runs in a real container."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.requirements import require_debugger
from .compose_shop import FILES, Shop, require_engine


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def shop(tmp_path: Path, home: Path) -> Shop:
    require_engine()
    require_debugger("debugpy")
    shop = Shop(tmp_path, home)
    shop.write(FILES)
    return shop

"""What the tests of apps share."""

from __future__ import annotations

import pytest

from .project import NO_RELOAD, RELOAD


@pytest.fixture(params=[NO_RELOAD, RELOAD], ids=["one process", "supervised"])
def mode(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The flags of debug mode without and with reload."""
    flags: tuple[str, ...] = request.param
    return flags

"""What the tests of deployed apps share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.accounts import MadeAccount, made_account, open_folder, why_no_accounts


@pytest.fixture(scope="module")
def account() -> Iterator[MadeAccount]:
    """An account of this module's own."""
    reason = why_no_accounts()
    if reason is not None:
        pytest.skip(reason)
    with made_account() as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every account can enter."""
    with open_folder() as path:
        yield path

"""What all tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _end_signals_are_not_ignored() -> Iterator[None]:
    """A shell starts what runs in its background with Ctrl-C ignored (nohup: the hang-up too), and
    programs under test would inherit that: they rightly leave an ignored signal alone."""
    names = [name for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    ignored = [
        n for n in map(signal.Signals.__getitem__, names) if signal.getsignal(n) is signal.SIG_IGN
    ]
    for number in ignored:
        # Not SIG_DFL, which would end the tests; a child that is executed gets SIG_DFL.
        signal.signal(number, signal.default_int_handler)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)

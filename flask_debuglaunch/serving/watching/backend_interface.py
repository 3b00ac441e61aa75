"""What all kinds of events have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Events(Protocol):
    """Events of some folders, each by itself: with what is below them would come .venv."""

    def wait(self, seconds: float | None) -> Mapping[str, bool]:
        """Wait so long (None: for ever) for events; returns the paths that they name.

        True: it is at rest and can be looked at, in a folder at everything. False: something is
        under way there, look when it is over; a watched folder may have become another one.
        Empty if the time is over or the wait was ended, unless something may be missed. Raises
        OSError when no more events can be had.
        """

    def close(self) -> None: ...

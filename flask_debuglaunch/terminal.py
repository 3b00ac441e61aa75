"""What is said to the person at the terminal while the app is served."""

from __future__ import annotations

import contextlib
import os
import sys

from flask_debuglaunch.redaction import redact


def say(text: str) -> None:
    """One line, marked as Werkzeug marks its own, and at once: another process may be next."""
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(f" * {redact(text)}", file=sys.stderr, flush=True)


def fill_standard_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed (`2>&-`): else the next file or socket gets the
    number, and what a child prints goes into that."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(nowhere, True)

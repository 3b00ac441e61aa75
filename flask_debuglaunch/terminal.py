"""What is said to the person at the terminal while the app is served."""

from __future__ import annotations

import sys

from flask_debuglaunch.redaction import redact


def say(text: str) -> None:
    """One line, marked as Werkzeug marks its own, and at once: another process may be next."""
    print(f" * {redact(text)}", file=sys.stderr, flush=True)

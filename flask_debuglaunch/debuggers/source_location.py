"""Where code stands, as people write it."""

from __future__ import annotations

import os


def place_of(file: str, line: int) -> str:
    """ "shop/views.py:12"; the file relative to the working directory if it is below it."""
    relative = os.path.relpath(file)
    return f"{file if relative.startswith(os.pardir) else relative}:{line}"

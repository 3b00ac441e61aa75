"""The directory that the program was started in, in which it is started again for a reload."""

from __future__ import annotations

import os


def _start_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it has been deleted: a child is there too, and no better off
        return None


# As this package is imported: a program of the user's may change it before it calls run().
START_DIRECTORY = _start_directory()

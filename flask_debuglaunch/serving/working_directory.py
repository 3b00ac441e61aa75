"""The folder that the launcher was started in, also when it is removed and put back."""

from __future__ import annotations

import os


class WorkingDirectory:
    """Known by its name: a `git switch` may have put another folder in its place."""

    def __init__(self) -> None:
        """Raises FileNotFoundError if it has been deleted."""
        self._path = os.getcwd()

    def is_replaced(self) -> bool:
        """Is it gone, or another one than this process is in?"""
        try:
            return not os.path.samefile(os.curdir, self._path)
        except OSError:
            return True

    def enter(self) -> bool:
        """Be in the folder that has its name now; returns False if there is none."""
        try:
            os.chdir(self._path)
        except OSError:
            return False
        return True

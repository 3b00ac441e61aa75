"""Packages that can't be installed beside the rest, such as another version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from .requirements import require


def packages_in_a_folder(cache: pytest.Cache, *wanted: str) -> Path:
    """A folder for PYTHONPATH, outside site-packages; pip fills it once, in pytest's cache."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = cache.mkdir(f"packages-{python}") / re.sub(r"[^\w.]+", "-", " ".join(wanted))
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            options = [
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--target",
                made + "/complete",
            ]
            pip = [sys.executable, "-m", "pip", "install", *options, *wanted]
            done = subprocess.run(pip, capture_output=True, text=True, timeout=100)
            require(wanted[0].partition("==")[0], missing=done.stderr if done.returncode else None)
            with suppress(OSError):  # another test has been faster
                os.rename(made + "/complete", folder)
    return folder

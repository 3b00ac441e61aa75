"""Upper and lower case, on a file system that takes either (Windows, macOS, FAT, WSL's drvfs)."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

# Its import does so on every file system, but for PYTHONCASEOK.
MINDS_CASE = "Python minds upper and lower case, and finds no such module"


def spelt_on_disk(path: Path) -> Path:
    """The absolute path, with each name as its folder has it; links are not followed.

    Not `realpath`, which corrects the case on Windows alone.
    """
    absolute = Path(os.path.abspath(path))
    spelt = Path(absolute.anchor)
    for name in absolute.parts[1:]:
        spelt /= _spelt(spelt, name)
    return spelt


def without_case(name: str) -> str:
    """The same for all names that differ in case alone (on macOS, accents may stand apart)."""
    return unicodedata.normalize("NFC", name).casefold()


def _spelt(folder: Path, name: str) -> str:
    try:
        present = os.listdir(folder)
    except OSError:  # this user can't look into it
        return name
    alike = (one for one in present if without_case(one) == without_case(name))
    return name if name in present else next(alike, name)

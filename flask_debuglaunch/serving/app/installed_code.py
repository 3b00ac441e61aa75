"""Which code is not the user's: our own, and what is installed.

The folders end with a separator: one whose name begins with another's is not below it.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from pathlib import Path

import flask_debuglaunch

OUR_FOLDER = str(Path(flask_debuglaunch.__file__).parent) + os.sep


def installed_folders() -> tuple[str, ...]:
    """Where the standard library and installed packages are: what does not change by a save."""
    paths = sysconfig.get_paths()
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages(), sys.base_prefix + "/lib"}
    return tuple(str(Path(one).resolve()) + os.sep for one in folders)

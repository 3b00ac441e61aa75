"""What is to be watched, as the plan and the workers say: which files count, and which do not."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from flask_debuglaunch.configuration.setting_types import Patterns
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.app.app_finder import source_folder

SKIPPED_FOLDERS = {"__pycache__", "node_modules", "site-packages"}
# What Python's environments have at their top: venv and virtualenv, conda.
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
# Modules that Emacs' checkers and `git mergetool` make beside the file that they are about.
MOMENTARY_MODULE = re.compile(r"fly(check|make)_.*|.*_flymake|.*_(BACKUP|BASE|LOCAL|REMOTE)_\d+")
# What programs write into a folder of EXTRA_FILES while the app runs, and editors beside a file.
CLUTTER = re.compile(
    r"\..*|.*\.(py[cod]|log|log\..*|pid|lock|tmp|temp|bak|orig|sw[a-p]|db|sqlite3?)"
    r"|.*\.(db|sqlite3?)-(wal|shm|journal)|.*(~|___jb_(tmp|old)___)|#.*#|4913"
)


@dataclass(frozen=True)
class WatchRules:
    """What is watched. All paths are absolute."""

    roots: frozenset[str]
    """Folders whose Python files all count, with those in the folders below."""
    files: frozenset[str]
    """They count as they are named, also those that are not there yet."""
    folders: frozenset[str] = frozenset()
    """Folders of which every file counts but for clutter, not only Python's."""
    excluded: tuple[str, ...] = ()
    """fnmatch patterns of paths, as Flask's --exclude-patterns; of a folder, all that is in it."""

    def excludes(self, path: str) -> bool:
        return any(Patterns.matches(pattern, path) for pattern in self.excluded)

    def is_skipped(self, folder: str) -> bool:
        """Is the folder, below a root, none of the project's?"""
        name = os.path.basename(folder)
        marks = (os.path.join(folder, mark) for mark in ENVIRONMENT_MARKS)
        hidden = name.startswith(".") or name in SKIPPED_FOLDERS
        return hidden or any(map(os.path.exists, marks)) or self.excludes(folder)

    def counts_by_name(self, path: str) -> bool:
        """Does it count from the moment when it comes to the moment when it goes?

        Another module of the project counts when it changes; one that has just come may be there
        for a moment only, and nothing is made from one that goes without having been imported.
        """
        is_clutter = CLUTTER.fullmatch(os.path.basename(path)) is not None
        counts = path in self.files or (self.is_in_folders(path) and not is_clutter)
        return counts and not self.excludes(path)

    def is_in_folders(self, path: str) -> bool:
        return path.startswith(tuple(one + os.sep for one in self.folders))


def is_module(name: str) -> bool:
    """Is a file of this name one that Python imports, and not one of an editor or a checker?"""
    stem, dot, suffix = name.rpartition(".")
    is_python = dot + suffix == ".py" and not name.startswith(".")
    return is_python and MOMENTARY_MODULE.fullmatch(stem) is None


def watched_for(plan: Plan) -> WatchRules:
    """What is known before the app is imported; the worker tells the rest."""
    settings = plan.settings
    extra = frozenset(map(os.path.abspath, settings.extra_files.value))
    config = [plan.config_file] if plan.config_file else []
    # Also a .env that is not there yet.
    named = [*config, *settings.env_files, *(one.path for one in settings.lookups)]
    roots = (plan.app_directory.value, source_folder(plan))
    return WatchRules(
        roots=frozenset(os.path.abspath(one) for one in roots),
        files=extra.union(map(os.path.abspath, named)),
        folders=extra,
        excluded=settings.exclude_patterns.value,
    )

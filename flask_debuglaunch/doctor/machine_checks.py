"""Does this machine let the app be watched, and run in debug mode?"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.doctor.source_tree import MAX_SOURCE_FILES
from flask_debuglaunch.installed_packages import installed_version, version_text
from flask_debuglaunch.serving.watching.polling_backend import (
    LONGEST_POLL_SECONDS,
    SHORTEST_POLL_SECONDS,
    folders_without_events,
)
from flask_debuglaunch.serving.watching.watched_files import MAX_FOLDER_DEPTH, MAX_WATCHED_FOLDERS
from flask_debuglaunch.terminal_messages import shown_path

_INOTIFY_LIMITS = Path("/proc/sys/fs/inotify")
POLLED_EVERY = f"every {SHORTEST_POLL_SECONDS:g} to {LONGEST_POLL_SECONDS:g} seconds"
IN_DELETE_SELF = 0x400  # of inotify.h
FILE_TIME_SECONDS = 2.0  # FAT and some network drives round a file's time up to so much


def _inotify_watches_used_up(evidence: Evidence) -> Iterator[Finding]:
    if not _INOTIFY_LIMITS.exists():
        return
    watched_folders = {source.path.parent for source in evidence.sources}
    allowed_watches = int((_INOTIFY_LIMITS / "max_user_watches").read_text())
    allowed_instances = (_INOTIFY_LIMITS / "max_user_instances").read_text().strip()
    if len(watched_folders) > allowed_watches or not _can_add_inotify_watch():
        yield Finding(
            Level.WARNING,
            f"the kernel allows no more file events (max_user_watches {allowed_watches},"
            f" max_user_instances {allowed_instances}): changes are polled {POLLED_EVERY}",
            str(_INOTIFY_LIMITS),
            "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
        )


def _file_system_without_events(evidence: Evidence) -> Iterator[Finding]:
    """WSL's drvfs, 9p, NFS, Docker Desktop: what is saved on their other side comes unannounced."""
    for polled_folders in folders_without_events([str(evidence.app_folder.absolute())]):
        yield Finding(
            Level.NOTE,
            f"{polled_folders.reason}: changes are polled {POLLED_EVERY}",
            shown_path(evidence.app_folder),
            "Move the project to a file system of this machine",
        )


def _can_add_inotify_watch() -> bool:
    # inotify(7) by hand: the library that the watcher takes costs 40 ms of imports.
    import ctypes

    c_library = ctypes.CDLL(None)
    inotify = c_library.inotify_init1(0)
    if inotify < 0:
        return False
    watch_descriptor: int = c_library.inotify_add_watch(inotify, b"/", IN_DELETE_SELF)
    os.close(inotify)
    return watch_descriptor >= 0


def _too_many_files(evidence: Evidence) -> Iterator[Finding]:
    if evidence.source_tree.is_cut_off:
        yield Finding(
            Level.NOTE,
            f"there are more than {MAX_SOURCE_FILES:,} Python files or {MAX_WATCHED_FOLDERS:,}"
            f" folders, or more than {MAX_FOLDER_DEPTH} of them one in the other: not all were"
            " looked at",
            shown_path(evidence.app_folder),
            "Start it in the app's own folder",
        )


def _clock_behind_files(evidence: Evidence) -> Iterator[Finding]:
    now = time.time()
    paths = (source.path for source in evidence.sources)
    files_of_the_future = [path for path in paths if _saved_at(path) > now + FILE_TIME_SECONDS]
    if files_of_the_future:
        yield Finding(
            Level.WARNING,
            "the clock is behind the file's time: a change may be taken for old, and old bytecode"
            " for new",
            shown_path(files_of_the_future[0]),
            f"touch {' '.join(shown_path(path) for path in files_of_the_future[:5])}",
        )


def _saved_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _watchdog_of_werkzeug(evidence: Evidence) -> Iterator[Finding]:
    """watchdog 7 tells Werkzeug 3.1's reloader of no change; our own reload does not use it."""
    if evidence.plan is None or not evidence.plan.use_reloader.value:
        return
    watchdog_version = installed_version("watchdog")
    if watchdog_version is not None and watchdog_version >= (7,):
        yield Finding(
            Level.NOTE,
            f"watchdog {version_text(watchdog_version)}: Werkzeug's own reloader sees no change"
            " with it",
            "watchdog",
            "pip install 'watchdog<7'",
        )


def _in_production(evidence: Evidence) -> Iterator[Finding]:
    if evidence.facts.production:
        yield Finding(
            Level.WARNING,
            f"this is production ({evidence.facts.production}): debug mode is refused here",
            evidence.facts.production,
            "Run it in a shell of its own, without the variable or the server",
        )


CHECKS = (
    Check(
        "file-events",
        "The kernel tells of no more changed files, and changes are polled",
        "`sudo sysctl fs.inotify.max_user_watches=524288`",
        _inotify_watches_used_up,
    ),
    Check(
        "no-file-events",
        "The project is on a file system that does not tell of every change (WSL, NFS, 9p, Docker"
        " Desktop): changes are polled",
        "move it, or live with it",
        _file_system_without_events,
    ),
    Check(
        "many-files",
        f"The folder holds more than {MAX_SOURCE_FILES:,} Python files or {MAX_WATCHED_FOLDERS:,}"
        f" folders, or more than {MAX_FOLDER_DEPTH} of them one in the other: the rest is"
        " not looked at",
        "start it in the app's own folder",
        _too_many_files,
    ),
    Check(
        "clock", "The clock is behind the files' times", "`touch` the files", _clock_behind_files
    ),
    Check(
        "watchdog",
        "`watchdog` 7 under Werkzeug's own reloader: no change is seen",
        "`pip install 'watchdog<7'`",
        _watchdog_of_werkzeug,
    ),
    Check(
        "production",
        "This is gunicorn, uWSGI or mod_wsgi, where debug mode is refused",
        "start it by hand",
        _in_production,
    ),
)

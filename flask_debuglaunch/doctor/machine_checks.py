"""Does this machine let the app be watched, read and debugged?"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.doctor.source_tree import MOST_FILES
from flask_debuglaunch.installed_packages import installed_version, written
from flask_debuglaunch.plan import is_loopback
from flask_debuglaunch.serving.watching.polling_backend import (
    LONGEST_POLL_SECONDS,
    SHORTEST_POLL_SECONDS,
    folders_without_events,
)
from flask_debuglaunch.serving.watching.watched_files import MAX_FOLDER_DEPTH, MAX_WATCHED_FOLDERS
from flask_debuglaunch.terminal_messages import shown_path

_INOTIFY = Path("/proc/sys/fs/inotify")
LOOKED_AT = f"every {SHORTEST_POLL_SECONDS:g} to {LONGEST_POLL_SECONDS:g} seconds"
IN_DELETE_SELF = 0x400  # of inotify.h
CLOCK_SECONDS = 2.0  # FAT and some network drives round a file's time up to so much


def _watches(evidence: Evidence) -> Iterator[Finding]:
    if not _INOTIFY.exists():
        return
    folders = {one.path.parent for one in evidence.sources}
    allowed = int((_INOTIFY / "max_user_watches").read_text())
    if len(folders) > allowed or not _can_watch():
        yield Finding(
            Level.WARNING,
            f"the kernel allows no more file events (max_user_watches {allowed}, max_user_instances"
            f" {(_INOTIFY / 'max_user_instances').read_text().strip()}): changes are polled"
            f" {LOOKED_AT}",
            str(_INOTIFY),
            "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
        )


def _no_events(evidence: Evidence) -> Iterator[Finding]:
    """WSL's drvfs, 9p, NFS, Docker Desktop: what is saved on their other side comes unannounced."""
    for polled in folders_without_events([str(evidence.app_folder.absolute())]):
        yield Finding(
            Level.NOTE,
            f"{polled.reason}: changes are polled {LOOKED_AT}",
            shown_path(evidence.app_folder),
            "Move the project to a file system of this machine",
        )


def _container(evidence: Evidence) -> Iterator[Finding]:
    plan, container = evidence.plan, evidence.facts.container
    if container is None or plan is None or plan.connection.value != "listen":
        return
    port = plan.debug_port.value
    # In a dev container the editor's own server is inside too.
    is_editors = "REMOTE_CONTAINERS" in evidence.environ or "CODESPACES" in evidence.environ
    if is_loopback(plan.debug_host.value) and not is_editors:
        yield Finding(
            Level.NOTE,
            f"this is a container ({container.engine}): its 127.0.0.1 is not the IDE's",
            str(plan.settings.debug_host.origin),
            "python -m flask_debuglaunch --debug-host 0.0.0.0 --published-on 127.0.0.1"
            f" (and: docker run -p 127.0.0.1:{port}:{port})",
        )


def _can_watch() -> bool:
    # inotify(7) by hand: the library that the watcher takes costs 40 ms of imports.
    import ctypes

    system = ctypes.CDLL(None)
    descriptor = system.inotify_init1(0)
    if descriptor < 0:
        return False
    watch: int = system.inotify_add_watch(descriptor, b"/", IN_DELETE_SELF)
    os.close(descriptor)
    return watch >= 0


def _unreadable(evidence: Evidence) -> Iterator[Finding]:
    files = [one.path for one in evidence.sources if not os.access(one.path, os.R_OK)]
    unreadable = [*evidence.project.unreadable, *files]
    if unreadable:
        more = f" and {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        yield Finding(
            Level.ERROR,
            f"this user can't read {'the file' if files == unreadable else 'the folder'}{more}",
            shown_path(unreadable[0]),
            f"sudo chown -R $USER {shown_path(evidence.app_folder)}",
        )


def _cut_off(evidence: Evidence) -> Iterator[Finding]:
    if evidence.project.is_cut_off:
        yield Finding(
            Level.NOTE,
            f"there are more than {MOST_FILES:,} Python files or {MAX_WATCHED_FOLDERS:,} folders,"
            f" or more than {MAX_FOLDER_DEPTH} of them one in the other: not all were looked at",
            shown_path(evidence.app_folder),
            "Start it in the app's own folder",
        )


def _clock(evidence: Evidence) -> Iterator[Finding]:
    now = time.time()
    ahead = [one.path for one in evidence.sources if _saved(one.path) > now + CLOCK_SECONDS]
    if ahead:
        yield Finding(
            Level.WARNING,
            "the clock is behind the file's time: a change may be taken for old, and old bytecode"
            " for new",
            shown_path(ahead[0]),
            f"touch {' '.join(shown_path(one) for one in ahead[:5])}",
        )


def _saved(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _watchdog(evidence: Evidence) -> Iterator[Finding]:
    """watchdog 7 tells Werkzeug 3.1's reloader of no change; our own reload does not use it."""
    if evidence.plan is None or not evidence.plan.use_reloader.value:
        return
    version = installed_version("watchdog")
    if version is not None and version >= (7,):
        yield Finding(
            Level.NOTE,
            f"watchdog {written(version)}: Werkzeug's own reloader sees no change with it",
            "watchdog",
            "pip install 'watchdog<7'",
        )


def _production(evidence: Evidence) -> Iterator[Finding]:
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
        _watches,
    ),
    Check(
        "no-file-events",
        "The project is on a file system that does not tell of every change (WSL, NFS, 9p, Docker"
        " Desktop): changes are polled",
        "move it, or live with it",
        _no_events,
    ),
    Check(
        "container",
        "In a container, the debug port listens on the container's own 127.0.0.1",
        "`--debug-host 0.0.0.0 --published-on 127.0.0.1`",
        _container,
    ),
    Check("unreadable-files", "This user can't read the project's files", "`chown`", _unreadable),
    Check(
        "many-files",
        f"The folder holds more than {MOST_FILES:,} Python files or {MAX_WATCHED_FOLDERS:,}"
        f" folders, or more than {MAX_FOLDER_DEPTH} of them one in the other: the rest is"
        " not looked at",
        "start it in the app's own folder",
        _cut_off,
    ),
    Check("clock", "The clock is behind the files' times", "`touch` the files", _clock),
    Check(
        "watchdog",
        "`watchdog` 7 under Werkzeug's own reloader: no change is seen",
        "`pip install 'watchdog<7'`",
        _watchdog,
    ),
    Check(
        "production",
        "This is gunicorn, uWSGI or mod_wsgi, where debug mode is refused",
        "start it by hand",
        _production,
    ),
)

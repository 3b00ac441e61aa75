"""The notes of a running launcher: what it has said about its reloads, for `explain`, which is
another process.

It stands in a file without a name that the launcher holds open: it ends with the launcher, and is
read through the table of processes (proc(5), /proc/PID/fd), of one's own only: what others hold
open may be anything. Where there is no such table it is only said.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flask_debuglaunch.procfs import PROC, has_working_folder, open_files, processes
from flask_debuglaunch.redaction import redact
from flask_debuglaunch.regular_file import read_regular_file
from flask_debuglaunch.terminal_messages import say

NOTES_FILE_PREFIX = "flask-debuglaunch-notes-"


class LauncherNotes:
    """Says each thing once, and notes it."""

    def __init__(self) -> None:
        self._already_said: set[str] = set()
        self._notes_file: BinaryIO | None = None

    def say_once(self, note: str, about: str | None = None) -> None:
        """about: what it is said about once; by default the text itself."""
        if (about or note) in self._already_said:
            return
        self._already_said.add(about or note)
        say(note)
        with contextlib.suppress(OSError):  # a full disk: it has been said all the same
            self._write_note(note)

    def _write_note(self, note: str) -> None:
        if self._notes_file is None and PROC.is_dir():
            descriptor, path = tempfile.mkstemp(prefix=NOTES_FILE_PREFIX)
            os.unlink(path)
            self._notes_file = os.fdopen(descriptor, "wb")
        if self._notes_file is not None:
            self._notes_file.write(f"{redact(note)}\n".encode())
            self._notes_file.flush()

    def close(self) -> None:
        if self._notes_file is not None:
            self._notes_file.close()


@dataclass(frozen=True)
class NotesOfLauncher:
    pid: int
    lines: tuple[str, ...]


def notes_of_launchers(folder: Path) -> tuple[NotesOfLauncher, ...]:
    """Of those that run in this working folder and have something to say, by their numbers."""
    return tuple(_notes_of_launchers(folder))


def _notes_of_launchers(folder: Path) -> Iterator[NotesOfLauncher]:
    if sys.platform == "win32":
        return
    for launcher_process in sorted(processes(), key=lambda process: int(process.name)):
        if not has_working_folder(launcher_process, folder):
            continue
        with contextlib.suppress(OSError):  # it is gone
            if launcher_process.stat().st_uid != os.geteuid():
                continue
            for open_file, name in open_files(launcher_process):
                if Path(name).name.startswith(NOTES_FILE_PREFIX):
                    note_lines = read_regular_file(open_file).decode(errors="replace").splitlines()
                    yield NotesOfLauncher(int(launcher_process.name), tuple(note_lines))

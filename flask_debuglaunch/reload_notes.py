"""What a running launcher has said about its reloads, for `explain`, which is another process.

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

from flask_debuglaunch.procfs import PROC, open_files, processes, works_in
from flask_debuglaunch.redaction import redact
from flask_debuglaunch.regular_file import read_regular_file
from flask_debuglaunch.terminal_messages import say

PREFIX = "flask-debuglaunch-notes-"


class LauncherNotes:
    """Says each thing once, and notes it."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._file: BinaryIO | None = None

    def say_once(self, text: str, about: str | None = None) -> None:
        """about: what it is said about once; by default the text itself."""
        if (about or text) in self._said:
            return
        self._said.add(about or text)
        say(text)
        with contextlib.suppress(OSError):  # a full disk: it has been said all the same
            self._note(text)

    def _note(self, text: str) -> None:
        if self._file is None and PROC.is_dir():
            descriptor, path = tempfile.mkstemp(prefix=PREFIX)
            os.unlink(path)
            self._file = os.fdopen(descriptor, "wb")
        if self._file is not None:
            self._file.write(f"{redact(text)}\n".encode())
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


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
    for process in sorted(processes(), key=lambda one: int(one.name)):
        if not works_in(process, folder):
            continue
        with contextlib.suppress(OSError):  # it is gone
            if process.stat().st_uid != os.geteuid():
                continue
            for file, name in open_files(process):
                if Path(name).name.startswith(PREFIX):
                    lines = read_regular_file(file).decode(errors="replace").splitlines()
                    yield NotesOfLauncher(int(process.name), tuple(lines))

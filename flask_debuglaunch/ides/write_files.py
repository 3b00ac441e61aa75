"""Text files on disk: the one place that writes what was generated for IDEs.

Line ends, byte order mark, mode, owner and symbolic links stay as they are, and whatever goes
wrong, the old file is still there, whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from flask_debuglaunch.configuration.origins import shown
from flask_debuglaunch.errors import LaunchError


class Change(NamedTuple):
    """A file's text before (None: it was not there) and after; they may be the same."""

    path: str  # relative to the project's folder, with slashes
    before: str | None
    after: str


def read(path: Path) -> str | None:
    """The text with its own line ends and byte order mark; None if there is no such file.

    Raises LaunchError if it can't be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LaunchError(f"{shown(path)}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise LaunchError(
            f"{shown(path)}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        ) from None


def apply(change: Change, folder: Path) -> None:
    """Write the file if its text changes, and the folders it needs.

    Raises LaunchError if it can't be written, or is no longer as it was before.
    """
    path = folder / change.path
    if change.after == change.before or change.after == read(path):
        return
    target = Path(os.path.realpath(path))
    with _write_errors_of(path):
        _refuse_read_only(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _written_beside(target, change.after.encode("utf-8")) as temporary:
            _copy_owner_and_mode(target, temporary)
            if read(path) != change.before:  # as late as can be
                raise LaunchError(
                    f"{shown(path)}: was changed by another program in the meantime; what it is"
                    " now stays. Give the command again"
                )
            os.replace(temporary, target)


@contextmanager
def _write_errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = shown(Path(error.filename)) if error.filename else shown(path)
        raise LaunchError(
            f"{shown(path)}: can't be written: {where}: {error.strerror}. Nothing is changed; make"
            " it writable, or print the text with --stdout"
        ) from None
    except UnicodeEncodeError as error:
        found = error.object[error.start : error.end]
        raise LaunchError(
            f"{shown(path)}: can't be written: {found!a} is not a character"
        ) from None


def _refuse_read_only(target: Path) -> None:
    """Replacing a file asks the folder for leave, and not the file."""
    with suppress(FileNotFoundError):
        may_write = target.stat().st_mode & 0o222 and os.access(target, os.W_OK)
        if not may_write:
            raise PermissionError(None, "it is read-only", str(target))


@contextmanager
def _written_beside(target: Path, data: bytes) -> Iterator[Path]:
    """A new file in the same folder, that is on the same file system; removed unless moved."""
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name without the data
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink()


def _copy_owner_and_mode(source: Path, copy: Path) -> None:
    with suppress(FileNotFoundError):
        wanted = source.stat()
        if hasattr(os, "chown"):
            with suppress(PermissionError):  # only root may give files away
                os.chown(copy, wanted.st_uid, wanted.st_gid)
        copy.chmod(stat.S_IMODE(wanted.st_mode))


def diff(change: Change) -> str:
    """What ``git apply`` and ``patch -p1`` take; empty if nothing changes.

    Every character is kept, so that a line may differ in its line end or byte order mark alone.
    """
    from difflib import unified_diff  # slow to import, and seldom needed

    before = "/dev/null" if change.before is None else f"a/{change.path}"
    lines = unified_diff(
        _lines(change.before or ""), _lines(change.after), before, f"b/{change.path}"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    """Not ``splitlines``, for which form feeds and the like end lines too."""
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]

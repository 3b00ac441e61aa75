"""Text files of the user's project: the one place that writes them, and shows what changes in them.

Only regular files inside the project's folder are ever written, all that change or none. Line
ends, byte order mark, mode, owner, extended attributes and hard links stay as they are. Whoever is
killed while writing leaves each file as it was, or as it should be, and nothing besides.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.regular_file import kind_of_file, read_regular_file
from flask_debuglaunch.terminal_messages import shown_path

PutFileInPlace = Callable[[], None]


class FileChange(NamedTuple):
    """A file's text before (None: it was not there) and after; they may be the same."""

    path: str  # relative to the project's folder, with slashes
    before: str | None
    after: str


def read_text(path: Path) -> str | None:
    """The text with its own line ends and byte order mark; None if there is no such file.

    Raises LaunchError if it can't be read, is no regular file of a text's size, or is not UTF-8.
    """
    try:
        return read_regular_file(path).decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LaunchError(f"{shown_path(path)}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise LaunchError(
            f"{shown_path(path)}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        ) from None


def apply_changes(changes: Sequence[FileChange], folder: Path) -> None:
    """Write the files whose texts change, and the folders they need: all of them, or none.

    Raises LaunchError (status 1) if one can't be written, is no regular file inside the folder, or
    is no longer as it was before.
    """
    pending_changes = [
        change
        for change in changes
        if change.after not in (change.before, read_text(folder / change.path))
    ]
    written_changes: list[FileChange] = []
    try:
        with ExitStack() as cleanup:
            new_folders = cleanup.enter_context(_new_folders_removed_on_error())
            prepared_changes = [
                (change, cleanup.enter_context(_new_text_on_disk(change, folder, new_folders)))
                for change in pending_changes
            ]
            for change in pending_changes:
                _refuse_if_changed(change, folder)  # as late as can be
            for change, put_in_place in prepared_changes:
                with _write_errors_of(folder / change.path):
                    put_in_place()
                written_changes.append(change)
            new_folders.clear()
    except BaseException as error:
        still_written = [
            change.path
            for change in reversed(written_changes)
            if not _is_taken_back(change, folder)
        ]
        if not isinstance(error, LaunchError):
            raise
        state_of_files = (
            f"Already written: {', '.join(still_written)}"
            if still_written
            else "Nothing is changed"
        )
        raise LaunchError(f"{error}. {state_of_files}", exit_status=1) from None


@contextmanager
def _new_folders_removed_on_error() -> Iterator[list[Path]]:
    """A list of folders, in the order in which they are made."""
    new_folders: list[Path] = []
    try:
        yield new_folders
    finally:
        for folder in reversed(new_folders):
            with suppress(OSError):  # another program has put something into it
                folder.rmdir()


@contextmanager
def _new_text_on_disk(
    change: FileChange, folder: Path, new_folders: list[Path]
) -> Iterator[PutFileInPlace]:
    """Have the new text on the disk, where there is enough room or none; what is yielded puts it
    in the place of the old one."""
    path = folder / change.path
    with ExitStack() as cleanup:
        with _write_errors_of(path):
            new_bytes = change.after.encode("utf-8")
            status = _status_of_writable(path, folder)
            _make_folders(path.parent, new_folders)
            if status is not None and status.st_nlink > 1:
                put_in_place: PutFileInPlace = partial(_write_over_hard_link, path, new_bytes)
            else:
                put_in_place = cleanup.enter_context(_temporary_file_with(path, new_bytes))
        yield put_in_place


def _status_of_writable(path: Path, folder: Path) -> os.stat_result | None:
    """The file's status, None if it is not there. Raises OSError for what is not written."""
    real_folder = Path(os.path.realpath(path.parent))
    if not real_folder.is_relative_to(os.path.realpath(folder)):
        raise OSError(None, f"it would be {real_folder / path.name}, which is not in this project")
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    file_kind = kind_of_file(status.st_mode)
    if file_kind == "a symbolic link":
        file_kind = f"a symbolic link to {os.readlink(path)}"
    if file_kind is not None:
        raise OSError(None, f"it is {file_kind}; only files are written: put one in its place")
    if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    # Replacing a file asks the folder for leave, and not the file.
    if not (status.st_mode & 0o222 and os.access(path, os.W_OK)):
        raise OSError(None, "it is read-only: make it writable")
    return status


def _make_folders(folder: Path, new_folders: list[Path]) -> None:
    if not folder.is_dir():
        _make_folders(folder.parent, new_folders)
        folder.mkdir()
        new_folders.append(folder)


@contextmanager
def _temporary_file_with(target: Path, new_bytes: bytes) -> Iterator[PutFileInPlace]:
    """The bytes in a file of the same folder, that is on the same file system.

    On Linux it has no name until it is put in place, so that it goes with the process that is
    killed; elsewhere the next attempt takes away what such a process has left.
    """
    temporary = target.with_name(f".{target.name}.flask-debuglaunch.tmp")
    descriptor, nameless = _open_temporary(temporary)
    opened = ExitStack()
    opened.callback(os.close, descriptor)
    try:
        _write_all_bytes(descriptor, new_bytes)
        _copy_attributes(target, descriptor)
        os.fsync(descriptor)  # else a power cut may leave the new name without the data

        def put_in_place() -> None:
            if nameless:
                _link_temporary(descriptor, temporary)
            opened.close()  # Windows gives no new name to a file that is open
            os.replace(temporary, target)

        yield put_in_place
    finally:
        opened.close()
        with suppress(OSError):
            temporary.unlink()


def _open_temporary(temporary: Path) -> tuple[int, bool]:
    """The descriptor of a new file, and whether it has no name yet."""
    if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir():
        with suppress(OSError):  # not every file system has it
            return os.open(temporary.parent, os.O_TMPFILE | os.O_WRONLY, 0o666), True
    with suppress(FileNotFoundError):
        temporary.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.open(temporary, flags, 0o666), False


def _link_temporary(descriptor: int, temporary: Path) -> None:
    with suppress(FileNotFoundError):
        temporary.unlink()  # of a process that was killed right here
    # As open(2) has it; with a folder's descriptor Python calls linkat, which follows this link.
    os.link(f"/proc/self/fd/{descriptor}", temporary, src_dir_fd=descriptor)


def _write_over_hard_link(path: Path, new_bytes: bytes) -> None:
    """Into the file itself: put in its place, a new one would part it from its other names."""
    with open(path, "r+b", buffering=0) as file:
        old_bytes = file.read()
        try:
            _overwrite_file(file.fileno(), new_bytes)
        except OSError:
            _overwrite_file(file.fileno(), old_bytes)  # there has been room for it
            raise


def _overwrite_file(descriptor: int, content: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    _write_all_bytes(descriptor, content)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _write_all_bytes(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _copy_attributes(source: Path, copy_descriptor: int) -> None:
    """Owner, mode and extended attributes (access lists are among them)."""
    with suppress(FileNotFoundError):
        source_status = source.stat()
        if sys.platform == "win32":
            return  # read-only is all there is to a mode, and such a file is not written
        with suppress(PermissionError):  # only root may give files away
            os.fchown(copy_descriptor, source_status.st_uid, source_status.st_gid)
        os.fchmod(copy_descriptor, stat.S_IMODE(source_status.st_mode))
        for name in os.listxattr(source) if sys.platform == "linux" else ():
            with suppress(OSError):  # some are the system's own (security.*)
                os.setxattr(copy_descriptor, name, os.getxattr(source, name))


def _refuse_if_changed(change: FileChange, folder: Path) -> None:
    path = folder / change.path
    if read_text(path) != change.before:
        raise LaunchError(
            f"{shown_path(path)}: was changed by another program in the meantime; what it is now"
            " stays. Give the command again"
        )


def _is_taken_back(change: FileChange, folder: Path) -> bool:
    try:
        if change.before is None:
            (folder / change.path).unlink()
        else:
            apply_changes([FileChange(change.path, change.after, change.before)], folder)
    except (OSError, LaunchError):
        return False
    return True


_FIXES_OF_WRITE_ERRORS = {
    errno.ENOSPC: "the disk is full: free some space on it",
    errno.EDQUOT: "your share of the disk is used up: free some space",
    errno.EFBIG: "this shell lets no file be as large: raise its limit (ulimit -f)",
    errno.EROFS: "the file system is read-only: write into a copy of the project",
    errno.EACCES: "you have no permission: change that of the folder",
    errno.EPERM: "you have no permission: change that of the folder",
}


def why_not_written(error: OSError) -> str:
    """The reason, and what helps where that is known."""
    return _FIXES_OF_WRITE_ERRORS.get(error.errno or 0) or error.strerror or str(error)


@contextmanager
def _write_errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LaunchError(
            f"{shown_path(path)}: can't be written: {why_not_written(error)}, or only print the"
            " text: --stdout (doctor: --dry-run)"
        ) from None
    except UnicodeEncodeError as error:
        lone_surrogates = error.object[error.start : error.end]
        raise LaunchError(
            f"{shown_path(path)}: can't be written: {lone_surrogates!a} is not a character"
        ) from None


# What is said of changes


def changes_as_text(changes: Collection[FileChange], mode: str | None) -> str:
    """The changes as text for the terminal. mode: check or diff, stdout, dry-run; None if the files
    were written."""
    if mode in ("check", "diff"):
        return "".join(map(diff, changes))
    if mode == "stdout":
        return "".join(_whole_file_texts(changes))
    would_be = "would be " if mode == "dry-run" else ""
    return "".join(
        f"{change.path}: {_created_or_changed(change, would_be)}\n" for change in changes
    )


def something_changes(changes: Collection[FileChange]) -> bool:
    return any(change.before != change.after for change in changes)


def _created_or_changed(change: FileChange, would_be: str) -> str:
    if change.before == change.after:
        return "as it should be"
    return f"{would_be}created" if change.before is None else f"{would_be}changed"


def _whole_file_texts(changes: Collection[FileChange]) -> Iterator[str]:
    """With titles, as `head` does, if there are several."""
    for change in changes:
        if len(changes) > 1:
            yield f"==> {change.path} <==\n"
        yield change.after


def diff(change: FileChange) -> str:
    """What ``git apply`` and ``patch -p1`` take; empty if nothing changes.

    Every character is kept, so that a line may differ in its line end or byte order mark alone.
    """
    from difflib import unified_diff  # slow to import, and seldom needed

    old_name = "/dev/null" if change.before is None else f"a/{change.path}"
    lines = unified_diff(
        _lines_with_ends(change.before or ""),
        _lines_with_ends(change.after),
        old_name,
        f"b/{change.path}",
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines_with_ends(text: str) -> list[str]:
    """Not ``splitlines``, for which form feeds and the like end lines too."""
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]

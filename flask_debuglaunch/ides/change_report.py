"""What was generated, as text for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flask_debuglaunch.project_files import Change


def text(changes: Collection[Change], mode: str | None) -> str:
    """mode: check or diff, stdout, dry-run; None if the files were written."""
    if mode in ("check", "diff"):
        return "".join(map(diff, changes))
    if mode == "stdout":
        return "".join(_texts(changes))
    would = "would be " if mode == "dry-run" else ""
    return "".join(f"{one.path}: {_done(one, would)}\n" for one in changes)


def something_changes(changes: Collection[Change]) -> bool:
    return any(change.before != change.after for change in changes)


def _done(change: Change, would: str) -> str:
    if change.before == change.after:
        return "as it should be"
    return f"{would}created" if change.before is None else f"{would}changed"


def _texts(changes: Collection[Change]) -> Iterator[str]:
    """With titles, as `head` does, if there are several."""
    for change in changes:
        if len(changes) > 1:
            yield f"==> {change.path} <==\n"
        yield change.after


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

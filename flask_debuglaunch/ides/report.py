"""What was generated, as text for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flask_debuglaunch.ides.generating import Change


def text(changes: Collection[Change], mode: str | None) -> str:
    """mode: check or diff, stdout, dry-run; None if the files were written."""
    if mode in ("check", "diff"):
        return "".join(map(_diff, changes))
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


def _diff(change: Change) -> str:
    """As `diff -u` shows it; nothing if nothing changes."""
    from difflib import unified_diff

    before = (change.before or "").splitlines(keepends=True)
    after = change.after.splitlines(keepends=True)
    lines = unified_diff(before, after, change.path, change.path)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

"""What was generated, as text for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flask_debuglaunch.ides.write_files import Change, diff


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

"""What is said to the person at the terminal: in colours where it is one, as click and Flask do."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from flask_debuglaunch.redaction import redact


def say(text: str, **style: Any) -> None:
    """One line, marked as Werkzeug marks its own, and at once: another process may be next.

    style: as `click.style` has it.
    """
    _print_to_stderr(f" * {_styled_for_terminal(redact(text), style)}")


def show_error(text: str) -> None:
    """What has ended the program."""
    _print_to_stderr(
        f"{_styled_for_terminal('Error:', {'fg': 'red', 'bold': True})} {redact(text)}"
    )


def show_note(text: str) -> None:
    """What the person has to know, besides what the command prints."""
    _print_to_stderr(f"{_styled_for_terminal('note:', {'fg': 'yellow'})} {redact(text)}")


def shown_path(file: Path) -> str:
    """As a person would type it here: relative where it lies below this folder."""
    try:
        path_from_here = os.path.relpath(file) if file.anchor == Path.cwd().anchor else str(file)
    except FileNotFoundError:  # this folder has been removed
        return str(file)
    return str(file) if path_from_here.startswith(os.pardir) else path_from_here


def _print_to_stderr(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more
        # In one write, also where Python does not buffer (PYTHONUNBUFFERED): a worker's log must
        # not come in between.
        print(f"{line}\n", end="", file=sys.stderr, flush=True)


def _styled_for_terminal(text: str, style: Mapping[str, Any]) -> str:
    if not style or not _shows_colours(sys.stderr):
        return text
    import click

    return click.style(text, **style)


def _shows_colours(stream: TextIO) -> bool:
    """Is it a terminal, and are colours wanted? https://no-color.org, https://force-color.org"""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    # Windows' old consoles would show the codes.
    return stream.isatty() and os.environ.get("TERM") != "dumb" and sys.platform != "win32"

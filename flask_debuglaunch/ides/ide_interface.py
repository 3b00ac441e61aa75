"""What each IDE's module has to offer: it is given the project that is opened, and answers with
edits of text files. It writes none of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from flask_debuglaunch.errors import EditRefused, LaunchError
from flask_debuglaunch.ides.opened_project import Project

LAUNCHER_MODULE = "flask_debuglaunch"
"""What `python -m` starts, and every IDE does."""
NOT_IN_XML = r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
"""What a file's name may have and XML 1.0 can't say, by no escape."""


class FileEdit(NamedTuple):
    """A text file that an IDE needs, and how it is made from the one that is there."""

    path: str
    """Relative to the project's folder, with slashes."""
    edit: Callable[[str | None], str]
    """The wanted text, from the one that is there (None if there is none). Raises EditRefused."""


class ContainerFileEdits(NamedTuple):
    """What puts the launcher into a container, and what there is to say of it."""

    files: Sequence[FileEdit]
    notes: Sequence[str]
    provide_bundle: Callable[[], None] = lambda: None
    """Has on disk what the files name, outside of the project. Raises LaunchError."""


class Ide(Protocol):
    """One IDE. What it answers follows from its arguments alone."""

    @property
    def marker(self) -> str | None:
        """A file or folder that shows that a project is opened in it."""

    @property
    def next_step(self) -> str:
        """What to do in it when the files are there."""

    @property
    def extras(self) -> Mapping[str, str]:
        """What `--with` can ask it for, and what that means."""

    def files(self, project: Project, extras: Collection[str]) -> Iterator[FileEdit]:
        """The files that make its Debug button work. Raises LaunchError for what it can't say."""

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        """What the user has to know or to do."""


def refuse_in_name(name: str | None, pattern: str, ide: str) -> None:
    """Raise LaunchError if the name of a file has what the IDE's files have no quoting for.

    In flags a variable of the IDE's is left alone: there it is meant.
    """
    unquotable = re.search(pattern, name or "")
    if unquotable:
        raise LaunchError(
            f"{name!r}: {ide} would not take {unquotable[0]!r} in this name for what it is, and"
            " knows no way to quote it: rename the file or folder"
        )


def refuse_in_paths(project: Project, pattern: str, ide: str) -> None:
    """The same for each path of the project that the IDE's files name."""
    for path in (project.config, project.app_folder):
        refuse_in_name(path, pattern, ide)


def unless_there(text: str) -> Callable[[str | None], str]:
    """The edit that writes a file which is not there, and never changes one that is."""
    return lambda present_text: text if present_text is None else present_text


def unless_another_wrote_it(text: str, mark: str) -> Callable[[str | None], str]:
    """The edit that writes a file of ours anew, which begins with the mark, and no other one."""

    def edit(present_text: str | None) -> str:
        if present_text is not None and not present_text.startswith(mark):
            command = mark.partition("flask_debuglaunch ")[2]
            raise EditRefused(1, 1, f"it is not of `{command}`, which begins with {mark!r}")
        return text

    return edit

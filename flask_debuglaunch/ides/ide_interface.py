"""What an IDE's backend is given, and what it answers with: text files, none of them written.

It is given the project, and how to meet the app in a container.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from flask_debuglaunch.configuration.settings import Settings
from flask_debuglaunch.errors import LaunchError

MODULE = "flask_debuglaunch"
"""What `python -m` starts, and every IDE does."""
NOT_IN_XML = r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
"""What a file's name may have and XML 1.0 can't say, by no escape."""
COMPOSE_DEBUG_FILE: Final = "compose.debug.yaml"
COMPOSE_EXTENSION: Final = "x-debuglaunch"
"""The part of the file that Compose passes over and IDEs' files are made from."""


@dataclass(frozen=True)
class Project:
    """The folder that is opened in the IDE, and how its app is started from there."""

    folder: Path
    config: str | None
    """The YAML's path, relative to the app's folder, with slashes; None if there is none."""
    flags: tuple[str, ...]
    """Those that were given: what the YAML says is left to it."""
    settings: Settings
    read: Callable[[str], str | None]
    """The text of a file of the folder, None if it is not there. Raises LaunchError."""
    app_folder: str = "."
    """Where the app is started, relative to the folder, with slashes."""

    def in_app_folder(self, path: str) -> str:
        """The path of a file of the app's folder, relative to the folder that is opened."""
        return posixpath.normpath(posixpath.join(self.app_folder, path))

    def below(self, variable: str) -> str:
        """The app's folder, where an IDE has a variable for the folder that is opened."""
        return variable if self.app_folder == "." else f"{variable}/{self.app_folder}"

    def named(self, name: str) -> str:
        """The name of an entry, told from those of the other apps of the same folder."""
        app = self.app_folder.replace("/", "-")
        return name if app == "." else f"{name} ({app})"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def arguments(self) -> list[str]:
        """Of `python -m flask_debuglaunch`."""
        return [*(["--config", self.config] if self.config else []), *self.flags]

    @property
    def debug_address(self) -> tuple[str, int]:
        """Where an IDE on this machine finds the debug port."""
        host = self.settings.debug_host.value
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # "every address" is none to connect to
        return here.get(host, host), self.settings.debug_port.value

    @property
    def local_and_remote_root(self) -> tuple[str, str]:
        """A folder of the project, relative to it, and where that is in a container."""
        for local, remote in self.settings.path_mappings.value:
            path = Path(local.replace("${workspaceFolder}", str(self.folder)))
            if path.is_relative_to(self.folder):
                return path.relative_to(self.folder).as_posix(), remote
        return self.app_folder, "/app"


class File(NamedTuple):
    """A text file that an IDE needs."""

    path: str
    """Relative to the project's folder, with slashes."""
    edit: Callable[[str | None], str]
    """The wanted text, from the one that is there (None if there is none). Raises Refused."""


class ContainerFiles(NamedTuple):
    """What puts the launcher into a container, and what there is to say of it."""

    files: Sequence[File]
    notes: Sequence[str]
    provide: Callable[[], None] = lambda: None
    """Has on disk what the files name, outside of the project. Raises LaunchError."""


class Refused(Exception):
    """The text that is there can't be edited: what is wrong where (line and column from 1)."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


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

    def files(self, project: Project, extras: Collection[str]) -> Iterator[File]:
        """The files that make its Debug button work. Raises LaunchError for what it can't say."""

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        """What the user has to know or to do."""


def refuse_in_name(name: str | None, pattern: str, ide: str) -> None:
    """Raise LaunchError if the name of a file has what the IDE's files have no quoting for.

    In flags a variable of the IDE's is left alone: there it is meant.
    """
    found = re.search(pattern, name or "")
    if found:
        raise LaunchError(
            f"{name!r}: {ide} would not take {found[0]!r} in this name for what it is, and knows no"
            " way to quote it: rename the file or folder"
        )


def unless_there(text: str) -> Callable[[str | None], str]:
    """The edit that writes a file which is not there, and never changes one that is."""
    return lambda present: text if present is None else present


# The app in a container


@dataclass(frozen=True)
class AttachTarget:
    """How an IDE meets it.

    address: of the debug port. mappings: folders of the project, relative to it ("." is all of
    it), and where the container has them. up, stop: the commands that start the container and
    stop it; empty where there is no compose.debug.yaml.
    """

    address: tuple[str, int]
    mappings: Sequence[tuple[str, str]]
    up: Sequence[str] = ()
    stop: Sequence[str] = ()


def attach_target(project: Project) -> AttachTarget:
    """What compose.debug.yaml says, else the settings. Raises LaunchError if that file is not as
    `ide compose` writes it."""
    text = project.read(COMPOSE_DEBUG_FILE)
    if text is None:
        return AttachTarget(project.debug_address, [project.local_and_remote_root])
    import yaml

    wrong = LaunchError(
        f"{COMPOSE_DEBUG_FILE}: is not as it was written. Write it anew with `ide compose`"
    )
    try:
        said: Any = yaml.load(text, Loader=yaml.BaseLoader)[COMPOSE_EXTENSION]
        mappings = [(str(local), str(remote)) for local, remote in said["path_mappings"].items()]
        address = ("127.0.0.1", int(said["debug_port"]))
        return AttachTarget(address, mappings, list(said["up"]), list(said["stop"]))
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError):
        raise wrong from None


def compose_extension(target: AttachTarget) -> Mapping[str, Any]:
    """What `attach_target` reads."""
    return {
        "debug_port": target.address[1],
        "path_mappings": dict(target.mappings),
        "up": list(target.up),
        "stop": list(target.stop),
    }

"""The project as an IDE opens it: its workspace folder, and how the app is started from there."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.atomic_file_changes import read_text
from flask_debuglaunch.configuration.command_line_flags import FlagValue
from flask_debuglaunch.configuration.environment_and_env_files import CONFIG_ENV
from flask_debuglaunch.configuration.load_settings import load_settings
from flask_debuglaunch.configuration.settings import Settings
from flask_debuglaunch.ides.launch_arguments import shareable_flags


@dataclass(frozen=True)
class Project:
    """The folder that is opened in the IDE, and how its app is started from there."""

    folder: Path
    config: str | None
    """The YAML's path, relative to the app's folder, with slashes; None if there is none."""
    flags: tuple[str, ...]
    """Those that were given: what the YAML says is left to it."""
    settings: Settings
    read_text: Callable[[str], str | None]
    """The text of a file of the folder, None if it is not there. Raises LaunchError."""
    app_folder: str = "."
    """Where the app is started, relative to the folder, with slashes."""

    def in_app_folder(self, path: str) -> str:
        """The path of a file of the app's folder, relative to the folder that is opened."""
        return posixpath.normpath(posixpath.join(self.app_folder, path))

    def app_folder_below(self, workspace_variable: str) -> str:
        """The app's folder, where an IDE has a variable for the folder that is opened."""
        if self.app_folder == ".":
            return workspace_variable
        return f"{workspace_variable}/{self.app_folder}"

    def entry_name(self, name: str) -> str:
        """The name of an entry, told from those of the other apps of the same folder."""
        app_folder = self.app_folder.replace("/", "-")
        return name if app_folder == "." else f"{name} ({app_folder})"

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
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # "every address" is none to connect to
        return loopback.get(host, host), self.settings.debug_port.value

    @property
    def local_and_remote_root(self) -> tuple[str, str]:
        """A folder of the project, relative to it, and where that is in a container."""
        for local, remote in self.settings.path_mappings.value:
            path = Path(local.replace("${workspaceFolder}", str(self.folder)))
            if path.is_relative_to(self.folder):
                return path.relative_to(self.folder).as_posix(), remote
        return self.app_folder, "/app"


def opened_project(
    app_folder: Path, config: Path | None, given_flags: Mapping[str, FlagValue], workspace: Path
) -> Project:
    """workspace: the folder that the IDE opens, the app's or one above it. config and given_flags:
    `--config` and the flags that the files shall name. Raises LaunchError."""
    # What this shell's environment says is left out: the files are for every start, and shared.
    environ = {name: text for name, text in os.environ.items() if name == CONFIG_ENV}
    settings = load_settings(config, given_flags, environ, app_folder)
    config_path = _relative_path(settings.config_file, app_folder) if settings.config_file else None
    flags = shareable_flags(given_flags, app_folder)
    return Project(
        workspace,
        config_path,
        flags,
        settings,
        lambda path: read_text(workspace / path),
        app_folder.relative_to(workspace).as_posix(),
    )


def _relative_path(path: Path, app_folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, app_folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return path.as_posix()


def workspace_folder(app_folder: Path, ide_markers: Collection[str]) -> Path:
    """The app's folder, or the nearest above it that holds an IDE's files (ide_markers) where the
    app's has none: in a repository of several projects. Only folders of the same repository
    count, and never the home folder, where some IDEs have files of their own."""
    for folder in (app_folder, *_folders_of_repository_above(app_folder)):
        if any((folder / marker).exists() for marker in ide_markers):
            return folder
    return app_folder


def repository_above(app_folder: Path) -> Path | None:
    """The root of the repository, where that is above the app's folder."""
    folders = _folders_of_repository_above(app_folder)
    return next((folder for folder in folders if (folder / ".git").exists()), None)


def _folders_of_repository_above(app_folder: Path) -> Iterator[Path]:
    if (app_folder / ".git").exists():
        return
    folders: list[Path] = []
    for parent in app_folder.parents:
        if parent == Path(os.path.expanduser("~")):
            return
        folders.append(parent)
        if (parent / ".git").exists():
            yield from folders
            return

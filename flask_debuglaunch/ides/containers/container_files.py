"""What `ide compose` and `ide kubernetes` write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from flask_debuglaunch.ides.ide_interface import File, Project


class ContainerFiles(NamedTuple):
    """What `ide compose` and `ide kubernetes` write, and what there is to say of it."""

    files: Sequence[File]
    notes: Sequence[str]
    provide: Callable[[], None]
    """Has on disk what the files name, outside of the project. Raises LaunchError."""


Generator: TypeAlias = Callable[[Project, "str | None"], ContainerFiles]


def _compose(project: Project, service: str | None) -> ContainerFiles:
    from flask_debuglaunch.ides.containers import compose, launcher_cache_folder

    file, notes = compose.compose_file(project, service)
    return ContainerFiles([file], notes, launcher_cache_folder.provide)


def _kubernetes(project: Project, manifest: str | None) -> ContainerFiles:
    from flask_debuglaunch.ides.containers import kubernetes

    return kubernetes.kubernetes_files(project, manifest)


GENERATORS: Mapping[str, Generator] = {"compose": _compose, "kubernetes": _kubernetes}
"""By the word after `ide`; the word after that is theirs."""

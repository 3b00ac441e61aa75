"""Every IDE by its name, and by the names of those that read the same files; and what else `ide`
writes for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from flask_debuglaunch.ides.eclipse import Eclipse
from flask_debuglaunch.ides.ide_interface import ContainerFiles, Ide, Project
from flask_debuglaunch.ides.neovim import Neovim
from flask_debuglaunch.ides.pycharm import PyCharm
from flask_debuglaunch.ides.vscode import VSCode
from flask_debuglaunch.ides.zed import Zed

IDES: Mapping[str, Ide] = {
    "vscode": VSCode(),
    "eclipse": Eclipse(),
    "pycharm": PyCharm(),
    "neovim": Neovim(),
    "zed": Zed(),
}
# Those that read the same files; together, whatever DEBUG_WITH takes for an IDE.
IDE_OF: Mapping[str, str] = {
    **{name: name for name in IDES},
    **dict.fromkeys(("cursor", "windsurf", "vscodium"), "vscode"),
    **dict.fromkeys(("aptana", "pydev", "liclipse"), "eclipse"),
    "intellij": "pycharm",
}


def _compose(project: Project, service: str | None) -> ContainerFiles:
    from flask_debuglaunch.ides.containers.compose import compose_files

    return compose_files(project, service)


def _kubernetes(project: Project, manifest: str | None) -> ContainerFiles:
    from flask_debuglaunch.ides.containers.kubernetes import kubernetes_files

    return kubernetes_files(project, manifest)


ForContainer: TypeAlias = Callable[[Project, "str | None"], ContainerFiles]
FOR_CONTAINERS: Mapping[str, ForContainer] = {"compose": _compose, "kubernetes": _kubernetes}
"""By the word after `ide`; the word after that is theirs."""

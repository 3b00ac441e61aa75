"""How an IDE attaches to the app in a container: the debug port, and where each folder is in there.

`ide compose` writes it into compose.debug.yaml, and `ide vscode --with docker` reads it from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides.opened_project import Project

COMPOSE_DEBUG_FILE: Final = "compose.debug.yaml"
COMPOSE_EXTENSION: Final = "x-debuglaunch"
"""The part of the file that Compose passes over and IDEs' files are made from."""


@dataclass(frozen=True)
class AttachTarget:
    """path_mappings: folders of the project, relative to it ("." is all of it), and where the
    container has them. The commands start the container and stop it; they are empty where there is
    no compose.debug.yaml.
    """

    debug_address: tuple[str, int]
    path_mappings: Sequence[tuple[str, str]]
    up_command: Sequence[str] = ()
    stop_command: Sequence[str] = ()


def attach_target(project: Project) -> AttachTarget:
    """What compose.debug.yaml says, else the settings. Raises LaunchError if that file is not as
    `ide compose` writes it."""
    compose_debug_text = project.read_text(COMPOSE_DEBUG_FILE)
    if compose_debug_text is None:
        return AttachTarget(project.debug_address, [project.local_and_remote_root])
    import yaml

    try:
        extension: Any = yaml.load(compose_debug_text, Loader=yaml.BaseLoader)[COMPOSE_EXTENSION]
        path_mappings = extension["path_mappings"].items()
        return AttachTarget(
            ("127.0.0.1", int(extension["debug_port"])),
            [(str(local_root), str(remote_root)) for local_root, remote_root in path_mappings],
            list(extension["up"]),
            list(extension["stop"]),
        )
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError):
        raise LaunchError(
            f"{COMPOSE_DEBUG_FILE}: is not as it was written. Write it anew with `ide compose`"
        ) from None


def compose_extension(target: AttachTarget) -> Mapping[str, Any]:
    """What `attach_target` reads."""
    return {
        "debug_port": target.debug_address[1],
        "path_mappings": dict(target.path_mappings),
        "up": list(target.up_command),
        "stop": list(target.stop_command),
    }

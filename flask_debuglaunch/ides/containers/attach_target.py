"""How an IDE meets the app in a container: what compose.debug.yaml says, else the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides.ide_interface import Project

FILE: Final = "compose.debug.yaml"
EXTENSION: Final = "x-debuglaunch"
"""The part of the file that Compose passes over and IDEs' files are made from."""


@dataclass(frozen=True)
class AttachTarget:
    """address: of the debug port. mappings: folders of the project, relative to it ("." is all of
    it), and where the container has them. up, stop: the commands that start the container and
    stop it; empty where there is no compose.debug.yaml."""

    address: tuple[str, int]
    mappings: Sequence[tuple[str, str]]
    up: Sequence[str] = ()
    stop: Sequence[str] = ()


def attach_target(project: Project) -> AttachTarget:
    """Raises LaunchError if compose.debug.yaml is not as `ide compose` writes it."""
    text = project.read(FILE)
    if text is None:
        return AttachTarget(project.debug_address, [project.local_and_remote_root])
    import yaml

    wrong = LaunchError(f"{FILE}: is not as it was written. Write it anew with `ide compose`")
    try:
        said: Any = yaml.load(text, Loader=yaml.BaseLoader)[EXTENSION]
        mappings = [(str(local), str(remote)) for local, remote in said["path_mappings"].items()]
        address = ("127.0.0.1", int(said["debug_port"]))
        return AttachTarget(address, mappings, list(said["up"]), list(said["stop"]))
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError):
        raise wrong from None


def extension(target: AttachTarget) -> Mapping[str, Any]:
    """What `attach_target` reads."""
    return {
        "debug_port": target.address[1],
        "path_mappings": dict(target.mappings),
        "up": list(target.up),
        "stop": list(target.stop),
    }

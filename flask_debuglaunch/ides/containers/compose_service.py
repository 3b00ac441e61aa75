"""One service of a Compose file, in one spelling, with what its image's Dockerfile says.

https://github.com/compose-spec/compose-spec/blob/main/05-services.md
"""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides.containers.compose_project import ComposeProject, as_mapping
from flask_debuglaunch.ides.containers.dockerfile import Copied, Image, read_image


@dataclass(frozen=True)
class PublishedPort:
    """A port of the container, and where the host has it; written is the whole entry."""

    target: int
    published: int | None
    written: Any


@dataclass(frozen=True)
class Service:
    """What of a service counts for debugging it.

    mounted: folders of the host, relative to the project (with slashes) or absolute, and where the
    container has them. built: the same of what its image has copied.
    """

    name: str
    where: str
    """Its file and name, for messages."""
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    workdir: str
    environment: Mapping[str, str]
    ports: tuple[PublishedPort, ...]
    mounted: tuple[Copied, ...]
    built: tuple[Copied, ...]
    image: Image
    written: Mapping[str, Any]
    """As the Compose file has it."""
    taken: frozenset[int]
    """The host's ports that other services publish."""

    @property
    def is_on_hosts_network(self) -> bool:
        return bool(self.written.get("network_mode") == "host")


def service_of(compose: ComposeProject, name: str, folder: Path) -> Service:
    """The service of that name. Raises LaunchError if its Dockerfile can't be read or followed."""
    written = compose.services[name]
    where = f"{compose.files[0]}: service {name}"
    image, context = _image(written, where, folder)
    command, entrypoint = _words(written.get("command")), _words(written.get("entrypoint"))
    if entrypoint is not None:  # then the image's CMD does not count
        command = command or ()
    return Service(
        name,
        where,
        image.entrypoint if entrypoint is None else entrypoint,
        image.command if command is None else command,
        str(written.get("working_dir") or image.workdir),
        {**image.environment, **_environment(written, folder)},
        tuple(_ports(written)),
        tuple(_mounted(written, folder)),
        tuple(replace(one, source=_relative(context / one.source, folder)) for one in image.copied),
        image,
        written,
        frozenset(_published_by_others(compose, name)),
    )


def _published_by_others(compose: ComposeProject, name: str) -> Iterator[int]:
    for other, written in compose.services.items():
        for port in _ports(written) if other != name else ():
            if port.published:
                yield port.published


def _image(written: Mapping[str, Any], where: str, folder: Path) -> tuple[Image, Path]:
    """The image, and the folder that it is built from."""
    build = written.get("build")
    if not build:
        return Image(), folder
    build = build if isinstance(build, Mapping) else {"context": build}
    named = str(build.get("context") or ".")
    if "://" in named or named.startswith("git@"):
        raise LaunchError(f"{where}: is built from {named}, which is not on this machine")
    context = folder / named
    file = _dockerfile(context, build.get("dockerfile"))
    text = build.get("dockerfile_inline")
    if text is None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LaunchError(
                f"{where}: its {_relative(file, folder)} can't be read: {error}"
            ) from None
    arguments = _mapping(build.get("args"))
    target = build.get("target")
    name = _relative(file, folder)
    return read_image(text, name, context, target=target, arguments=arguments), context


def _dockerfile(context: Path, named: Any) -> Path:
    if named:
        return context / str(named)
    containerfile = context / "Containerfile"  # podman's name for it
    has_other = (context / "Dockerfile").exists() or not containerfile.exists()
    return context / "Dockerfile" if has_other else containerfile


def _words(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    # No shell splits it, but Compose; `config` may print a $ as Compose wants it written.
    words = shlex.split(value) if isinstance(value, str) else map(str, value)
    return tuple(word.replace("$$", "$") for word in words)


def _environment(written: Mapping[str, Any], folder: Path) -> Mapping[str, str]:
    from dotenv import dotenv_values

    found: dict[str, str] = {}
    files = written.get("env_file") or ()
    for one in [files] if isinstance(files, str | Mapping) else files:
        path = str(one["path"]) if isinstance(one, Mapping) else str(one)
        found |= {key: text for key, text in dotenv_values(folder / path).items() if text}
    return found | _mapping(written.get("environment"))


def _mapping(value: Any) -> dict[str, str]:
    return {
        name: str(os.environ.get(name, "") if text is None else text)
        for name, text in as_mapping(value).items()
    }


def _ports(written: Mapping[str, Any]) -> Iterator[PublishedPort]:
    for one in written.get("ports") or ():
        if isinstance(one, Mapping):
            target, published = str(one.get("target")), str(one.get("published") or "")
        else:
            *hosts, target = str(one).partition("/")[0].split(":")
            published = hosts[-1] if hosts else ""
        if target.isdigit():
            yield PublishedPort(int(target), int(published) if published.isdigit() else None, one)


def _mounted(written: Mapping[str, Any], folder: Path) -> Iterator[Copied]:
    for one in written.get("volumes") or ():
        if isinstance(one, Mapping):
            source, target = str(one.get("source") or ""), str(one.get("target"))
            is_folder = one.get("type") == "bind"
        else:
            source, _, target = str(one).partition(":")
            target = target.partition(":")[0]
            is_folder = bool(target) and source.startswith((".", "/", "~"))
        if is_folder:
            path = folder / os.path.expanduser(source)
            yield Copied(_relative(path, folder), posixpath.normpath(target))


def _relative(path: Path, folder: Path) -> str:
    """Below the folder relative to it, with slashes; elsewhere absolute."""
    path = Path(os.path.normpath(path))
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()

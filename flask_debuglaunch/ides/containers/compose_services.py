"""The project's services, by its Compose file.

The engine itself reads the file: it merges, extends and interpolates. Each service is then put in
one spelling, with what its image's Dockerfile says.
https://github.com/compose-spec/compose-spec/blob/main/05-services.md
"""

from __future__ import annotations

import os
import posixpath
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from flask_debuglaunch.errors import LaunchError, not_valid_yaml
from flask_debuglaunch.ides.containers.dockerfile import CopiedPath, Image, read_image

# In Compose's order; the first that is there counts, with its override.
COMPOSE_FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
COMPOSE_ENGINES = (("docker", "compose"), ("podman-compose",))
REPLACED_LISTS = ("command", "entrypoint", "test")
"""Compose replaces them by those of a later file, and does not add to them."""
ENGINE_TIMEOUT = 60.0

ServiceDefinition: TypeAlias = Mapping[str, Any]
"""A service as the Compose file has it."""


@dataclass(frozen=True)
class ComposeProject:
    """engine: the words of its command. files: relative to the folder, with slashes.
    extended_at_start: what services get only when they are started, by `extends` under
    podman-compose: of it nothing can be replaced."""

    engine: tuple[str, ...]
    files: tuple[str, ...]
    services: Mapping[str, ServiceDefinition]
    extended_at_start: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def engine_command(self, *words: str, more_files: Iterable[str] = ()) -> list[str]:
        """Of the engine, for the project's own files and more after them."""
        file_options = [word for file in (*self.files, *more_files) for word in ("-f", file)]
        return [*self.engine, *file_options, *words]


def read_compose_project(folder: Path) -> ComposeProject:
    """Ask the engine for the folder's services. Raises LaunchError if there is no engine, no file,
    or one that the engine does not take."""
    compose_files, engine = _compose_files(folder), _installed_engine()
    shown_services = _services_by_engine(engine, compose_files, folder)
    services = {
        name: _with_extended_service(definition, shown_services, engine, folder)
        for name, definition in shown_services.items()
    }
    extended_at_start = {
        name: frozenset(definition.keys() - shown_services[name].keys())
        for name, definition in services.items()
    }
    return ComposeProject(engine, compose_files, services, extended_at_start)


def _services_by_engine(
    engine: tuple[str, ...], compose_files: tuple[str, ...], folder: Path
) -> dict[str, ServiceDefinition]:
    """As the engine's `config` shows them."""
    profiles = sorted({name for file in compose_files for name in _profiles(folder / file)})
    options = [word for profile in profiles for word in ("--profile", profile)]
    argv = ComposeProject(engine, compose_files, {}).engine_command(*options, "config")
    config = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, timeout=ENGINE_TIMEOUT
    )
    if config.returncode:
        reason = (config.stderr.strip() or "nothing").splitlines()[-1]
        raise LaunchError(f"{compose_files[0]}: `{' '.join(engine)} config` refuses it: {reason}")
    compose_yaml = yaml.load(config.stdout, Loader=_ComposeTagsIgnored)
    return (compose_yaml or {}).get("services") or {}


def _with_extended_service(
    definition: ServiceDefinition,
    services: Mapping[str, ServiceDefinition],
    engine: tuple[str, ...],
    folder: Path,
) -> ServiceDefinition:
    """The service with what it extends, which podman-compose resolves only when it starts it."""
    extends = definition.get("extends")
    if not extends:
        return definition
    extended = extends if isinstance(extends, Mapping) else {"service": extends}
    if extended.get("file"):
        services = _services_by_engine(engine, (str(extended["file"]),), folder)
    base = services.get(str(extended.get("service")))
    if base is None:
        raise LaunchError(f"a service extends {extended.get('service')}, which is not there")
    overriding = {key: value for key, value in definition.items() if key != "extends"}
    return _merged_service(_with_extended_service(base, services, engine, folder), overriding)


def _merged_service(base: ServiceDefinition, overriding: ServiceDefinition) -> dict[str, Any]:
    """By Compose's rules: https://docs.docker.com/reference/compose-file/merge/."""
    merged = dict(base)
    for key, value in overriding.items():
        base_value = base.get(key)
        if key == "environment":
            merged[key] = {**_environment_mapping(base_value), **_environment_mapping(value)}
        elif isinstance(base_value, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged_service(base_value, value)
        elif isinstance(base_value, list) and isinstance(value, list) and key not in REPLACED_LISTS:
            merged[key] = [*base_value, *value]
        else:
            merged[key] = value
    return merged


def _environment_mapping(environment: Any) -> dict[str, Any]:
    """A mapping, or a list of NAME=TEXT; a name alone stands for the shell's variable."""
    if isinstance(environment, Mapping):
        return dict(environment)
    assignments = (str(assignment).partition("=") for assignment in environment or ())
    return {name: text if equals else None for name, equals, text in assignments}


def _compose_files(folder: Path) -> tuple[str, ...]:
    """Those that `docker compose` takes in the folder. Raises LaunchError if there is none."""
    compose_file_variable = os.environ.get("COMPOSE_FILE") or _compose_file_of_env_file(folder)
    if compose_file_variable:
        separator = os.environ.get("COMPOSE_PATH_SEPARATOR", os.pathsep)
        return tuple(name for name in compose_file_variable.split(separator) if name)
    compose_file = next((name for name in COMPOSE_FILE_NAMES if (folder / name).is_file()), None)
    if compose_file is None:
        raise LaunchError(
            f"{folder}: there is no {', '.join(COMPOSE_FILE_NAMES)}. Give the command beside it"
        )
    stem = compose_file.partition(".")[0]
    override_names = (f"{stem}.override.{suffix}" for suffix in ("yaml", "yml"))
    override = next((name for name in override_names if (folder / name).is_file()), None)
    return (compose_file, override) if override else (compose_file,)


def _compose_file_of_env_file(folder: Path) -> str | None:
    from dotenv import dotenv_values

    return dotenv_values(folder / ".env").get("COMPOSE_FILE")


def _profiles(compose_file: Path) -> Iterator[str]:
    """Of all services: without its profile a service is not there. Raises LaunchError if the file
    does not parse."""
    try:
        text = compose_file.read_text(encoding="utf-8")
        compose_yaml = yaml.load(text, Loader=_ComposeTagsIgnored)
    except OSError as error:
        raise LaunchError(f"{compose_file.name}: can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise not_valid_yaml(compose_file.name, error) from None
    services = compose_yaml.get("services") if isinstance(compose_yaml, dict) else None
    if not isinstance(services, dict):
        raise LaunchError(f"{compose_file.name}: has no `services`, as a Compose file does")
    for definition in services.values():
        profiles = definition.get("profiles") if isinstance(definition, dict) else None
        yield from map(str, profiles or ())


def _installed_engine() -> tuple[str, ...]:
    """The first of COMPOSE_ENGINES that is there. Raises LaunchError if none is."""
    for engine in COMPOSE_ENGINES:
        if shutil.which(engine[0]) and _has_compose_command(engine):
            return engine
    engine_names = " or ".join(" ".join(engine) for engine in COMPOSE_ENGINES)
    raise LaunchError(
        f"{engine_names} is needed to read the Compose file, and not on PATH: install one"
    )


def _has_compose_command(engine: tuple[str, ...]) -> bool:
    """Docker's command line may be there without its plugin."""
    if len(engine) == 1:
        return True
    argv = [*engine, "version"]
    return subprocess.run(argv, capture_output=True, timeout=ENGINE_TIMEOUT).returncode == 0


class _ComposeTagsIgnored(yaml.SafeLoader):
    """Compose's own tags (!override, !reset) stand for what follows them."""


def _without_compose_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:  # noqa: ARG001
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


_ComposeTagsIgnored.add_multi_constructor("!", _without_compose_tag)


# One service


@dataclass(frozen=True)
class PublishedPort:
    """A port of the container, and where the host has it; definition is the whole entry."""

    target: int
    published: int | None
    definition: Any


@dataclass(frozen=True)
class Service:
    """What of a service counts for debugging it.

    mounted_folders: folders of the host, relative to the project (with slashes) or absolute, and
    where the container has them. copied_into_image: the same of what its image has copied.
    """

    name: str
    label: str
    """Its file and name, for messages."""
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    workdir: str
    environment: Mapping[str, str]
    ports: tuple[PublishedPort, ...]
    mounted_folders: tuple[CopiedPath, ...]
    copied_into_image: tuple[CopiedPath, ...]
    image: Image
    definition: ServiceDefinition
    ports_of_other_services: frozenset[int]
    """The host's ports that they publish."""

    @property
    def uses_host_network(self) -> bool:
        return bool(self.definition.get("network_mode") == "host")


def service_of(compose: ComposeProject, name: str, folder: Path) -> Service:
    """The service of that name. Raises LaunchError if its Dockerfile can't be read or followed."""
    definition = compose.services[name]
    label = f"{compose.files[0]}: service {name}"
    image, build_context = _built_image(definition, label, folder)
    command = _command_words(definition.get("command"))
    entrypoint = _command_words(definition.get("entrypoint"))
    if entrypoint is not None:  # then the image's CMD does not count
        command = command or ()
    return Service(
        name,
        label,
        image.entrypoint if entrypoint is None else entrypoint,
        image.command if command is None else command,
        str(definition.get("working_dir") or image.workdir),
        {**image.environment, **_service_environment(definition, folder)},
        tuple(_published_ports(definition)),
        tuple(_mounted_folders(definition, folder)),
        tuple(
            replace(copied, source=_path_in_project(build_context / copied.source, folder))
            for copied in image.copied
        ),
        image,
        definition,
        frozenset(_ports_of_other_services(compose, name)),
    )


def _ports_of_other_services(compose: ComposeProject, name: str) -> Iterator[int]:
    for other_name, definition in compose.services.items():
        for port in _published_ports(definition) if other_name != name else ():
            if port.published:
                yield port.published


def _built_image(definition: ServiceDefinition, label: str, folder: Path) -> tuple[Image, Path]:
    """The image, and the folder that it is built from."""
    build = definition.get("build")
    if not build:
        return Image(), folder
    build = build if isinstance(build, Mapping) else {"context": build}
    context_name = str(build.get("context") or ".")
    if "://" in context_name or context_name.startswith("git@"):
        raise LaunchError(f"{label}: is built from {context_name}, which is not on this machine")
    build_context = folder / context_name
    dockerfile = _dockerfile(build_context, build.get("dockerfile"))
    dockerfile_name = _path_in_project(dockerfile, folder)
    dockerfile_text = build.get("dockerfile_inline")
    if dockerfile_text is None:
        try:
            dockerfile_text = dockerfile.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LaunchError(f"{label}: its {dockerfile_name} can't be read: {error}") from None
    image = read_image(
        dockerfile_text,
        dockerfile_name,
        build_context,
        target=build.get("target"),
        arguments=_variables(build.get("args")),
    )
    return image, build_context


def _dockerfile(build_context: Path, name: Any) -> Path:
    if name:
        return build_context / str(name)
    dockerfile = build_context / "Dockerfile"
    containerfile = build_context / "Containerfile"  # podman's name for it
    return containerfile if containerfile.exists() and not dockerfile.exists() else dockerfile


def _command_words(command: Any) -> tuple[str, ...] | None:
    if command is None:
        return None
    # No shell splits it, but Compose; `config` may print a $ as Compose wants it written.
    words = shlex.split(command) if isinstance(command, str) else map(str, command)
    return tuple(word.replace("$$", "$") for word in words)


def _service_environment(definition: ServiceDefinition, folder: Path) -> Mapping[str, str]:
    from dotenv import dotenv_values

    environment: dict[str, str] = {}
    env_files = definition.get("env_file") or ()
    for env_file in [env_files] if isinstance(env_files, str | Mapping) else env_files:
        path = str(env_file["path"]) if isinstance(env_file, Mapping) else str(env_file)
        environment |= {name: text for name, text in dotenv_values(folder / path).items() if text}
    return environment | _variables(definition.get("environment"))


def _variables(environment: Any) -> dict[str, str]:
    return {
        name: str(os.environ.get(name, "") if text is None else text)
        for name, text in _environment_mapping(environment).items()
    }


def _published_ports(definition: ServiceDefinition) -> Iterator[PublishedPort]:
    for port in definition.get("ports") or ():
        if isinstance(port, Mapping):
            target, published = str(port.get("target")), str(port.get("published") or "")
        else:
            *host_parts, target = str(port).partition("/")[0].split(":")
            published = host_parts[-1] if host_parts else ""
        if target.isdigit():
            yield PublishedPort(int(target), int(published) if published.isdigit() else None, port)


def _mounted_folders(definition: ServiceDefinition, folder: Path) -> Iterator[CopiedPath]:
    for volume in definition.get("volumes") or ():
        if isinstance(volume, Mapping):
            source, target = str(volume.get("source") or ""), str(volume.get("target"))
            is_bind_mount = volume.get("type") == "bind"
        else:
            source, _, target = str(volume).partition(":")
            target = target.partition(":")[0]
            is_bind_mount = bool(target) and source.startswith((".", "/", "~"))
        if is_bind_mount:
            path = folder / os.path.expanduser(source)
            yield CopiedPath(_path_in_project(path, folder), posixpath.normpath(target))


def _path_in_project(path: Path, folder: Path) -> str:
    """Below the folder relative to it, with slashes; elsewhere absolute."""
    path = Path(os.path.normpath(path))
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()

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
from typing import Any

import yaml

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides.containers.dockerfile import Copied, Image, read_image

# In Compose's order; the first that is there counts, with its override.
FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
ENGINES = (("docker", "compose"), ("podman-compose",))
COMMANDS = ("command", "entrypoint", "test")
"""Lists that are replaced, and not added to."""
SECONDS = 60.0


@dataclass(frozen=True)
class ComposeProject:
    """engine: the words of its command. files: relative to the folder, with slashes. late: what
    services get only when they are started, by `extends` under podman-compose: of it nothing can
    be replaced."""

    engine: tuple[str, ...]
    files: tuple[str, ...]
    services: Mapping[str, Mapping[str, Any]]
    late: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def command(self, *words: str, files: Iterable[str] = ()) -> list[str]:
        """Of the engine, for these files after the project's own."""
        named = [word for file in (*self.files, *files) for word in ("-f", file)]
        return [*self.engine, *named, *words]


def read_compose_project(folder: Path) -> ComposeProject:
    """Ask the engine for the folder's services. Raises LaunchError if there is no engine, no file,
    or one that the engine does not take."""
    files, engine = _compose_files(folder), _installed_engine()
    shown = _services(engine, files, folder)
    services = {name: _extended(one, shown, engine, folder) for name, one in shown.items()}
    late = {name: frozenset(one.keys() - shown[name].keys()) for name, one in services.items()}
    return ComposeProject(engine, files, services, late)


def _services(
    engine: tuple[str, ...], files: tuple[str, ...], folder: Path
) -> dict[str, Mapping[str, Any]]:
    """As the engine's `config` shows them."""
    profiles = sorted({one for file in files for one in _profiles(folder / file)})
    options = [word for one in profiles for word in ("--profile", one)]
    argv = ComposeProject(engine, files, {}).command(*options, "config")
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise LaunchError(f"{files[0]}: `{' '.join(engine)} config` refuses it: {said}")
    merged = yaml.load(done.stdout, Loader=_TagsIgnored)
    return (merged or {}).get("services") or {}


def _extended(
    service: Mapping[str, Any],
    services: Mapping[str, Mapping[str, Any]],
    engine: tuple[str, ...],
    folder: Path,
) -> Mapping[str, Any]:
    """The service with what it extends, which podman-compose resolves only when it starts it."""
    extends = service.get("extends")
    if not extends:
        return service
    named = extends if isinstance(extends, Mapping) else {"service": extends}
    if named.get("file"):
        services = _services(engine, (str(named["file"]),), folder)
    base = services.get(str(named.get("service")))
    if base is None:
        raise LaunchError(f"a service extends {named.get('service')}, which is not there")
    own = {key: value for key, value in service.items() if key != "extends"}
    return _merged_service(_extended(base, services, engine, folder), own)


def _merged_service(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """By Compose's rules: https://docs.docker.com/reference/compose-file/merge/."""
    merged = dict(base)
    for key, value in own.items():
        before = base.get(key)
        if key == "environment":
            merged[key] = {**_as_mapping(before), **_as_mapping(value)}
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged_service(before, value)
        elif isinstance(before, list) and isinstance(value, list) and key not in COMMANDS:
            merged[key] = [*before, *value]
        else:
            merged[key] = value
    return merged


def _as_mapping(value: Any) -> dict[str, Any]:
    """A mapping, or a list of NAME=TEXT; a name alone stands for the shell's variable."""
    if isinstance(value, Mapping):
        return dict(value)
    pairs = (str(one).partition("=") for one in value or ())
    return {name: text if equals else None for name, equals, text in pairs}


def _compose_files(folder: Path) -> tuple[str, ...]:
    """Those that `docker compose` takes in the folder. Raises LaunchError if there is none."""
    named = os.environ.get("COMPOSE_FILE") or _of_env_file(folder)
    if named:
        separator = os.environ.get("COMPOSE_PATH_SEPARATOR", os.pathsep)
        return tuple(name for name in named.split(separator) if name)
    base = next((name for name in FILE_NAMES if (folder / name).is_file()), None)
    if base is None:
        raise LaunchError(
            f"{folder}: there is no {', '.join(FILE_NAMES)}. Give the command beside it"
        )
    stem = base.partition(".")[0]
    overrides = (f"{stem}.override.{end}" for end in ("yaml", "yml"))
    override = next((name for name in overrides if (folder / name).is_file()), None)
    return (base, override) if override else (base,)


def _of_env_file(folder: Path) -> str | None:
    from dotenv import dotenv_values

    return dotenv_values(folder / ".env").get("COMPOSE_FILE")


def _profiles(file: Path) -> Iterator[str]:
    """Of all services: without its profile a service is not there. Raises LaunchError if the file
    does not parse."""
    try:
        text = yaml.load(file.read_text(encoding="utf-8"), Loader=_TagsIgnored)
    except OSError as error:
        raise LaunchError(f"{file.name}: can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise LaunchError(f"{file.name}{place}: not valid YAML: {problem}") from None
    services = text.get("services") if isinstance(text, dict) else None
    if not isinstance(services, dict):
        raise LaunchError(f"{file.name}: has no `services`, as a Compose file does")
    for service in services.values():
        found = service.get("profiles") if isinstance(service, dict) else None
        yield from (str(one) for one in found or ())


def _installed_engine() -> tuple[str, ...]:
    """The first of ENGINES that is there. Raises LaunchError if none is."""
    for engine in ENGINES:
        if shutil.which(engine[0]) and _has_command(engine):
            return engine
    names = " or ".join(" ".join(engine) for engine in ENGINES)
    raise LaunchError(f"{names} is needed to read the Compose file, and not on PATH: install one")


def _has_command(engine: tuple[str, ...]) -> bool:
    """Docker's command line may be there without its plugin."""
    if len(engine) == 1:
        return True
    argv = [*engine, "version"]
    return subprocess.run(argv, capture_output=True, timeout=SECONDS).returncode == 0


class _TagsIgnored(yaml.SafeLoader):
    """Compose's own tags (!override, !reset) stand for what follows them."""


def _untagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:  # noqa: ARG001
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


_TagsIgnored.add_multi_constructor("!", _untagged)


# One service


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
    arguments = _variables(build.get("args"))
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
    return found | _variables(written.get("environment"))


def _variables(value: Any) -> dict[str, str]:
    return {
        name: str(os.environ.get(name, "") if text is None else text)
        for name, text in _as_mapping(value).items()
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

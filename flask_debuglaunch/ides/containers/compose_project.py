"""The project's Compose file, as the engine itself reads it: merged, extended, interpolated."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flask_debuglaunch.errors import LaunchError

# In Compose's order; the first that is there counts, with its override.
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
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
    files, engine = compose_files(folder), installed_engine()
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
    return merged_service(_extended(base, services, engine, folder), own)


def merged_service(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """By Compose's rules: https://docs.docker.com/reference/compose-file/merge/."""
    merged = dict(base)
    for key, value in own.items():
        before = base.get(key)
        if key == "environment":
            merged[key] = {**as_mapping(before), **as_mapping(value)}
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = merged_service(before, value)
        elif isinstance(before, list) and isinstance(value, list) and key not in COMMANDS:
            merged[key] = [*before, *value]
        else:
            merged[key] = value
    return merged


def as_mapping(value: Any) -> dict[str, Any]:
    """A mapping, or a list of NAME=TEXT; a name alone stands for the shell's variable."""
    if isinstance(value, Mapping):
        return dict(value)
    pairs = (str(one).partition("=") for one in value or ())
    return {name: text if equals else None for name, equals, text in pairs}


def compose_files(folder: Path) -> tuple[str, ...]:
    """Those that `docker compose` takes in the folder. Raises LaunchError if there is none."""
    named = os.environ.get("COMPOSE_FILE") or _of_env_file(folder)
    if named:
        separator = os.environ.get("COMPOSE_PATH_SEPARATOR", os.pathsep)
        return tuple(name for name in named.split(separator) if name)
    base = next((name for name in NAMES if (folder / name).is_file()), None)
    if base is None:
        raise LaunchError(f"{folder}: there is no {', '.join(NAMES)}. Give the command beside it")
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


def installed_engine() -> tuple[str, ...]:
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

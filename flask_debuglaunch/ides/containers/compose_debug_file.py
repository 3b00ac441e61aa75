"""Writes compose.debug.yaml, which puts the launcher in the place of a service's server.

The file is ours: it is written anew each time. Compose merges it after the project's own files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.ides.containers import launcher_bundle
from flask_debuglaunch.ides.containers.attach_to_container import (
    COMPOSE_DEBUG_FILE,
    COMPOSE_EXTENSION,
    AttachTarget,
    compose_extension,
)
from flask_debuglaunch.ides.containers.compose_services import (
    ComposeProject,
    Service,
    read_compose_project,
    service_of,
)
from flask_debuglaunch.ides.containers.dockerfile import Copied, is_below, text_in_container
from flask_debuglaunch.ides.containers.launcher_bundle import HOST_FOLDER, IN_CONTAINER
from flask_debuglaunch.ides.ide_interface import ContainerFileEdits, EditRefused, FileEdit
from flask_debuglaunch.ides.opened_project import Project
from flask_debuglaunch.wsgi_server_commands import DEFAULT_SERVER_PORTS, ServerCommand, read_command

MARK = "# Written by `python -m flask_debuglaunch ide compose"
PUBLISHED_ON = "127.0.0.1"
PROJECT = "${PWD:-.}"
"""The project's folder on the host, for the traceback's links, as the shell has it."""


@dataclass(frozen=True)
class Debugged:
    """A service under the launcher."""

    service: Service
    served: ServerCommand
    mounts: tuple[Copied, ...]
    """What is mounted besides what the Compose file mounts itself."""
    sources: tuple[Copied, ...]
    """All folders of the project, and where the container has them."""
    kept: tuple[str, ...]
    """Folders of the image below the mounts that these must not hide."""
    port: int
    published: int
    debug_port: int
    replaces_entrypoint: bool


def compose_files(project: Project, name: str | None) -> ContainerFileEdits:
    """compose.debug.yaml for the service (None: the one that there is). Raises LaunchError."""
    file, notes = debug_file(read_compose_project(project.folder), project, name)
    return ContainerFileEdits([file], notes, launcher_bundle.provide)


def debug_file(
    compose: ComposeProject, project: Project, name: str | None
) -> tuple[FileEdit, list[str]]:
    """The same for services that have been read, and what there is to say of it."""
    debugged = _debugged(compose, name, project)
    late = compose.late.get(debugged.service.name, frozenset()) & {"ports", "profiles"}
    if late:
        raise LaunchError(
            f"{debugged.service.where}: has its {' and '.join(sorted(late))} from what it extends,"
            f" and {' '.join(compose.engine)} can't replace those. Write them into the service"
        )
    text = _text(debugged, compose, project)
    return FileEdit(COMPOSE_DEBUG_FILE, partial(_unless_theirs, text)), list(
        _notes(debugged, compose)
    )


def _unless_theirs(text: str, present: str | None) -> str:
    if present is not None and not present.startswith(MARK):
        raise EditRefused(1, 1, f"it is not of `ide compose`, which begins with {MARK!r}")
    return text


# Which service, and what of it


def _debugged(compose: ComposeProject, name: str | None, project: Project) -> Debugged:
    if name is None:
        return _only_one(compose, project)
    if name not in compose.services:
        known = ", ".join(compose.services) or "none"
        hint = did_you_mean(name, compose.services, f". It has {known}")
        raise LaunchError(f"{compose.files[0]}: has no service {name}{hint}")
    return _debugged_service(service_of(compose, name, project.folder), project)


def _only_one(compose: ComposeProject, project: Project) -> Debugged:
    found, refused = [], []
    for name in compose.services:
        try:
            found.append(_debugged_service(service_of(compose, name, project.folder), project))
        except LaunchError as error:
            refused.append(error)
    if len(found) == 1:
        return found[0]
    if not found and len(refused) == 1:
        raise refused[0]
    names = ", ".join(one.service.name for one in found) or ", ".join(compose.services) or "none"
    several = "several services serve a Flask app" if found else "no service serves a Flask app"
    raise LaunchError(f"{compose.files[0]}: {several}: name one, as in `ide compose NAME`: {names}")


def _debugged_service(service: Service, project: Project) -> Debugged:
    served, replaces_entrypoint = _served(service, project)
    mounts = tuple(_mounts(service, project.folder))
    sources = tuple(one for one in (*service.mounted, *mounts) if _is_source(one, project.folder))
    if not sources:
        raise LaunchError(f"{service.where}: {_why_no_source(service)}")
    if not _has_module(served, sources, project.folder):
        raise _no_server(service)
    if not any(_imports_flask(project.folder / one.source) for one in sources):
        folders = ", ".join(one.source for one in sources)
        raise LaunchError(
            f"{service.where}: has no Flask app: no Python file of {folders} imports flask"
        )
    debug_port = project.settings.debug_port.value
    if debug_port == 0:
        raise LaunchError(
            "DEBUG_PORT is 0, any free port: none that could be published. Choose one"
        )
    if debug_port in service.taken:
        raise LaunchError(
            f"{service.where}: DEBUG_PORT is {debug_port}, which another service publishes."
            " Choose another one, as in --debug-port 5679"
        )
    port = _port(service, served, project)
    kept = tuple(_kept(service, served, sources, project.folder))
    return Debugged(
        service, served, mounts, sources, kept, port, _published(service, port, debug_port),
        debug_port, replaces_entrypoint,
    )  # fmt: skip


def _served(service: Service, project: Project) -> tuple[ServerCommand, bool]:
    """What the service serves, and whether its entrypoint is what serves it."""
    copied = (*service.mounted, *reversed(service.built))
    read = partial(text_in_container, workdir=service.workdir, copied=copied, folder=project.folder)
    served = read_command(service.command, service.environment, read)
    if served is not None:
        return served, False
    words = (*service.entrypoint, *service.command)
    served = read_command(words, service.environment, read)
    if served is not None:
        return served, True
    if not project.settings.app.is_default:
        return ServerCommand("unknown", None), bool(service.entrypoint)
    raise _no_server(service)


def _no_server(service: Service) -> LaunchError:
    words = " ".join((*service.entrypoint, *service.command))
    found = f"its command `{words}`" if words else "it has no command that"
    return LaunchError(
        f"{service.where}: {found} starts no server of a Flask app that is known: flask, gunicorn,"
        " uwsgi, waitress, python FILE. If it serves one, name that, as in --app shop:app"
    )


def _has_module(served: ServerCommand, sources: Collection[Copied], folder: Path) -> bool:
    """Is what `python -m` starts a module of the project? Others serve something else (celery)."""
    if served.server != "python" or served.app is None or served.app.endswith(".py"):
        return True
    path = served.app.replace(".", "/")
    ends = (f"/{path}.py", f"/{path}/__init__.py", f"/{path}/__main__.py")
    files = (file for one in sources for file in _modules(folder / one.source))
    return any(file.as_posix().endswith(ends) for file in files)


def _why_no_source(service: Service) -> str:
    mount = "or mount the source, as in `volumes: [.:/app]`"
    if not service.written.get("build"):
        image = service.written.get("image", "")
        return (
            f"its image {image} is not built here, so that nobody can see where it has the source."
            f" Give it `build:`, {mount}"
        )
    return f"its Dockerfile copies no Python file of the project into the image. COPY it, {mount}"


def _mounts(service: Service, folder: Path) -> Iterator[Copied]:
    """Of what the image has copied: folders, and modules that no such folder holds."""
    folders = [one for one in service.built if (folder / one.source).is_dir()]
    modules = [one for one in service.built if one.source.endswith(".py")]
    found: list[Copied] = []
    for one in (*folders, *(_with_its_folder(module, service) for module in modules)):
        is_there = any(_holds(other, one) for other in found)
        is_mounted = any(is_below(one.target, other.target) for other in service.mounted)
        if not is_there and not is_mounted and _is_source(one, folder):
            found.append(one)
    yield from found


def _with_its_folder(module: Copied, service: Service) -> Copied:
    """A file that is mounted alone is not seen to change where an editor replaces it: its folder
    is mounted if that is one of the app's, and hides nothing that is copied from elsewhere."""
    folder = _folder_of_module(module)
    if folder is None or service.workdir == "/" or not is_below(folder.target, service.workdir):
        return module
    beneath = (one for one in service.built if is_below(one.target, folder.target))
    return folder if all(_holds(folder, one) for one in beneath) else module


def _holds(outer: Copied, inner: Copied) -> bool:
    """Does the outer mount bring the inner one along?"""
    if not is_below(inner.target, outer.target):
        return False
    below = posixpath.relpath(inner.target, outer.target)
    return posixpath.normpath(posixpath.join(outer.source, below)) == inner.source


def _is_source(one: Copied, folder: Path) -> bool:
    path = folder / one.source
    return path.suffix == ".py" or any(_modules(path))


def _modules(path: Path) -> Iterator[Path]:
    """The Python files below a folder, but those of an environment."""
    if path.is_file():
        yield path
        return
    skipped = ("site-packages", "node_modules", ".git")
    for file in path.rglob("*.py"):
        if not any(part in skipped for part in file.parts):
            yield file


def _imports_flask(path: Path) -> bool:
    pattern = re.compile(rb"^\s*(?:from|import)\s+flask\b", re.MULTILINE)
    return any(pattern.search(file.read_bytes()) for file in _modules(path))


def _kept(
    service: Service, served: ServerCommand, sources: Collection[Copied], folder: Path
) -> Iterator[str]:
    """The virtual environment that the image has in the project's own folder."""
    programs = [*service.environment.get("PATH", "").split(":"), posixpath.dirname(served.python)]
    named = {
        *(service.environment.get(n, "") for n in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")),
        *(posixpath.dirname(one) for one in programs if one.endswith("/bin")),
        *service.image.environments,
    }
    for path in sorted(posixpath.join(service.workdir, one) for one in named if one):
        for one in sources:
            here = folder / one.source / posixpath.relpath(path, one.target)
            is_hidden = path != one.target and is_below(path, one.target)
            if is_hidden and not _is_projects_own(here):
                yield path
                break


def _is_projects_own(path: Path) -> bool:
    """Not an environment, but a folder of programs that is on PATH, too."""
    return path.is_dir() and any(path.iterdir()) and not (path / "pyvenv.cfg").exists()


def _port(service: Service, served: ServerCommand, project: Project) -> int:
    """The port inside the container: what other containers use stays."""
    given = project.settings.port
    targets = [one.target for one in service.ports]
    candidates = [
        None if given.is_default else given.value,
        served.port,
        *targets,
        *service.image.ports,
    ]
    return next((one for one in candidates if one), DEFAULT_SERVER_PORTS.get(served.server, 5000))


def _published(service: Service, port: int, debug_port: int) -> int:
    """The host's port: as it is published now, else a free one."""
    now = next((one.published for one in service.ports if one.target == port), None)
    taken = {*service.taken, debug_port}
    return now or next(one for one in count(port) if one not in taken)


# What is written


class _Override(list[Any]):
    """A list that replaces the one that it would else be added to."""


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(
    _Override, lambda dumper, value: dumper.represent_sequence("!override", value)
)


def _text(debugged: Debugged, compose: ComposeProject, project: Project) -> str:
    name = debugged.service.name
    up = " ".join(_up(debugged, compose))
    given = "".join(f" {flag}" for flag in project.flags)
    told = compose_extension(_attach_target(debugged, compose, project.folder))
    body = yaml.dump(
        {"services": {name: _overlay(debugged, project)}, COMPOSE_EXTENSION: told},
        Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000,
    )  # fmt: skip
    return (
        f"{MARK} {name}{given}`, which writes it anew:\n"
        "# what you add belongs into a file of yours, after one more -f.\n"
        f"#   {up}\n"
        f"# Then attach the IDE to {PUBLISHED_ON}:{debugged.debug_port}.\n{body}"
    )


def _attach_target(debugged: Debugged, compose: ComposeProject, folder: Path) -> AttachTarget:
    name = debugged.service.name
    return AttachTarget(
        (PUBLISHED_ON, debugged.debug_port),
        _path_mappings(debugged, folder),
        _up(debugged, compose),
        compose.command("stop", name, files=[COMPOSE_DEBUG_FILE]),
    )


def _up(debugged: Debugged, compose: ComposeProject) -> list[str]:
    # Else Compose hands the environment of the image before on to the container of the new one.
    renewed = ["--renew-anon-volumes"] if debugged.kept else []
    return compose.command(
        "up", "--build", *renewed, debugged.service.name, files=[COMPOSE_DEBUG_FILE]
    )


def _path_mappings(debugged: Debugged, folder: Path) -> list[tuple[str, str]]:
    """Of the folders inside of the project, and of those that its mounted modules are in."""
    inside = (one for one in debugged.sources if not posixpath.isabs(one.source))
    folders = (one if (folder / one.source).is_dir() else _folder_of_module(one) for one in inside)
    return list(dict.fromkeys((one.source, one.target) for one in folders if one))


def _folder_of_module(module: Copied) -> Copied | None:
    """Debuggers map folders: a module that the image has renamed can't be mapped."""
    folder, name = posixpath.split(module.source)
    target, its_name = posixpath.split(module.target)
    return Copied(folder or ".", target) if name == its_name else None


def _overlay(debugged: Debugged, project: Project) -> dict[str, Any]:
    service = debugged.service
    # Compose's own variables begin with $: all are escaped but the one that is meant.
    escaped = (word.replace("$", "$$") for word in _command(debugged, project))
    words = [word.replace(f"${PROJECT}", PROJECT) for word in escaped]
    overlay: dict[str, Any] = {}
    if debugged.replaces_entrypoint:
        overlay["entrypoint"] = words
        overlay["command"] = []
    else:
        overlay["command"] = words
    if not service.is_on_hosts_network:
        overlay["ports"] = _ports(debugged)
    overlay["volumes"] = [
        *(f"{_on_host(one.source)}:{one.target}" for one in debugged.mounts),
        *debugged.kept,
        {
            "type": "bind",
            "source": HOST_FOLDER,
            "target": IN_CONTAINER,
            "read_only": True,
            "bind": {"create_host_path": False},
        },
    ]
    if service.environment.get("FLASK_ENV") == "production":
        overlay["environment"] = {"FLASK_ENV": "development"}
    return {**overlay, **dict(_tamed(debugged))}


def _on_host(source: str) -> str:
    """As Compose tells a folder from the name of a volume."""
    return source if source == "." or posixpath.isabs(source) else f"./{source}"


def _command(debugged: Debugged, project: Project) -> list[str]:
    """The launcher in the server's place."""
    host = PUBLISHED_ON if debugged.service.is_on_hosts_network else "0.0.0.0"
    own = {
        "config": _config_in_container(debugged, project),
        "app": _app(debugged.served),
        "host": host,
        "port": str(debugged.port),
        "debug": "",
        "debug_with": "debugpy",
        "debug_connection": "listen",
        "debug_host": host,
        "debug_port": str(debugged.debug_port),
        "published_on": _published_on(debugged) if host != PUBLISHED_ON else None,
        "import_errors": "serve",
    }
    given = {flag.partition("=")[0] for flag in project.flags}
    flags = [
        flag + (f"={text}" if text else "")
        for name, text in own.items()
        if text is not None and (flag := "--" + name.replace("_", "-")) not in given
    ]
    mappings = [
        f"--path-mappings={PROJECT}{'' if local == '.' else '/' + local}={remote}"
        for local, remote in _path_mappings(debugged, project.folder)
    ]
    return debugged.served.replaced_by([IN_CONTAINER, *flags, *mappings, *project.flags])


def _app(served: ServerCommand) -> str | None:
    if served.app is None or served.folder is None:
        return served.app
    return posixpath.join(served.folder, served.app)


def _config_in_container(debugged: Debugged, project: Project) -> str | None:
    """The project's YAML, where a mount has it."""
    config = project.config
    for one in debugged.sources if config else ():
        if is_below(config or "", one.source) or one.source == ".":
            below = posixpath.relpath(config or "", one.source)
            if not below.startswith(".."):
                return posixpath.join(one.target, below)
    return None


def _published_on(debugged: Debugged) -> str:
    is_same = debugged.published == debugged.port
    return PUBLISHED_ON if is_same else f"{PUBLISHED_ON}:{debugged.published}"


def _ports(debugged: Debugged) -> list[Any]:
    ours = (debugged.port, debugged.debug_port)
    others = [one.written for one in debugged.service.ports if one.target not in ours]
    ports = [
        f"{PUBLISHED_ON}:{debugged.published}:{debugged.port}",
        f"{PUBLISHED_ON}:{debugged.debug_port}:{debugged.debug_port}",
        *others,
    ]
    return _Override(ports) if debugged.service.ports else ports


def _tamed(debugged: Debugged) -> Iterator[tuple[str, Any]]:
    """Nothing may end or restart an app that is stopped at a breakpoint, nor start it twice."""
    service, written = debugged.service, debugged.service.written
    healthcheck = written.get("healthcheck") or {}
    if (healthcheck or service.image.has_healthcheck) and not healthcheck.get("disable"):
        # The launcher holds the port also while the app is stopped, or can't be imported.
        probe = f"import socket; socket.create_connection(('127.0.0.1', {debugged.port}), 5)"
        test = _Override(["CMD", debugged.served.python, "-c", probe])  # podman-compose would add
        yield "healthcheck", {"test": test}
    if written.get("restart"):
        yield "restart", "no"
    if int(written.get("scale") or 1) > 1:
        yield "scale", 1
    deploy = written.get("deploy") or {}
    tamed = {"replicas": 1, "restart_policy": {"condition": "none"}}
    if deploy.keys() & tamed.keys():
        yield "deploy", {name: value for name, value in tamed.items() if name in deploy}
    if written.get("profiles"):
        yield "profiles", _Override()


def _notes(debugged: Debugged, compose: ComposeProject) -> Iterator[str]:
    service, up = debugged.service, " ".join(_up(debugged, compose))
    yield (
        f"{COMPOSE_DEBUG_FILE}: start it with `{up}`, or with F5 by the files of"
        " `ide vscode --with docker`"
    )
    if debugged.replaces_entrypoint and debugged.served.server == "unknown":
        words = " ".join(service.entrypoint)
        yield f"{service.where}: the launcher runs in place of `{words}`, with all that does"
    for one in debugged.mounts:
        if one.source.endswith(".py"):
            yield (
                f"{one.source} is mounted by itself: what an editor saves by replacing the file"
                " (vim) is not seen in the container. COPY its folder instead"
            )

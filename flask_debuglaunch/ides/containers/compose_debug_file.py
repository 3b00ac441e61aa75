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
from flask_debuglaunch.ides.containers.dockerfile import CopiedPath, is_below, text_in_container
from flask_debuglaunch.ides.containers.launcher_bundle import BUNDLE_IN_CONTAINER, BUNDLE_ON_HOST
from flask_debuglaunch.ides.ide_interface import (
    ContainerFileEdits,
    FileEdit,
    unless_another_wrote_it,
)
from flask_debuglaunch.ides.launch_arguments import flags_with_defaults
from flask_debuglaunch.ides.opened_project import Project
from flask_debuglaunch.wsgi_server_commands import DEFAULT_SERVER_PORTS, ServerCommand, read_command

MARK = "# Written by `python -m flask_debuglaunch ide compose"
PUBLISHED_ON = "127.0.0.1"
PROJECT_FOLDER_ON_HOST = "${PWD:-.}"
"""For the traceback's links, as the shell has it."""


@dataclass(frozen=True)
class DebuggedService:
    """A service under the launcher."""

    service: Service
    server_command: ServerCommand
    added_mounts: tuple[CopiedPath, ...]
    """What is mounted besides what the Compose file mounts itself."""
    source_folders: tuple[CopiedPath, ...]
    """All folders of the project, and where the container has them."""
    kept_environments: tuple[str, ...]
    """Virtual environments of the image below the mounts, which these must not hide."""
    port: int
    published_port: int
    debug_port: int
    replaces_entrypoint: bool


def compose_file_edits(project: Project, service_name: str | None) -> ContainerFileEdits:
    """compose.debug.yaml for the service (None: the one that there is). Raises LaunchError."""
    compose = read_compose_project(project.folder)
    file, notes = debug_file(compose, project, service_name)
    return ContainerFileEdits([file], notes, launcher_bundle.provide_bundle)


def debug_file(
    compose: ComposeProject, project: Project, service_name: str | None
) -> tuple[FileEdit, list[str]]:
    """The same for services that have been read, and what there is to say of it."""
    debugged = _debugged_service(compose, service_name, project)
    extended_at_start = compose.extended_at_start.get(debugged.service.name, frozenset())
    irreplaceable = extended_at_start & {"ports", "profiles"}
    if irreplaceable:
        raise LaunchError(
            f"{debugged.service.label}: has its {' and '.join(sorted(irreplaceable))} from what it"
            f" extends, and {' '.join(compose.engine)} can't replace those. Write them into the"
            " service"
        )
    text = _compose_debug_text(debugged, compose, project)
    edit = unless_another_wrote_it(text, MARK)
    return FileEdit(COMPOSE_DEBUG_FILE, edit), list(_notes(debugged, compose))


# Which service, and what of it


def _debugged_service(
    compose: ComposeProject, service_name: str | None, project: Project
) -> DebuggedService:
    if service_name is None:
        return _only_flask_service(compose, project)
    if service_name not in compose.services:
        services = ", ".join(compose.services) or "none"
        hint = did_you_mean(service_name, compose.services, f". It has {services}")
        raise LaunchError(f"{compose.files[0]}: has no service {service_name}{hint}")
    return _under_launcher(service_of(compose, service_name, project.folder), project)


def _only_flask_service(compose: ComposeProject, project: Project) -> DebuggedService:
    flask_services, refusals = [], []
    for name in compose.services:
        try:
            service = service_of(compose, name, project.folder)
            flask_services.append(_under_launcher(service, project))
        except LaunchError as error:
            refusals.append(error)
    if len(flask_services) == 1:
        return flask_services[0]
    if not flask_services and len(refusals) == 1:
        raise refusals[0]
    names = ", ".join(debugged.service.name for debugged in flask_services)
    names = names or ", ".join(compose.services) or "none"
    reason = "several services serve" if flask_services else "no service serves"
    raise LaunchError(
        f"{compose.files[0]}: {reason} a Flask app: name one, as in `ide compose NAME`: {names}"
    )


def _under_launcher(service: Service, project: Project) -> DebuggedService:
    server_command, replaces_entrypoint = _served_by_service(service, project)
    added_mounts = tuple(_added_mounts(service, project.folder))
    source_folders = tuple(
        folder
        for folder in (*service.mounted_folders, *added_mounts)
        if _has_python_files(folder, project.folder)
    )
    if not source_folders:
        raise LaunchError(f"{service.label}: {_why_no_source(service)}")
    if not _has_served_module(server_command, source_folders, project.folder):
        raise _no_server(service)
    if not any(_imports_flask(project.folder / folder.source) for folder in source_folders):
        folder_names = ", ".join(folder.source for folder in source_folders)
        raise LaunchError(
            f"{service.label}: has no Flask app: no Python file of {folder_names} imports flask"
        )
    debug_port = project.settings.debug_port.value
    if debug_port == 0:
        raise LaunchError(
            "DEBUG_PORT is 0, any free port: none that could be published. Choose one"
        )
    if debug_port in service.ports_of_other_services:
        raise LaunchError(
            f"{service.label}: DEBUG_PORT is {debug_port}, which another service publishes."
            " Choose another one, as in --debug-port 5679"
        )
    port = _port_in_container(service, server_command, project)
    return DebuggedService(
        service,
        server_command,
        added_mounts,
        source_folders,
        tuple(_kept_environments(service, server_command, source_folders, project.folder)),
        port,
        _published_port(service, port, debug_port),
        debug_port,
        replaces_entrypoint,
    )


def _served_by_service(service: Service, project: Project) -> tuple[ServerCommand, bool]:
    """What the service serves, and whether its entrypoint is what serves it."""
    copied = (*service.mounted_folders, *reversed(service.copied_into_image))
    read_text = partial(
        text_in_container, workdir=service.workdir, copied_paths=copied, folder=project.folder
    )
    server_command = read_command(service.command, service.environment, read_text)
    if server_command is not None:
        return server_command, False
    words = (*service.entrypoint, *service.command)
    server_command = read_command(words, service.environment, read_text)
    if server_command is not None:
        return server_command, True
    if not project.settings.app.is_default:
        return ServerCommand("unknown", None), bool(service.entrypoint)
    raise _no_server(service)


def _no_server(service: Service) -> LaunchError:
    words = " ".join((*service.entrypoint, *service.command))
    reason = (
        f"its command `{words}` starts no server of a Flask app that is known"
        if words
        else "it has no command of its own that starts a server of a Flask app"
    )
    return LaunchError(
        f"{service.label}: {reason}: flask, gunicorn, uwsgi, waitress, python FILE. If it serves"
        " one, name that, as in --app shop:app"
    )


def _has_served_module(
    server_command: ServerCommand, source_folders: Collection[CopiedPath], folder: Path
) -> bool:
    """Is what `python -m` starts a module of the project? Others serve something else (celery)."""
    if (
        server_command.server != "python"
        or server_command.app is None
        or server_command.app.endswith(".py")
    ):
        return True
    module_path = server_command.app.replace(".", "/")
    endings = (
        f"/{module_path}.py",
        f"/{module_path}/__init__.py",
        f"/{module_path}/__main__.py",
    )
    return any(
        python_file.as_posix().endswith(endings)
        for source_folder in source_folders
        for python_file in _python_files(folder / source_folder.source)
    )


def _why_no_source(service: Service) -> str:
    mount = "or mount the source, as in `volumes: [.:/app]`"
    if not service.definition.get("build"):
        image = service.definition.get("image", "")
        return (
            f"its image {image} is not built here, so that nobody can see where it has the source."
            f" Give it `build:`, {mount}"
        )
    return f"its Dockerfile copies no Python file of the project into the image. COPY it, {mount}"


def _added_mounts(service: Service, folder: Path) -> Iterator[CopiedPath]:
    """Of what the image has copied: folders, and modules that no such folder holds."""
    copied = service.copied_into_image
    copied_folders = [path for path in copied if (folder / path.source).is_dir()]
    copied_modules = [path for path in copied if path.source.endswith(".py")]
    mounts: list[CopiedPath] = []
    for mount in (
        *copied_folders,
        *(_mount_of_module(module, service) for module in copied_modules),
    ):
        is_held = any(_holds(other_mount, mount) for other_mount in mounts)
        is_mounted = any(
            is_below(mount.target, mounted.target) for mounted in service.mounted_folders
        )
        if not is_held and not is_mounted and _has_python_files(mount, folder):
            mounts.append(mount)
    yield from mounts


def _mount_of_module(module: CopiedPath, service: Service) -> CopiedPath:
    """A file that is mounted alone is not seen to change where an editor replaces it: its folder
    is mounted if that is one of the app's, and hides nothing that is copied from elsewhere."""
    folder = _folder_of_module(module)
    if folder is None or service.workdir == "/" or not is_below(folder.target, service.workdir):
        return module
    copied_below = (
        copied for copied in service.copied_into_image if is_below(copied.target, folder.target)
    )
    return folder if all(_holds(folder, copied) for copied in copied_below) else module


def _holds(outer_mount: CopiedPath, inner_mount: CopiedPath) -> bool:
    """Does the outer mount bring the inner one along?"""
    if not is_below(inner_mount.target, outer_mount.target):
        return False
    path_below = posixpath.relpath(inner_mount.target, outer_mount.target)
    return posixpath.normpath(posixpath.join(outer_mount.source, path_below)) == inner_mount.source


def _has_python_files(mount: CopiedPath, folder: Path) -> bool:
    path = folder / mount.source
    return path.suffix == ".py" or any(_python_files(path))


def _python_files(path: Path) -> Iterator[Path]:
    """Those below a folder, but for those of an environment."""
    if path.is_file():
        yield path
        return
    skipped_folders = ("site-packages", "node_modules", ".git")
    for python_file in path.rglob("*.py"):
        if not any(part in skipped_folders for part in python_file.parts):
            yield python_file


def _imports_flask(path: Path) -> bool:
    flask_import = re.compile(rb"^\s*(?:from|import)\s+flask\b", re.MULTILINE)
    return any(flask_import.search(module.read_bytes()) for module in _python_files(path))


def _kept_environments(
    service: Service,
    server_command: ServerCommand,
    source_folders: Collection[CopiedPath],
    folder: Path,
) -> Iterator[str]:
    """The virtual environment that the image has in the project's own folder."""
    search_path = service.environment.get("PATH", "").split(":")
    program_folders = [*search_path, posixpath.dirname(server_command.python)]
    environments = {
        *(service.environment.get(name, "") for name in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")),
        *(posixpath.dirname(programs) for programs in program_folders if programs.endswith("/bin")),
        *service.image.environments,
    }
    for path in sorted(posixpath.join(service.workdir, name) for name in environments if name):
        for mount in source_folders:
            path_on_host = folder / mount.source / posixpath.relpath(path, mount.target)
            is_hidden = path != mount.target and is_below(path, mount.target)
            if is_hidden and not _is_projects_own_folder(path_on_host):
                yield path
                break


def _is_projects_own_folder(path: Path) -> bool:
    """Not an environment, but a folder of programs that is on PATH, too."""
    return path.is_dir() and any(path.iterdir()) and not (path / "pyvenv.cfg").exists()


def _port_in_container(service: Service, server_command: ServerCommand, project: Project) -> int:
    """What other containers use stays."""
    port = project.settings.port
    candidates = [
        None if port.is_default else port.value,
        server_command.port,
        *(published.target for published in service.ports),
        *service.image.ports,
    ]
    return next(filter(None, candidates), DEFAULT_SERVER_PORTS.get(server_command.server, 5000))


def _published_port(service: Service, port: int, debug_port: int) -> int:
    """The host's port: as it is published now, else a free one."""
    published = next((entry.published for entry in service.ports if entry.target == port), None)
    taken_ports = {*service.ports_of_other_services, debug_port}
    return published or next(number for number in count(port) if number not in taken_ports)


# What is written


class _OverrideList(list[Any]):
    """A list that replaces the one that it would else be added to."""


class _ComposeDumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_ComposeDumper.add_representer(
    _OverrideList, lambda dumper, items: dumper.represent_sequence("!override", items)
)


def _compose_debug_text(
    debugged: DebuggedService, compose: ComposeProject, project: Project
) -> str:
    service_name = debugged.service.name
    up_command = " ".join(_up_command(debugged, compose))
    flags = "".join(f" {flag}" for flag in project.flags)
    attach_target = _attach_target(debugged, compose, project.folder)
    compose_yaml = yaml.dump(
        {
            "services": {service_name: _service_overlay(debugged, project)},
            COMPOSE_EXTENSION: compose_extension(attach_target),
        },
        Dumper=_ComposeDumper,
        sort_keys=False,
        allow_unicode=True,
        width=1000,
    )
    return (
        f"{MARK} {service_name}{flags}`, which writes it anew:\n"
        "# what you add belongs into a file of yours, after one more -f.\n"
        f"#   {up_command}\n"
        f"# Then attach the IDE to {PUBLISHED_ON}:{debugged.debug_port}.\n{compose_yaml}"
    )


def _attach_target(
    debugged: DebuggedService, compose: ComposeProject, folder: Path
) -> AttachTarget:
    return AttachTarget(
        (PUBLISHED_ON, debugged.debug_port),
        _path_mappings(debugged, folder),
        _up_command(debugged, compose),
        compose.engine_command("stop", debugged.service.name, more_files=[COMPOSE_DEBUG_FILE]),
    )


def _up_command(debugged: DebuggedService, compose: ComposeProject) -> list[str]:
    # Else Compose hands the environment of the image before on to the container of the new one.
    renew_option = ["--renew-anon-volumes"] if debugged.kept_environments else []
    return compose.engine_command(
        "up",
        "--build",
        *renew_option,
        debugged.service.name,
        more_files=[COMPOSE_DEBUG_FILE],
    )


def _path_mappings(debugged: DebuggedService, folder: Path) -> list[tuple[str, str]]:
    """Of the folders inside of the project, and of those that its mounted modules are in."""
    mapped_folders = (
        mount if (folder / mount.source).is_dir() else _folder_of_module(mount)
        for mount in debugged.source_folders
        if not posixpath.isabs(mount.source)
    )
    mappings = ((mapped.source, mapped.target) for mapped in mapped_folders if mapped)
    return list(dict.fromkeys(mappings))


def _folder_of_module(module: CopiedPath) -> CopiedPath | None:
    """Debuggers map folders: a module that the image has renamed can't be mapped."""
    source_folder, source_name = posixpath.split(module.source)
    target_folder, target_name = posixpath.split(module.target)
    return CopiedPath(source_folder or ".", target_folder) if source_name == target_name else None


def _service_overlay(debugged: DebuggedService, project: Project) -> dict[str, Any]:
    service = debugged.service
    # Compose's own variables begin with $: all are escaped but the one that is meant.
    escaped_words = (word.replace("$", "$$") for word in _launcher_command(debugged, project))
    words = [
        word.replace(f"${PROJECT_FOLDER_ON_HOST}", PROJECT_FOLDER_ON_HOST) for word in escaped_words
    ]
    overlay: dict[str, Any] = {}
    if debugged.replaces_entrypoint:
        overlay["entrypoint"] = words
        overlay["command"] = []
    else:
        overlay["command"] = words
    if not service.uses_host_network:
        overlay["ports"] = _overlay_ports(debugged)
    overlay["volumes"] = [
        *(f"{_folder_on_host(mount.source)}:{mount.target}" for mount in debugged.added_mounts),
        *debugged.kept_environments,
        {
            "type": "bind",
            "source": BUNDLE_ON_HOST,
            "target": BUNDLE_IN_CONTAINER,
            "read_only": True,
            "bind": {"create_host_path": False},
        },
    ]
    if service.environment.get("FLASK_ENV") == "production":
        overlay["environment"] = {"FLASK_ENV": "development"}
    return {**overlay, **dict(_without_restarts(debugged))}


def _folder_on_host(source: str) -> str:
    """As Compose tells a folder from the name of a volume."""
    return source if source == "." or posixpath.isabs(source) else f"./{source}"


def _launcher_command(debugged: DebuggedService, project: Project) -> list[str]:
    """The launcher in the server's place."""
    host = PUBLISHED_ON if debugged.service.uses_host_network else "0.0.0.0"
    default_flags = {
        "--config": _config_in_container(debugged, project),
        "--app": debugged.server_command.app_from_workdir,
        "--host": host,
        "--port": str(debugged.port),
        "--debug": "",
        "--debug-with": "debugpy",
        "--debug-connection": "listen",
        "--debug-host": host,
        "--debug-port": str(debugged.debug_port),
        "--published-on": _published_on(debugged) if host != PUBLISHED_ON else None,
        "--import-errors": "serve",
    }
    flags = flags_with_defaults(default_flags, project.flags)
    mappings = [
        f"--path-mappings={PROJECT_FOLDER_ON_HOST}{'' if local == '.' else '/' + local}={remote}"
        for local, remote in _path_mappings(debugged, project.folder)
    ]
    return debugged.server_command.replaced_by(
        [BUNDLE_IN_CONTAINER, *flags, *mappings, *project.flags]
    )


def _config_in_container(debugged: DebuggedService, project: Project) -> str | None:
    """The project's YAML, where a mount has it."""
    config = project.config
    for mount in debugged.source_folders if config else ():
        if is_below(config or "", mount.source) or mount.source == ".":
            path_below = posixpath.relpath(config or "", mount.source)
            if not path_below.startswith(".."):
                return posixpath.join(mount.target, path_below)
    return None


def _published_on(debugged: DebuggedService) -> str:
    has_same_port = debugged.published_port == debugged.port
    return PUBLISHED_ON if has_same_port else f"{PUBLISHED_ON}:{debugged.published_port}"


def _overlay_ports(debugged: DebuggedService) -> list[Any]:
    launcher_ports = (debugged.port, debugged.debug_port)
    published_ports = [
        f"{PUBLISHED_ON}:{debugged.published_port}:{debugged.port}",
        f"{PUBLISHED_ON}:{debugged.debug_port}:{debugged.debug_port}",
        *(
            entry.definition
            for entry in debugged.service.ports
            if entry.target not in launcher_ports
        ),
    ]
    return _OverrideList(published_ports) if debugged.service.ports else published_ports


def _without_restarts(debugged: DebuggedService) -> Iterator[tuple[str, Any]]:
    """Nothing may end or restart an app that is stopped at a breakpoint, nor start it twice."""
    service, definition = debugged.service, debugged.service.definition
    healthcheck = definition.get("healthcheck") or {}
    if (healthcheck or service.image.has_healthcheck) and not healthcheck.get("disable"):
        # The launcher holds the port also while the app is stopped, or can't be imported.
        probe = f"import socket; socket.create_connection(('127.0.0.1', {debugged.port}), 5)"
        # podman-compose would add to a list.
        test_command = _OverrideList(["CMD", debugged.server_command.python, "-c", probe])
        yield "healthcheck", {"test": test_command}
    if definition.get("restart"):
        yield "restart", "no"
    if int(definition.get("scale") or 1) > 1:
        yield "scale", 1
    deploy = definition.get("deploy") or {}
    single_replica = {"replicas": 1, "restart_policy": {"condition": "none"}}
    if deploy.keys() & single_replica.keys():
        yield "deploy", {name: value for name, value in single_replica.items() if name in deploy}
    if definition.get("profiles"):
        yield "profiles", _OverrideList()


def _notes(debugged: DebuggedService, compose: ComposeProject) -> Iterator[str]:
    service, up_command = debugged.service, " ".join(_up_command(debugged, compose))
    yield (
        f"{COMPOSE_DEBUG_FILE}: start it with `{up_command}`, or with F5 by the files of"
        " `ide vscode --with docker`"
    )
    if debugged.replaces_entrypoint and debugged.server_command.server == "unknown":
        entrypoint = " ".join(service.entrypoint)
        yield f"{service.label}: the launcher runs in place of `{entrypoint}`, with all that does"
    for mount in debugged.added_mounts:
        if mount.source.endswith(".py"):
            yield (
                f"{mount.source} is mounted by itself: what an editor saves by replacing the file"
                " (vim) is not seen in the container. COPY its folder instead"
            )

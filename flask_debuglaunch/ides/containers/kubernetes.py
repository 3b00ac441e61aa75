"""Kubernetes: a kustomize overlay that puts the launcher in the place of a workload's server.

The image stays as it is. The launcher comes in a ConfigMap; an init container of the same image
unpacks it, and copies the source to where it can be written, so that it can be synced into.
https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from flask_debuglaunch.errors import LaunchError, not_valid_yaml
from flask_debuglaunch.ides.containers.dockerfile import Image, read_image, text_in_container
from flask_debuglaunch.ides.containers.launcher_bundle import BUNDLE_IN_CONTAINER, packed_bundle
from flask_debuglaunch.ides.ide_interface import (
    ContainerFileEdits,
    FileEdit,
    unless_another_wrote_it,
)
from flask_debuglaunch.ides.launch_arguments import flags_with_defaults
from flask_debuglaunch.ides.opened_project import Project
from flask_debuglaunch.wsgi_server_commands import DEFAULT_SERVER_PORTS, ServerCommand, read_command

MARK = "# Written by `python -m flask_debuglaunch ide kubernetes"
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
WORKLOAD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod")
NAME: Final = "flask-debuglaunch"
# Not of a name that the launcher takes for its configuration (CONFIG_NAMES of load_settings.py).
CONFIG_MAP_FILE = f"{NAME}-configmap.yaml"
ARCHIVE_FOLDER: Final = "/opt/flask-debuglaunch-archive"
SOURCE_FOLDER: Final = "/opt/flask-debuglaunch-source"


@dataclass(frozen=True)
class Workload:
    """A workload of the manifest, and the one of its containers that serves the app."""

    manifest: Mapping[str, Any]
    container: Mapping[str, Any]
    server_command: ServerCommand
    replaced_key: str
    """What of the container the launcher takes the place of: its `command`, or its `args`."""
    workdir: str
    port: int

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def reference(self) -> str:
        """As kubectl takes it."""
        kind = str(self.manifest["kind"]).lower()
        return f"{kind}/{self.name}"


@dataclass(frozen=True)
class KustomizeOverlay:
    """folder: of the kustomization, relative to the project. base_resource: what it is put over."""

    folder: str
    base_resource: str

    def path(self, file_name: str) -> str:
        return posixpath.normpath(posixpath.join(self.folder, file_name))


def kubernetes_file_edits(project: Project, manifest_path: str | None) -> ContainerFileEdits:
    """The overlay for the workload of a manifest. Raises LaunchError."""
    if manifest_path is None:
        raise LaunchError("argv:kubernetes: which manifest? Name the file of the Deployment")
    overlay = _overlay_of(manifest_path, project)
    workload = _flask_workload(manifest_path, project)
    flags = "".join(f" {flag}" for flag in project.flags)
    mark = f"{MARK} {manifest_path}{flags}`, which writes it anew.\n"
    overlay_texts = {
        "kustomization.yaml": mark + _yaml_text(_kustomization(overlay, workload, project)),
        CONFIG_MAP_FILE: mark + _config_map_text(),
    }
    files = [
        FileEdit(overlay.path(name), unless_another_wrote_it(text, MARK))
        for name, text in overlay_texts.items()
    ]
    return ContainerFileEdits(files, list(_notes(overlay, workload, project)))


def _overlay_of(manifest_path: str, project: Project) -> KustomizeOverlay:
    """Kustomize takes files from inside its folder only, and folders that have a kustomization."""
    folder = posixpath.dirname(posixpath.normpath(manifest_path))
    if posixpath.isabs(manifest_path) or folder.startswith(".."):
        raise LaunchError(
            f"argv:{manifest_path}: is not in this folder. Give the command in its project"
        )
    parent = posixpath.dirname(folder)
    if not _has_own_kustomization(folder, project):
        return KustomizeOverlay(parent, posixpath.relpath(manifest_path, parent or "."))
    if not folder:
        raise LaunchError(
            f"{manifest_path}: its kustomization is in the project's own folder, and an overlay"
            " can't be inside of what it is put over. Move both into a folder, such as kubernetes/"
        )
    base_name = posixpath.basename(folder)
    return KustomizeOverlay(posixpath.join(parent, f"{base_name}-debug"), f"../{base_name}")


def _has_own_kustomization(folder: str, project: Project) -> bool:
    """One that we have not written ourselves."""
    if not any((project.folder / folder / name).exists() for name in KUSTOMIZATIONS):
        return False
    kustomization = project.read_text(posixpath.join(folder, KUSTOMIZATIONS[0])) or ""
    return not kustomization.startswith(MARK)


# The workload


def _flask_workload(manifest_path: str, project: Project) -> Workload:
    """The one that serves a Flask app. Raises LaunchError if there is none, or more than one."""
    image = _image_of_project(project)
    workloads: list[Workload] = []
    refusals: list[str] = []
    for manifest in _workload_manifests(manifest_path, project):
        label = f"{manifest_path}: {manifest['kind']} {manifest['metadata']['name']}"
        for container in _named_items(_pod_spec(manifest), "containers", label):
            _named_items(container, "env", f"{label}: container {container['name']}")
            workload = _workload_of_container(manifest, container, image, project)
            if isinstance(workload, Workload):
                workloads.append(workload)
            else:
                refusals.append(workload)
    if len(workloads) == 1:
        return workloads[0]
    if workloads:
        references = ", ".join(workload.reference for workload in workloads)
        raise LaunchError(
            f"{manifest_path}: several serve an app: {references}. Give each a file of its own"
        )
    reason = "; ".join(refusals) or f"it has no {', '.join(WORKLOAD_KINDS)}"
    hint = ". If that serves one, name it, as in --app shop:app" if refusals else ""
    raise LaunchError(f"{manifest_path}: has no Flask app: {reason}{hint}")


def _workload_manifests(manifest_path: str, project: Project) -> Iterator[Mapping[str, Any]]:
    text = project.read_text(manifest_path)
    if text is None:
        raise LaunchError(f"argv:{manifest_path}: there is no such file")
    try:
        manifests = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        if "{{" in text:
            raise LaunchError(
                f"{manifest_path}: is a template of Helm's, and no manifest. Write one from it by"
                " `helm template`, and name that"
            ) from None
        raise not_valid_yaml(manifest_path, error) from None
    for manifest in manifests:
        is_workload = isinstance(manifest, dict) and manifest.get("kind") in WORKLOAD_KINDS
        metadata = manifest.get("metadata") if is_workload else None
        if isinstance(metadata, dict) and metadata.get("name"):
            yield manifest


def _pod_spec(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    spec: Any = manifest
    for key in ("spec",) if manifest["kind"] == "Pod" else ("spec", "template", "spec"):
        spec = spec.get(key) if isinstance(spec, Mapping) else None
    return spec if isinstance(spec, Mapping) else {}


def _named_items(owner: Mapping[str, Any], key: str, label: str) -> list[Mapping[str, Any]]:
    """A list in which each has a name, as of containers and variables."""
    items = owner.get(key) or []
    if isinstance(items, list) and all(isinstance(item, dict) and "name" in item for item in items):
        return items
    raise LaunchError(f"{label}: its `{key}` are expected as a list, each with its `name`")


def _image_of_project(project: Project) -> Image:
    """By the project's own Dockerfile, if there is one: a manifest may leave to it what is
    started, and where."""
    for dockerfile_name in ("Dockerfile", "Containerfile"):
        text = project.read_text(dockerfile_name)
        if text is not None:
            return read_image(text, dockerfile_name, project.folder, target=None, arguments={})
    return Image()


def _workload_of_container(
    manifest: Mapping[str, Any],
    container: Mapping[str, Any],
    image: Image,
    project: Project,
) -> Workload | str:
    """The workload, or why the container is none."""
    variables = {item["name"]: str(item.get("value", "")) for item in container.get("env") or ()}
    environment = {**image.environment, **variables}
    command = [str(word) for word in container.get("command") or ()]
    args = [str(word) for word in container.get("args") or ()]
    entrypoint = command or list(image.entrypoint)
    arguments = args or ([] if command else list(image.command))
    workdir = str(container.get("workingDir") or image.workdir)
    read_text = partial(
        text_in_container, workdir=workdir, copied_paths=image.copied[::-1], folder=project.folder
    )
    replaced_key, server_command = "args", read_command(arguments, environment, read_text)
    if server_command is None:
        replaced_key = "command"
        server_command = read_command([*entrypoint, *arguments], environment, read_text)
    if server_command is None and not project.settings.app.is_default:
        server_command = ServerCommand("unknown", None)
    if server_command is None:
        words = " ".join([*entrypoint, *arguments]) or "what its image says (no Dockerfile is here)"
        label = f"{manifest['kind']} {manifest['metadata']['name']}"
        return f"{label}: container {container['name']} starts {words}"
    if replaced_key == "args" and not entrypoint:
        replaced_key = "command"
    port = _container_port(container, image, server_command, project)
    return Workload(manifest, container, server_command, replaced_key, workdir, port)


def _container_port(
    container: Mapping[str, Any], image: Image, server_command: ServerCommand, project: Project
) -> int:
    port = project.settings.port
    container_ports = (str(item.get("containerPort")) for item in container.get("ports") or ())
    candidates = [
        None if port.is_default else port.value,
        server_command.port,
        *(int(number) for number in container_ports if number.isdigit()),
        *image.ports,
    ]
    return next(filter(None, candidates), DEFAULT_SERVER_PORTS.get(server_command.server, 5000))


# What is written


class _BlockTextDumper(yaml.SafeDumper):
    """Scripts and patches as blocks, as a person writes them."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_BlockTextDumper.add_representer(str, _represent_text)


def _yaml_text(document: Any) -> str:
    text: str = yaml.dump(
        document, Dumper=_BlockTextDumper, sort_keys=False, allow_unicode=True, width=1000
    )
    return text


def _kustomization(
    overlay: KustomizeOverlay, workload: Workload, project: Project
) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [overlay.base_resource, CONFIG_MAP_FILE],
        "patches": [{"patch": _yaml_text(_workload_patch(workload, project))}],
        "replacements": [_image_replacement(workload)],
    }


def _image_replacement(workload: Workload) -> dict[str, Any]:
    """The init container's image is the container's, also where a kustomization has set that."""
    selected_workload = {"kind": workload.manifest["kind"], "name": workload.name}
    pod_path = "spec" if workload.manifest["kind"] == "Pod" else "spec.template.spec"
    source_path = f"{pod_path}.containers.[name={workload.container['name']}].image"
    target_path = f"{pod_path}.initContainers.[name={NAME}].image"
    return {
        "source": {**selected_workload, "fieldPath": source_path},
        "targets": [{"select": selected_workload, "fieldPaths": [target_path]}],
    }


def _config_map_text() -> str:
    """With its only long text as it is: YAML's emitter would look at each of a million characters
    several times, for seconds, and base64 needs no quotes."""
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}}
    return f"{_yaml_text(config_map)}binaryData:\n  launcher.tar.xz: {packed_bundle()}\n"


def _workload_patch(workload: Workload, project: Project) -> dict[str, Any]:
    """A strategic merge: lists of containers and volumes are merged by their names."""
    metadata = {"name": workload.name}
    if workload.manifest["metadata"].get("namespace"):
        metadata["namespace"] = workload.manifest["metadata"]["namespace"]
    pod_spec = {
        "initContainers": [_init_container(workload)],
        "containers": [_container_patch(workload, project)],
        "volumes": [
            {"name": NAME, "emptyDir": {}},
            {"name": f"{NAME}-archive", "configMap": {"name": NAME}},
            *([{"name": f"{NAME}-source", "emptyDir": {}}] if _copies_source(workload) else ()),
        ],
    }
    spec: dict[str, Any] = (
        pod_spec if workload.manifest["kind"] == "Pod" else {"template": {"spec": pod_spec}}
    )
    if workload.manifest["kind"] in ("Deployment", "StatefulSet", "ReplicaSet"):
        spec = {"replicas": 1, **spec}
    return {
        "apiVersion": workload.manifest["apiVersion"], "kind": workload.manifest["kind"],
        "metadata": metadata, "spec": spec,
    }  # fmt: skip


def _has_source(workload: Workload) -> bool:
    return workload.workdir != "/"


def _copies_source(workload: Workload) -> bool:
    """Not where the workload itself mounts the source."""
    volume_mounts = workload.container.get("volumeMounts") or ()
    mount_paths = {mount.get("mountPath") for mount in volume_mounts}
    return _has_source(workload) and workload.workdir not in mount_paths


def _init_container(workload: Workload) -> dict[str, Any]:
    """Of the same image and with the same rights."""
    script = (
        "import os, shutil\n"
        f"shutil.unpack_archive({ARCHIVE_FOLDER + '/launcher.tar.xz'!r}, {BUNDLE_IN_CONTAINER!r})\n"
    )
    volume_mounts = [
        {"name": NAME, "mountPath": BUNDLE_IN_CONTAINER},
        {"name": f"{NAME}-archive", "mountPath": ARCHIVE_FOLDER},
    ]
    if _copies_source(workload):
        script += (
            f"for one in os.scandir({workload.workdir!r}):\n"
            f"    target = os.path.join({SOURCE_FOLDER!r}, one.name)\n"
            "    if one.is_dir(follow_symlinks=False):\n"
            "        shutil.copytree(one.path, target, symlinks=True)\n"
            "    else:\n"
            "        shutil.copy2(one.path, target, follow_symlinks=False)\n"
        )
        volume_mounts.append({"name": f"{NAME}-source", "mountPath": SOURCE_FOLDER})
    same_keys = ("image", "imagePullPolicy", "securityContext", "resources")
    same_values = {key: workload.container[key] for key in same_keys if key in workload.container}
    command = [workload.server_command.python, "-c", script]
    return {"name": NAME, **same_values, "command": command, "volumeMounts": volume_mounts}


def _container_patch(workload: Workload, project: Project) -> dict[str, Any]:
    container = workload.container
    words = workload.server_command.replaced_by(
        [BUNDLE_IN_CONTAINER, *_launcher_flags(workload, project)]
    )
    # Kubernetes takes $(NAME) for a variable of its own.
    words = [word.replace("$(", "$$(") for word in words]
    patch: dict[str, Any] = {"name": container["name"], workload.replaced_key: words}
    if workload.replaced_key == "command":
        patch["args"] = []
    patch["volumeMounts"] = [{"name": NAME, "mountPath": BUNDLE_IN_CONTAINER}]
    if _copies_source(workload):
        mount = {"name": f"{NAME}-source", "mountPath": workload.workdir}
        patch["volumeMounts"].append(mount)
    environment = {item["name"]: item.get("value") for item in container.get("env") or ()}
    if environment.get("FLASK_ENV") == "production":
        patch["env"] = [{"name": "FLASK_ENV", "value": "development"}]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            patch[probe] = _tcp_probe(container[probe], workload.port)
    return patch


def _tcp_probe(probe: Mapping[str, Any], port: int) -> dict[str, Any]:
    """The launcher holds the port also while the app is stopped at a breakpoint."""
    removed_handlers = {name: None for name in ("httpGet", "exec", "grpc") if name in probe}
    return {**removed_handlers, "tcpSocket": {"port": port}}


def _launcher_flags(workload: Workload, project: Project) -> list[str]:
    path_mapping = f"{project.folder}={workload.workdir}" if _has_source(workload) else None
    default_flags = {
        "--app": workload.server_command.app_from_workdir,
        "--host": "0.0.0.0",
        "--port": str(workload.port),
        "--debug": "",
        "--debug-with": "debugpy",
        "--debug-connection": "listen",
        "--debug-host": "127.0.0.1",  # what `kubectl port-forward` dials inside of the pod
        "--debug-port": str(project.settings.debug_port.value),
        "--import-errors": "serve",
        "--path-mappings": path_mapping,
    }
    return [*flags_with_defaults(default_flags, project.flags), *project.flags]


def _notes(overlay: KustomizeOverlay, workload: Workload, project: Project) -> Iterator[str]:
    debug_port = project.settings.debug_port.value
    namespace = workload.manifest["metadata"].get("namespace")
    kubectl = f"kubectl -n {shlex.quote(str(namespace))}" if namespace else "kubectl"
    workload_name, overlay_folder = workload.reference, overlay.folder or "."
    forwarded_ports = f"{workload.port}:{workload.port} {debug_port}:{debug_port}"
    # Server-side: an annotation with all of it, as apply keeps one else, would be too large.
    yield f"apply: {kubectl} apply --server-side --force-conflicts -k {overlay_folder}"
    yield f"port-forward: {kubectl} port-forward {workload_name} {forwarded_ports}"
    # Without `.` itself, which may be root's: tar would say that it can't set its time.
    untar = f"{kubectl} exec -i {workload_name} -c {workload.container['name']} -- tar -xf - -C"
    yield (
        f"sync: tar -cf - * | {untar} {workload.workdir} (at each save: Skaffold's"
        " or Tilt's file sync)"
    )
    path_mapping = f"'${{workspaceFolder}}={Path(workload.workdir).as_posix()}'"
    yield f"IDE: `ide vscode --with docker --path-mappings {path_mapping}` attaches"

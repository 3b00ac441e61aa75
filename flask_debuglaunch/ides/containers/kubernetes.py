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

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides.containers.dockerfile import Image, read_image, text_in_container
from flask_debuglaunch.ides.containers.launcher_bundle import IN_CONTAINER, packed
from flask_debuglaunch.ides.ide_interface import ContainerFileEdits, EditRefused, FileEdit
from flask_debuglaunch.ides.opened_project import Project
from flask_debuglaunch.wsgi_server_commands import DEFAULT_SERVER_PORTS, ServerCommand, read_command

MARK = "# Written by `python -m flask_debuglaunch ide kubernetes"
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod")
NAME: Final = "flask-debuglaunch"
ARCHIVE_FOLDER: Final = "/opt/flask-debuglaunch-archive"
SOURCE_FOLDER: Final = "/opt/flask-debuglaunch-source"


@dataclass(frozen=True)
class Workload:
    """A workload of the manifest, and the one of its containers that serves the app."""

    where: str
    document: Mapping[str, Any]
    container: Mapping[str, Any]
    served: ServerCommand
    replaces: str
    """What of the container the launcher takes the place of: its `command`, or its `args`."""
    workdir: str
    port: int

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def reference(self) -> str:
        """As kubectl takes it."""
        kind = str(self.document["kind"]).lower()
        return f"{kind}/{self.name}"


@dataclass(frozen=True)
class Overlay:
    """folder: of the kustomization, relative to the project. resource: what it is put over."""

    folder: str
    resource: str

    def path(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self.folder, name))


def kubernetes_files(project: Project, manifest: str | None) -> ContainerFileEdits:
    """The overlay for the workload of a manifest. Raises LaunchError."""
    if manifest is None:
        raise LaunchError("argv:kubernetes: which manifest? Name the file of the Deployment")
    overlay = _overlay_of(manifest, project)
    workload = _workload(manifest, project)
    flags = "".join(f" {flag}" for flag in project.flags)
    mark = f"{MARK} {manifest}{flags}`, which writes it anew.\n"
    texts = {
        "kustomization.yaml": mark + _dump(_kustomization(overlay, workload, project)),
        f"{NAME}.yaml": mark + _config_map(),
    }
    files = [
        FileEdit(overlay.path(name), partial(_unless_theirs, text)) for name, text in texts.items()
    ]
    return ContainerFileEdits(files, list(_notes(overlay, workload, project)))


def _unless_theirs(text: str, present: str | None) -> str:
    if present is not None and not present.startswith(MARK):
        raise EditRefused(1, 1, f"it is not of `ide kubernetes`, which begins with {MARK!r}")
    return text


def _overlay_of(manifest: str, project: Project) -> Overlay:
    """Kustomize takes files from inside its folder only, and folders that have a kustomization."""
    folder = posixpath.dirname(posixpath.normpath(manifest))
    if posixpath.isabs(manifest) or folder.startswith(".."):
        raise LaunchError(
            f"argv:{manifest}: is not in this folder. Give the command in its project"
        )
    parent = posixpath.dirname(folder)
    has_own = any((project.folder / folder / one).exists() for one in KUSTOMIZATIONS)
    if not has_own or _is_ours(project, posixpath.join(folder, KUSTOMIZATIONS[0])):
        return Overlay(parent, posixpath.relpath(manifest, parent or "."))
    if not folder:
        raise LaunchError(
            f"{manifest}: its kustomization is in the project's own folder, and an overlay can't be"
            " inside of what it is put over. Move both into a folder, such as kubernetes/"
        )
    base = posixpath.basename(folder)
    return Overlay(posixpath.join(parent, f"{base}-debug"), f"../{base}")


def _is_ours(project: Project, path: str) -> bool:
    return (project.read_text(path) or "").startswith(MARK)


# The workload


def _workload(manifest: str, project: Project) -> Workload:
    """The one that serves a Flask app. Raises LaunchError if there is none, or more than one."""
    image = _image(project)
    workloads: list[Workload] = []
    refused: list[str] = []
    for document in _documents(manifest, project):
        where = f"{document['kind']} {document['metadata']['name']}"
        for container in _named(_pod(document), "containers", f"{manifest}: {where}"):
            _named(container, "env", f"{manifest}: {where}: container {container['name']}")
            one = _served_by(where, document, container, image, project)
            if isinstance(one, Workload):
                workloads.append(one)
            else:
                refused.append(one)
    if len(workloads) == 1:
        return workloads[0]
    if workloads:
        names = ", ".join(one.reference for one in workloads)
        raise LaunchError(f"{manifest}: several serve an app: {names}. Give each a file of its own")
    said = "; ".join(refused) or f"it has no {', '.join(KINDS)}"
    hint = "" if not refused else ". If that serves one, name it, as in --app shop:app"
    raise LaunchError(f"{manifest}: has no Flask app: {said}{hint}")


def _documents(manifest: str, project: Project) -> Iterator[Mapping[str, Any]]:
    text = project.read_text(manifest)
    if text is None:
        raise LaunchError(f"argv:{manifest}: there is no such file")
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        if "{{" in text:
            raise LaunchError(
                f"{manifest}: is a template of Helm's, and no manifest. Write one from it by"
                " `helm template`, and name that"
            ) from None
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise LaunchError(f"{manifest}{place}: not valid YAML: {problem}") from None
    for one in documents:
        is_one = isinstance(one, dict) and one.get("kind") in KINDS
        if is_one and isinstance(one.get("metadata"), dict) and one["metadata"].get("name"):
            yield one


def _pod(document: Mapping[str, Any]) -> Mapping[str, Any]:
    spec: Any = document
    for name in ("spec",) if document["kind"] == "Pod" else ("spec", "template", "spec"):
        spec = spec.get(name) if isinstance(spec, Mapping) else None
    return spec if isinstance(spec, Mapping) else {}


def _named(owner: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    """A list in which each has a name, as of containers and variables."""
    found = owner.get(key) or []
    if isinstance(found, list) and all(isinstance(one, dict) and "name" in one for one in found):
        return found
    raise LaunchError(f"{where}: its `{key}` are expected as a list, each with its `name`")


def _image(project: Project) -> Image:
    """By the project's own Dockerfile, if there is one: a manifest may leave to it what is
    started, and where."""
    for name in ("Dockerfile", "Containerfile"):
        text = project.read_text(name)
        if text is not None:
            return read_image(text, name, project.folder, target=None, arguments={})
    return Image()


def _served_by(
    where: str,
    document: Mapping[str, Any],
    container: Mapping[str, Any],
    image: Image,
    project: Project,
) -> Workload | str:
    """The workload, or why the container is none."""
    own = {one["name"]: str(one.get("value", "")) for one in container.get("env") or ()}
    environment = {**image.environment, **own}
    command = [str(word) for word in container.get("command") or ()]
    args = [str(word) for word in container.get("args") or ()]
    entrypoint = command or list(image.entrypoint)
    arguments = args or ([] if command else list(image.command))
    workdir = str(container.get("workingDir") or image.workdir)
    read = partial(
        text_in_container, workdir=workdir, copied=image.copied[::-1], folder=project.folder
    )
    replaces, served = "args", read_command(arguments, environment, read)
    if served is None:
        replaces = "command"
        served = read_command([*entrypoint, *arguments], environment, read)
    if served is None and not project.settings.app.is_default:
        served = ServerCommand("unknown", None)
    if served is None:
        words = " ".join([*entrypoint, *arguments]) or "what its image says (no Dockerfile is here)"
        return f"{where}: container {container['name']} starts {words}"
    if replaces == "args" and not entrypoint:
        replaces = "command"
    named = (str(one.get("containerPort")) for one in container.get("ports") or ())
    ports = [int(port) for port in named if port.isdigit()]
    given = project.settings.port
    candidates = [None if given.is_default else given.value, served.port, *ports, *image.ports]
    port = next((one for one in candidates if one), DEFAULT_SERVER_PORTS.get(served.server, 5000))
    return Workload(where, document, container, served, replaces, workdir, port)


# What is written


class _Dumper(yaml.SafeDumper):
    """Scripts and patches as blocks, as a person writes them."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _represent_text)


def _dump(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return text


def _kustomization(overlay: Overlay, workload: Workload, project: Project) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [overlay.resource, f"{NAME}.yaml"],
        "patches": [{"patch": _dump(_patch(workload, project))}],
        "replacements": [_same_image(workload)],
    }


def _same_image(workload: Workload) -> dict[str, Any]:
    """The init container's image is the container's, also where a kustomization has set that."""
    chosen = {"kind": workload.document["kind"], "name": workload.name}
    pod = "spec" if workload.document["kind"] == "Pod" else "spec.template.spec"
    source = f"{pod}.containers.[name={workload.container['name']}].image"
    target = f"{pod}.initContainers.[name={NAME}].image"
    return {
        "source": {**chosen, "fieldPath": source},
        "targets": [{"select": chosen, "fieldPaths": [target]}],
    }


def _config_map() -> str:
    """With its only long text as it is: YAML's emitter would look at each of a million characters
    several times, for seconds, and base64 needs no quotes."""
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}}
    return f"{_dump(head)}binaryData:\n  launcher.tar.xz: {packed()}\n"


def _patch(workload: Workload, project: Project) -> dict[str, Any]:
    """A strategic merge: lists of containers and volumes are merged by their names."""
    document = workload.document
    metadata = {"name": workload.name}
    if document["metadata"].get("namespace"):
        metadata["namespace"] = document["metadata"]["namespace"]
    pod = {
        "initContainers": [_init_container(workload)],
        "containers": [_container(workload, project)],
        "volumes": [
            {"name": NAME, "emptyDir": {}},
            {"name": f"{NAME}-archive", "configMap": {"name": NAME}},
            *([{"name": f"{NAME}-source", "emptyDir": {}}] if _copies_source(workload) else ()),
        ],
    }
    spec: dict[str, Any] = pod if document["kind"] == "Pod" else {"template": {"spec": pod}}
    if document["kind"] in ("Deployment", "StatefulSet", "ReplicaSet"):
        spec = {"replicas": 1, **spec}
    return {
        "apiVersion": document["apiVersion"], "kind": document["kind"],
        "metadata": metadata, "spec": spec,
    }  # fmt: skip


def _has_source(workload: Workload) -> bool:
    return workload.workdir != "/"


def _copies_source(workload: Workload) -> bool:
    """Not where the workload itself mounts the source."""
    mounted = {one.get("mountPath") for one in workload.container.get("volumeMounts") or ()}
    return _has_source(workload) and workload.workdir not in mounted


def _init_container(workload: Workload) -> dict[str, Any]:
    """Of the same image and with the same rights."""
    script = (
        "import os, shutil\n"
        f"shutil.unpack_archive({ARCHIVE_FOLDER + '/launcher.tar.xz'!r}, {IN_CONTAINER!r})\n"
    )
    mounts = [
        {"name": NAME, "mountPath": IN_CONTAINER},
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
        mounts.append({"name": f"{NAME}-source", "mountPath": SOURCE_FOLDER})
    same = ("image", "imagePullPolicy", "securityContext", "resources")
    kept = {name: workload.container[name] for name in same if name in workload.container}
    command = [workload.served.python, "-c", script]
    return {"name": NAME, **kept, "command": command, "volumeMounts": mounts}


def _container(workload: Workload, project: Project) -> dict[str, Any]:
    container = workload.container
    words = workload.served.replaced_by([IN_CONTAINER, *_flags(workload, project)])
    # Kubernetes takes $(NAME) for a variable of its own.
    words = [word.replace("$(", "$$(") for word in words]
    patch: dict[str, Any] = {"name": container["name"], workload.replaces: words}
    if workload.replaces == "command":
        patch["args"] = []
    patch["volumeMounts"] = [{"name": NAME, "mountPath": IN_CONTAINER}]
    if _copies_source(workload):
        mount = {"name": f"{NAME}-source", "mountPath": workload.workdir}
        patch["volumeMounts"].append(mount)
    own = {one["name"]: one.get("value") for one in container.get("env") or ()}
    if own.get("FLASK_ENV") == "production":
        patch["env"] = [{"name": "FLASK_ENV", "value": "development"}]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            patch[probe] = _relaxed(container[probe], workload.port)
    return patch


def _relaxed(probe: Mapping[str, Any], port: int) -> dict[str, Any]:
    """The launcher holds the port also while the app is stopped at a breakpoint."""
    asked = {name: None for name in ("httpGet", "exec", "grpc") if name in probe}
    return {**asked, "tcpSocket": {"port": port}}


def _flags(workload: Workload, project: Project) -> list[str]:
    served = workload.served
    app = served.app and (
        posixpath.join(served.folder, served.app) if served.folder else served.app
    )
    own = {
        "app": app,
        "host": "0.0.0.0",
        "port": str(workload.port),
        "debug": "",
        "debug-with": "debugpy",
        "debug-connection": "listen",
        "debug-host": "127.0.0.1",  # what `kubectl port-forward` dials inside of the pod
        "debug-port": str(project.settings.debug_port.value),
        "import-errors": "serve",
        "path-mappings": f"{project.folder}={workload.workdir}" if _has_source(workload) else None,
    }
    given = {flag.partition("=")[0] for flag in project.flags}
    flags = [
        f"--{name}" + (f"={text}" if text else "")
        for name, text in own.items()
        if text is not None and f"--{name}" not in given
    ]
    return [*flags, *project.flags]


def _notes(overlay: Overlay, workload: Workload, project: Project) -> Iterator[str]:
    debug_port = project.settings.debug_port.value
    namespace = workload.document["metadata"].get("namespace")
    kubectl = f"kubectl -n {shlex.quote(str(namespace))}" if namespace else "kubectl"
    name, folder = workload.reference, overlay.folder or "."
    ports = f"{workload.port}:{workload.port} {debug_port}:{debug_port}"
    # Server-side: an annotation with all of it, as apply keeps one else, would be too large.
    yield f"apply: {kubectl} apply --server-side --force-conflicts -k {folder}"
    yield f"port-forward: {kubectl} port-forward {name} {ports}"
    # Without `.` itself, which may be root's: tar would say that it can't set its time.
    sync = f"{kubectl} exec -i {name} -c {workload.container['name']} -- tar -xf - -C"
    yield (
        f"sync: tar -cf - * | {sync} {workload.workdir} (at each save: Skaffold's"
        " or Tilt's file sync)"
    )
    root = Path(workload.workdir).as_posix()
    yield f"IDE: `ide vscode --with docker --path-mappings '${{workspaceFolder}}={root}'` attaches"

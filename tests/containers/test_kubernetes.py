"""The overlay of `ide kubernetes`: kustomize takes it, and what comes out runs in real containers.

No cluster is here: what the kubelet makes of a pod is done by hand, container by container.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..support.processes import TIMEOUT, Program
from ..support.requirements import require
from .compose_shop import ENGINE, Shop, engine, stops_before_and_after_a_save
from .port_forwarding import port_forwarded

MANIFEST = """\
    apiVersion: v1
    kind: Service
    metadata: {name: shop}
    spec: {selector: {app: shop}, ports: [{port: 80, targetPort: 8000}]}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: shop}
    spec:
      replicas: 3
      selector: {matchLabels: {app: shop}}
      template:
        metadata: {labels: {app: shop}}
        spec:
          containers:
            - name: web
              image: IMAGE
              env: [{name: SHOP_MODE, value: cod}]
              ports: [{containerPort: 8000}]
              securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true}
              livenessProbe: {httpGet: {path: /mode, port: 8000}, periodSeconds: 2}
              readinessProbe: {exec: {command: [cat, /tmp/ready]}}
    """
RIGHTS = ["--user=1000", "--read-only", "--read-only-tmpfs=false", "--cap-drop=all"]


@pytest.fixture
def kubectl() -> None:
    missing = None if shutil.which("kubectl") else "kubectl is not on PATH"
    require("kubectl", missing=missing)


def kustomized(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stderr
    # The launcher is in it, more than a million characters: seconds for the loader in Python.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list(yaml.load_all(done.stdout, Loader=loader))


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(one for one in documents if one["kind"] == kind)


@pytest.mark.slow
@pytest.mark.usefixtures("kubectl")
def test_the_overlay_runs_and_is_debugged_through_a_forwarded_port(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = "localhost/debuglaunch-kubernetes"  # it stays, and is built in no time
    shop.write({"kubernetes/deployment.yaml": MANIFEST.replace("IMAGE", image)})
    assert engine("podman", "build", "-q", "-t", image, ".", cwd=shop.folder).returncode == 0
    done = shop.ide("kubernetes", "kubernetes/deployment.yaml", f"--debug-port={shop.debug_port}")
    assert done.returncode == 0, done.stderr
    assert "kubectl apply --server-side --force-conflicts -k .\n" in done.stderr
    assert f"port-forward deployment/shop 8000:8000 {shop.debug_port}:" in done.stderr

    documents = kustomized(shop.folder)
    deployment = of_kind(documents, "Deployment")
    assert deployment["spec"]["replicas"] == 1
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == image
    assert container["securityContext"] == {"runAsUser": 1000, "readOnlyRootFilesystem": True}
    assert container["livenessProbe"] == {"tcpSocket": {"port": 8000}, "periodSeconds": 2}
    assert container["readinessProbe"] == {"tcpSocket": {"port": 8000}}

    volumes = volumes_of(pod, documents, tmp_path_factory.mktemp("pod"))
    with ExitStack() as cleanup:
        prepared = engine("podman", "run", "--rm", *run(pod["initContainers"][0], volumes))
        assert prepared.returncode == 0, prepared.stderr
        name = f"kubernetes{shop.port}"
        cleanup.callback(engine, "podman", "rm", "--force", "--time", "0", name)
        argv = [ENGINE, "podman", "run", f"--name={name}", *run(container, volumes)]
        program = cleanup.enter_context(Program(argv))
        program.wait_for_line("Running on")
        pid = int(engine("podman", "inspect", "--format", "{{.State.Pid}}", name).stdout)
        forwarded = replace(
            shop,
            port=cleanup.enter_context(port_forwarded(pid, 8000)),
            debug_port=cleanup.enter_context(port_forwarded(pid, shop.debug_port)),
        )

        def sync() -> None:
            """As it is printed, with the engine in kubectl's place."""
            (printed,) = re.findall(r"sync: (.*) \(at each save", done.stderr)
            kubectl = "kubectl exec -i deployment/shop -c web --"
            assert kubectl in printed
            command = printed.replace(kubectl, f"{ENGINE} podman exec -i {name}")
            synced = subprocess.run(
                ["sh", "-c", command], cwd=shop.folder, capture_output=True, text=True, timeout=60
            )
            assert (synced.returncode, synced.stderr) == (0, "")

        stops_before_and_after_a_save(forwarded, program, "/app", sync)
        assert forwarded.text("/mode") == "cod"
        assert f"vscode://file{shop.folder}/shop.py:" in forwarded.text("/fail")


def volumes_of(
    pod: dict[str, Any], documents: list[dict[str, Any]], folder: Path
) -> dict[str, Path]:
    """Each as the kubelet has it: an empty folder for all, or a file for each of a map's keys."""
    found = {}
    for volume in pod["volumes"]:
        path = found[volume["name"]] = folder / volume["name"]
        path.mkdir()
        path.chmod(0o777)
        if "configMap" in volume:
            for name, content in of_kind(documents, "ConfigMap")["binaryData"].items():
                (path / name).write_bytes(base64.b64decode(content))
                assert (path / name).stat().st_size < 2**20  # Kubernetes' limit
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    return found


def run(container: dict[str, Any], volumes: dict[str, Path]) -> list[str]:
    """The arguments of `podman run` for a container of the pod."""
    mounts = [
        f"--volume={volumes[one['name']]}:{one['mountPath']}" for one in container["volumeMounts"]
    ]
    variables = [f"--env={one['name']}={one['value']}" for one in container.get("env", ())]
    entrypoint, *command = container["command"]
    return [
        *RIGHTS, *mounts, *variables, f"--entrypoint={entrypoint}",
        container["image"], *command, *container.get("args", ()),
    ]  # fmt: skip


def test_what_is_written_is_not_taken_for_a_configuration(shop: Shop) -> None:
    (shop.folder / "config.yaml").unlink(missing_ok=True)
    shop.write({"kubernetes/deployment.yaml": MANIFEST.replace("IMAGE", "shop:1")})
    for ide in (["kubernetes", "kubernetes/deployment.yaml"], ["vscode"]):
        done = shop.ide(*ide)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("kubectl")
def test_over_a_kustomization_of_the_projects_own(shop: Shop) -> None:
    files = {
        "kubernetes/deployment.yaml": MANIFEST.replace("IMAGE", "shop:1"),
        "kubernetes/kustomization.yaml": "resources: [deployment.yaml]\nimages: [{name: shop, newTag: '2'}]\n",
    }
    shop.write(files)
    done = shop.ide("kubernetes", "kubernetes/deployment.yaml")
    assert done.returncode == 0, done.stderr
    deployment = of_kind(kustomized(shop.folder / "kubernetes-debug"), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    containers = [*pod["containers"], *pod["initContainers"]]
    assert {one["image"] for one in containers} == {"shop:2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "argv:k8s/shop.yaml: there is no such file"),
        ("kind: [", "k8s/shop.yaml:1:8: not valid YAML"),
        ("kind: Service\n", "k8s/shop.yaml: has no Flask app: it has no Deployment"),
        (
            "kind: Deployment\nmetadata: {name: {{ .Values.name }}}\n",
            "k8s/shop.yaml: is a template of Helm's, and no manifest",
        ),
        (
            "kind: Pod\nmetadata: {name: a}\nspec: {containers: {name: web}}\n",
            "k8s/shop.yaml: Pod a: its `containers` are expected as a list",
        ),
        (
            MANIFEST.replace("IMAGE", "redis"),
            "Deployment shop: container web starts what its image says",
        ),
    ],
)
def test_a_manifest_that_is_none(shop: Shop, text: str | None, message: str) -> None:
    (shop.folder / "Dockerfile").unlink()
    if text is not None:
        shop.write({"k8s/shop.yaml": text})
    before = sorted(shop.folder.rglob("*"))
    done = shop.ide("kubernetes", "k8s/shop.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert sorted(shop.folder.rglob("*")) == before

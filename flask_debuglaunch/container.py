"""Is this process in a container, and from where can that be reached?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# What each engine leaves in its containers; podman and systemd-nspawn also set `container`.
MARKS = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}


DOCKER_DESKTOP_GATEWAY = "192.168.65.1"
"""What comes through a published port has this address in Docker Desktop's virtual machine (seen by
jdubois/boot-ui#339 and docker/desktop-feedback): its own proxy on the developer's machine."""


@dataclass(frozen=True)
class Container:
    """engine: "docker", "podman", "kubernetes", ... gateways: the addresses that clients have who
    come through a published port; none in a container that shares its host's network."""

    engine: str
    gateways: tuple[str, ...] = ()


def observe_container(environ: Mapping[str, str], root: Path = Path("/")) -> Container | None:
    """The container that this process is in. root: where /proc and /sys are."""
    engine = _engine(environ, root)
    if engine is None:
        return None
    return Container(engine, tuple(_gateways(root)) if _has_own_network(root) else ())


def _engine(environ: Mapping[str, str], root: Path) -> str | None:
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    for mark, engine in MARKS.items():
        if (root / mark.lstrip("/")).exists():
            return engine
    return environ.get("container")


def _has_own_network(root: Path) -> bool:
    """The interfaces of a container (veth, tap) belong to no device; those of a machine do, and
    are seen in a container that shares its network (`--network=host`)."""
    interfaces = list((root / "sys/class/net").glob("*"))
    return bool(interfaces) and not any((one / "device").exists() for one in interfaces)


def _gateways(root: Path) -> Iterator[str]:
    """Docker Desktop's, and those of the default routes: the kernel's tables, proc(5) and
    net/ipv6/route.c."""
    import socket
    import struct

    if _is_in_docker_desktop(root):
        yield DOCKER_DESKTOP_GATEWAY
    for row in _rows(root / "proc/net/route"):
        if row[1] == "00000000" and row[2] != "00000000":
            yield socket.inet_ntoa(struct.pack("=I", int(row[2], 16)))
    for row in _rows(root / "proc/net/ipv6_route"):
        if row[1] == "00" and row[4].strip("0"):
            yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[4]))


def _is_in_docker_desktop(root: Path) -> bool:
    """By its kernel: elsewhere that address may be anybody's."""
    release = root / "proc/sys/kernel/osrelease"
    return release.exists() and release.read_text().strip().endswith("-linuxkit")


def _rows(table: Path) -> list[list[str]]:
    lines = table.read_text().splitlines() if table.exists() else []
    return [line.split() for line in lines]

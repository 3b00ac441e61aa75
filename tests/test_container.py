"""Which clients of a container are the person at the machine: by the files that the kernel shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_debuglaunch.detect_environment import Container, observe_container

from .apps.project import write

ROUTES = """\
Iface   Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0    00000000    010011AC 0003 0      0   0      00000000 0 0 0
eth0    000011AC    00000000 0001 0      0   0      0000FFFF 0 0 0
"""


@pytest.mark.parametrize(
    ("kernel", "gateways"),
    [
        ("6.1.0-18-amd64", ("172.17.0.1",)),
        ("6.10.14-linuxkit", ("192.168.65.1", "172.17.0.1")),  # Docker Desktop
    ],
)
def test_what_comes_through_the_engine_is_this_machine(
    tmp_path: Path, kernel: str, gateways: tuple[str, ...]
) -> None:
    files = {".dockerenv": "", "sys/class/net/eth0/mtu": "", "proc/net/route": ROUTES}
    write(tmp_path, {**files, "proc/sys/kernel/osrelease": f"{kernel}\n"})
    assert observe_container({}, tmp_path) == Container("docker", gateways)


def test_on_the_hosts_network_anybody_comes(tmp_path: Path) -> None:
    files = {".dockerenv": "", "sys/class/net/eth0/device/vendor": "", "proc/net/route": ROUTES}
    write(tmp_path, {**files, "proc/sys/kernel/osrelease": "6.10.14-linuxkit\n"})
    assert observe_container({}, tmp_path) == Container("docker")

"""What is true of this process and this machine, observed once, before anything is decided.

Is it in a production server, a container, the terminal of an IDE, under a debugger; and from where
can it be reached?
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.debuggers.debugger_interface import Presence
from flask_debuglaunch.debuggers.known_debuggers import present_debugger
from flask_debuglaunch.native_threads import is_main_thread

# A worker of some other Werkzeug server left them behind: with WERKZEUG_SERVER_FD the server would
# serve on a descriptor that is not there; FLASK_RUN_FROM_CLI makes app.run() return at once.
STALE_VARIABLES = ("WERKZEUG_RUN_MAIN", "WERKZEUG_SERVER_FD", "FLASK_RUN_FROM_CLI")
# Set in every terminal of VS Code and Cursor by their Python Debugger: the file it watches, and at
# whose debug port it attaches (README of microsoft/vscode-python-debugger, "No-config debugging").
ENDPOINTS_VARIABLE = "VSCODE_DEBUGPY_ADAPTER_ENDPOINTS"
# What each engine leaves in its containers; podman and systemd-nspawn also set `container`.
CONTAINER_ENGINE_MARKS = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
DOCKER_DESKTOP_GATEWAY = "192.168.65.1"
"""What comes through a published port has this address in Docker Desktop's virtual machine (seen by
jdubois/boot-ui#339 and docker/desktop-feedback): its own proxy on the developer's machine."""


@dataclass(frozen=True)
class Facts:
    """The observed facts that decisions rest on."""

    folder: Path
    python: tuple[int, int]
    platform: str
    has_fork: bool = True
    """Does this Python have os.fork?"""
    present: str | None = None
    presence: Presence | None = None
    production: str | None = None
    """The production server that runs this process."""
    stale_variables: tuple[str, ...] = ()
    endpoints_file: Path | None = None
    container: Container | None = None
    program_folder: Path | None = None
    """Where the program is that hands over its app: run(app); None if the app is to be imported."""
    is_main_thread: bool = True
    login: str = ""
    """USER@HOST of who has logged in here, as ssh takes it."""

    @property
    def can_fork(self) -> bool:
        # macOS can fork too, but its system libraries may crash in the child.
        return self.platform == "linux" and self.has_fork


def observe(environ: Mapping[str, str] = os.environ, *, app_is_given: bool = False) -> Facts:
    """Look at this process. Imports no debugger. app_is_given: its program has made the app."""
    present = present_debugger()
    return Facts(
        folder=Path.cwd(),
        python=(sys.version_info[0], sys.version_info[1]),
        platform=sys.platform,
        has_fork=hasattr(os, "fork"),
        present=present.debugger.name if present else None,
        presence=present.presence if present else None,
        production=production_server(environ),
        stale_variables=tuple(name for name in STALE_VARIABLES if name in environ),
        endpoints_file=_endpoints_file(environ),
        container=observe_container(environ),
        program_folder=_program_folder() if app_is_given else None,
        is_main_thread=is_main_thread(),
        login=_ssh_login(environ),
    )


def _ssh_login(environ: Mapping[str, str]) -> str:
    """The person, who may have become another user since, at the address that ssh has led to."""
    user_variables = ("SUDO_USER", "LOGNAME", "USER", "USERNAME")
    person = (
        next((environ[name] for name in user_variables if environ.get(name)), None)
        or _name_of_this_account()
    )
    ssh_connection = environ.get("SSH_CONNECTION", "").split()  # client, port, server, port: ssh(1)
    this_host = (
        os.uname().nodename if sys.platform != "win32" else environ.get("COMPUTERNAME", "HOST")
    )
    return f"{person}@{ssh_connection[2] if len(ssh_connection) == 4 else this_host}"


def _name_of_this_account() -> str:
    if sys.platform == "win32":
        return "USER"
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's number without a name
        return "USER"


def _program_folder() -> Path:
    """The folder of the sources: of a console script, `-c` or a prompt nobody knows it."""
    program = getattr(sys.modules["__main__"], "__file__", None)
    return Path(program).absolute().parent if program and program.endswith(".py") else Path.cwd()


def _endpoints_file(environ: Mapping[str, str]) -> Path | None:
    endpoints_file = Path(environ.get(ENDPOINTS_VARIABLE, ""))
    # The variable outlives the extension, and debugpy's adapter ends if it can't write the file.
    is_usable = endpoints_file.is_absolute() and endpoints_file.parent.is_dir()
    return endpoints_file if is_usable else None


def production_server(environ: Mapping[str, str] = os.environ) -> str | None:
    """The production server that runs this process."""
    if environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
        return "gunicorn"
    if "UWSGI_ORIGINAL_PROC_NAME" in environ:
        return "uwsgi"
    # uWSGI puts a module of this name into its own processes, and nowhere else.
    if "uwsgi" in sys.modules:
        return "uwsgi"
    # pip's mod_wsgi is a package that any program can import: inside of Apache it has a version.
    return "mod_wsgi" if hasattr(sys.modules.get("mod_wsgi"), "version") else None


def running_tests(environ: Mapping[str, str] = os.environ) -> str | None:
    """The test runner that this very process is; its variables alone are inherited by others."""
    is_pytest = "_pytest" in sys.modules and "PYTEST_VERSION" in environ
    return "pytest" if is_pytest else None


# The container


@dataclass(frozen=True)
class Container:
    """engine: "docker", "podman", "kubernetes", ... gateways: the addresses that clients have who
    come through a published port; none in a container that shares its host's network."""

    engine: str
    gateways: tuple[str, ...] = ()


def observe_container(environ: Mapping[str, str], root: Path = Path("/")) -> Container | None:
    """The container that this process is in. root: where /proc and /sys are."""
    engine = _container_engine(environ, root)
    if engine is None:
        return None
    return Container(engine, tuple(_gateways(root)) if _has_own_network(root) else ())


def _container_engine(environ: Mapping[str, str], root: Path) -> str | None:
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    for mark_file, engine in CONTAINER_ENGINE_MARKS.items():
        if (root / mark_file.lstrip("/")).exists():
            return engine
    return environ.get("container")


def _has_own_network(root: Path) -> bool:
    """The interfaces of a container (veth, tap) belong to no device; those of a machine do, and
    are seen in a container that shares its network (`--network=host`)."""
    network_interfaces = list((root / "sys/class/net").glob("*"))
    return bool(network_interfaces) and not any(
        (interface / "device").exists() for interface in network_interfaces
    )


def _gateways(root: Path) -> Iterator[str]:
    """Docker Desktop's, and those of the default routes: the kernel's tables, proc(5) and
    net/ipv6/route.c."""
    import socket
    import struct

    if _is_in_docker_desktop(root):
        yield DOCKER_DESKTOP_GATEWAY
    for route in _routing_table_rows(root / "proc/net/route"):
        if route[1] == "00000000" and route[2] != "00000000":
            yield socket.inet_ntoa(struct.pack("=I", int(route[2], 16)))
    for route in _routing_table_rows(root / "proc/net/ipv6_route"):
        if route[1] == "00" and route[4].strip("0"):
            yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(route[4]))


def _is_in_docker_desktop(root: Path) -> bool:
    """By its kernel: elsewhere that address may be anybody's."""
    kernel_release = root / "proc/sys/kernel/osrelease"
    return kernel_release.exists() and kernel_release.read_text().strip().endswith("-linuxkit")


def _routing_table_rows(routing_table: Path) -> list[list[str]]:
    table_lines = routing_table.read_text().splitlines() if routing_table.exists() else []
    return [line.split() for line in table_lines]

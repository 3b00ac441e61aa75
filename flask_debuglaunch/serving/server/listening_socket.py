"""The listening socket: bound before the app is loaded, kept over restarts."""

from __future__ import annotations

import errno
import socket
import sys
from dataclasses import replace
from typing import Any

from flask_debuglaunch.errors import LaunchError, another_port
from flask_debuglaunch.plan import Decision, Plan
from flask_debuglaunch.procfs import owner_of_port
from flask_debuglaunch.startup_banner import tunnel_command
from flask_debuglaunch.terminal_messages import say

_ADDRESS_HINT = "Give an address of this machine, such as 127.0.0.1, with --host"
_LOOPBACK_OF_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
LISTEN_BACKLOG = 128  # Werkzeug's; the kernel may allow less


def bind_listener(plan: Plan) -> socket.socket:
    """The socket that the app is served on. Raises LaunchError (status 1) if it can't be had."""
    host, port = plan.host.value, plan.port.value
    family, address = _resolve_address(plan, host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        _set_address_reuse(listener)
        listener.bind(address)
        listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE and _is_port_of_service(plan):
            holder = _holder_of_port(port)
            say(f"Port {port} is in use{holder}, which is left alone: a free one is taken")
            return bind_listener(replace(plan, port=Decision(0, f"{port} is in use")))
        raise LaunchError(_why_not_bound(error, plan), exit_status=1) from None
    _accept_with_data_only(listener)
    # Several processes share it; one that lost the race for a connection must not block.
    listener.setblocking(False)
    return listener


def _is_port_of_service(plan: Plan) -> bool:
    """Has nobody asked for this very port, beside a service that runs?"""
    is_port_asked_for = str(plan.settings.port.origin).startswith("argv:")
    return plan.deployed is not None and plan.deployed.service is not None and not is_port_asked_for


def url_of_listener(
    listener: socket.socket, *, tls: bool, published_port: int | None = None
) -> str:
    """Where a browser on this machine finds it; published_port: the port that a container's is
    there, if it is another one."""
    host, port = listener.getsockname()[:2]
    reachable_host = _LOOPBACK_OF_ANY_ADDRESS.get(host, host)
    host_in_url = f"[{reachable_host}]" if ":" in reachable_host else reachable_host
    return f"{'https' if tls else 'http'}://{host_in_url}:{published_port or port}"


def say_address(listener: socket.socket, plan: Plan) -> None:
    """Where the app is, when it is; and how others find it, where they can."""
    tls = plan.settings.cert.value is not None
    is_published_here = bool(plan.local_clients.value)
    # In no style: VS Code's serverReadyAction takes what stands behind the words for the address.
    say(f"Running on {url_of_listener(listener, tls=tls, published_port=plan.published_port)}")
    host, port = listener.getsockname()[:2]
    reaches_others = host in _LOOPBACK_OF_ANY_ADDRESS and not is_published_here
    address_in_network = _address_of_this_machine(listener.family) if reaches_others else None
    if address_in_network is not None:
        host_in_url = f"[{address_in_network}]" if ":" in address_in_network else address_in_network
        say(f"Other machines find it at {'https' if tls else 'http'}://{host_in_url}:{port}")
    if plan.tunnel_to.value is not None:
        say(f"On your own machine, to reach it there: {tunnel_command(plan, port)}")
    say("Press CTRL+C to quit", fg="yellow")


def _address_of_this_machine(family: socket.AddressFamily) -> str | None:
    """In its network; None if it is in none. No packet is sent: UDP only looks for the way.

    The addresses are those that Werkzeug asks for, of networks that exist nowhere else."""
    address_elsewhere = "fd31:f903:5ab5:1::1" if family == socket.AF_INET6 else "10.253.155.219"
    with socket.socket(family, socket.SOCK_DGRAM) as udp_socket:
        try:
            udp_socket.connect((address_elsewhere, 58162))
        except OSError:
            return None
        return str(udp_socket.getsockname()[0])


def _resolve_address(plan: Plan, host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    # As Werkzeug: only an address with a colon is IPv6, so that `localhost` stays 127.0.0.1.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        address_infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        origin = plan.settings.host.origin
        reason = f"{origin}: HOST {host} is not known: {error.strerror}"
        raise LaunchError(f"{reason}. {_ADDRESS_HINT}", exit_status=1) from None
    return address_infos[0][0], address_infos[0][4]


def _set_address_reuse(listener: socket.socket) -> None:
    if sys.platform == "win32":
        # There SO_REUSEADDR would let two servers take the same port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _accept_with_data_only(listener: socket.socket) -> None:
    """Leave a connection in the kernel until its request has come (Linux).

    A browser connects ahead of need; a worker that had accepted such a connection would have to
    drop it when it is replaced, and the request that comes then would be lost.
    """
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)


def _why_not_bound(error: OSError, plan: Plan) -> str:
    port, origin = plan.port.value, plan.settings.port.origin
    if error.errno == errno.EADDRINUSE:
        holder = _holder_of_port(port)
        flag = another_port("--port", port)
        return f"{origin}: port {port} is in use{holder}. End that, or choose another with {flag}"
    if error.errno == errno.EACCES:
        return f"{origin}: port {port} is not for this user. Choose one above 1023 with --port"
    reason = f"{plan.settings.host.origin}: HOST {plan.host.value} can't be served on"
    return f"{reason}: {error.strerror}. {_ADDRESS_HINT}"


def _holder_of_port(port: int) -> str:
    """` by python (process 123)`, as far as the system tells."""
    if sys.platform == "darwin" and port == 5000:
        return " (on macOS often by the AirPlay Receiver: System Settings turns it off)"
    owner = owner_of_port(port)
    return f" by {owner}" if owner else ""

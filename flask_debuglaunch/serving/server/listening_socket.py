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
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
BACKLOG = 128  # Werkzeug's; the kernel may allow less


def bind(plan: Plan) -> socket.socket:
    """The socket that the app is served on. Raises LaunchError (status 1) if it can't be had."""
    host, port = plan.host.value, plan.port.value
    family, address = _resolve(plan, host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        _share_port_rules(listener)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE and _may_be_the_services(plan):
            say(f"Port {port} is in use{_by_whom(port)}, which is left alone: a free one is taken")
            return bind(replace(plan, port=Decision(0, f"{port} is in use")))
        raise LaunchError(_why_not(error, plan), exit_status=1) from None
    _accept_with_data_only(listener)
    # Several processes share it; one that lost the race for a connection must not block.
    listener.setblocking(False)
    return listener


def _may_be_the_services(plan: Plan) -> bool:
    """Has nobody asked for this very port, beside a service that runs?"""
    asked = str(plan.settings.port.origin).startswith("argv:")
    return plan.deployed is not None and plan.deployed.service is not None and not asked


def url_of(listener: socket.socket, *, tls: bool, published_port: int | None = None) -> str:
    """Where a browser on this machine finds it; published_port: the port that a container's is
    there, if it is another one."""
    host, port = listener.getsockname()[:2]
    here = _EVERY_ADDRESS.get(host, host)
    shown = f"[{here}]" if ":" in here else here
    return f"{'https' if tls else 'http'}://{shown}:{published_port or port}"


def say_address(listener: socket.socket, plan: Plan) -> None:
    """Where the app is, when it is; and how others find it, where they can."""
    tls = plan.settings.cert.value is not None
    is_published_here = bool(plan.local_clients.value)
    # In no style: VS Code's serverReadyAction takes what stands behind the words for the address.
    say(f"Running on {url_of(listener, tls=tls, published_port=plan.published_port)}")
    host, port = listener.getsockname()[:2]
    reaches_others = host in _EVERY_ADDRESS and not is_published_here
    others = _address_of_this_machine(listener.family) if reaches_others else None
    if others is not None:
        shown = f"[{others}]" if ":" in others else others
        say(f"Other machines find it at {'https' if tls else 'http'}://{shown}:{port}")
    if plan.tunnel_to.value is not None:
        say(f"On your own machine, to reach it there: {tunnel_command(plan, port)}")
    say("Press CTRL+C to quit", fg="yellow")


def _address_of_this_machine(family: socket.AddressFamily) -> str | None:
    """In its network; None if it is in none. No packet is sent: UDP only looks for the way.

    The addresses are those that Werkzeug asks for, of networks that exist nowhere else."""
    target = "fd31:f903:5ab5:1::1" if family == socket.AF_INET6 else "10.253.155.219"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 58162))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _resolve(plan: Plan, host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    # As Werkzeug: only an address with a colon is IPv6, so that `localhost` stays 127.0.0.1.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        origin = plan.settings.host.origin
        why = f"{origin}: HOST {host} is not known: {error.strerror}"
        raise LaunchError(f"{why}. {_ADDRESS_HINT}", exit_status=1) from None
    return found[0][0], found[0][4]


def _share_port_rules(listener: socket.socket) -> None:
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


def _why_not(error: OSError, plan: Plan) -> str:
    port, origin = plan.port.value, plan.settings.port.origin
    if error.errno == errno.EADDRINUSE:
        holder = _by_whom(port)
        other = another_port("--port", port)
        return f"{origin}: port {port} is in use{holder}. End that, or choose another with {other}"
    if error.errno == errno.EACCES:
        return f"{origin}: port {port} is not for this user. Choose one above 1023 with --port"
    why = f"{plan.settings.host.origin}: HOST {plan.host.value} can't be served on"
    return f"{why}: {error.strerror}. {_ADDRESS_HINT}"


def _by_whom(port: int) -> str:
    """` by python (process 123)`, as far as the system tells."""
    if sys.platform == "darwin" and port == 5000:
        return " (on macOS often by the AirPlay Receiver: System Settings turns it off)"
    owner = owner_of_port(port)
    return f" by {owner}" if owner else ""

"""The listening socket: bound before the app is loaded, kept over restarts."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

from flask_debuglaunch import fixes
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.port_owner import owner_of_port

_ADDRESS_HINT = "Give an address of this machine, such as 127.0.0.1, with --host"
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
        raise LaunchError(_why_not(error, plan), exit_status=1) from None
    _accept_with_data_only(listener)
    # Several processes share it; one that lost the race for a connection must not block.
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket, *, tls: bool) -> str:
    """Where a browser on this machine finds it."""
    host, port = listener.getsockname()[:2]
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{here}]" if ":" in here else here
    return f"{'https' if tls else 'http'}://{shown}:{port}"


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
        other = fixes.another_port("--port", port)
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

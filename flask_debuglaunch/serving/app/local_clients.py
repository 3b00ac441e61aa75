"""Who asks: the person at this machine, or somebody else?

What is shown of an error (source, values) is for that person only. Others come in through a proxy
on this machine, or through the person's own browser: a page elsewhere whose host name has been
pointed at 127.0.0.1 (DNS rebinding) reads whatever is served for that name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# What proxies and content delivery networks add; any of it is a sign of one.
PROXY_PREFIXES = ("HTTP_X_FORWARDED", "HTTP_X_ORIGINAL_", "HTTP_X_ENVOY_", "HTTP_CF_")
PROXY_HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_REAL_IP",
    "HTTP_X_CLIENT_IP",
    "HTTP_X_CLUSTER_CLIENT_IP",
    "HTTP_TRUE_CLIENT_IP",
    "HTTP_FASTLY_CLIENT_IP",
    "HTTP_X_PROXYUSER_IP",
    "HTTP_X_AMZN_TRACE_ID",
    "HTTP_X_CLOUD_TRACE_CONTEXT",
    "HTTP_X_APPENGINE_USER_IP",
    "HTTP_CDN_LOOP",
)


@dataclass(frozen=True)
class LocalClients:
    """addresses: of clients behind which there is nobody else either, such as a container's
    gateway. host: the name that the app is served on, HOST."""

    addresses: Collection[str] = ()
    host: str = "127.0.0.1"

    def include(self, environ: WSGIEnvironment) -> bool:
        """Is it a client on this machine, who knows it by a name of its own?"""
        return (
            self._is_local_address(environ.get("REMOTE_ADDR", ""))
            and not came_through_proxy(environ)
            and self._is_own_host(environ.get("HTTP_HOST", ""))
        )

    def _is_local_address(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address  # as a socket of "::" has them
        return address.is_loopback or str(address) in self.addresses

    def _is_own_host(self, host: str) -> bool:
        try:
            host_name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return (
            host_name in ("localhost", self.host.lower())
            or host_name.endswith(".localhost")
            or _is_ip_address(host_name)
        )


def came_through_proxy(environ: WSGIEnvironment) -> bool:
    return any(header.startswith(PROXY_PREFIXES) or header in PROXY_HEADERS for header in environ)


def _is_ip_address(host_name: str) -> bool:
    """No name, so nobody else can have pointed it here."""
    try:
        ipaddress.ip_address(host_name)
    except ValueError:
        return False
    return True

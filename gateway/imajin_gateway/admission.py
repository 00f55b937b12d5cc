"""Who may come in: the host names that requests may carry, and the origins of the pages that may send them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from imajin_gateway.errors import ApiError

SAFE = ("GET", "HEAD", "OPTIONS")
"""Verbs that change nothing."""
OWN = ("same-origin", "none")
"""What browsers say in Sec-Fetch-Site of our own pages, and of what a person typed or opened."""


class Admission:
    """Decides by the head of a request. `hosts` empty allows all names; `origins` are other sites that are trusted, `*` trusts all."""

    def __init__(self, hosts: frozenset[str], origins: Sequence[str]) -> None:
        self.hosts = hosts
        self.origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def check(self, method: str, headers: Headers) -> None:
        """Raises ApiError where a request may not come in."""
        host = host_name(headers.get("host", ""))
        if self.hosts and host not in self.hosts and not ("localhost" in self.hosts and is_loopback(host)):
            # A page of another site can point its own name at this machine (DNS rebinding); its Host gives it away.
            raise ApiError(
                "HOST_NOT_ALLOWED",
                f"this gateway does not answer to the host name {host[:100]!r}; see IMAJIN_GATEWAY_HOSTS",
                details={"host": host[:100]},
            )
        if method not in SAFE and self.is_foreign(headers):
            # Forms, and fetch without CORS, reach servers of this machine from any page: they may not make it work.
            origin = headers.get("origin", "")[:100]
            raise ApiError(
                "ORIGIN_NOT_ALLOWED",
                "pages of other sites may not send this; see IMAJIN_GATEWAY_CORS_ORIGINS",
                details={"origin": origin},
            )

    def is_foreign(self, headers: Headers) -> bool:
        """Whether a page of another site sends this, by what browsers say of it; programs say nothing."""
        origin = headers.get("origin", "").lower()
        if "*" in self.origins or origin in self.origins:
            return False
        site = headers.get("sec-fetch-site", "")
        if site:
            return site not in OWN
        return bool(origin) and place_of(origin) != headers.get("host", "").lower()


def place_of(origin: str) -> str:
    """Host and port of an origin; empty where it has none, as `null` has."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def host_name(header: str) -> str:
    """The name in a Host header, without port and brackets."""
    name = header.strip().lower()
    if not name.startswith("["):
        return name.partition(":")[0]
    inside, _, rest = name[1:].partition("]")
    return inside if not rest or rest.startswith(":") else name


def is_loopback(host: str) -> bool:
    """Whether `host` is a name or an address of this machine that no other site can point elsewhere."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(configured: list[str], bound: str) -> frozenset[str]:
    """Names that requests may carry: the configured ones, else loopback names for a gateway that only this machine reaches."""
    if configured:
        return frozenset() if "*" in configured else frozenset(name.lower() for name in configured)
    return frozenset(("localhost", "::1")) if is_loopback(bound) else frozenset()

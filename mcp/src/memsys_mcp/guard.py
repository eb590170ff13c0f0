"""Who may call from where: the check against DNS rebinding. Pure.

A page in a browser can make a name it owns point at this server. It cannot choose the Host header: that stays its own
name. So a Host is good if no stranger can own it as a public name, or if it was allowed; and an Origin (which only
browsers send) is good if it is the server's own, a page of this machine, or allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address
from urllib.parse import urlsplit

CLUSTER_SUFFIXES = (".svc", ".svc.cluster.local")


def host_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Whether a request with this Host header may be served. The port plays no part."""
    name = host_name(host)
    if not name:
        return False
    if is_address(name) or "." not in name or name.endswith(CLUSTER_SUFFIXES):
        return True
    return any(fnmatchcase(name, host_name(pattern)) for pattern in allowed)


def origin_allowed(origin: str | None, host: str, allowed: Sequence[str]) -> bool:
    """Whether a request with this Origin header, sent to this Host, may be served. No Origin: not from a page."""
    if origin is None:
        return True
    if origin_listed(origin, allowed):
        return True
    origin = _normal(origin)
    try:
        parts = urlsplit(origin)
        name = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not name:
        return False
    return parts.netloc == host.strip().lower() or (is_loopback(name) and is_loopback(host_name(host)))


def origin_listed(origin: str | None, allowed: Sequence[str]) -> bool:
    """Whether an Origin header is one of those that were allowed by name or pattern."""
    return origin is not None and any(fnmatchcase(_normal(origin), _normal(pattern)) for pattern in allowed)


def host_name(host: str) -> str:
    """The name in a Host header or allow-list entry: lower case, no port, no brackets, no final dot."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, _, port = text.rpartition(":")
    if name and ":" not in name and (port.isdigit() or port == "*"):
        text = name
    return text.rstrip(".")


def is_address(name: str) -> bool:
    """Whether the name is an IP address, which nobody can make a DNS name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether the name means this machine."""
    return name == "localhost" or (is_address(name) and ip_address(name).is_loopback)


def _normal(origin: str) -> str:
    return origin.strip().rstrip("/").lower()

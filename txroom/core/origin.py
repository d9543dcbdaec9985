"""
Hosts and origins of requests, and which of them are allowed.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_PORT = re.compile(r"[0-9]{1,5}")
#: Origins of which what is behind the scheme is the Host header of their own pages, letter by letter.
_SIMPLE_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[1-9][0-9]{0,3})?")


_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def splitOrigin(origin: str) -> tuple[str, str, int | None] | None:
    """
    Scheme, host and port of an origin; `None` if it is not one (RFC 6454 §7).

    `null`, user information, paths and bad ports make it not one.
    """
    try:
        parts = urlsplit(origin)
        port = parts.port
        name = parts.hostname
    except ValueError:
        return None
    if not parts.scheme or not name or "@" in parts.netloc:
        return None
    if parts.path or parts.query or parts.fragment or origin[-1] in "?#" or not origin.isascii():
        return None
    return parts.scheme, name, port or _DEFAULT_PORTS.get(parts.scheme)


def splitHost(host: str) -> tuple[str, int | None]:
    """
    The name, in lower case, and the port of a Host header; no port: `None`.

    Never raises: what is no port (longer than five digits, say) stays part of a name that nobody has.
    """
    name, colon, port = host.rpartition(":")
    if colon and _PORT.fullmatch(port) and not name.endswith(":"):
        return name.lower(), int(port)
    return host.lower(), None


def isAllowedHost(host: str, allowed: tuple[str, ...]) -> bool:
    """
    Whether a Host header is one of `allowed`: "*", "example.org", "example.org:8080", "*.example.org".

    Without a port any is allowed.
    """
    name, port = splitHost(host)
    for other in allowed:
        pattern, only = splitHost(other)
        if only in (None, port) and _isMatch(name, pattern):
            return True
    return False


def _isMatch(name: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return pattern in ("*", name)


def isLocalHost(host: str) -> bool:
    """Whether a Host header names this machine to itself: localhost, *.localhost, a loopback address."""
    name = splitHost(host)[0].removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return isLoopback(name.removeprefix("[").removesuffix("]"))


def isLoopback(address: str) -> bool:
    """Whether it is an address of the machine's own that nobody else can reach."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def isSameOrigin(origin: str, host: str) -> bool:
    """
    Whether a page from `origin` speaks to the `host` that served it.

    The scheme isn't compared, since TLS may have ended before us; a Host without a port has the
    default port of the origin's scheme.
    """
    if origin.partition("://")[2] == host and _SIMPLE_ORIGIN.fullmatch(origin):  # as nearly all are
        return True
    parts = splitOrigin(origin)
    if parts is None:
        return False
    scheme, name, port = parts
    ours, ourPort = splitHost(host)
    if ourPort is None:
        ourPort = _DEFAULT_PORTS.get(scheme)
    return (name, port) == (ours.strip("[]"), ourPort)


def isAllowedOrigin(origin: str, host: str, allowed: tuple[str, ...]) -> bool:
    """The default of `acceptsOrigin`: the same host and port, or one of `allowed` ("*" for any)."""
    if "*" in allowed or isSameOrigin(origin, host):
        return True
    parts = splitOrigin(origin)
    return parts is not None and any(splitOrigin(other) == parts for other in allowed)

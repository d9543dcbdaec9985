"""
Functions that parse the hosts and origins of requests, and that check whether an origin is allowed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

_PORT = re.compile(r"[0-9]{1,5}")
#: Origins that need no parsing. If the text of such an origin after "://" is equal to the Host header, the
#: page has the same host and port as the server.
_SIMPLE_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[1-9][0-9]{0,3})?")


_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def splitOrigin(origin: str) -> tuple[str, str, int | None] | None:
    """
    Return the scheme, host and port of an origin, or `None` if it is not valid (RFC 6454 §7).

    `null` is not valid here, and neither is an origin with user information, a path or a wrong port.
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
    Return the name (in lower case) and the port of a Host header. Without a port, the second value is `None`.

    Never raises. A wrong port, for example one of more than five digits, stays part of the name, and no host
    has such a name.
    """
    name, colon, port = host.rpartition(":")
    if colon and _PORT.fullmatch(port) and not name.endswith(":"):
        return name.lower(), int(port)
    return host.lower(), None


def isAllowedHost(host: str, allowed: tuple[str, ...]) -> bool:
    """
    Return whether a Host header matches one of the `allowed` patterns.

    The patterns are "*", "example.org", "example.org:8080" and "*.example.org". Without a port, a pattern
    matches any port.
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


@lru_cache(maxsize=64)
def isLocalHost(host: str) -> bool:
    """Return whether a Host header names the local machine: localhost, *.localhost or a loopback address."""
    name = splitHost(host)[0].removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return isLoopback(name.removeprefix("[").removesuffix("]"))


def isLoopback(address: str) -> bool:
    """Return whether an address is a loopback address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def isSameOrigin(origin: str, host: str) -> bool:
    """
    Return whether a page from `origin` connects to the `host` that served it.

    The scheme is not compared, because a proxy may have handled TLS. A Host header without a port has the
    default port of the origin's scheme.
    """
    if origin.partition("://")[2] == host and _SIMPLE_ORIGIN.fullmatch(origin):  # true for nearly all pages
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
    """
    Return whether a page may connect, if the application has no `acceptsOrigin` of its own.

    The origin of the page must have the same host and port as the server, or be one of `allowed` ("*" allows
    any).
    """
    if "*" in allowed or isSameOrigin(origin, host):
        return True
    parts = splitOrigin(origin)
    return parts is not None and any(splitOrigin(other) == parts for other in allowed)

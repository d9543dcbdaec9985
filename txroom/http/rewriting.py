"""
A request head written anew, for protocols that read it themselves.

They get what we have understood, and not the bytes from which we did: where their reader is more lenient than
ours, a client could tell them something else.
"""

from __future__ import annotations

import re

from ..core.handshake import Handshake, UpgradeError

#: Headers that speak of a proxy; who the client is, is decided by our `trustedProxies`.
_FORWARDING = re.compile(r"forwarded|x-forwarded-.*|x-real-ip")
#: Where a reader such as `str.splitlines` ends a line, and what may stand in no line.
_BREAKS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85]")
_TARGET = re.compile(r"[\x21-\x7e]+")
_END = b"\r\n\r\n"


def requestHead(handshake: Handshake) -> bytes:
    """
    A request head that every reader reads as we have read it.

    Each field stands in one line. Those that speak of a proxy are left out, since `Handshake.peer` tells
    already what is to be believed of them.

    Raises:
        UpgradeError: For a target that doesn't fit into the request line.
    """
    if not _TARGET.fullmatch(handshake.target):
        raise UpgradeError(400, "syntax")
    fields = {name: _BREAKS.sub("?", value) for name, value in headersWithoutProxy(handshake).items()}
    lines = [f"{handshake.method} {handshake.target} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
    return "\r\n".join(lines).encode("latin-1") + _END


def headersWithoutProxy(handshake: Handshake) -> dict[str, str]:
    """The headers of a request but those that speak of a proxy; what comes several times is joined."""
    told: dict[str, str] = {}
    for name, value in handshake.headers.pairs:
        if not _FORWARDING.fullmatch(name):
            told[name] = f"{told[name]}, {value}" if name in told else value
    return told

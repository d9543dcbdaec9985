"""
Request heads that are written anew, for protocols that read the request themselves.

Such a protocol gets the request as txroom has understood it, not the bytes that the client sent. If the
protocol's parser is more lenient than txroom's, the client could otherwise make it see another request.
"""

from __future__ import annotations

import re

from ..core.handshake import Handshake, UpgradeError

#: Headers in which proxies report the client. `trustedProxies` decides which of them are believed.
_FORWARDING = re.compile(r"forwarded|x-forwarded-.*|x-real-ip")
#: Characters at which a reader such as `str.splitlines` ends a line, and other control characters.
_BREAKS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85]")
_TARGET = re.compile(r"[\x21-\x7e]+")
_END = b"\r\n\r\n"


def requestHead(handshake: Handshake) -> bytes:
    """
    Return a request head that every reader understands as txroom did.

    Each field stands in one line. Headers of proxies are left out, because `Handshake.peer` already contains
    what is to be believed of them.

    Raises:
        UpgradeError: 400, the target does not fit into a request line.
    """
    if not _TARGET.fullmatch(handshake.target):
        raise UpgradeError(400, "syntax")
    fields = {name: _BREAKS.sub("?", value) for name, value in headersWithoutProxy(handshake).items()}
    lines = [f"{handshake.method} {handshake.target} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
    return "\r\n".join(lines).encode("latin-1") + _END


def headersWithoutProxy(handshake: Handshake) -> dict[str, str]:
    """
    Return the headers of a request except those of proxies. Values of the same header are joined by commas.
    """
    told: dict[str, str] = {}
    for name, value in handshake.headers.pairs:
        if not _FORWARDING.fullmatch(name):
            told[name] = f"{told[name]}, {value}" if name in told else value
    return told

"""
The HTTP answer to a request that doesn't become a WebSocket, whoever writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from ..core.handshake import UpgradeError

_BREAK = b"\r\n"


def fieldsOf(error: UpgradeError) -> list[tuple[str, str]]:
    """The header fields of a refusal, but for its length."""
    fields = list(error.headers)
    if "content-type" not in {name.lower() for name, _ in fields}:
        fields.append(("Content-Type", "text/plain; charset=utf-8"))
    if error.status == 426:  # RFC 9110 §15.5.22 and §7.8
        fields += [("Upgrade", "websocket"), ("Connection", "close, upgrade")]
    else:
        fields.append(("Connection", "close"))
    return fields


def bodyOf(error: UpgradeError) -> bytes:
    """The body of a refusal."""
    return (error.body or "").encode()


def refusal(error: UpgradeError, method: str = "GET") -> bytes:
    """The whole HTTP answer; to HEAD without its body (RFC 9110 §9.3.2)."""
    body = bodyOf(error)
    fields = [("Content-Length", str(len(body))), *fieldsOf(error)]
    start = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n".encode("ascii")
    head = start + fieldLines(fields) + _BREAK
    return head if method == "HEAD" else head + body


def fieldLines(fields: Iterable[tuple[str, str]]) -> bytes:
    """Header fields as they are sent."""
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1")

"""
The HTTP answers that txroom writes itself: the 101 answer that opens a WebSocket, and refusals.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable
from hashlib import sha1
from http import HTTPStatus

from ..core.application import Application
from ..core.handshake import Handshake, UpgradeError

_BREAK = b"\r\n"
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)
#: RFC 6455 §1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def switching(
    handshake: Handshake, subprotocol: str | None, extensions: str | None, headers: Iterable[tuple[str, str]]
) -> bytes:
    """
    Return the 101 answer (RFC 6455 §4.2.2).

    Args:
        handshake: The client's request.
        subprotocol: The chosen sub-protocol, if any.
        extensions: The value of Sec-WebSocket-Extensions, if any.
        headers: Further headers, which must have been checked.
    """
    key = handshake.headers.get("sec-websocket-key", "").encode("ascii")
    accept = b2a_base64(sha1(key + _GUID).digest(), newline=False)
    lines = b""
    if subprotocol is not None:
        lines = fieldLines([("Sec-WebSocket-Protocol", subprotocol)])
    if extensions is not None:
        lines += fieldLines([("Sec-WebSocket-Extensions", extensions)])
    if headers:
        lines += fieldLines(headers)
    return b"%b%b\r\n%b\r\n" % (_SWITCHING, accept, lines)


def refusal(error: UpgradeError, method: str = "GET") -> bytes:
    """Return the HTTP answer of a refusal; for HEAD, without its body (RFC 9110 §9.3.2)."""
    body = bodyOf(error)
    fields = [("Content-Length", str(len(body))), *fieldsOf(error)]
    start = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n".encode("ascii")
    head = start + fieldLines(fields) + _BREAK
    return head if method == "HEAD" else head + body


def fieldsOf(error: UpgradeError) -> list[tuple[str, str]]:
    """Return the header fields of a refusal, without its Content-Length."""
    fields = list(error.headers)
    if "content-type" not in {name.lower() for name, _ in fields}:
        fields.append(("Content-Type", "text/plain; charset=utf-8"))
    if error.status == 426:  # RFC 9110 §15.5.22 and §7.8
        fields += [("Upgrade", "websocket"), ("Connection", "close, upgrade")]
    else:
        fields.append(("Connection", "close"))
    return fields


def bodyOf(error: UpgradeError) -> bytes:
    """Return the body of a refusal."""
    return (error.body or "").encode()


def fieldLines(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return header fields as they are sent."""
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1")


def noPageError(application: Application | None) -> UpgradeError:
    """
    Return the refusal of a request that asks for no WebSocket, at a path that has no page.

    Args:
        application: The application that serves WebSockets at the path, if any.

    Returns:
        426 if there is an application, otherwise 404.
    """
    if application is None:
        return UpgradeError(404, "path")
    return UpgradeError(426, "noUpgrade", f"{application.served}: connect with a WebSocket client.\n")

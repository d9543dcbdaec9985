"""
The opening handshake as applications see it: the client's request and the answers of hooks.

These classes only hold data. `txroom.http` reads the request and writes the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import attrs

from .headers import TOKEN, Headers, MultiDict, checkedHeaders

_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@attrs.define(kw_only=True)
class Handshake:
    """
    The request with which a client opened its connection.

    Like the `request` that ws passes to 'connection' and `verifyClient`, and the `headers` of TeaJS's
    `onconnect`.
    """

    #: The request method. It is "GET" in every request that reaches a hook.
    method: str = "GET"
    #: The request target as the client sent it, with its query.
    target: str = "/"
    #: The headers.
    headers: Headers = attrs.field(factory=Headers)
    #: The client's address: the peer of the socket, or the address that a trusted proxy reports; "" for a
    #: UNIX socket.
    peer: str = ""
    #: The client's port, if it is known.
    peerPort: int | None = None
    #: Whether the client connected over TLS, to the server or to a trusted proxy.
    secure: bool = False
    #: The client's TLS certificate in DER, if it sent one to the server.
    certificate: bytes | None = None
    #: The address under which the limits per address count the client, set when the connection is open: its
    #: IPv4 address or its IPv6 /64 network. "" if it is unknown: behind a trusted proxy that reports none, or
    #: at a UNIX socket.
    peerNetwork: str = ""
    #: For hooks to store data. txroom does not use it.
    data: dict[str, Any] = attrs.field(factory=dict)

    @property
    def path(self) -> str:
        """The target up to its "?", without decoding. Applications are found by this."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> MultiDict:
        """The decoded parameters behind the "?". A name may have several values."""
        return MultiDict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def host(self) -> str:
        """The Host header; "" if there is none."""
        return self.headers.get("host", "")

    @property
    def traceparent(self) -> str | None:
        """The header traceparent (W3C Trace Context), or `None` if there is none that is well formed."""
        value = self.headers.get("traceparent") or ""
        return value if _TRACEPARENT.fullmatch(value) else None

    @property
    def origin(self) -> str | None:
        """
        The Origin header, the origin of the page that opened the connection in a browser (RFC 6455 §10.2), or
        `None`.
        """
        return self.headers.get("origin")

    @property
    def cookies(self) -> dict[str, str]:
        """
        The cookies by name, with their values as sent but without enclosing quotes (RFC 6265 §5.4).

        Of two cookies with the same name, the first is used; browsers send the one with the longer path
        first.
        """
        found: dict[str, str] = {}
        for header in self.headers.getAll("cookie"):
            for pair in header.split(";"):
                name, equals, value = (part.strip(" \t") for part in pair.partition("="))
                if len(value) > 1 and value[0] == value[-1] == '"':
                    value = value[1:-1]
                if equals and TOKEN.fullmatch(name):
                    found.setdefault(name, value)
        return found

    @property
    def protocols(self) -> list[str]:
        """The sub-protocols that the client offers, in its order of preference (RFC 6455 §1.9)."""
        return self.headers.listed("sec-websocket-protocol")

    @property
    def extensions(self) -> list[str]:
        """The extensions that the client offers, each with its parameters (RFC 6455 §9.1)."""
        return self.headers.listed("sec-websocket-extensions")


@attrs.frozen
class Accept:
    """
    A result of `verifyClient` that accepts the client.

    Args:
        user: The value for `Connection.user`.
        headers: More headers for the 101 answer.

    Raises:
        ValueError: A header may not be sent.
    """

    user: Any = None
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=checkedHeaders, kw_only=True)


def _isRefusal(instance: object, attribute: object, value: int) -> None:
    if value not in set(HTTPStatus) or not 300 <= value <= 511:
        raise ValueError(f"status={value!r}: must be an HTTP status from 300 to 511")


def _isText(instance: object, attribute: object, value: str | None) -> None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"body={value!r}: must be a string")
    if value is not None and not _isUnicode(value):
        raise ValueError(f"body={value!r}: must be encodable as UTF-8, so without lone surrogates")


def _isUnicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@attrs.frozen
class Deny:
    """
    A result of `verifyClient` that refuses the client with an HTTP answer.

    Like ws's `cb(false, code, name, headers)`.

    Args:
        status: An HTTP status from 300 to 511; by default 401.
        body: The body, plain text; by default the phrase of the status.
        headers: More headers for the answer.

    Raises:
        TypeError: The body is not a string.
        ValueError: The status is not allowed, a header may not be sent, or the body has lone surrogates.
    """

    status: int = attrs.field(default=401, validator=_isRefusal)
    body: str | None = attrs.field(default=None, validator=_isText)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=checkedHeaders)


class UpgradeError(Exception):
    """
    Why an upgrade failed; the argument of `onClientError`.

    Args:
        status: The HTTP status of the answer; 0 if the client left before it was answered, or was dropped.
        reason: One word, by which `Server.stats` counts it.
        body: The body of the answer; by default the phrase of the status.
        headers: More headers for the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        body: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.status = status
        self.reason = reason
        self.body = body if body is not None or not status else HTTPStatus(status).phrase
        self.headers = tuple(headers)
        super().__init__(f"{status or 'no answer'}: {reason}")


def accepted(answer: object) -> Accept:
    """
    Return what an answer of `verifyClient` accepts.

    Raises:
        UpgradeError: The client is refused: 401, or the status of `Deny`.
        TypeError: It is no answer.
    """
    if isinstance(answer, Deny):
        raise UpgradeError(answer.status, "denied", answer.body, answer.headers)
    if isinstance(answer, Accept):
        return answer
    if not isinstance(answer, bool):
        raise TypeError(f"verifyClient returned {answer!r}: must be True, False, Accept(...) or Deny(...)")
    if not answer:
        raise UpgradeError(401, "denied")
    return ACCEPTED


#: The answer `True` of `verifyClient`.
ACCEPTED = Accept()

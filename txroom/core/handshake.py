"""
The opening handshake as an application sees it: what the client asked, what we answer.

Plain data only: `txroom.http` reads the request and writes the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import attrs

from .headers import TOKEN, Headers, MultiDict, checkedHeaders


@attrs.define(kw_only=True)
class Handshake:
    """
    What a client asked when it opened its connection.

    Like the `request` that ws gives to 'connection' and `verifyClient`, and the `headers` of TeaJS's
    `onconnect`.
    """

    #: The request method; "GET" for everything that reaches a hook.
    method: str = "GET"
    #: The request target as sent, with its query.
    target: str = "/"
    #: The request's headers.
    headers: Headers = attrs.field(factory=Headers)
    #: The client's address as text: the peer of the socket, or behind a trusted proxy the address
    #: that the proxy tells; "" for a UNIX socket.
    peer: str = ""
    #: The client's port, if it is known.
    peerPort: int | None = None
    #: Whether the client came over TLS, to us or to a trusted proxy.
    secure: bool = False
    #: The client's TLS certificate (DER), if it showed one to us.
    certificate: bytes | None = None
    #: What the server's limits by address count the client under, known once the connection is open: its
    #: address, or of IPv6 the /64 that it is in. "" for nobody in particular: behind a trusted proxy that
    #: tells no address, or at a UNIX socket.
    peerNetwork: str = ""
    #: Free for hooks; never read by txroom.
    data: dict[str, Any] = attrs.field(factory=dict)

    @property
    def path(self) -> str:
        """The target up to its "?", not decoded; what applications are matched by."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> MultiDict:
        """The decoded pairs behind the "?"; a key may come several times."""
        return MultiDict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def host(self) -> str:
        """The Host header."""
        return self.headers.get("host", "")

    @property
    def origin(self) -> str | None:
        """The Origin header: what page opened the connection, if a browser did (RFC 6455 §10.2)."""
        return self.headers.get("origin")

    @property
    def cookies(self) -> dict[str, str]:
        """
        The cookies by name, as they are in the header but for quotes around a value (RFC 6265 §5.4).

        Of two with one name it is the first, whose path is the longer.
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
        """The sub-protocols the client offers, in its order of preference (RFC 6455 §1.9)."""
        return self.headers.listed("sec-websocket-protocol")

    @property
    def extensions(self) -> list[str]:
        """The extensions the client offers, each with its parameters (RFC 6455 §9.1)."""
        return self.headers.listed("sec-websocket-extensions")


@attrs.frozen
class Accept:
    """
    An answer of `verifyClient`: let the client in.

    `user` becomes `Connection.user`; `headers` are added to the 101 answer.
    """

    user: Any = None
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=checkedHeaders, kw_only=True)


def _isRefusal(instance: object, attribute: object, value: int) -> None:
    if value not in set(HTTPStatus) or not 300 <= value <= 511:
        raise ValueError(f"status={value!r}: must be an HTTP status from 300 to 511")


def _isText(instance: object, attribute: object, value: str | None) -> None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"body={value!r}: must be text")
    if value is not None and not _isUnicode(value):
        raise ValueError(f"body={value!r}: must be text that can be sent as UTF-8, without lone surrogates")


def _isUnicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@attrs.frozen
class Deny:
    """
    An answer of `verifyClient`: refuse the client with an HTTP answer.

    Like ws's `cb(false, code, name, headers)`.

    `status` is from 300 to 511 (default 401), `body` is plain text (default: the status' phrase), `headers`
    are added. Raises `ValueError` for other statuses, for headers that may not be sent and for text with lone
    surrogates, `TypeError` for a body that is no text.
    """

    status: int = attrs.field(default=401, validator=_isRefusal)
    body: str | None = attrs.field(default=None, validator=_isText)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=checkedHeaders)


class UpgradeError(Exception):
    """
    Why an upgrade failed; `onClientError` gets it.

    `status` is the HTTP status of the answer (0: the client left before one could be given), `reason` is
    the one word under which `Server.stats` counts it.
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

"""
The opening handshake as an application sees it: what the client asked, what we answer.

Plain data only. How the request is read and the answer written is `txroom.wire`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, TypeVar, overload
from urllib.parse import parse_qsl, urlsplit

import attrs

Default = TypeVar("Default")
HeaderPairs = Mapping[str, str] | Iterable[tuple[str, str]]

#: RFC 9110 §5.6.2.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PORT = re.compile(r"[0-9]{1,5}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

#: What the answer itself decides; a hook that sets one of these is mistaken.
_OURS = frozenset({"connection", "upgrade", "content-length", "transfer-encoding"})

#: One string for each common name, whoever sends it. Not `sys.intern`: the client chooses the names.
_COMMON_NAMES = """
    accept accept-encoding accept-language authorization cache-control connection cookie dnt host origin
    pragma sec-fetch-dest sec-fetch-mode sec-fetch-site sec-websocket-extensions sec-websocket-key
    sec-websocket-protocol sec-websocket-version upgrade user-agent x-forwarded-for x-forwarded-proto
"""
_COMMON = {name: name for name in _COMMON_NAMES.split()}


#: So many pairs are looked through as fast as an index is built, and take less memory.
FEW = 32


class MultiDict(Mapping[str, str]):
    """
    An immutable mapping in which a name may have several values, in the order they came.

    `mapping[name]` and `get` give the first value, `getAll` gives all, `items` of the mapping lists
    each name once; `pairs` is everything.
    """

    __slots__ = ("_byName", "pairs")

    #: How names are compared.
    _fold: Callable[[str], str] = staticmethod(str)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs: tuple[tuple[str, str], ...] = tuple(pairs)
        self._byName: dict[str, list[str]] | None = None

    def getAll(self, name: str) -> list[str]:
        """Every value of `name`; an empty list if there is none."""
        name = self._fold(name)
        if len(self.pairs) > FEW:
            return list(self._index().get(name, ()))
        return [value for other, value in self.pairs if other == name]

    def _index(self) -> dict[str, list[str]]:
        """The values by name: who looks for each of many names doesn't look at all pairs each time."""
        if self._byName is None:
            self._byName = {}
            for name, value in self.pairs:
                self._byName.setdefault(name, []).append(value)
        return self._byName

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | Default) -> str | Default: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """The first value of `name`, or `default`."""
        name = self._fold(name)
        if len(self.pairs) > FEW:
            return self._index().get(name, (default,))[0]
        for other, value in self.pairs:
            if other == name:
                return value
        return default

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self.pairs})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.pairs)!r})"


class Headers(MultiDict):
    """
    Header fields: a `MultiDict` whose names are compared without regard to case (RFC 9110 §5.1).

    They are kept in lower case.
    """

    __slots__ = ()

    _fold = staticmethod(str.lower)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__([(_COMMON.get(low := name.lower(), low), value) for name, value in pairs])

    def listed(self, name: str) -> list[str]:
        """The members of a comma-separated list, over all fields of that name, empty ones left out."""
        parts = [part for value in self.getAll(name) for part in value.split(",")]
        return [member for part in parts if (member := part.strip(" \t"))]


@attrs.define(kw_only=True)
class Handshake:
    """
    What a client asked when it opened its connection.

    Source: seed 001 (ws: the `request` of 'connection' and `verifyClient`), seed 004 (TeaJS: the
    `headers` of `onconnect`).
    """

    #: The request method; "GET" for everything that reaches a hook.
    method: str = "GET"
    #: The request target as sent, with its query.
    target: str = "/"
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
    countedAs: str = ""
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


def checkedHeaders(headers: HeaderPairs) -> tuple[tuple[str, str], ...]:
    """
    The pairs of `headers`, if each may stand in an answer.

    Raises `ValueError` for a name that is no token, a value with control characters or outside
    latin-1, and for what only the handshake itself may say (Connection, Sec-WebSocket-*, ...).
    """
    pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    for name, value in pairs:
        if not TOKEN.fullmatch(name):
            raise ValueError(f"not a header name: {name!r}")
        if _CONTROL.search(value):
            raise ValueError(f"control character in the value of {name}: {value!r}")
        if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
            raise ValueError(f"{name} is set by the handshake")
        value.encode("latin-1")
    return pairs


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

    Source: seed 001 (ws `cb(false, code, name, headers)`).

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

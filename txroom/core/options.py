"""
Every knob of the server in one table, with its default, unit and range.

The command line (`txroom.process.tap`), the reference page of the documentation and the checks at
construction are all derived from the fields of `ServerOptions`; there is no second list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Literal

import attrs

from .validation import OptionError, checked, isAmount, isCount, isInteger, suggestingNames, unknownNames

Network = IPv4Network | IPv6Network
Compression = Literal["disabled", "shared", "dedicated"]
Refusals = Literal["protocol", "http"]

KIB = 1024
MIB = 1024 * KIB

#: Options that mean nothing for one application of several.
SERVER_ONLY = frozenset(
    {
        "backlog",
        "drainDelay",
        "maxPageBody",
        "maxPages",
        "maxPagesPerAddress",
        "maxPendingHandshakes",
        "noDelay",
        "shutdownTimeout",
    }
)


def _option(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    allowed: str,
    check: Callable[[Any], bool],
    source: str = "txroom",
) -> Any:
    """A field of `ServerOptions`: `doc`, `unit`, `allowed` and `source` are what the documentation shows."""
    return attrs.field(
        default=default,
        validator=checked(check, allowed),
        metadata=_notes(doc, unit, allowed, source),
    )


def _notes(doc: str, unit: str, allowed: str, source: str) -> dict[str, str]:
    return {"doc": doc, "unit": unit, "allowed": allowed, "source": source}


def _size(default: int, doc: str, **more: Any) -> Any:
    return _option(
        default,
        doc,
        unit="bytes",
        allowed="a whole number of bytes, 0 or more",
        check=isCount,
        **more,
    )


def _count(default: int, doc: str, unit: str = "", **more: Any) -> Any:
    return _option(
        default,
        doc,
        unit=unit,
        allowed="a whole number, 0 or more",
        check=isCount,
        **more,
    )


def _seconds(default: float, doc: str, **more: Any) -> Any:
    return _option(
        default,
        doc,
        unit="seconds",
        allowed="a finite number of seconds, 0 or more",
        check=isAmount,
        **more,
    )


def _rate(default: float, doc: str, unit: str) -> Any:
    return _option(
        default,
        doc,
        unit=unit,
        allowed="a finite number, 0 or more",
        check=isAmount,
    )


def _flag(default: bool, doc: str, **more: Any) -> Any:
    return _option(
        default,
        doc,
        allowed="True or False",
        check=lambda value: isinstance(value, bool),
        **more,
    )


def _windowBits(doc: str) -> Any:
    return _option(
        15,
        doc,
        unit="bits",
        allowed="a whole number from 9 to 15",
        check=lambda value: isInteger(value) and 9 <= value <= 15,
        source="ws",
    )


def _networks(values: Iterable[str | Network]) -> tuple[Network | Literal["unix"], ...]:
    if isinstance(values, str):
        values = (values,)
    try:
        return tuple("unix" if value == "unix" else ip_network(value) for value in values)
    except (ValueError, TypeError) as error:
        raise OptionError(
            f"trustedProxies={values!r}: must be addresses, networks in CIDR notation, or 'unix' ({error})"
        ) from None


_HOSTS = "hosts such as 'example.org', 'example.org:8080', '*.example.org' or '[::1]', or '*'"
_HOST = re.compile(
    r"(?:\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.I | re.A
)


def _areHosts(values: tuple[str, ...]) -> bool:
    return all(isinstance(value, str) and _HOST.fullmatch(value) for value in values)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else (values,)


_ORIGINS = "origins such as 'https://example.org', without a path, or '*'"


def _areOrigins(values: tuple[str, ...]) -> bool:
    return all(
        isinstance(value, str) and (value == "*" or "://" in value) and not value.endswith("/")
        for value in values
    )


@suggestingNames
@attrs.frozen(kw_only=True)
class ServerOptions:
    """
    The options of a `Server`; an `Application` may override them for its path, except `backlog`,
    `drainDelay`, `maxPages`, `maxPagesPerAddress`, `maxPageBody`, `maxPendingHandshakes`, `noDelay` and
    `shutdownTimeout`.

    All are keyword-only, and checked at construction: a wrong one raises `OptionError`, which names
    the option, the value and what is allowed. In sizes, counts, rates and times 0 means "off".
    """

    maxPayload: int = _size(
        1 * MIB,
        "Longest message accepted, after inflation; a longer one closes with 1009.",
        source="ws maxPayload, verb maxPayloadLength",
    )
    maxCompressedSize: int = _size(
        0,
        "Longest compressed message accepted, before inflation; 0 means hardly more than `maxPayload`.",
        source="verb",
    )
    maxFragments: int = _count(
        1024, "Most frames one message may be cut into; more close with 1008.", unit="frames"
    )
    messageTimeout: float = _seconds(
        30.0,
        "A message must be complete after this time, and a second more for each 4 KiB of it that have "
        "come, else 1008; the body of a request for a page likewise, else 408.",
    )
    handshakeTimeout: float = _seconds(
        5.0, "One absolute deadline over the request head and all hooks of the upgrade."
    )
    closeTimeout: float = _seconds(
        10.0,
        "The peer's answer to a Close frame is awaited for this time, then the connection is dropped.",
        source="ws closeTimeout, there in milliseconds",
    )
    pingInterval: float = _seconds(
        25.0,
        "A connection that was silent for this long is sent a ping.",
        source="verb sendPings",
    )
    pingTimeout: float = _seconds(
        20.0, "A connection that stays silent for this long after a ping is dropped."
    )
    idleTimeout: float = _seconds(
        0.0,
        "A connection that received no data message for this long is closed with 1001.",
        source="verb",
    )
    maxLifetime: float = _seconds(
        0.0,
        "A connection is closed with 1001 at this age.",
        source="verb; uWebSockets counts minutes",
    )
    highWaterMark: int = _size(
        64 * KIB, "With more than this waiting to be sent, `send` returns BACKPRESSURE."
    )
    maxBackpressure: int = _size(
        1 * MIB,
        "A message that would make the waiting bytes exceed this is DROPPED, unless nothing waits.",
        source="verb",
    )
    closeOnBackpressureLimit: bool = _flag(
        False, "Close with 1013 instead of dropping messages.", source="verb"
    )
    compression: Compression = _option(
        "disabled",
        'permessage-deflate: off; "dedicated", a window per connection; or "shared", no context '
        "takeover towards the client, so that a broadcast is deflated once for all.",
        allowed="'disabled', 'shared' or 'dedicated'",
        check=lambda value: value in ("disabled", "shared", "dedicated"),
        source="verb, ws perMessageDeflate",
    )
    threshold: int = _size(1024, "Messages shorter than this are sent uncompressed.", source="ws")
    serverMaxWindowBits: int = _windowBits("Largest window used to deflate what is sent.")
    clientMaxWindowBits: int = _windowBits("Largest window asked of clients that let the server choose it.")
    serverNoContextTakeover: bool = _flag(
        False,
        'Begin each sent message with an empty window, with compression="dedicated" too.',
        source="ws",
    )
    clientNoContextTakeover: bool = _flag(
        False, "Ask clients to begin each message with an empty window.", source="ws"
    )
    memoryLevel: int = _option(
        8,
        "zlib's memory level for what is sent.",
        allowed="a whole number from 1 to 9",
        check=lambda value: isInteger(value) and 1 <= value <= 9,
        source="ws zlibDeflateOptions",
    )
    maxConnections: int = _count(
        0,
        "Most connections at a time; more are answered with 503. 0: as many as the limit on open files "
        "allows where the server listens by itself, with a tenth of it to spare.",
        unit="connections",
    )
    maxConnectionsPerAddress: int = _count(
        0,
        "Most connections at a time from one client address; more are answered with 429.",
        unit="connections",
    )
    maxPendingHandshakes: int = _count(
        1024,
        "Most connections at a time whose handshake is not finished; the oldest is dropped for a new one.",
        unit="connections",
    )
    maxPages: int = _count(
        256,
        "Most requests for pages at a time on our own listeners; one that only waits for its client gives "
        "way to a new one, else that is answered with 503.",
        unit="requests",
    )
    maxPagesPerAddress: int = _count(
        64,
        "Most requests for pages at a time from one client address; more are answered with 429.",
        unit="requests",
    )
    maxPageBody: int = _size(
        16 * KIB,
        "Longest body of a request for a page, unless the page says another length; a longer one is "
        "answered with 413.",
    )
    clientTracking: bool = _flag(
        True, "Keep the set of open connections (`server.connections`).", source="ws"
    )
    backlog: int = _option(
        511,
        "Connections the kernel queues until they are accepted, unless the endpoint says `backlog=`.",
        allowed="a whole number, 1 or more",
        check=lambda value: isInteger(value) and value >= 1,
        source="ws",
    )
    noDelay: bool = _flag(True, "Switch off Nagle's algorithm (TCP_NODELAY).", source="TeaJS nodelay")
    autoPong: bool = _flag(True, "Answer pings.", source="ws")
    skipUTF8Validation: bool = _flag(
        False,
        "Take text that is not UTF-8, with U+FFFD in place of what is wrong; else it closes with 1007.",
        source="ws",
    )
    allowSynchronousEvents: bool = _flag(
        True,
        "Handle all messages of one read in one reactor turn; False: one message a turn.",
        source="ws",
    )
    closeOnError: bool = _flag(
        True, "A message handler that raises closes its connection with 1011; False: keep it open."
    )
    # These are fields in full, so that type checkers see what is converted.
    trustedProxies: tuple[Network | Literal["unix"], ...] = attrs.field(
        default=(),
        converter=_networks,
        metadata=_notes(
            "Peers whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses, networks, or "
            '"unix" for UNIX sockets.',
            "",
            "addresses, networks in CIDR notation, or 'unix'",
            "txroom",
        ),
    )
    allowedOrigins: tuple[str, ...] = attrs.field(
        default=(),
        converter=_texts,
        validator=checked(_areOrigins, _ORIGINS),
        metadata=_notes(
            'Origins allowed besides the page\'s own host and port, as "https://example.org"; '
            '"*" allows all.',
            "",
            _ORIGINS,
            "TeaJS acceptsOrigin",
        ),
    )
    refusals: Refusals = _option(
        "protocol",
        "How clients of rooms learn that they are refused: after the upgrade, by an `error` frame and a "
        "close code, which browsers show; or by the HTTP status, which gateways and log watchers see.",
        allowed="'protocol' or 'http'",
        check=lambda value: value in ("protocol", "http"),
    )
    allowedHosts: tuple[str, ...] = attrs.field(
        default=(),
        converter=_texts,
        validator=checked(_areHosts, _HOSTS),
        metadata=_notes(
            'Hosts that requests may ask for, as "example.org" (any port), "example.org:8080" or '
            '"*.example.org"; others are answered with 421. "*" allows all. Without any, a server that '
            "listens only on loopback addresses and has no `trustedProxies` takes localhost, names that end "
            "with .localhost and loopback addresses, and any other server takes all.",
            "",
            _HOSTS,
            "txroom",
        ),
    )
    requireOrigin: bool = _flag(False, "Refuse clients that send no Origin header.")
    messageRate: float = _rate(
        0.0,
        "Messages a second taken from one connection; faster ones wait, then 1008.",
        "messages/s",
    )
    messageBurst: int = _count(
        0, "Messages taken at once before `messageRate` holds; 0: twice the rate.", unit="messages"
    )
    byteRate: float = _rate(
        0.0, "Bytes a second taken from one connection; faster ones wait, then 1008.", "bytes/s"
    )
    byteBurst: int = _size(0, "Bytes taken at once before `byteRate` holds; 0: twice the rate.")
    shutdownTimeout: float = _seconds(
        10.0, "From the order to stop until the last connection is dropped; 0: at once."
    )
    drainDelay: float = _seconds(
        0.0,
        "When the server is to stop it first refuses new WebSockets for this time and still listens, so that "
        "a balancer reads of it on the health page; a part of `shutdownTimeout`, and less than it.",
    )

    def checkTogether(self) -> None:
        """Raise `OptionError` for options that are sound each, but not together; a `Server` asks for it."""
        if self.drainDelay and self.drainDelay >= self.shutdownTimeout:
            raise OptionError(
                f"drainDelay={self.drainDelay!r}: must be less than shutdownTimeout={self.shutdownTimeout!r}"
            )

    def override(self, changes: Mapping[str, Any]) -> ServerOptions:
        """
        These options with `changes` laid over them.

        Raises `OptionError` for a name that is no option or a value that is out of range.
        """
        unknown = unknownNames(changes, OPTIONS)
        if unknown:
            raise OptionError(f"no such option: {unknown}")
        return attrs.evolve(self, **changes) if changes else self


#: The names of all options.
OPTIONS = tuple(field.name for field in attrs.fields(ServerOptions))

"""
The options of the server, with their descriptions, units, defaults and allowed values.

The flags of the command line (`txroom.process.tap`), the page "Options" of the documentation and the checks
of values are all made from the fields of `ServerOptions`. There is no second list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Literal

import attrs

from .optionfields import count, flag, notes, option, rate, seconds, size, windowBits
from .validation import OptionError, checked, isInteger, suggestingNames, unknownNames

Network = IPv4Network | IPv6Network
Compression = Literal["disabled", "shared", "dedicated"]
Refusals = Literal["protocol", "http"]

KIB = 1024
MIB = 1024 * KIB

#: Options that an application cannot override, since they are about the whole server.
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
    The options of a `Server`.

    An `Application` may override them for its path, except `backlog`, `drainDelay`, `maxPages`,
    `maxPagesPerAddress`, `maxPageBody`, `maxPendingHandshakes`, `noDelay` and `shutdownTimeout`.

    All options are keyword-only. Sizes are in bytes and times in seconds. 0 turns a limit or a timeout off,
    unless its description says something else. The page "Options" of the documentation describes each option
    with its unit, its default, the allowed values and its cost.

    Raises:
        OptionError: A value is not allowed. The message names the option, the value and the allowed values.
    """

    maxPayload: int = size(
        1 * MIB,
        "The longest message that a client may send, measured after inflation. After a longer one the server "
        "closes the connection with 1009. The option does not limit what the server sends.",
        source="ws maxPayload, verb maxPayloadLength",
    )
    maxCompressedSize: int = size(
        0,
        "The longest compressed message that a client may send, measured before inflation. After a longer "
        "one the server closes the connection with 1009. 0 means slightly more than `maxPayload`.",
        source="verb",
    )
    maxFragments: int = count(
        1024,
        "The largest number of frames in one message. If a message has more, the server closes the "
        "connection with 1008.",
        unit="frames",
    )
    messageTimeout: float = seconds(
        30.0,
        "A message must be complete within this time, plus one second for each 4 KiB of it that have "
        "arrived. Otherwise the server closes the connection with 1008. The body of a request for a page "
        "must be complete within the same time. Otherwise the server answers 408.",
    )
    handshakeTimeout: float = seconds(
        5.0,
        "The time for the whole handshake: the head of the request and all hooks of the upgrade together. If "
        "the head is not complete by then, the server answers 408; if a hook is not done, 503.",
    )
    closeTimeout: float = seconds(
        10.0,
        "The time that a client has to answer a Close frame. After this time the server drops the "
        "connection.",
        source="ws closeTimeout, there in milliseconds",
    )
    pingInterval: float = seconds(
        25.0,
        "The server sends a ping to a client from which nothing has arrived for this time.",
        source="verb sendPings",
    )
    pingTimeout: float = seconds(
        20.0,
        "The server drops the connection of a client from which nothing arrives for this time after a ping.",
    )
    idleTimeout: float = seconds(
        0.0,
        "The server closes a connection with 1001 if no message arrives on it for this time. Pings and pongs "
        "of the WebSocket are not messages; the heartbeats of txroom.js and of the Python client are.",
        source="verb",
    )
    maxLifetime: float = seconds(
        0.0,
        "The server closes a connection with 1001 when it has been open for this time.",
        source="verb; uWebSockets counts minutes",
    )
    highWaterMark: int = size(
        64 * KIB,
        "While more than this is queued for a client, `send` returns BACKPRESSURE. Rooms do not send "
        "volatile messages to such a client.",
    )
    maxBackpressure: int = size(
        1 * MIB,
        "The most that may be queued for a client. If a message would exceed it, `send` drops the message "
        "and returns DROPPED, unless the queue is empty. Rooms then close the connection with 4102, and the "
        "client resumes without a loss.",
        source="verb",
    )
    closeOnBackpressureLimit: bool = flag(
        False,
        "Whether the server also closes the connection, with 1013, when it drops a message because of "
        "`maxBackpressure`.",
        source="verb",
    )
    compression: Compression = option(
        "disabled",
        'How messages are compressed (permessage-deflate). With "dedicated" each connection has a window of '
        'its own. With "shared" the server compresses each message independently of earlier ones, and a '
        "broadcast only once for all clients.",
        allowed="'disabled', 'shared' or 'dedicated'",
        check=lambda value: value in ("disabled", "shared", "dedicated"),
        source="verb, ws perMessageDeflate",
    )
    threshold: int = size(
        1024, "The server sends messages that are shorter than this without compression.", source="ws"
    )
    serverMaxWindowBits: int = windowBits(
        "The largest window for messages that the server sends, as a power of two."
    )
    clientMaxWindowBits: int = windowBits(
        "The largest window for messages that clients send, as a power of two. It applies to the clients "
        "that let the server choose it."
    )
    serverNoContextTakeover: bool = flag(
        False,
        "Whether the server begins each message that it sends with an empty window. With "
        'compression="shared" it always does.',
        source="ws",
    )
    clientNoContextTakeover: bool = flag(
        False, "Whether the server asks clients to begin each message with an empty window.", source="ws"
    )
    memoryLevel: int = option(
        8,
        "The memory level of zlib for messages that the server sends.",
        allowed="a whole number from 1 to 9",
        check=lambda value: isInteger(value) and 1 <= value <= 9,
        source="ws zlibDeflateOptions",
    )
    maxConnections: int = count(
        0,
        "The largest number of connections at a time. The server answers further upgrades with 503. 0 means "
        "nine tenths of the limit on open files if the server has listeners of its own, else any number.",
        unit="connections",
    )
    maxConnectionsPerAddress: int = count(
        0,
        "The largest number of connections at a time from one client address. The server answers further "
        "upgrades with 429.",
        unit="connections",
    )
    maxPendingHandshakes: int = count(
        1024,
        "The largest number of unfinished handshakes at a time. When there is one more, the server refuses "
        "the oldest one of the address that has the most, with 503.",
        unit="connections",
    )
    maxPages: int = count(
        256,
        "The largest number of requests for pages at a time, on listeners of the server itself. To make room "
        "for a new one, the server drops a request that is only waiting for its client. If there is none, it "
        "answers the new one with 503.",
        unit="requests",
    )
    maxPagesPerAddress: int = count(
        64,
        "The largest number of requests for pages at a time from one client address. The server makes room "
        "as for `maxPages`, or answers the new request with 429.",
        unit="requests",
    )
    maxPageBody: int = size(
        16 * KIB,
        "The longest body of a request for a page. If a body is longer, the server answers 413. "
        "`Server.addPage` takes another length for one page.",
    )
    clientTracking: bool = flag(
        True,
        "Whether `Server.connections` and `Application.connections` list the open connections.",
        source="ws",
    )
    backlog: int = option(
        511,
        "The number of connections that the kernel queues until the server accepts them. An endpoint "
        "description with `backlog=` overrides it.",
        unit="connections",
        allowed="a whole number, 1 or more",
        check=lambda value: isInteger(value) and value >= 1,
        source="ws",
    )
    noDelay: bool = flag(
        True,
        "Whether the kernel sends short packets at once (TCP_NODELAY, without Nagle's algorithm).",
        source="TeaJS nodelay",
    )
    autoPong: bool = flag(True, "Whether the server answers pings by itself.", source="ws")
    skipUTF8Validation: bool = flag(
        False,
        "Whether the server accepts text that is not UTF-8, with U+FFFD in place of wrong bytes. If it is "
        "off, the server closes the connection with 1007 after such a text.",
        source="ws",
    )
    allowSynchronousEvents: bool = flag(
        True,
        "Whether the server handles all messages that arrive together in one turn of the reactor. If it is "
        "off, each message has a turn of its own.",
        source="ws",
    )
    closeOnError: bool = flag(
        True,
        "Whether the server closes the connection with 1011 after an exception in a message hook. After an "
        "exception in a room it never does: the client gets the error `internal`.",
    )
    # These are fields in full, so that type checkers see what is converted.
    trustedProxies: tuple[Network | Literal["unix"], ...] = attrs.field(
        default=(),
        converter=_networks,
        metadata=notes(
            "The proxies whose headers X-Forwarded-For and X-Forwarded-Proto the server believes: addresses, "
            'networks, or "unix" for all UNIX sockets.',
            "",
            "addresses, networks in CIDR notation, or 'unix'",
            "txroom",
        ),
    )
    allowedOrigins: tuple[str, ...] = attrs.field(
        default=(),
        converter=_texts,
        validator=checked(_areOrigins, _ORIGINS),
        metadata=notes(
            'The origins of pages that may connect, such as "https://example.org"; "*" stands for all. Pages '
            "of the same host and port as the server may always connect.",
            "",
            _ORIGINS,
            "TeaJS acceptsOrigin",
        ),
    )
    refusals: Refusals = option(
        "protocol",
        'How the server refuses a client of rooms. With "protocol" it upgrades the connection and sends an '
        '`error` frame and a close code, which scripts in browsers can read. With "http" it answers with an '
        "HTTP status, which gateways and log watchers can read.",
        allowed="'protocol' or 'http'",
        check=lambda value: value in ("protocol", "http"),
    )
    allowedHosts: tuple[str, ...] = attrs.field(
        default=(),
        converter=_texts,
        validator=checked(_areHosts, _HOSTS),
        metadata=notes(
            'The hosts that requests may name, such as "example.org" (with any port), "example.org:8080" or '
            '"*.example.org"; "*" stands for all. The server answers requests for other hosts with 421. If '
            "the list is empty, it accepts every host, with one exception: if it listens only on loopback "
            "addresses and has no `trustedProxies`, it accepts only localhost, names that end with "
            ".localhost, and loopback addresses.",
            "",
            _HOSTS,
            "txroom",
        ),
    )
    requireOrigin: bool = flag(
        False, "Whether the server refuses clients without an Origin header, such as programs, with 403."
    )
    messageRate: float = rate(
        0.0,
        "The number of messages a second that the server reads from one connection. The messages of a faster "
        "client wait, and after ten seconds the server closes its connection with 1008. For rooms the "
        "default is 100, and the code 4029.",
        "messages/s",
    )
    messageBurst: int = count(
        0,
        "The number of messages that the server reads at once before `messageRate` applies. 0 means twice "
        "the rate.",
        unit="messages",
    )
    byteRate: float = rate(
        0.0,
        "The number of bytes a second that the server reads from one connection. A faster client is treated "
        "as with `messageRate`.",
        "bytes/s",
    )
    byteBurst: int = size(
        0,
        "The number of bytes that the server reads at once before `byteRate` applies. 0 means twice the "
        "rate.",
    )
    shutdownTimeout: float = seconds(
        10.0,
        "The time from the beginning of a shutdown until the server drops the last connections. 0 means at "
        "once.",
    )
    drainDelay: float = seconds(
        0.0,
        "The time at the beginning of a shutdown in which the server still listens, but refuses WebSockets "
        "and answers 503 on the health page, so that a load balancer notices. It is a part of "
        "`shutdownTimeout`, and must be less.",
    )

    def checkTogether(self) -> None:
        """
        Check the options whose values depend on one another. `Server` calls this.

        Raises:
            OptionError: `drainDelay` is not less than `shutdownTimeout`.
        """
        if self.drainDelay and self.drainDelay >= self.shutdownTimeout:
            raise OptionError(
                f"drainDelay={self.drainDelay!r}: must be less than shutdownTimeout={self.shutdownTimeout!r}"
            )

    def override(self, changes: Mapping[str, Any]) -> ServerOptions:
        """
        Return these options with some of them changed.

        Args:
            changes: The new values by the names of the options.

        Raises:
            OptionError: A name is not that of an option, or a value is not allowed.
        """
        unknown = unknownNames(changes, OPTIONS)
        if unknown:
            raise OptionError(f"no such option: {unknown}")
        return attrs.evolve(self, **changes) if changes else self


#: The names of all options.
OPTIONS = tuple(field.name for field in attrs.fields(ServerOptions))

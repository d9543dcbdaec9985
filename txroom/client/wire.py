"""
The network of a client: Autobahn's WebSocket client on an endpoint.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, clientFromString, wrapClientTLS
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ..codes import CloseCode, isSendable
from .line import Attempt
from .options import ClientOptions
from .turn import stop

_PORTS = {"ws": 80, "wss": 443}
#: HTTP answers after which it is worth trying again, of those from 400 to 499.
_TEMPORARY = frozenset({408, 425, 429})
_CLOSES = {401: CloseCode.UNAUTHORIZED, 403: CloseCode.UNAUTHORIZED, 404: CloseCode.NO_SUCH_ROOM}
#: Longest reason in a Close frame, in bytes (RFC 6455 §5.5).
_MAX_REASON = 123


def absolute(url: str) -> str:
    """The WebSocket URL; without a path it is that of "/rooms"."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is no URL of a WebSocket")
    path = "/rooms" if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def endpointOf(url: str, reactor: Any) -> IStreamClientEndpoint:
    """Where a URL leads to; TLS checks the certificate against the platform's authorities."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    endpoint: IStreamClientEndpoint = HostnameEndpoint(reactor, host, port)
    if parts.scheme == "wss":
        from twisted.internet.ssl import optionsForClientTLS

        endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
    return endpoint


class Connector:
    """Makes connections to one URL."""

    def __init__(
        self, url: str, endpoint: IStreamClientEndpoint | str | None, reactor: Any, options: ClientOptions
    ) -> None:
        if isinstance(endpoint, str):
            endpoint = clientFromString(reactor, endpoint)
        self._endpoint: Any = endpoint or endpointOf(url, reactor)
        self._clock = reactor
        self._options = options
        parts = urlsplit(url)
        host = parts.hostname or ""
        self._request = ConnectingRequest(
            host=f"[{host}]" if ":" in host else host,
            port=parts.port or _PORTS[parts.scheme],
            resource=urlunsplit(("", "", parts.path, parts.query, "")),
            headers=dict(options.headers),
            protocols=[options.protocol],
        )
        self._url = url

    def __call__(self, attempt: Attempt) -> AutobahnWire:
        wire = AutobahnWire(attempt, self._clock, self._options.closeTimeout)
        factory = WebSocketClientFactory(self._url, protocols=[self._options.protocol], reactor=self._clock)
        make: Any = partial(_Protocol, wire, self._request)
        factory.protocol = make
        # Autobahn's timers would be those of the global reactor; ours are the session's.
        factory.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0, tcpNoDelay=True
        )
        wire.begin(self._endpoint.connect(factory))
        return wire


class AutobahnWire:
    """One WebSocket."""

    def __init__(self, attempt: Attempt, clock: IReactorTime, closeTimeout: float) -> None:
        self._attempt = attempt
        self._clock = clock
        self._closeTimeout = closeTimeout
        self._connecting: Deferred[Any] | None = None
        self._protocol: _Protocol | None = None
        self._deadline: IDelayedCall | None = None
        self._isGone = False
        self._waiters: list[Deferred[None]] = []

    # -- for the session

    def send(self, message: bytes, isBinary: bool) -> None:
        """Send a message."""
        if self._protocol is not None and self._protocol.isOpen:
            self._protocol.sendMessage(message, isBinary)

    def close(self, code: int, reason: str) -> Deferred[None]:
        """Close it, whatever it is doing; fires when it is gone."""
        if self._isGone:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if self._protocol is not None and self._protocol.isOpen:
            text = reason.encode()[:_MAX_REASON].decode(errors="ignore").encode()
            self._protocol.closeWith(code, text)
            self.closing()
        elif self._deadline is None:
            self.abort()
        return waiter

    def abort(self) -> None:
        """Drop it."""
        if self._protocol is not None:
            transport: Any = self._protocol.transport
            transport.abortConnection()
        elif self._connecting is not None:
            self._connecting.cancel()

    # -- for the network

    def begin(self, connecting: Deferred[Any]) -> None:
        """A connection is being made."""
        self._connecting = connecting
        connecting.addErrback(self._failed)

    def made(self, protocol: _Protocol) -> None:
        """There is a TCP connection."""
        self._protocol = protocol

    def opened(self, protocol: str | None) -> None:
        """The WebSocket is open."""
        self._attempt.opened(protocol)

    def closing(self) -> None:
        """A Close frame came or went: the server is to drop the TCP connection, or we do."""
        self._deadline = self._clock.callLater(self._closeTimeout, self.abort)

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""
        self._attempt.received(message, isBinary)

    def gone(self, code: int, reason: str, retryAfter: float = 0.0) -> None:
        """It has ended."""
        self._isGone = True
        stop(self._deadline)
        waiters, self._waiters = self._waiters, []
        self._attempt.lost(code, reason, retryAfter)
        for waiter in waiters:
            waiter.callback(None)

    def _failed(self, failure: Failure) -> None:
        reason = "" if failure.check(CancelledError) else failure.getErrorMessage()
        self.gone(CloseCode.ABNORMAL, reason)


class _Protocol(WebSocketClientProtocol):
    """Autobahn's client; tells a wire."""

    websocket_protocol_in_use: str | None = None
    http_status_line = ""
    http_headers: dict[str, str] = {}

    def __init__(self, wire: AutobahnWire, request: ConnectingRequest) -> None:
        super().__init__()
        self._wire = wire
        self._request = request
        self._close: tuple[int, str] | None = None
        self.isOpen = False
        self._wasOpen = False

    def connectionMade(self) -> None:
        self._wire.made(self)
        super().connectionMade()

    def onConnecting(self, details: object) -> ConnectingRequest:
        return self._request

    def onOpen(self) -> None:
        self.isOpen = self._wasOpen = True
        self._wire.opened(self.websocket_protocol_in_use)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._wire.received(payload, isBinary)

    def closeWith(self, code: int, reason: bytes) -> None:
        """Send a Close frame; Autobahn's `sendClose` doesn't know all codes."""
        self.isOpen = False
        self.sendCloseFrame(int(code), reason)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> None:
        """Note it as it came, and answer it; Autobahn wouldn't know all codes."""
        isSound = code is None or isSendable(code)
        reason = (reasonRaw or b"").decode(errors="replace")
        self._close = (CloseCode.NO_STATUS if code is None else code, reason)
        self.wasClean = True
        if self.state == self.STATE_OPEN:
            self.isOpen = False
            self._wire.closing()
            self.sendCloseFrame(code if isSound else CloseCode.PROTOCOL_ERROR, isReply=True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.isOpen = False
        super().connectionLost(reason)
        if self._close is not None:
            self._wire.gone(*self._close)
        elif self._wasOpen:
            self._wire.gone(CloseCode.ABNORMAL, reason.getErrorMessage())
        else:
            self._wire.gone(*self._refusal(reason))

    def _refusal(self, failure: Failure) -> tuple[int, str, float]:
        """What the HTTP answer means, if there was one that was no upgrade."""
        _, _, rest = self.http_status_line.partition(" ")
        status, _, phrase = rest.partition(" ")
        if not status.isdigit() or int(status) == 101:
            return CloseCode.ABNORMAL, failure.getErrorMessage(), 0.0
        number, after = int(status), self.http_headers.get("retry-after", "").strip()
        retryAfter = float(after) if after.isdigit() else 0.0
        isFinal = 400 <= number < 500 and number not in _TEMPORARY
        code = _CLOSES.get(number, CloseCode.MISUSE) if isFinal else CloseCode.ABNORMAL
        return code, f"{number} {phrase}".strip(), retryAfter

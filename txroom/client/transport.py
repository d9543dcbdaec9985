"""
The network of a client: Autobahn's WebSocket client on an endpoint.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.types import ConnectingRequest
from OpenSSL.SSL import Error as TLSError
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, clientFromString, wrapClientTLS
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ..core.codes import CloseCode, isSendable
from ..core.interfaces import ClientEndpoint
from .callqueue import stop
from .connection import Attempt
from .encoding import shownError
from .httpresponse import HTTPResponse
from .options import ClientOptions

_PORTS = {"ws": 80, "wss": 443}
#: Longest reason in a Close frame, in bytes (RFC 6455 §5.5).
_MAX_REASON = 123


#: Most bytes of the head of an HTTP answer.
_MAX_HEAD = 64 * 1024
#: Seconds that the body of one may take to come.
_BODY_TIMEOUT = 1.0


def absolute(url: str, path: str = "/rooms") -> str:
    """The WebSocket URL; without a path it is that of `path`."""
    if not isinstance(url, str):
        raise TypeError(f"url={url!r}: must be a text, ws://host:port/rooms for one")
    try:
        parts = urlsplit(url)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        isGood = scheme in _PORTS and parts.hostname and parts.port != 0
    except ValueError:
        isGood = False
    if not isGood:
        raise ValueError(f"url={url!r}: must be one of a WebSocket, ws://host:port/rooms or wss://...")
    where = path if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, where, parts.query, ""))


def shownURL(url: str) -> str:
    """A URL in an error: without its query and user, which may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


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
        self,
        url: str,
        endpoint: IStreamClientEndpoint | ClientEndpoint | str | None,
        reactor: Any,
        options: ClientOptions,
    ) -> None:
        if isinstance(endpoint, str):
            self._where = f"{shownURL(url)} through {endpoint}"
            endpoint = clientFromString(reactor, endpoint)
        else:
            self._where = shownURL(url)
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

    def __call__(self, attempt: Attempt) -> AutobahnWebSocket:
        webSocket = AutobahnWebSocket(attempt, self._clock, self._options.closeTimeout, self._where)
        factory = WebSocketClientFactory(self._url, protocols=[self._options.protocol], reactor=self._clock)
        make: Any = partial(_Protocol, webSocket, self._request)
        factory.protocol = make
        # Autobahn's timers would be those of the global reactor; ours are the session's.
        factory.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            tcpNoDelay=True,
            maxFramePayloadSize=self._options.maxReceived,
            maxMessagePayloadSize=self._options.maxReceived,
        )
        webSocket.begin(self._endpoint.connect(factory))
        return webSocket


class AutobahnWebSocket:
    """One WebSocket."""

    def __init__(self, attempt: Attempt, clock: IReactorTime, closeTimeout: float, url: str) -> None:
        self._attempt: Attempt | None = attempt
        self.url = url
        self._clock = clock
        self._closeTimeout = closeTimeout
        self._connecting: Deferred[Any] | None = None
        self._protocol: _Protocol | None = None
        self._deadline: IDelayedCall | None = None
        self._isGone = False
        self._waiters: list[Deferred[None]] = []

    # -- for the connection

    @property
    def where(self) -> str:
        """What it connects to, and how far it has come, in words."""
        if self._protocol is None:
            return f"{self.url}: no TCP connection"
        return f"{self.url}: the server has not answered the upgrade"

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
        if self._attempt is not None:
            self._attempt.opened(protocol)

    def closing(self) -> None:
        """A Close frame came or went: the server is to drop the TCP connection, or we do."""
        self.dropIn(self._closeTimeout)

    def dropIn(self, seconds: float) -> None:
        """The server is to drop the TCP connection, or we do."""
        stop(self._deadline)
        self._deadline = self._clock.callLater(seconds, self.abort)

    def progress(self, size: int) -> None:
        """So many bytes have come."""
        if self._attempt is not None:
            self._attempt.progress(size)

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""
        if self._attempt is not None:
            self._attempt.received(message, isBinary)

    def gone(self, code: int, reason: str, retryAfter: float = 0.0) -> None:
        """It has ended. The protocol and the attempt are let go, which hold this."""
        self._isGone = True
        stop(self._deadline)
        self._deadline = None
        self._protocol = None
        self._connecting = None
        attempt, self._attempt = self._attempt, None
        waiters, self._waiters = self._waiters, []
        if attempt is not None:
            attempt.lost(code, reason, retryAfter)
        for waiter in waiters:
            waiter.callback(None)

    def notOpened(self, why: str, code: int = CloseCode.ABNORMAL, retryAfter: float = 0.0) -> None:
        """There is no WebSocket."""
        self.gone(code, f"{self.url}: {why}", retryAfter)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            self.gone(CloseCode.ABNORMAL, "")
        else:
            self.notOpened(_whyOf(failure))


def _whyOf(failure: Failure) -> str:
    """Why there is no connection, in words."""
    error: Any = failure.value
    if failure.check(TLSError):
        parts = [text for each in error.args[:1] for *_, text in each] if error.args else []
        return f"TLS failed: {', '.join(map(str, parts)) or error}"
    if failure.check(VerificationError, CertificateError):
        return f"TLS failed: the certificate is not one for this host: {shownError(error)}"
    return failure.getErrorMessage() or type(error).__name__


class _Protocol(WebSocketClientProtocol):
    """Autobahn's client; tells an `AutobahnWebSocket` what happens."""

    websocket_protocol_in_use: str | None = None
    http_status_line = ""
    http_headers: dict[str, str] = {}

    def __init__(self, webSocket: AutobahnWebSocket, request: ConnectingRequest) -> None:
        super().__init__()
        self._webSocket = webSocket
        self._request = request
        self._close: tuple[int, str] | None = None
        self.isOpen = False
        self._wasOpen = False
        #: An HTTP answer that is no upgrade, of whose body some is to come.
        self._answer: HTTPResponse | None = None

    def connectionMade(self) -> None:
        self._webSocket.made(self)
        super().connectionMade()

    def onConnecting(self, details: object) -> ConnectingRequest:
        return self._request

    def dataReceived(self, data: bytes) -> None:
        if self._answer is not None:
            self._readBody(data)
            return
        self._webSocket.progress(len(data))
        super().dataReceived(data)

    def processHandshake(self) -> Any:
        """Autobahn's; but of an answer that is no upgrade the body is read, to say why."""
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            if len(self.data) > _MAX_HEAD:
                self.failHandshake("the head of the HTTP answer is too large")
            return None
        answer = HTTPResponse.read(self.data[:end])
        if answer is None or answer.status == 101:
            return super().processHandshake()
        body, self.data = self.data[end + 4 :], b""
        self._answer = answer
        self._webSocket.dropIn(_BODY_TIMEOUT)
        self._readBody(body)
        return None

    def _readBody(self, data: bytes) -> None:
        if self._answer is not None and not self._answer.add(data):
            self._webSocket.abort()

    def onOpen(self) -> None:
        self.isOpen = self._wasOpen = True
        self._webSocket.opened(self.websocket_protocol_in_use)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._webSocket.received(payload, isBinary)

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
            self._webSocket.closing()
            self.sendCloseFrame(code if isSound else CloseCode.PROTOCOL_ERROR, isReply=True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.isOpen = False
        super().connectionLost(reason)
        self.is_closed = None  # its result is this protocol: a cycle
        if self._close is not None:
            self._webSocket.gone(*self._close)
        elif self._wasOpen:
            self._webSocket.gone(CloseCode.ABNORMAL, reason.getErrorMessage())
        elif self._answer is not None:
            self._webSocket.notOpened(self._answer.why, self._answer.closeCode, self._answer.retryAfter)
        else:
            self._webSocket.notOpened(self.wasNotCleanReason if self.droppedByMe else _whyOf(reason))

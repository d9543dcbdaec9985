"""
The network of a client: Autobahn's WebSocket client on a Twisted endpoint.
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
from ..protocol.closecodes import shortened
from .callqueue import stop
from .connection import Attempt
from .encoding import shownError
from .httpresponse import HTTPResponse
from .options import ClientOptions

_PORTS = {"ws": 80, "wss": 443}
#: The largest head of an HTTP response, in bytes.
_MAX_HEAD = 64 * 1024
#: How long the body of an HTTP response may take to arrive, in seconds.
_BODY_TIMEOUT = 1.0


def absolute(url: str, path: str = "/rooms") -> str:
    """
    Return the WebSocket URL for `url`; if that has no path, it gets `path`.

    Raises:
        TypeError: `url` is not a string.
        ValueError: `url` is not the URL of a WebSocket.
    """
    if not isinstance(url, str):
        raise TypeError(f"url={url!r}: must be a string such as ws://host:port/rooms")
    try:
        parts = urlsplit(url)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        isGood = scheme in _PORTS and parts.hostname and parts.port != 0
    except ValueError:
        isGood = False
    if not isGood:
        raise ValueError(
            f"url={url!r}: must be a WebSocket URL such as ws://host:port/rooms or wss://host/rooms"
        )
    where = path if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, where, parts.query, ""))


def shownURL(url: str) -> str:
    """Return a URL for error messages: without its query and its user, which may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def endpointOf(url: str, reactor: Any) -> IStreamClientEndpoint:
    """Return the endpoint for a URL. TLS checks the certificate against the platform's authorities."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    endpoint: IStreamClientEndpoint = HostnameEndpoint(reactor, host, port)
    if parts.scheme == "wss":
        from twisted.internet.ssl import optionsForClientTLS

        endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
    return endpoint


class Connector:
    """Opens connections to one URL."""

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
        # Autobahn's timers would run on the global reactor; `Connection` has its own.
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
    """A WebSocket of Autobahn's, as the `WebSocket` that `Connection` expects."""

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
        """The URL and the stage that connecting has reached, for error messages."""
        if self._protocol is None:
            return f"{self.url}: no TCP connection"
        return f"{self.url}: the server has not answered the upgrade"

    def send(self, message: bytes, isBinary: bool) -> None:
        """Send a message."""
        if self._protocol is not None and self._protocol.isOpen:
            self._protocol.sendMessage(message, isBinary)

    def close(self, code: int, reason: str) -> Deferred[None]:
        """Close the WebSocket, whatever its state. The Deferred fires when the TCP connection is closed."""
        if self._isGone:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if self._protocol is not None and self._protocol.isOpen:
            self._protocol.closeWith(code, shortened(reason).encode())
            self.closing()
        elif self._deadline is None:
            self.abort()
        return waiter

    def abort(self) -> None:
        """Close the TCP connection at once."""
        if self._protocol is not None:
            transport: Any = self._protocol.transport
            transport.abortConnection()
        elif self._connecting is not None:
            self._connecting.cancel()

    # -- for the network

    def begin(self, connecting: Deferred[Any]) -> None:
        """Wait for the endpoint, which is connecting."""
        self._connecting = connecting
        connecting.addErrback(self._failed)

    def made(self, protocol: _Protocol) -> None:
        """Called when the TCP connection is open."""
        self._protocol = protocol

    def opened(self, protocol: str | None) -> None:
        """Called when the WebSocket is open."""
        if self._attempt is not None:
            self._attempt.opened(protocol)

    def closing(self) -> None:
        """
        Wait `closeTimeout` for the server to close the TCP connection, because a Close frame was sent or
        received.
        """
        self.dropIn(self._closeTimeout)

    def dropIn(self, seconds: float) -> None:
        """Close the TCP connection after that many seconds, unless the server does it before."""
        stop(self._deadline)
        self._deadline = self._clock.callLater(seconds, self.abort)

    def progress(self, size: int) -> None:
        """Called when bytes have arrived."""
        if self._attempt is not None:
            self._attempt.progress(size)

    def received(self, message: bytes, isBinary: bool) -> None:
        """Called when a message has arrived."""
        if self._attempt is not None:
            self._attempt.received(message, isBinary)

    def gone(self, code: int, reason: str, retryAfter: float = 0.0) -> None:
        """
        End, because the TCP connection is closed. Drop the references to the protocol and the attempt, which
        refer to this object.
        """
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
        """Called when the WebSocket could not be opened."""
        self.gone(code, f"{self.url}: {why}", retryAfter)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            self.gone(CloseCode.ABNORMAL, "")
        else:
            self.notOpened(_whyOf(failure))


def _whyOf(failure: Failure) -> str:
    """Return why there is no connection, in words."""
    error: Any = failure.value
    if failure.check(TLSError):
        parts = [text for each in error.args[:1] for *_, text in each] if error.args else []
        return f"TLS failed: {', '.join(map(str, parts)) or error}"
    if failure.check(VerificationError, CertificateError):
        return f"TLS failed: the certificate is not valid for this host: {shownError(error)}"
    return failure.getErrorMessage() or type(error).__name__


class _Protocol(WebSocketClientProtocol):
    """Autobahn's client protocol, which reports to an `AutobahnWebSocket`."""

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
        #: The HTTP response to a refused upgrade, whose body is being read.
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
        """Like Autobahn's, but if the server refuses the upgrade, the body is read to learn why."""
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            if len(self.data) > _MAX_HEAD:
                self.failHandshake(f"the head of the HTTP response is larger than {_MAX_HEAD} bytes")
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
        """Send a Close frame. Autobahn's `sendClose` refuses some valid codes."""
        self.isOpen = False
        self.sendCloseFrame(int(code), reason)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> None:
        """
        Keep the code and the reason, and answer the Close frame. Autobahn would refuse some valid codes.
        """
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
        self.is_closed = None  # its result is this protocol: a reference cycle
        if self._close is not None:
            self._webSocket.gone(*self._close)
        elif self._wasOpen:
            self._webSocket.gone(CloseCode.ABNORMAL, reason.getErrorMessage())
        elif self._answer is not None:
            self._webSocket.notOpened(self._answer.why, self._answer.closeCode, self._answer.retryAfter)
        else:
            self._webSocket.notOpened(self.wasNotCleanReason if self.droppedByMe else _whyOf(reason))

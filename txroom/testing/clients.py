"""
The clients of the kit: Autobahn's, and one that sends any bytes.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from struct import pack
from typing import Any

import attrs
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.types import ConnectingRequest
from autobahn.websocket.xormasker import create_xor_masker
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ..core.codes import CloseCode
from ..core.headers import HeaderPairs, Headers
from .network import PORT, MemoryReactor, MemorySocket


@attrs.frozen
class Response:
    """The HTTP response to an upgrade request."""

    status: int
    reason: str
    headers: Headers
    #: The body of a refusal.
    body: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Response | None:
        """Parse the response at the start of `data`. Returns `None` if its head is not complete."""
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            return None
        statusLine, *fields = head.decode("latin-1").split("\r\n")
        _, status, reason = statusLine.split(" ", 2)
        pairs = (field.partition(":") for field in fields)
        headers = Headers((name, value.strip()) for name, _, value in pairs)
        return cls(int(status), reason, headers, b"" if status == "101" else body)


@attrs.frozen
class CloseInfo:
    """
    How a WebSocket ended for its client; the code is 1006 without a Close frame, 1005 for one without a
    code.
    """

    code: int
    reason: str = ""


class TCPClient:
    """What a client can do with its TCP connection, whatever it sends over it."""

    _reactor: MemoryReactor
    _socket: MemorySocket
    #: The protocol of the client, in Twisted's sense.
    protocol: Any

    def __init__(self) -> None:
        #: Whether the TCP connection is closed.
        self.isClosed = False

    def drop(self) -> None:
        """Abort the TCP connection: the server sees a reset."""
        if not self.isClosed:
            self.protocol.transport.abortConnection()
        self._reactor.flush()

    def finish(self) -> None:
        """Close the sending side of the TCP connection: the server sees its end."""
        if not self.isClosed:
            bottom = self.protocol.transport
            while hasattr(bottom, "wrappedProtocol"):
                bottom = bottom.transport
            bottom.loseWriteConnection()
        self._reactor.flush()

    def stall(self) -> None:
        """Stop reading: what the server sends stays in the buffer of its transport."""
        self._socket.credit = 0

    def unstall(self, size: int | None = None) -> None:
        """Read again; with `size`, read only that many bytes and then stop again."""
        self._socket.credit = size
        self._reactor.flush()


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """
    An endpoint that leads to the server of a harness, for clients that connect by themselves.

    A client can connect any number of times. `drop`, `stall` and `unstall` apply to its last connection.
    """

    def __init__(self, reactor: MemoryReactor, reach: Callable[[IProtocolFactory], MemorySocket]) -> None:
        self._reactor = reactor
        self._reach = reach
        self._socket: MemorySocket | None = None
        self._protocol: Any = None
        #: Whether new connections reach the server.
        self.isOnline = True

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        Connect to the server. The Deferred fails with `ConnectError` if the server does not listen or
        `isOnline` is False.
        """
        noting = _NotingFactory(protocolFactory)
        try:
            if not self.isOnline:
                raise ConnectError(string="offline")
            self._socket = self._reach(noting)
        except ConnectError as error:
            return fail(error)
        self._protocol = noting.made
        return succeed(self._protocol)

    def drop(self) -> None:
        """Abort the TCP connection: the server sees a reset."""
        if self._socket is not None and not self._socket.isClosed:
            self._protocol.transport.abortConnection()
        self._reactor.flush()

    def stall(self) -> None:
        """Stop reading: what the server sends stays in the buffer of its transport."""
        if self._socket is not None:
            self._socket.credit = 0

    def unstall(self, size: int | None = None) -> None:
        """Read again; with `size`, read only that many bytes and then stop again."""
        if self._socket is not None:
            self._socket.credit = size
        self._reactor.flush()


class _NotingFactory(Factory):
    """Keeps the protocol that another factory has made."""

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        self.made: Any = None

    def buildProtocol(self, addr: Any) -> Any:
        self.made = self._factory.buildProtocol(addr)
        return self.made


class RawClient(TCPClient):
    """
    A client that sends any bytes, and keeps the bytes that it receives.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        super().__init__()
        self._reactor = reactor
        #: All bytes that the server has sent.
        self.output = b""

    def send(self, data: bytes) -> None:
        """Send bytes as one segment."""
        if not self.isClosed:
            self.protocol.transport.write(data)
        self._reactor.flush()

    def take(self) -> bytes:
        """Return the bytes that the server has sent since the last call."""
        output, self.output = self.output, b""
        return output

    @property
    def response(self) -> Response | None:
        """The HTTP response at the start of `output`, once its head is complete."""
        return Response.parse(self.output)


class RawProtocol(Protocol):
    """The protocol of a `RawClient`."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        client.protocol = self

    def dataReceived(self, data: bytes) -> None:
        self._client.output += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._client.isClosed = True


class Client(TCPClient):
    """
    A WebSocket client: Autobahn's, without timers.

    `protocol` is Autobahn's `WebSocketClientProtocol`. Use it for what this class does not offer, such as
    fragments.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        super().__init__()
        self._reactor = reactor
        #: The received messages: `str` for text, `bytes` for binary.
        self.received: list[str | bytes] = []
        #: The payloads of the received pings and pongs; the pings include the server's heartbeat.
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        #: The server's response to the upgrade; `None` while there is none.
        self.response: Response | None = None
        #: How the WebSocket ended; `None` while it is open, and if it was never open.
        self.closeInfo: CloseInfo | None = None
        #: Whether the WebSocket is open: upgraded, and no Close frame was sent or received.
        self.isOpen = False
        self.isFrozen = False

    @property
    def closeCode(self) -> int | None:
        """The code with which the WebSocket ended; `None` while it is open."""
        return None if self.closeInfo is None else self.closeInfo.code

    @property
    def protocolInUse(self) -> str | None:
        """The sub-protocol that the server chose."""
        chosen: str | None = self.protocol.websocket_protocol_in_use
        return chosen

    def send(self, data: str | bytes) -> None:
        """Send a message: text for `str`, binary for `bytes`."""
        payload = data.encode() if isinstance(data, str) else data
        self.protocol.sendMessage(payload, isinstance(data, bytes))
        self._reactor.flush()

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping; the answer is added to `pongs`."""
        self.protocol.sendPing(payload)
        self._reactor.flush()

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """Send a Close frame; `code` may be any number, also one that RFC 6455 forbids."""
        self.isOpen = False
        self.protocol.sendCloseFrame(code, reason.encode() or None)
        self._reactor.flush()

    def freeze(self) -> None:
        """Stop answering pings and Close frames, like a peer that has crashed."""
        self.isFrozen = True

    def unfreeze(self) -> None:
        """Answer pings and Close frames again."""
        self.isFrozen = False


class ClientProtocol(WebSocketClientProtocol):
    """Autobahn's client protocol, which reports to a `Client`."""

    websocket_protocol_in_use: str | None = None

    def __init__(self, client: Client, request: ConnectingRequest) -> None:
        super().__init__()
        self._client = client
        self._request = request
        self._answer = b""
        client.protocol = self

    def onConnecting(self, details: object) -> ConnectingRequest:
        return self._request

    def dataReceived(self, data: bytes) -> None:
        """
        Show the response to Autobahn only if it is a 101: otherwise Autobahn would disconnect before the
        body has arrived.
        """
        client = self._client
        if client.response is None or client.response.status != 101:
            self._answer += data
            client.response = Response.parse(self._answer)
            if client.response is None or client.response.status != 101:
                return
            data = self._answer
        super().dataReceived(data)

    def onOpen(self) -> None:
        self._client.isOpen = True

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._client.received.append(payload if isBinary else payload.decode())

    def onPing(self, payload: bytes) -> None:
        self._client.pings.append(payload)
        if not self._client.isFrozen:
            self.sendPong(payload)

    def onPong(self, payload: bytes) -> None:
        self._client.pongs.append(payload)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> None:
        """Answer the Close frame with the same code. Autobahn would refuse some valid codes."""
        client = self._client
        client.isOpen = False
        client.closeInfo = CloseInfo(
            CloseCode.NO_STATUS if code is None else code, (reasonRaw or b"").decode()
        )
        self.wasClean = True
        if not client.isFrozen and self.state == self.STATE_OPEN:
            self.sendCloseFrame(code, reasonRaw, isReply=True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        client = self._client
        client.isOpen = False
        client.isClosed = True
        if client.closeInfo is None and client.response is not None and client.response.status == 101:
            client.closeInfo = CloseInfo(CloseCode.ABNORMAL)


def clientFactory(
    reactor: MemoryReactor, make: Any, request: ConnectingRequest, offers: list[PerMessageDeflateOffer]
) -> WebSocketClientFactory:
    """Return the factory of a `Client`. `make` makes its protocol; `offers` are its offers to compress."""
    factory = WebSocketClientFactory("ws://localhost", protocols=request.protocols, reactor=reactor)
    factory.protocol = make
    # Autobahn's timers would run on the global reactor.
    factory.setProtocolOptions(
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        serverConnectionDropTimeout=0,
        perMessageCompressionOffers=offers,
        perMessageCompressionAccept=_acceptDeflate,
    )
    return factory


def _acceptDeflate(response: object) -> PerMessageDeflateResponseAccept | None:
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response)
    return None


def upgradeRequest(
    path: str = "/", headers: HeaderPairs = (), *, host: str = f"localhost:{PORT}", method: str = "GET"
) -> bytes:
    """
    Return the bytes of a valid upgrade request, for `RawClient.send`.

    Args:
        path: The path of the request.
        headers: Additional headers. One of these replaces the usual header of that name; the value `""`
            omits it.
        host: The value of the Host header.
        method: The HTTP method.
    """
    given = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    usual = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", b64encode(os.urandom(16)).decode()),
        ("Sec-WebSocket-Version", "13"),
    ]
    names = {name.lower() for name, _ in given}
    fields = [pair for pair in usual if pair[0].lower() not in names] + [pair for pair in given if pair[1]]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def clientFrame(
    opcode: int, payload: bytes | str = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"mask"
) -> bytes:
    """
    Return one frame as a client sends it (RFC 6455 §5.2), for `RawClient.send`.

    `mask=None` sends an unmasked frame, which the RFC forbids to clients.
    """
    if isinstance(payload, str):
        payload = payload.encode()
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    masked = 0 if mask is None else 0x80
    length = len(payload)
    if length < 126:
        header = bytes((first, masked | length))
    elif length < 65536:
        header = pack("!BBH", first, masked | 126, length)
    else:
        header = pack("!BBQ", first, masked | 127, length)
    if mask is None:
        return header + payload
    return header + mask + bytes(create_xor_masker(mask, length).process(payload))

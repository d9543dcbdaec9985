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
    """The HTTP answer to an upgrade."""

    status: int
    reason: str
    headers: Headers
    #: What came with a refusal.
    body: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Response | None:
        """The answer at the start of `data`; `None` if its head isn't complete."""
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
    """How a WebSocket ended for its client: 1006 without a Close frame, 1005 for one without a code."""

    code: int
    reason: str = ""


class TCPClient:
    """What a client can do with its TCP connection, whatever it speaks over that."""

    _reactor: MemoryReactor
    _socket: MemorySocket
    #: The protocol of the client, in Twisted's sense.
    protocol: Any

    def __init__(self) -> None:
        #: Whether the TCP connection is gone.
        self.isClosed = False

    def drop(self) -> None:
        """Lose the TCP connection: the server sees a reset."""
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
        """Read no more: what the server sends stays in the buffer of its transport."""
        self._socket.credit = 0

    def unstall(self, size: int | None = None) -> None:
        """Read again; with `size` only so many bytes, then it stalls as before."""
        self._socket.credit = size
        self._reactor.flush()


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """
    Leads to the server of a harness, for clients that connect by themselves, as often as they like.

    What it does to the network it does to the last connection that was made.
    """

    def __init__(self, reactor: MemoryReactor, reach: Callable[[IProtocolFactory], MemorySocket]) -> None:
        self._reactor = reactor
        self._reach = reach
        self._socket: MemorySocket | None = None
        self._protocol: Any = None
        #: Whether there is a way to the server for new connections.
        self.isOnline = True

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect to the server; fails with `ConnectError` if it doesn't listen, or isn't reached."""
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
        """Lose the TCP connection: the server sees a reset."""
        if self._socket is not None and not self._socket.isClosed:
            self._protocol.transport.abortConnection()
        self._reactor.flush()

    def stall(self) -> None:
        """Read no more: what the server sends stays in the buffer of its transport."""
        if self._socket is not None:
            self._socket.credit = 0

    def unstall(self, size: int | None = None) -> None:
        """Read again; with `size` only so many bytes, then it stalls as before."""
        if self._socket is not None:
            self._socket.credit = size
        self._reactor.flush()


class _NotingFactory(Factory):
    """Knows the protocol that another factory has made."""

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        self.made: Any = None

    def buildProtocol(self, addr: Any) -> Any:
        self.made = self._factory.buildProtocol(addr)
        return self.made


class RawClient(TCPClient):
    """
    A client that sends any bytes, and takes what comes as bytes.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        super().__init__()
        self._reactor = reactor
        #: All that the server has sent.
        self.output = b""

    def send(self, data: bytes) -> None:
        """Send, as one segment."""
        if not self.isClosed:
            self.protocol.transport.write(data)
        self._reactor.flush()

    def take(self) -> bytes:
        """What the server has sent since the last call."""
        output, self.output = self.output, b""
        return output

    @property
    def response(self) -> Response | None:
        """The HTTP answer at the start of `output`, once its head is complete."""
        return Response.parse(self.output)


class RawProtocol(Protocol):
    def __init__(self, client: RawClient) -> None:
        self._client = client
        client.protocol = self

    def dataReceived(self, data: bytes) -> None:
        self._client.output += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._client.isClosed = True


class Client(TCPClient):
    """
    A WebSocket client: Autobahn's, with nothing left to time.

    `protocol` is Autobahn's `WebSocketClientProtocol`, for what isn't offered here (fragments, ...).
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        super().__init__()
        self._reactor = reactor
        #: The messages that came: `str` for text, `bytes` for binary.
        self.received: list[str | bytes] = []
        #: The payloads of the pings and pongs that came; the server's heartbeat is among the pings.
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        #: The server's answer to the upgrade; `None` while there is none.
        self.response: Response | None = None
        #: How the WebSocket ended; `None` while it is open or was never open.
        self.closeInfo: CloseInfo | None = None
        #: Whether the WebSocket is open: upgraded, and no Close frame came or went.
        self.isOpen = False
        self.isFrozen = False

    @property
    def closeCode(self) -> int | None:
        """The code with which the WebSocket ended; `None` while it is open."""
        return None if self.closeInfo is None else self.closeInfo.code

    @property
    def protocolInUse(self) -> str | None:
        """The sub-protocol the server chose."""
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
        """Send a Close frame; any code goes, sound or not."""
        self.isOpen = False
        self.protocol.sendCloseFrame(code, reason.encode() or None)
        self._reactor.flush()

    def freeze(self) -> None:
        """Answer no pings and no Close frames any more, as a peer that is gone without a word."""
        self.isFrozen = True

    def unfreeze(self) -> None:
        """Answer again."""
        self.isFrozen = False


class ClientProtocol(WebSocketClientProtocol):
    """Autobahn's client; tells a `Client`."""

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
        """Autobahn is shown the answer if it is a 101, and else hangs up before the body has come."""
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
        """Answer it as it came; Autobahn wouldn't know all codes."""
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
    factory = WebSocketClientFactory("ws://localhost", protocols=request.protocols, reactor=reactor)
    factory.protocol = make
    # Autobahn's timers would be those of the global reactor.
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
    The bytes of a sound upgrade request, for `RawClient.send`.

    A header that is given takes the place of the usual one of that name; the value `""` leaves it out.
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
    """One frame as a client sends it (RFC 6455 §5.2), for `RawClient.send`; `mask=None` breaks the rules."""
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

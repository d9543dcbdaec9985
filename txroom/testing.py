"""
A kit for the tests of applications: the real server and real clients, without sockets and without time.

`RoomHarness` runs a `Server` on a clock and a network that exist in memory only. Its clients are
Autobahn's; between the two lie Twisted's own TCP transports, on sockets that are two byte buffers, so
that back-pressure, half-closed connections and resets are those of Twisted. Time stands still but
for `advance`. The global reactor is never imported, so the kit serves in trial's `SynchronousTestCase`
and `TestCase` and in pytest (there is a fixture, `txroomHarness`) alike::

    from twisted.trial.unittest import SynchronousTestCase

    from txroom import Application
    from txroom.testing import RoomHarness


    class Chat(Application):
        def onMessage(self, connection, message):
            self.broadcast(message, exclude=[connection])


    class ChatTests(SynchronousTestCase):
        def setUp(self):
            self.harness = RoomHarness(Chat(), pingInterval=20, pingTimeout=10)
            self.addCleanup(self.harness.stop)

        def test_others(self):
            "A message comes to all others."
            alice, bob = self.harness.connect("/"), self.harness.connect("/")
            alice.send("hello")
            self.assertEqual(bob.received, ["hello"])
            self.assertEqual(alice.received, [])

        def test_slowReader(self):
            "Whoever reads again gets what waited."
            alice, bob = self.harness.connect("/"), self.harness.connect("/")
            bob.stall()
            alice.send("x" * 1000)
            self.assertEqual(bob.received, [])
            bob.unstall()
            self.assertEqual(bob.received, ["x" * 1000])

        def test_deadPeer(self):
            "A client that answers no pings is dropped in time."
            client = self.harness.connect("/")
            client.freeze()
            self.harness.advance(30)
            self.assertTrue(client.isClosed)
            self.assertEqual(self.harness.server.connections, [])

In pytest::

    def test_echo(txroomHarness):
        harness = txroomHarness(Application(onMessage=lambda connection, message: connection.send(message)))
        client = harness.connect("/")
        client.send(b"hello")
        assert client.received == [b"hello"]

What a client does (`send`, `close`, ...) has had all its effects when the call returns. After something
that was begun on the server's side, say `server.broadcast`, call `harness.flush()`.
"""

from __future__ import annotations

import errno
import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from struct import pack
from typing import Any, Self
from warnings import catch_warnings, simplefilter

import attrs
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.types import ConnectingRequest
from autobahn.websocket.xormasker import create_xor_masker
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.posixbase import _DisconnectSelectableMixin
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection as TCPConnection
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from .application import Application
from .codes import CloseCode
from .connection import Connection
from .handshake import HeaderPairs, Headers
from .options import ServerOptions
from .server import Server

__all__ = [
    "Client",
    "CloseInfo",
    "MemoryReactor",
    "RawClient",
    "Response",
    "RoomHarness",
    "clientFrame",
    "upgradeRequest",
]

#: Turns of a network that is busy with itself; after so many it isn't going to be idle.
_MAX_TURNS = 100_000
#: Where time begins; not at 0, which tests might take for "never".
_EPOCH = 1000.0
_PORT = 8080


class MemorySocket:
    """
    One end of a TCP connection that isn't there: what Twisted's transports ask of a socket.

    What has arrived can still be read after a reset, as on Linux.
    """

    peer: MemorySocket

    def __init__(self) -> None:
        self._incoming = bytearray()
        self._isEnded = False
        self._isReset = False
        self._isClosed = False
        self._lingers = True
        #: How many more bytes this end takes from its peer, and reads; `None`: any number.
        self.credit: int | None = None

    @staticmethod
    def pair() -> tuple[MemorySocket, MemorySocket]:
        """Both ends of a connection."""
        one, other = MemorySocket(), MemorySocket()
        one.peer, other.peer = other, one
        return one, other

    @property
    def isWritable(self) -> bool:
        """Whether `send` wouldn't block."""
        return self._isReset or self.peer.credit != 0

    @property
    def isReadable(self) -> bool:
        """Whether `recv` wouldn't block."""
        if self._isClosed:
            return False
        return bool(self._incoming) or self._isReset or (self._isEnded and self.credit != 0)

    def send(self, data: bytes | memoryview) -> int:
        if self._isReset:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        peer = self.peer
        if peer._isClosed:
            self._isReset = True  # the answer to what is written now
            return len(data)
        if peer.credit is not None:
            if not peer.credit:
                raise BlockingIOError(errno.EWOULDBLOCK, "full")
            data = data[: peer.credit]
            peer.credit -= len(data)
        peer._incoming += data
        return len(data)

    def recv(self, size: int) -> bytes:
        if self._incoming:
            data = bytes(self._incoming[:size])
            del self._incoming[:size]
            return data
        if self._isReset:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        if not self._isEnded:
            raise BlockingIOError(errno.EWOULDBLOCK, "empty")
        return b""

    def shutdown(self, how: int) -> None:
        self.peer._isEnded = True

    def close(self) -> None:
        """Unread bytes, or SO_LINGER at 0, make it a reset."""
        self._isClosed = True
        if self._incoming or not self._lingers:
            self.peer._isReset = True
        self.peer._isEnded = True

    def setsockopt(self, level: int, option: int, value: object) -> None:
        if isinstance(value, bytes):  # SO_LINGER, which Twisted sets to 0 when it aborts
            self._lingers = False

    def getsockopt(self, level: int, option: int) -> int:
        return 1

    def setblocking(self, isBlocking: bool) -> None:
        """It never blocks."""

    def fileno(self) -> int:
        return -1


class MemoryTransport(TCPConnection):
    """Twisted's TCP transport on a `MemorySocket`."""

    socket: Any

    def __init__(
        self, socket: Any, protocol: Any, reactor: MemoryReactor, host: IAddress, peer: IAddress
    ) -> None:
        super().__init__(socket, protocol, reactor)
        self._host = host
        self._peer = peer
        self.connected = 1
        self.startReading()

    def getHost(self) -> IAddress:
        return self._host

    def getPeer(self) -> IAddress:
        return self._peer


@implementer(IListeningPort)
class MemoryPort:
    """A port of a `MemoryReactor`."""

    def __init__(self, reactor: MemoryReactor, address: IAddress, factory: IProtocolFactory) -> None:
        self._reactor = reactor
        self._address = address
        self.factory = factory

    def startListening(self) -> None:
        self.factory.doStart()
        self._reactor.ports.append(self)

    def stopListening(self) -> None:
        if self in self._reactor.ports:
            self._reactor.ports.remove(self)
            self.factory.doStop()

    def getHost(self) -> IAddress:
        return self._address


class MemoryReactor(_DisconnectSelectableMixin, MemoryReactorClock):
    """
    The clock and the network of a harness; also the `clock` that the server under test is given.

    Listening, connections and time work; everything else is as in Twisted's `MemoryReactorClock`.
    """

    _log = Logger()

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = _EPOCH
        self.ports: list[MemoryPort] = []
        # In the order in which they came, so that every run is the same.
        self.readers: dict[Any, None] = {}  # type: ignore[assignment]
        self.writers: dict[Any, None] = {}  # type: ignore[assignment]

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> MemoryPort:
        super().listenTCP(port, factory, backlog, interface)
        taken = {getattr(other.getHost(), "port", None) for other in self.ports}
        if port in taken:
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, "Address already in use"))
        if not port:
            port = next(free for free in range(49152, 65536) if free not in taken)
        isIPv6 = ":" in interface
        address = IPv6Address("TCP", interface, port) if isIPv6 else IPv4Address("TCP", interface, port)
        return self._listen(address, factory)

    def listenUNIX(
        self,
        address: str,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> MemoryPort:
        super().listenUNIX(address, factory, backlog, mode, wantPID)
        return self._listen(UNIXAddress(address), factory)

    def _listen(self, address: IAddress, factory: IProtocolFactory) -> MemoryPort:
        port = MemoryPort(self, address, factory)
        port.startListening()
        return port

    def connect(
        self, server: IProtocolFactory, client: IProtocolFactory, host: IAddress, peer: IAddress
    ) -> MemorySocket:
        """Connect a client to a server, whether it listens or not; the client's end."""
        near, far = MemorySocket.pair()
        for factory, end, here, there in ((client, near, peer, host), (server, far, host, peer)):
            protocol = factory.buildProtocol(there)
            if protocol is None:
                end.close()
            else:
                protocol.makeConnection(MemoryTransport(end, protocol, self, here, there))
        return near

    def addReader(self, reader: Any) -> None:
        self.readers[reader] = None

    def removeReader(self, reader: Any) -> None:
        self.readers.pop(reader, None)

    def addWriter(self, writer: Any) -> None:
        self.writers[writer] = None

    def removeWriter(self, writer: Any) -> None:
        self.writers.pop(writer, None)

    def turn(self) -> bool:
        """One turn: run what is due, write and read what is ready; whether there was anything."""
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        isBusy = bool(due)
        for call in due:
            if call.active():
                self._call(call)
        for transport in [writer for writer in self.writers if writer.socket.isWritable]:
            isBusy = True
            if transport in self.writers:
                self._act(transport, "doWrite")
        for transport in [reader for reader in self.readers if reader.socket.isReadable]:
            isBusy = True
            if transport in self.readers:
                self._act(transport, "doRead")
        return isBusy

    def flush(self) -> None:
        """Turn until nothing moves any more; time stands still."""
        for _ in range(_MAX_TURNS):
            if not self.turn():
                return
        raise AssertionError("the network doesn't come to rest")

    def advance(self, amount: float) -> None:
        """Let time pass, from one delayed call to the next, the network at rest at each."""
        end = self.rightNow + amount
        while True:
            self.flush()
            due = min((call.getTime() for call in self.getDelayedCalls()), default=end)
            if due >= end:
                break
            self.rightNow = due
        self.rightNow = end
        self.flush()

    def _call(self, call: Any) -> None:
        self.calls.remove(call)
        call.called = 1
        try:
            call.func(*call.args, **call.kw)
        except Exception:
            self._log.failure("a delayed call raised")

    def _act(self, transport: Any, method: str) -> None:
        try:
            why = getattr(transport, method)()
        except Exception as error:
            self._log.failure("a protocol raised")
            why = error
        if why:
            self._disconnectSelectable(transport, why, method == "doRead")


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


class _End:
    """What a client of either kind can do with its TCP connection."""

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


class RawClient(_End):
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


class _RawProtocol(Protocol):
    def __init__(self, client: RawClient) -> None:
        self._client = client
        client.protocol = self

    def dataReceived(self, data: bytes) -> None:
        self._client.output += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._client.isClosed = True


class Client(_End):
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


class _ClientProtocol(WebSocketClientProtocol):
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


def _clientFactory(
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
    path: str = "/", headers: HeaderPairs = (), *, host: str = f"localhost:{_PORT}", method: str = "GET"
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


class RoomHarness:
    """
    A server that runs in memory.

    `serves` is an `Application`, several of them by path, or a function that is given a clock and makes
    a `Server` with it. The options of the server are given as keywords, unless the function made it.
    If it doesn't listen anywhere by itself, it does at port 8080. `clock` is the `MemoryReactor` to run
    on: pass that of another harness to have both in one process.
    """

    def __init__(
        self,
        serves: Application | Mapping[str, Application] | Callable[[MemoryReactor], Server] | None = None,
        *,
        clock: MemoryReactor | None = None,
        **options: Any,
    ) -> None:
        #: The clock of the server; `clock.seconds()` is the time.
        self.clock = clock or MemoryReactor()
        self._ends: list[_End] = []
        #: The server under test.
        self.server = self._makeServer(serves, options)
        if not self.server.hasListeners:
            self.server.listen(f"tcp:{_PORT}")
        self.start()

    def _makeServer(self, serves: Any, options: dict[str, Any]) -> Server:
        if callable(serves):
            if options:
                raise TypeError("options can't be given to a server that is made already")
            made: Server = serves(self.clock)
            return made
        server = Server(ServerOptions(**options), clock=self.clock)
        if isinstance(serves, Mapping):
            for path, application in serves.items():
                server.addApplication(application, path=path)
        elif serves is not None:
            server.addApplication(serves)
        return server

    # -- the server

    def start(self) -> None:
        """Start the server; again, after it was stopped. A harness that is made is started."""
        self.server.privilegedStartService()
        self.server.startService()
        self.flush()

    def stop(self) -> None:
        """
        Stop the server, let as much time pass as that takes, hang up what is left of the clients, `check`.

        Meant for `addCleanup`; a harness is also a context manager that ends with this.
        """
        if self.server.running:
            stopped: list[object] = []
            stopping: Deferred[None] = self.server.stopService()
            stopping.addBoth(stopped.append)
            limit = self.clock.seconds() + self.server.options.shutdownTimeout + 2.0
            while not stopped and self.clock.seconds() < limit:
                self.advance(0.05)
            if not stopped:
                raise AssertionError("the server doesn't stop")
            if isinstance(stopped[0], Failure):
                stopped[0].raiseException()
        for end in self._ends:
            end.drop()
        # What is refused or cancelled now may take the time of one more deadline.
        self.advance(3.0)
        self.check()

    def check(self) -> None:
        """Raise `AssertionError` if a connection, a port or a `DelayedCall` is left; after `stop`."""
        left = [
            *(f"connection {connection!r}" for connection in self.server.connections),
            *(f"transport {transport!r}" for transport in self.clock.readers | self.clock.writers),
            *(f"port {port.getHost()}" for port in self.clock.ports),
            *(f"delayed call {call}" for call in self.clock.getDelayedCalls()),
        ]
        if left:
            raise AssertionError("left over: " + "; ".join(left))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self.stop()

    # -- time

    def flush(self) -> None:
        """Let everything happen that needs no time."""
        self.clock.flush()

    def advance(self, seconds: float) -> None:
        """Let time pass; every delayed call runs at its own time."""
        self.clock.advance(seconds)

    # -- clients

    def connect(
        self,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        protocols: Iterable[str] = (),
        *,
        peer: str = "203.0.113.9",
        host: str = "localhost",
        origin: str | None = None,
        tls: bool = False,
        compression: bool = False,
        to: IProtocolFactory | None = None,
    ) -> Client:
        """
        A WebSocket client that has asked for `path`, and had its answer if no hook keeps it waiting.

        `peer` is its address ("" comes over a UNIX socket), `host` the name in its Host header,
        `compression` offers permessage-deflate (other offers go into `headers`), `tls` speaks TLS. `to`
        is what it connects to in place of the server's first port, say a `Site`.
        """
        client = Client(self.clock)
        name, _, port = host.partition(":")
        request = ConnectingRequest(
            host=name,
            port=int(port or _PORT),
            resource=path,
            headers=dict(headers or {}),
            origin=origin,
            protocols=list(protocols),
        )
        offers = [PerMessageDeflateOffer()] if compression else []
        factory = _clientFactory(self.clock, lambda: _ClientProtocol(client, request), request, offers)
        self._connect(client, factory, peer, tls, to)
        return client

    def raw(
        self,
        data: bytes = b"",
        *,
        peer: str = "203.0.113.9",
        tls: bool = False,
        to: IProtocolFactory | None = None,
    ) -> RawClient:
        """A client without a protocol of its own, that has sent `data`; the rest as for `connect`."""
        client = RawClient(self.clock)
        self._connect(client, Factory.forProtocol(lambda: _RawProtocol(client)), peer, tls, to)
        if data:
            client.send(data)
        return client

    def connectionOf(self, client: Client) -> Connection:
        """The server's side of a client that is open."""
        key = client.protocol.websocket_key.decode()
        for connection in self.server.connections:
            if connection.handshake.headers.get("sec-websocket-key") == key:
                return connection
        raise LookupError("the client has no open connection")

    def _connect(self, end: Any, factory: Any, peer: str, tls: bool, to: IProtocolFactory | None) -> None:
        host: IAddress = IPv4Address("TCP", "192.0.2.1", _PORT)
        if to is None:
            if not self.clock.ports:
                raise ConnectionRefusedError("nobody listens")
            to, host = self.clock.ports[0].factory, self.clock.ports[0].getHost()
        if tls:
            to = TLSMemoryBIOFactory(_serverContext(), False, to, self.clock)
            factory = TLSMemoryBIOFactory(_clientContext(), True, factory, self.clock)
        end._socket = self.clock.connect(to, factory, host, _address(peer, 49152 + len(self._ends)))
        self._ends.append(end)
        self.flush()


def _address(peer: str, port: int) -> IAddress:
    if not peer:
        return UNIXAddress(None)
    if ":" in peer:
        return IPv6Address("TCP", peer, port)
    return IPv4Address("TCP", peer, port)


@cache
def _serverContext() -> Any:
    """A certificate for "localhost" that nobody vouches for, made once."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from OpenSSL.crypto import X509, PKey
    from twisted.internet.ssl import CertificateOptions

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    options = CertificateOptions(PKey.from_cryptography_key(key), X509.from_cryptography(certificate))
    with catch_warnings():
        # Twisted takes them in this form, pyOpenSSL would rather have the other.
        simplefilter("ignore", DeprecationWarning)
        options.getContext()
    return options


@cache
def _clientContext() -> Any:
    from twisted.internet.ssl import CertificateOptions

    return CertificateOptions()

"""
A network and a clock in memory, below Twisted's own transports.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableDescriptor,
    IListeningPort,
    IProtocolFactory,
)
from twisted.internet.tcp import Connection as TCPConnection
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..rooms.api.clock import Timer
from ..rooms.owner.presence import Presence

#: After this many turns in a row in which something happened, `flush` reports an endless loop.
MAX_TURNS = 100_000
#: The first time, in seconds. It is not 0, which code may use for "never".
EPOCH = 1000.0
PORT = 8080


class MemorySocket:
    """
    One end of a TCP connection in memory, with the methods that Twisted's transports use.

    Data that has arrived can still be read after a reset, as on Linux.
    """

    peer: MemorySocket

    def __init__(self) -> None:
        self._incoming = bytearray()
        self._isEnded = False
        self._isReset = False
        self._isClosed = False
        self._lingers = True
        #: How many more bytes this end accepts from its peer and reads; `None`: no limit.
        self.credit: int | None = None

    @staticmethod
    def pair() -> tuple[MemorySocket, MemorySocket]:
        """Return both ends of a new connection."""
        one, other = MemorySocket(), MemorySocket()
        one.peer, other.peer = other, one
        return one, other

    @property
    def isClosed(self) -> bool:
        """Whether this end has closed."""
        return self._isClosed

    @property
    def isWritable(self) -> bool:
        """Whether `send` would not block."""
        return self._isReset or self.peer.credit != 0

    @property
    def isReadable(self) -> bool:
        """Whether `recv` would not block."""
        if self._isClosed:
            return False
        return bool(self._incoming) or self._isReset or (self._isEnded and self.credit != 0)

    def send(self, data: bytes | memoryview) -> int:
        if self._isClosed:
            raise OSError(errno.EBADF, "closed")
        if self._isReset:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        peer = self.peer
        if peer._isClosed:
            self._isReset = True  # the peer answers this write with a reset
            return len(data)
        if peer.credit is not None:
            if not peer.credit:
                raise BlockingIOError(errno.EWOULDBLOCK, "full")
            data = data[: peer.credit]
            peer.credit -= len(data)
        peer._incoming += data
        return len(data)

    def sendmsg(self, parts: Sequence[bytes]) -> int:
        return self.send(b"".join(parts))

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
        """Close this end; the peer sees a reset if there are unread bytes, or if SO_LINGER is 0."""
        self._isClosed = True
        if self._incoming or not self._lingers:
            self.peer._isReset = True
        self.peer._isEnded = True

    def setsockopt(self, level: int, option: int, value: object) -> None:
        if isinstance(value, bytes):  # SO_LINGER, which Twisted sets to 0 to abort
            self._lingers = False

    def getsockopt(self, level: int, option: int) -> int:
        return 1

    def setblocking(self, isBlocking: bool) -> None:
        """Do nothing: the socket never blocks."""

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


class MemoryReactor(MemoryReactorClock):
    """
    The clock and the network of a harness, which is also the `clock` of its server.

    Listening, connections and time work as with a real reactor; everything else is Twisted's
    `MemoryReactorClock`.
    """

    _log = Logger()

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = EPOCH
        self.ports: list[MemoryPort] = []
        # Dictionaries keep the order of insertion, so every run is the same.
        self.readers: dict[Any, None] = {}  # type: ignore[assignment]
        self.writers: dict[Any, None] = {}  # type: ignore[assignment]
        #: Whether rooms collect changes of presence as long as time stands still.
        self.isInWindow = False
        #: The delayed calls with which rooms send the changes of presence that they have collected.
        self._windows: list[IDelayedCall] = []
        self._isFlushing = False

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
        """Connect a client to a server, whether it listens or not. Returns the client's end."""
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

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> IDelayedCall:
        call = super().callLater(delay, callable, *args, **kw)
        # A server calls its timers within a turn: `callLater(delay, turn.run, timer._fire)`.
        for function in (callable, *args[:1]):
            timer = getattr(function, "__self__", None)
            if isinstance(timer, Timer) and isinstance(getattr(timer._function, "__self__", None), Presence):
                self._windows.append(call)
        return call

    def _endWindows(self) -> bool:
        """
        Let rooms send the changes of presence that they are collecting. Returns whether there were any.
        """
        if self.isInWindow or not self._windows:
            return False
        windows, self._windows = self._windows, []
        for call in windows:
            if call.active():
                call.reset(0)
        return True

    def turn(self) -> bool:
        """
        Run one turn: run the delayed calls that are due, then write and read. Returns whether there was
        anything to do.
        """
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
        """
        Run turns until nothing happens any more; no time passes.

        If it is called by code that runs in a turn, it returns at once, and the outer call does the rest.
        """
        if self._isFlushing:
            return
        self._isFlushing = True
        try:
            for _ in range(MAX_TURNS):
                if not self.turn() and not self._endWindows():
                    return
        finally:
            self._isFlushing = False
        raise AssertionError(
            f"the network is still busy after {MAX_TURNS} turns: some code probably runs in an endless loop"
        )

    def advance(self, amount: float) -> None:
        """Let time pass from one delayed call to the next, and `flush` at each."""
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
            self._log.failure("A delayed call raised an exception")

    def _act(self, transport: Any, method: str) -> None:
        try:
            why = getattr(transport, method)()
        except Exception as error:
            self._log.failure("A protocol raised an exception")
            why = error
        if why:
            self._disconnect(transport, why, method == "doRead")

    def _disconnect(self, transport: Any, why: Exception, isRead: bool) -> None:
        """
        Disconnect a transport, because it asked for that or raised.

        If only its peer has ended its sending side, a half-closable transport may still write.
        """
        self.removeReader(transport)
        # Twisted's reactors pass these two exceptions on without their text.
        reason = Failure(type(why)() if type(why) in (ConnectionDone, ConnectionLost) else why)
        isEnd = isRead and type(why) is ConnectionDone
        if isEnd and IHalfCloseableDescriptor.providedBy(transport):
            transport.readConnectionLost(reason)
        else:
            self.removeWriter(transport)
            transport.connectionLost(reason)

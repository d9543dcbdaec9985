"""
A slow link: a TCP forwarder that carries a limited number of bytes per second in each direction.

It does not read what it cannot carry yet, so the queues at both ends fill as with a real link. It carries
`rate` bytes per second, and holds at most `room` bytes for each direction.

    link = await SlowLink.to(server.address().port)   # clients connect to link.port
    ...
    await link.close()
"""

from __future__ import annotations

import socket
from typing import Any, Self

from twisted.internet import tcp
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.functional.support import reactor

#: Bytes per second, as for a phone with a bad signal.
SLOW = 25_000
#: How many seconds pass between two parts.
STEP = 0.02


def _narrow(sock: socket.socket) -> None:
    """
    Set small windows, so that the operating system does not hold much besides the link.

    It must be called before there is a connection: the window of an open connection would have to shrink,
    and stall.
    """
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 8192)


class _Client(tcp.Client):
    def createInternetSocket(self) -> socket.socket:
        made: socket.socket = super().createInternetSocket()
        _narrow(made)
        return made


class _Connector(tcp.Connector):
    def _makeTransport(self) -> _Client:
        return _Client(self.host, self.port, self.bindAddress, self, self.reactor)


class _Far(ClientFactory):
    """Makes the end that is connected to the server."""

    noisy = False

    def __init__(self, link: SlowLink, near: _End) -> None:
        self._link = link
        self._near = near

    def buildProtocol(self, addr: Any) -> _End:
        return self._link._far(self._near)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._near.transport.abortConnection()


class _End(Protocol):
    """One end of a connection through the link; `other` is the end to which its bytes go."""

    transport: Any
    other: _End | None = None

    def __init__(self, link: SlowLink) -> None:
        self._link = link
        self._waiting = bytearray()
        self._isOver = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.bufferSize = 4096

    def dataReceived(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= self._link.room:
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._isOver = True

    def carry(self, size: int) -> bool:
        """Pass on up to `size` bytes; return whether there is more to do."""
        other = self.other
        if other is None:
            return True
        part = bytes(self._waiting[:size])
        del self._waiting[:size]
        if part and not other._isOver:
            other.transport.write(part)
            self._link.carried += len(part)
        if self._isOver:
            if self._waiting and not other._isOver:
                return True
            other.transport.loseConnection()
            return False
        if len(self._waiting) < self._link.room:
            self.transport.resumeProducing()
        return True


class SlowLink(Factory):
    """A forwarder to a port of this machine; clients connect to its own `port`."""

    noisy = False

    def __init__(self, target: int, rate: int = SLOW, room: int = 16 * 1024) -> None:
        self._target = target
        self.rate = rate
        self.room = room
        #: How many bytes were passed on, in both directions together.
        self.carried = 0
        self._ends: list[_End] = []
        self._listening: Any = None
        self._call: Any = None
        self._at = 0.0

    @classmethod
    async def to(cls, target: int, rate: int = SLOW, **more: int) -> Self:
        """A link to that port of 127.0.0.1 that carries `rate` bytes per second in each direction."""
        link = cls(target, rate, **more)
        link._listening = reactor().listenTCP(0, link, interface="127.0.0.1")
        _narrow(link._listening.socket)
        link._at = reactor().seconds()
        link._call = reactor().callLater(STEP, link._step)
        return link

    @property
    def port(self) -> int:
        """The port to which clients connect."""
        number: int = self.address().port
        return number

    def buildProtocol(self, addr: Any) -> _End:
        near = _End(self)
        self._ends.append(near)
        _Connector("127.0.0.1", self._target, _Far(self, near), 10.0, None, reactor()).connect()
        return near

    def _far(self, near: _End) -> _End:
        far = _End(self)
        far.other, near.other = near, far
        self._ends.append(far)
        return far

    def _step(self) -> None:
        now = reactor().seconds()
        # At most the bytes of half a second at once: a pause of the reactor must not make the link faster.
        size = int(min(now - self._at, 0.5) * self.rate)
        self._at = now
        self._ends = [end for end in self._ends if end.carry(size)]
        self._call = reactor().callLater(STEP, self._step)

    def address(self) -> Any:
        """The address to which clients connect, like `Server.address`."""
        return self._listening.getHost()

    async def close(self) -> None:
        """Close all connections, and stop listening."""
        self._call.cancel()
        for end in self._ends:
            end.transport.abortConnection()
        await maybeDeferred(self._listening.stopListening)

"""
A TCP forwarder that can cut, hold and delay what goes through it.

    link = await Forwarder.to(UNIXClientEndpoint(reactor(), path))    # connect to link.port
    link.hold()      # a network that is cut: nothing passes, and nobody is told
    link.release()   # what was held goes on
    await link.close()
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, Self

from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.functional.support import reactor


class _End(Protocol):
    """One end of a connection through the forwarder; what arrives here leaves at `other`."""

    transport: Any
    other: _End | None = None

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._call: Any = None
        self.isOver = False

    def connectionMade(self) -> None:
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        self._forwarder.ends.append(self)
        if self._forwarder.isHeld:
            self.transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        self._waiting.append((reactor().seconds() + self._forwarder.delay, data))
        self.carry()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.isOver = True
        self.carry()

    def carry(self) -> None:
        """Pass on what is due, and the end of the connection after that."""
        if self.other is None or self._forwarder.isHeld or self._call is not None:
            return
        now = reactor().seconds()
        while self._waiting and self._waiting[0][0] <= now:
            _, data = self._waiting.popleft()
            if not self.other.isOver:
                self.other.transport.write(data)
        if self._waiting:
            self._call = reactor().callLater(self._waiting[0][0] - now, self._later)
        elif self.isOver:
            self.other.transport.loseConnection()
            self.forget()

    def _later(self) -> None:
        self._call = None
        self.carry()

    def forget(self) -> None:
        """Nothing more is carried from here."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._waiting.clear()
        if self in self._forwarder.ends:
            self._forwarder.ends.remove(self)


class Forwarder(Factory):
    """
    Passes connections to its `port` on to the first of `targets` that accepts them.

    Args:
        targets: Endpoints.
    """

    noisy = False

    def __init__(self, targets: tuple[Any, ...]) -> None:
        self.targets = targets
        #: How many seconds everything takes, in each direction.
        self.delay = 0.0
        self.isHeld = False
        self.ends: list[_End] = []
        self._listening: Any = None

    @classmethod
    async def to(cls, *targets: Any) -> Self:
        """Listen on a free port."""
        forwarder = cls(targets)
        forwarder._listening = reactor().listenTCP(0, forwarder, interface="127.0.0.1")
        return forwarder

    @property
    def port(self) -> int:
        """The port to connect to."""
        number: int = self.address().port
        return number

    def address(self) -> Any:
        """The address to connect to, like `Server.address`."""
        return self._listening.getHost()

    def buildProtocol(self, addr: Any) -> _End:
        near = _End(self)
        self._connect(near, list(self.targets))
        return near

    def _connect(self, near: _End, targets: list[Any], failure: Any = None) -> None:
        if not targets:
            near.transport.abortConnection()
            return
        connecting = targets[0].connect(Factory.forProtocol(partial(_End, self)))
        connecting.addCallbacks(
            partial(self._connected, near), lambda failure: self._connect(near, targets[1:])
        )

    def _connected(self, near: _End, far: _End) -> None:
        near.other, far.other = far, near
        near.carry()
        far.carry()

    def cut(self) -> None:
        """Reset all connections."""
        for end in list(self.ends):
            end.forget()
            end.transport.abortConnection()

    def hold(self) -> None:
        """Pass nothing on any more, and hide the ends of connections."""
        self.isHeld = True
        for end in self.ends:
            end.transport.pauseProducing()

    def release(self) -> None:
        """Pass on what was held, and what comes from now on."""
        self.isHeld = False
        for end in list(self.ends):
            if not end.isOver:
                end.transport.resumeProducing()
            end.carry()

    async def close(self) -> None:
        """End everything."""
        await maybeDeferred(self._listening.stopListening)
        self.isHeld = False
        self.cut()

"""
How a TCP connection is let go without losing the last words.

Closing a socket that holds unread bytes resets the connection, and the reset may overtake what was
written last. So the sending side is closed first, and what still comes is read and thrown away until
the peer has closed too or a deadline is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Protocol
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper
from twisted.protocols.policies import ProtocolWrapper

from .timerwheel import TimerWheel

#: Seconds for which a refused client's bytes are thrown away.
LINGER = 2.0


def takeOver(transport: Any, protocol: Protocol) -> None:
    """Let `transport` deliver to `protocol` from now on."""
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.transport = transport
    protocol.connected = 1


def closeGently(transport: Any) -> None:
    """Send what is queued, then say that no more comes; TLS has words of its own for that."""
    while isinstance(transport, HAProxyProtocolWrapper):
        transport = transport.transport
    if isinstance(transport, FileDescriptor):
        transport.loseWriteConnection()
    else:
        transport.loseConnection()


class Linger(Protocol):
    """Reads and throws away until the peer closes, or for `LINGER` seconds; `onGone` is called then."""

    slot: int | None = None
    transport: Any

    def __init__(self, wheel: TimerWheel, now: float, onGone: Callable[[Linger], None] | None = None) -> None:
        self._wheel = wheel
        self._onGone = onGone
        wheel.schedule(self, now + LINGER)

    def dataReceived(self, data: bytes) -> None:
        pass

    def due(self, now: float) -> None:
        self.drop()

    def drop(self) -> None:
        """Wait no longer."""
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: object = None) -> None:
        self._wheel.cancel(self)
        self.transport = None
        if self._onGone is not None:
            self._onGone(self)


class Lingering:
    """
    All who have had their answer and aren't gone yet; `onEmpty` is called whenever the last of them goes.
    """

    def __init__(self, wheel: TimerWheel, seconds: Callable[[], float], onEmpty: Callable[[], None]) -> None:
        self._wheel = wheel
        self._seconds = seconds
        self._onEmpty = onEmpty
        self._members: dict[Linger, None] = {}

    def __len__(self) -> int:
        return len(self._members)

    def begin(self, transport: Any, answer: bytes, limit: int) -> None:
        """Answer, and let go; with more than `limit` (0: any number) the oldest is dropped."""
        linger = Linger(self._wheel, self._seconds(), self._gone)
        self._members[linger] = None
        takeOver(transport, linger)
        transport.write(answer)
        closeGently(transport)
        if limit and len(self._members) > limit:
            self.dropOldest()

    def dropOldest(self) -> bool:
        """Wait for the oldest no longer; whether there is one."""
        oldest = next(iter(self._members), None)
        if oldest is None:
            return False
        del self._members[oldest]
        oldest.drop()
        return True

    def drop(self) -> None:
        """Wait for nobody any longer."""
        for linger in list(self._members):
            linger.drop()

    def _gone(self, linger: Linger) -> None:
        self._members.pop(linger, None)
        if not self._members:
            self._onEmpty()

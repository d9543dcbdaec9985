"""
Connections that have been answered and are being closed.

Closing a socket that holds unread bytes resets the connection, and the reset may destroy the answer before
the client has read it. So the sending side is closed first (`closeGently`), and what the client still sends
is read and thrown away until it closes too, or `LINGERING_TIMEOUT` seconds have passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol

from ..wire.timerwheel import TimerWheel
from ..wire.transports import closeGently, takeOver

#: Seconds for which the bytes of a client that has its answer are read and thrown away.
LINGERING_TIMEOUT = 2.0


class LingeringConnection(Protocol):
    """Discards what its peer sends, until the peer closes or `LINGERING_TIMEOUT` has passed."""

    slot: int | None = None
    transport: Any

    def __init__(
        self, wheel: TimerWheel, now: float, onGone: Callable[[LingeringConnection], None] | None = None
    ) -> None:
        self._wheel = wheel
        self._onGone = onGone
        wheel.schedule(self, now + LINGERING_TIMEOUT)

    def dataReceived(self, data: bytes) -> None:
        pass

    def due(self, now: float) -> None:
        self.drop()

    def drop(self) -> None:
        """Drop the connection now."""
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: object = None) -> None:
        self._wheel.cancel(self)
        self.transport = None
        if self._onGone is not None:
            self._onGone(self)


class LingeringConnections:
    """
    All connections that have their answer and aren't gone yet.

    `onEmpty` is called whenever the last of them goes.
    """

    def __init__(self, wheel: TimerWheel, seconds: Callable[[], float], onEmpty: Callable[[], None]) -> None:
        self._wheel = wheel
        self._seconds = seconds
        self._onEmpty = onEmpty
        self._members: dict[LingeringConnection, None] = {}

    def __len__(self) -> int:
        return len(self._members)

    def begin(self, transport: Any, answer: bytes, limit: int) -> None:
        """Write `answer` and close; with more than `limit` (0: any number) the oldest is dropped."""
        linger = LingeringConnection(self._wheel, self._seconds(), self._gone)
        self._members[linger] = None
        takeOver(transport, linger)
        transport.write(answer)
        closeGently(transport)
        if limit and len(self._members) > limit:
            self.dropOldest()

    def dropOldest(self) -> bool:
        """Drop the oldest; returns whether there was one."""
        oldest = next(iter(self._members), None)
        if oldest is None:
            return False
        del self._members[oldest]
        oldest.drop()
        return True

    def drop(self) -> None:
        """Drop them all."""
        for linger in list(self._members):
            linger.drop()

    def _gone(self, linger: LingeringConnection) -> None:
        self._members.pop(linger, None)
        if not self._members:
            self._onEmpty()

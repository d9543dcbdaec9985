"""
The lingering close of connections that have been answered, like nginx's `lingering_close`.

If a socket is closed while it holds unread bytes, the operating system resets the connection, and the reset
can destroy the answer before the client reads it. So the server first closes only its sending side
(`closeGently`), and then reads and discards what the client sends, until the client closes too or
`LINGERING_TIMEOUT` seconds have passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol

from ..wire.timerwheel import TimerWheel
from ..wire.transports import closeGently, takeOver

#: How long the server reads and discards what an answered client sends, in seconds.
LINGERING_TIMEOUT = 2.0


class LingeringConnection(Protocol):
    """
    Discards what its peer sends, until the peer closes or `LINGERING_TIMEOUT` has passed.

    `onGone` is called when the connection is closed.
    """

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
        """Abort the connection."""
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: object = None) -> None:
        self._wheel.cancel(self)
        self.transport = None
        if self._onGone is not None:
            self._onGone(self)


class LingeringConnections:
    """
    All connections that have been answered and are not closed yet.

    `onEmpty` is called each time the last of them is closed.
    """

    def __init__(self, wheel: TimerWheel, seconds: Callable[[], float], onEmpty: Callable[[], None]) -> None:
        self._wheel = wheel
        self._seconds = seconds
        self._onEmpty = onEmpty
        self._members: dict[LingeringConnection, None] = {}

    def __len__(self) -> int:
        return len(self._members)

    def begin(self, transport: Any, answer: bytes, limit: int) -> None:
        """
        Write `answer` and close the connection.

        If there are then more than `limit` lingering connections (0 means no limit), the oldest is aborted.
        """
        linger = LingeringConnection(self._wheel, self._seconds(), self._gone)
        self._members[linger] = None
        takeOver(transport, linger)
        transport.write(answer)
        closeGently(transport)
        if limit and len(self._members) > limit:
            self.dropOldest()

    def dropOldest(self) -> bool:
        """Abort the oldest connection. Returns whether there was one."""
        oldest = next(iter(self._members), None)
        if oldest is None:
            return False
        del self._members[oldest]
        oldest.drop()
        return True

    def drop(self) -> None:
        """Abort all of them."""
        for linger in list(self._members):
            linger.drop()

    def _gone(self, linger: LingeringConnection) -> None:
        self._members.pop(linger, None)
        if not self._members:
            self._onEmpty()

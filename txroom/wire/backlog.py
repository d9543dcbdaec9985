"""
Who waits until a connection's peer has taken what was sent.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost


class Backlog:
    """Made when a connection first has somebody to tell that all is sent."""

    __slots__ = ("isBlocked", "pong", "waiters")

    def __init__(self) -> None:
        #: Whether `onDrain` is to be called: a message met BACKPRESSURE, or was dropped.
        self.isBlocked = False
        #: The payload of the newest ping that could not be answered yet; the others need no answer
        #: (RFC 6455 §5.5.3).
        self.pong: bytes | None = None
        #: `whenSent`.
        self.waiters: list[Deferred[None]] = []

    def whenSent(self) -> Deferred[None]:
        """Fires when all is sent."""
        waiter: Deferred[None] = Deferred()
        self.waiters.append(waiter)
        return waiter

    def sent(self) -> None:
        """All that was queued has been taken by the operating system."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def lost(self) -> None:
        """It never will be."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.errback(ConnectionLost())

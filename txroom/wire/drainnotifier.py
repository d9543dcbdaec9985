"""
What a connection does once its send buffer is empty: it calls `onDrain`, fires `whenSent`, answers a ping.

`sender` is what notices a slow peer.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost


class DrainNotifier:
    """What has to be done once the send buffer of one connection is empty."""

    __slots__ = ("isBlocked", "pong", "waiters")

    def __init__(self) -> None:
        #: Whether `onDrain` is to be called: a message met BACKPRESSURE, or was dropped.
        self.isBlocked = False
        #: The payload of the newest ping that could not be answered yet; the others need no answer
        #: (RFC 6455 §5.5.3).
        self.pong: bytes | None = None
        #: The Deferreds that `whenSent` has returned.
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
        """The connection is lost: fail the Deferreds."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.errback(ConnectionLost())

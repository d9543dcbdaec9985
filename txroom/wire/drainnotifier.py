"""
What a connection does when its send buffer becomes empty.

It calls `onDrain`, fires the Deferreds of `whenSent`, and answers a ping that arrived while the buffer was
not empty. `sender` decides when one of these is needed.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionLost


class DrainNotifier:
    """The callbacks of one connection for the time when its send buffer is empty."""

    __slots__ = ("hasLost", "isBlocked", "pong", "unlimited", "waiters")

    def __init__(self) -> None:
        #: Whether `onDrain` has to be called, because a message got the status BACKPRESSURE or DROPPED.
        self.isBlocked = False
        #: The payload of the newest ping that is not answered yet; older ones need no answer
        #: (RFC 6455 §5.5.3).
        self.pong: bytes | None = None
        #: How many bytes in the buffer don't count for `maxBackpressure`. It can be more than there are:
        #: those that leave are taken off when more are added, or all have left.
        self.unlimited = 0
        #: Whether frames were thrown away, because the connection was dropped before they were written.
        self.hasLost = False
        #: The Deferreds that `whenSent` has returned.
        self.waiters: list[Deferred[None]] = []

    def whenSent(self) -> Deferred[None]:
        """Return a Deferred that fires when the send buffer is empty, or fails if frames were lost."""
        if self.hasLost:
            return fail(ConnectionLost())
        waiter: Deferred[None] = Deferred()
        self.waiters.append(waiter)
        return waiter

    def sent(self) -> None:
        """Fire the Deferreds: the send buffer is empty."""
        self.unlimited = 0
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def lost(self) -> None:
        """Fail the Deferreds: the connection is lost."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.errback(ConnectionLost())

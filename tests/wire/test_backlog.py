"""Who waits until all is sent."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from txroom.wire.backlog import Backlog


class BacklogTests(SynchronousTestCase):
    """`whenSent`, told once."""

    def test_sent(self) -> None:
        """All who wait are told; who asks then waits for the next time."""
        backlog = Backlog()
        later = []
        first = backlog.whenSent().addCallback(lambda _: later.append(backlog.whenSent()))
        second = backlog.whenSent()
        backlog.sent()
        self.successResultOf(first)
        self.assertIsNone(self.successResultOf(second))
        self.assertNoResult(later[0])
        backlog.sent()
        self.assertIsNone(self.successResultOf(later[0]))

    def test_lost(self) -> None:
        """It fails for those who still wait when the connection is lost."""
        backlog = Backlog()
        waiter = backlog.whenSent()
        backlog.lost()
        backlog.lost()
        self.failureResultOf(waiter, ConnectionLost)

"""Deferreds that fire when all is sent."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from txroom.wire.drainnotifier import DrainNotifier


class BacklogTests(SynchronousTestCase):
    """`whenSent`, told once."""

    def test_sent(self) -> None:
        """All Deferreds fire; one that is made then waits for the next time."""
        notifier = DrainNotifier()
        later = []
        first = notifier.whenSent().addCallback(lambda _: later.append(notifier.whenSent()))
        second = notifier.whenSent()
        notifier.sent()
        self.successResultOf(first)
        self.assertIsNone(self.successResultOf(second))
        self.assertNoResult(later[0])
        notifier.sent()
        self.assertIsNone(self.successResultOf(later[0]))

    def test_lost(self) -> None:
        """It fails for those who still wait when the connection is lost."""
        notifier = DrainNotifier()
        waiter = notifier.whenSent()
        notifier.lost()
        notifier.lost()
        self.failureResultOf(waiter, ConnectionLost)

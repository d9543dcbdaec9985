"""
Tests for the delays between the starts of a worker.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers.backoff import FIRST, LONGEST, STABLE, Backoff


class BackoffTests(SynchronousTestCase):
    """`Backoff`."""

    def test_grows(self) -> None:
        """Each delay is twice as long as the one before, up to a limit."""
        backoff = Backoff()
        delays = [backoff.delay(0) for _ in range(12)]
        self.assertEqual(delays[:3], [FIRST, 2 * FIRST, 4 * FIRST])
        self.assertEqual(delays[-1], LONGEST)

    def test_given(self) -> None:
        """The longest delay and the time may be others; any number of failures has a delay."""
        backoff = Backoff(longest=5.0, stable=60.0)
        self.assertEqual([backoff.delay(59.0) for _ in range(2000)][-1], 5.0)
        self.assertEqual(backoff.delay(60.0), FIRST)

    def test_stable(self) -> None:
        """A worker that has served for some time begins again with the first delay."""
        backoff = Backoff()
        for _ in range(5):
            backoff.delay(STABLE - 1)
        self.assertEqual(backoff.delay(STABLE), FIRST)
        self.assertEqual(backoff.delay(0), 2 * FIRST)

"""How late the reactor is."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom.service.reactorlag import INTERVAL, REMEMBERED, ReactorLag


class ReactorLagTests(SynchronousTestCase):
    """Measurements while the service runs."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lag = ReactorLag(self.clock)

    def late(self, seconds: float) -> None:
        """Let one measurement be late."""
        self.clock.advance(INTERVAL + seconds)

    def test_measures(self) -> None:
        """A call that is in time is not late, and others are as late as they are."""
        self.assertEqual((self.lag.quantile(0.5), self.lag.quantile(0.99)), (0.0, 0.0))
        self.lag.startService()
        for _ in range(98):
            self.late(0.0)
        self.late(0.5)
        self.late(2.0)
        self.assertEqual((self.lag.times.count, self.lag.times.sum), (100, 2.5))
        self.assertEqual([self.lag.quantile(share) for share in (0.5, 0.98, 0.99, 1.0)], [0.0, 0.0, 0.5, 2.0])

    def test_remembers(self) -> None:
        """Quantiles are those of the last minute; the histogram has all."""
        self.lag.startService()
        self.late(3.0)
        for _ in range(REMEMBERED):
            self.late(0.0)
        self.assertEqual(self.lag.quantile(1.0), 0.0)
        self.assertEqual((self.lag.times.count, self.lag.times.sum), (REMEMBERED + 1, 3.0))

    def test_stops(self) -> None:
        """Nothing is scheduled after the service has stopped; it may be started again."""
        self.lag.startService()
        self.lag.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.lag.stopService()
        self.lag.startService()
        self.late(0.0)
        self.assertEqual(self.lag.times.count, 1)

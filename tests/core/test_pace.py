"""Tests for the pace at which clients are sent away."""

from __future__ import annotations

from collections import deque

from twisted.trial.unittest import SynchronousTestCase

from txroom.core.pace import LEAST, MOST, SOON, STEP, Pace


class PaceTests(SynchronousTestCase):
    """`Pace`."""

    def simulate(self, count: int, seconds: float, perClient: float, most: float = 1000.0) -> list[float]:
        """
        Send clients away that are served one after another, each in that time. Returns how long each took.
        """
        pace, now, free = Pace(count, seconds, 0.0), 0.0, 0.0
        away: deque[tuple[float, float]] = deque()
        took: list[float] = []
        waiting = count
        while waiting or away:
            while away and away[0][1] <= now:
                began, ended = away.popleft()
                took.append(ended - began)
                pace.back(1, ended - began)
            while waiting and pace.goes(1, now):
                waiting -= 1
                free = max(free, now) + perClient
                away.append((now, free))
            now += STEP
            self.assertLess(now, most)
        return took

    def test_fast(self) -> None:
        """If clients come back at once, ever more go together."""
        took = self.simulate(2000, 1000.0, 0.001, most=5.0)
        self.assertLess(max(took), SOON)

    def test_slow(self) -> None:
        """If those that serve them have all they can do, few go together, so that nobody waits for long."""
        for perClient in (0.01, 0.05):
            took = self.simulate(300, 1000.0, perClient, most=300 * perClient + 5.0)
            self.assertLess(max(took), 2 * SOON)

    def test_least(self) -> None:
        """A few go together however long they take; then one goes whenever another comes back."""
        pace = Pace(100, 1e6, 0.0)
        for _ in range(10):
            gone = sum(pace.goes(1, 1.0) for _ in range(10))
            self.assertEqual(gone, LEAST)
            for _ in range(gone):
                pace.back(1, 60.0)

    def test_most(self) -> None:
        """There is a bound, however fast they come back."""
        pace = Pace(10000, 1e6, 0.0)
        for _ in range(100):
            gone = 0
            while pace.goes(1, 1.0):
                gone += 1
            for _ in range(gone):
                pace.back(1, 0.0)
        self.assertEqual(gone, MOST)

    def test_schedule(self) -> None:
        """Those that don't come back hold up nobody for longer than the schedule says."""
        pace = Pace(100, 10.0, 5.0)
        gone: list[float] = []
        for step in range(1, 1101):
            now = 5.0 + step / 100
            while len(gone) < 100 and pace.goes(1, now):
                gone.append(now)
        self.assertEqual(len(gone), 100)
        self.assertAlmostEqual(gone[-1], 15.0, places=1)
        self.assertAlmostEqual(gone[49], 10.0, places=1)

    def test_large(self) -> None:
        """A group that is larger than the limit goes alone."""
        pace = Pace(1000, 1e6, 0.0)
        self.assertTrue(pace.goes(1, 0.0))
        self.assertFalse(pace.goes(500, 0.0))
        pace.back(1, 0.1)
        self.assertTrue(pace.goes(500, 0.0))
        self.assertFalse(pace.goes(1, 0.0))

    def test_noTime(self) -> None:
        """Without any time all go at once."""
        pace = Pace(50, 0.0, 0.0)
        self.assertEqual(sum(pace.goes(1, 0.001) for _ in range(50)), 50)

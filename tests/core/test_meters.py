"""Histograms."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.core.meters import Histogram


class HistogramTests(SynchronousTestCase):
    """What is counted where."""

    def test_classes(self) -> None:
        """A value that equals a bound is below it; the last class has what is above all bounds."""
        histogram = Histogram((1, 2, 4))
        for value in (0, 1, 1.5, 2, 3, 4, 4.1, 99):
            histogram.observe(value)
        self.assertEqual(histogram.counts, [2, 2, 2, 2])
        self.assertEqual((histogram.count, histogram.sum), (8, 114.6))

    def test_below(self) -> None:
        """A clock that was set back does not make the sum smaller, which would look like a new start."""
        times = Histogram((1.0,))
        times.observe(0.5)
        times.observe(-3.0)
        self.assertEqual((times.sum, times.count), (0.5, 2))

    def test_add(self) -> None:
        """Two of the same bounds are added class by class; those of others are refused."""
        first, second = Histogram((1, 2)), Histogram((1, 2))
        first.observe(1)
        second.observe(1)
        second.observe(5)
        first.add(second)
        self.assertEqual((first.counts, first.sum), ([2, 0, 1], 7))
        self.assertEqual(second.counts, [1, 0, 1])
        self.assertRaises(ValueError, first.add, Histogram((1,)))

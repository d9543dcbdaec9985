"""
Histograms, for the metrics of a server.

Counters are plain integers beside the code that counts; a histogram is for what has a duration or a size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

#: Upper bounds for what takes from a part of a millisecond to some seconds, in seconds.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Upper bounds for numbers of things.
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


class Histogram:
    """
    How many values were observed, by their size.

    Args:
        bounds: The upper bounds of the classes, in ascending order. A value that equals a bound belongs below
            it. A last class has the values above all bounds.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        #: The number of values in each class.
        self.counts = [0] * (len(bounds) + 1)
        #: The sum of all values.
        self.sum: float = 0.0

    def observe(self, value: float) -> None:
        """Count a value. One below 0, of a clock that was set back, adds nothing to the sum."""
        self.counts[bisect_left(self.bounds, value)] += 1
        if value > 0.0:
            self.sum += value

    def add(self, other: Histogram) -> None:
        """Add the values of another histogram with the same bounds."""
        self.counts[:] = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        """The number of all values."""
        return sum(self.counts)

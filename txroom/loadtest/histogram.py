"""
A histogram of durations: percentiles in bounded memory.
"""

from __future__ import annotations

from math import ceil, frexp, inf, ldexp

#: How many buckets there are from one power of two to the next.
_STEPS = 64
#: The range of the buckets in seconds; percentiles are within it.
_SHORTEST = 1e-6
_LONGEST = 3600.0


class Histogram:
    """
    Durations in seconds, in buckets whose width grows with the duration: percentiles are exact to 1 %.

    There are at most about 2,000 buckets, however many durations are added.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.least = inf
        self.most = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Add a duration."""
        self.count += 1
        self.total += seconds
        self.least = min(self.least, seconds)
        self.most = max(self.most, seconds)
        fraction, exponent = frexp(min(max(seconds, _SHORTEST), _LONGEST))
        bucket = exponent * _STEPS + int((fraction - 0.5) * 2 * _STEPS)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    @property
    def mean(self) -> float:
        """The mean of the durations; 0.0 if there are none."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """
        Return the duration that `percent` per cent of the durations do not exceed; 0.0 if there are none.
        """
        left = ceil(self.count * percent / 100)
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                exponent, step = divmod(bucket, _STEPS)
                middle = ldexp(0.5 + (step + 0.5) / (2 * _STEPS), exponent)
                return min(max(middle, self.least), self.most)
        return self.most

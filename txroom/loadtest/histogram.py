"""
How long things took: percentiles in bounded memory.
"""

from __future__ import annotations

from math import ceil, frexp, inf, ldexp

#: Buckets from one power of two to the next.
_STEPS = 64
#: Seconds; what is shorter or longer counts as this in percentiles.
_SHORTEST = 1e-6
_LONGEST = 3600.0


class Histogram:
    """
    Durations in seconds, in buckets as wide as they are long: a percentile is within 1 % of the truth.

    There are at most some 2,000 buckets, however many durations are added.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.least = inf
        self.most = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """One took so long."""
        self.count += 1
        self.total += seconds
        self.least = min(self.least, seconds)
        self.most = max(self.most, seconds)
        fraction, exponent = frexp(min(max(seconds, _SHORTEST), _LONGEST))
        bucket = exponent * _STEPS + int((fraction - 0.5) * 2 * _STEPS)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    @property
    def mean(self) -> float:
        """Their mean; 0.0 if there are none."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """The duration that so many per cent didn't exceed; 0.0 if there are none."""
        left = ceil(self.count * percent / 100)
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                exponent, step = divmod(bucket, _STEPS)
                middle = ldexp(0.5 + (step + 0.5) / (2 * _STEPS), exponent)
                return min(max(middle, self.least), self.most)
        return self.most

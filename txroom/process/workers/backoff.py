"""
The delays between the starts of a worker that ends again and again.
"""

from __future__ import annotations

#: The first and the longest delay, in seconds, and the factor between two.
FIRST, LONGEST, GROWTH = 0.1, 30.0, 2.0
#: A worker that has served for so many seconds has not failed at its start.
STABLE = 30.0


class Backoff:
    """The delays of one worker: each is twice as long as the one before."""

    def __init__(self) -> None:
        self._failures = 0

    def delay(self, served: float) -> float:
        """
        Return after how many seconds a worker that has ended is started again.

        Args:
            served: For how many seconds it served; 0 if it never did.
        """
        if served >= STABLE:
            self._failures = 0
        delay = min(LONGEST, FIRST * GROWTH**self._failures)
        self._failures += 1
        return delay

"""
The delays between the starts of a process that ends again and again.
"""

from __future__ import annotations

#: The first and the longest delay, in seconds, and the factor between two.
FIRST, LONGEST, GROWTH = 0.1, 30.0, 2.0
#: A worker that has served for so many seconds has not failed at its start.
STABLE = 30.0


class Backoff:
    """
    The delays of one process: each is twice as long as the one before.

    Args:
        longest: The longest delay, in seconds.
        stable: A process that has served for so many seconds has not failed at its start.
    """

    def __init__(self, longest: float = LONGEST, stable: float = STABLE) -> None:
        self._longest = longest
        self._stable = stable
        self._next = FIRST

    def delay(self, served: float) -> float:
        """
        Return after how many seconds a process that has ended is started again.

        Args:
            served: For how many seconds it served; 0 if it never did.
        """
        delay = FIRST if served >= self._stable else self._next
        self._next = min(self._longest, GROWTH * delay)
        return delay

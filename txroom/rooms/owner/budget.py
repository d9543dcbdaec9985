"""
The budget of the logs of all rooms: how many bytes of memory they may take together.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

#: While somebody is being seated, what is kept for that may be so many times what the bounds say.
HARD = 4


class Weighed(Protocol):
    """A log, as far as its weight goes."""

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes, about."""
        ...

    def shrink(self, weight: int, isHard: bool = False) -> None:
        """Forget the oldest until it weighs no more; what somebody is to get only if it `isHard`."""
        ...


class Budget:
    """
    What the logs of many rooms may weigh together, in bytes of memory.

    When it is more, the rooms in which nothing was said for longest forget the oldest that they keep for
    those who return, and then their history; who comes back to such a room is told that it has missed
    something. What is kept for somebody who is being seated makes it `HARD` times as much at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        #: What each log weighs, the longest idle first.
        self._weights: OrderedDict[Weighed, int] = OrderedDict()

    def changed(self, log: Weighed) -> None:
        """Something was said in a room; hot."""
        weight = log.weight
        self.used += weight - self._weights.pop(log, 0)
        if weight:
            self._weights[log] = weight  # the last to have spoken
        if self.used > self.size:
            self._shrink(self.size, False)
            if self.used > HARD * self.size:
                self._shrink(HARD * self.size, True)

    def _shrink(self, size: int, isHard: bool) -> None:
        kept = 0
        while self.used > size and kept < len(self._weights):
            idlest, weight = next(iter(self._weights.items()))
            idlest.shrink(max(0, weight - (self.used - size)), isHard)
            self._weigh(idlest)
            if self.used > size and idlest in self._weights:
                # Someone is about to read the rest.
                self._weights.move_to_end(idlest)
                kept += 1

    def _weigh(self, log: Weighed) -> None:
        weight = log.weight
        self.used += weight - self._weights.get(log, 0)
        if weight:
            self._weights[log] = weight
        else:
            self._weights.pop(log, None)

    def forget(self, log: Weighed) -> None:
        """A room has ended."""
        self.used -= self._weights.pop(log, 0)

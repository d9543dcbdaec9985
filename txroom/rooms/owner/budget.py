"""
The budget of the logs of all rooms: how many bytes of memory they may take together.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

#: While clients are joining, the messages that are kept for them may exceed the bounds by this factor.
HARD = 4


class Weighed(Protocol):
    """The part of a log that the budget uses."""

    @property
    def weight(self) -> int:
        """The bytes of memory that it takes, about."""
        ...

    def shrink(self, weight: int, isHard: bool = False) -> None:
        """
        Forget the oldest messages until the log takes at most `weight` bytes.

        Messages that a joining client will get are kept, unless `isHard`.
        """
        ...


class Budget:
    """
    Bounds the memory of the logs of many rooms.

    When they take more than `size` bytes together, the rooms that have been silent for longest forget the
    oldest messages that they keep for resuming clients, and then their history. A client that resumes in such
    a room gets `recovered: false`. Messages that are kept for joining clients may take up to `HARD` times as
    much.

    Args:
        size: The bytes of memory that all logs may take.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        #: The weight of each log, the one that has been silent for longest first.
        self._weights: OrderedDict[Weighed, int] = OrderedDict()

    def changed(self, log: Weighed) -> None:
        """Weigh a log again, because it has changed. Called for every message."""
        weight = log.weight
        self.used += weight - self._weights.pop(log, 0)
        if weight:
            self._weights[log] = weight  # at the end, because this room was silent for the shortest time
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
                # A joining client will get the rest.
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
        """Drop the log of a room that has ended."""
        self.used -= self._weights.pop(log, 0)

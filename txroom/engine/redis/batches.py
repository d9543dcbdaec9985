"""
Batches: the records of a room on their way to Redis, and those that Redis has confirmed a short time ago.

Confirmed batches are kept for a while, because a Redis that is started again may have lost what it confirmed
last. They can be written again then. Both kinds take memory, so they are weighed, for each room and for the
node.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ...core.meters import Histogram
from .scripts import Argument

#: For how many seconds, and up to how many bytes for each room, confirmed batches are kept.
HEAL_SECONDS, HEAL_BYTES = 5.0, 4 << 20
#: After how many seconds without a confirmation a room is given up.
STALL_SECONDS = 20.0
#: How many bytes may be unconfirmed, of one room and of all rooms of a node, while Redis is slow or away.
#: Confirmed batches count for the node, and are forgotten first.
ROOM_BYTES, NODE_BYTES = 4 << 20, 64 << 20
#: Redis is slow if it needs more than so many seconds for a batch. Before that, any number of bytes may be on
#: the way, such as those of a big turn.
SLOW_SECONDS = 1.0


class Weight:
    """The bytes of all batches that the journals of a node hold, and how long they took to be confirmed."""

    __slots__ = ("commitTimes", "kept", "unconfirmed")

    def __init__(self) -> None:
        self.unconfirmed = 0
        self.kept = 0
        #: The seconds from the making of each batch to its confirmation.
        self.commitTimes = Histogram()

    @property
    def isTooMuch(self) -> bool:
        """Whether the node holds more bytes than it may."""
        return self.unconfirmed + self.kept > NODE_BYTES


class Batch(NamedTuple):
    """Some records of a room."""

    #: The number of records before it; -1 if it is the whole state of the room.
    before: int
    after: int
    command: tuple[Argument, ...]
    size: int
    #: When it was made or, after it was confirmed, when that was.
    at: float

    def moved(self, now: float) -> Batch:
        """Return the same batch with another time."""
        return Batch(self.before, self.after, self.command, self.size, now)


class Batches:
    """
    The batches of one room, in order.

    Args:
        weight: The bytes of all rooms of the node.
    """

    __slots__ = ("_kept", "_keptBytes", "_sent", "_unconfirmed", "_weight")

    def __init__(self, weight: Weight) -> None:
        self._weight = weight
        self._sent: deque[Batch] = deque()
        self._kept: deque[Batch] = deque()
        self._unconfirmed = 0
        self._keptBytes = 0

    def __bool__(self) -> bool:
        return bool(self._sent or self._kept)

    @property
    def unconfirmed(self) -> list[Batch]:
        """The batches that are not confirmed."""
        return list(self._sent)

    @property
    def areConfirmed(self) -> bool:
        """Whether all batches are confirmed."""
        return not self._sent

    def add(self, batch: Batch) -> None:
        """Add a batch that is sent. Called for every turn of a room."""
        self._sent.append(batch)
        self._weigh(batch.size, 0)

    def confirm(self, after: int, now: float) -> None:
        """Redis has all batches up to the one that ends with the record `after`."""
        sent = self._sent
        while sent and sent[0].after <= after:
            batch = sent.popleft()
            self._weight.commitTimes.observe(now - batch.at)
            if batch.before == batch.after:
                self._weigh(-batch.size, 0)
            else:
                self._kept.append(batch.moved(now))
                self._weigh(-batch.size, batch.size)

    def trim(self, now: float, isKnown: bool) -> None:
        """
        Forget confirmed batches that are too old or too many.

        Args:
            now: The time.
            isKnown: Whether Redis is known to have them. If not, their age doesn't matter.
        """
        kept = self._kept
        while kept and (
            self._keptBytes + self._unconfirmed > HEAL_BYTES
            or self._weight.isTooMuch
            or (isKnown and now - kept[0].at > HEAL_SECONDS)
        ):
            self._weigh(0, -kept.popleft().size)

    def heal(self, have: int, now: float) -> bool:
        """
        Redis has only `have` records: let the batches that it lacks be unconfirmed again.

        Returns:
            Whether all of them are known.
        """
        known = [batch for batch in (*self._kept, *self._sent) if batch.after > have]
        if not known or known[0].before != have:
            return False
        for _ in range(len(known) - len(self._sent)):
            batch = self._kept.pop()
            self._sent.appendleft(batch.moved(now))
            self._weigh(batch.size, -batch.size)
        return True

    def isStalled(self, now: float) -> bool:
        """Return whether the oldest batch has waited too long."""
        return bool(self._sent) and now - self._sent[0].at >= STALL_SECONDS

    def areTooMuch(self, now: float, isUp: bool) -> bool:
        """Return whether too many bytes are unconfirmed, while Redis is slow or not connected (`isUp`)."""
        if not self._sent or (isUp and now - self._sent[0].at < SLOW_SECONDS):
            return False
        return self._unconfirmed > ROOM_BYTES or self._weight.isTooMuch

    def clear(self) -> None:
        """Forget all batches."""
        self._sent.clear()
        self._kept.clear()
        self._weigh(-self._unconfirmed, -self._keptBytes)

    def shed(self) -> None:
        """Forget the confirmed batches, because memory is short."""
        self._kept.clear()
        self._weigh(0, -self._keptBytes)

    def _weigh(self, unconfirmed: int, kept: int) -> None:
        self._unconfirmed += unconfirmed
        self._keptBytes += kept
        self._weight.unconfirmed += unconfirmed
        self._weight.kept += kept

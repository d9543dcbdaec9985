"""
How often the clients of one address may do what costs the server far more than them.
"""

from __future__ import annotations

from itertools import islice

from ...core.codes import ErrorCode
from ...core.tokenbucket import TokenBucket
from ...protocol.errors import RoomError


class AddressLimit:
    """
    A token bucket for each address.

    The server forgets an address whose bucket is full again, so that there are never more buckets than were
    used in the time that one takes to fill.

    Args:
        rate: How often a second; 0: any number of times.
        burst: How often at once.
        text: What the client is told that does it too often.
    """

    def __init__(self, rate: float, burst: float, text: str) -> None:
        self._text = text
        self._rate = rate
        self._burst = burst
        #: In the order in which they were used last.
        self._buckets: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now: float) -> None:
        """A client of that address ("": not known) does it. Raises `RoomError` if it is once too often."""
        if not self._rate or not address:
            return
        bucket = self._buckets.pop(address, None) or TokenBucket(self._rate, self._burst, now)
        self._buckets[address] = bucket
        isTaken = bucket.take(now)
        self._forget(now)
        if not isTaken:
            wait = {"retryAfter": bucket.wait(1.0)}
            raise RoomError(ErrorCode.RATE_LIMITED, self._text, wait)

    def _forget(self, now: float) -> None:
        """Forget the two that were used the longest time ago, if they are full again."""
        for address in [*islice(self._buckets, 2)]:
            if self._buckets[address].isFull(now):
                del self._buckets[address]

"""
Rate limits by client address, for requests that cost the server much more than the client.
"""

from __future__ import annotations

from itertools import islice

from ...core.codes import ErrorCode
from ...core.tokenbucket import TokenBucket
from ...core.validation import isAmount, isCount
from ...protocol.errors import RoomError


class AddressLimit:
    """
    A token bucket for each address.

    An address is forgotten when its bucket is full again. So there are never more buckets than addresses that
    were used in the time that a bucket takes to fill.

    Args:
        rate: Requests a second that an address may make; 0: any number.
        burst: Requests that it may make at once.
        text: The message of the error for a client that makes more.
    """

    def __init__(self, rate: float, burst: float, text: str) -> None:
        self._text = text
        self._rate = rate
        self._burst = burst
        #: By address, the least recently used first.
        self._buckets: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now: float) -> None:
        """
        Count a request of a client with that address; "" is an unknown address, which has no limit.

        Raises:
            RoomError: The address has made too many requests (`rateLimited`).
        """
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
        """Forget the two least recently used buckets if they are full again."""
        for address in [*islice(self._buckets, 2)]:
            if self._buckets[address].isFull(now):
                del self._buckets[address]


def limitFrom(name: str, rate: float, burst: int, text: str) -> AddressLimit:
    """
    Return the limit for two options, `name` with "Rate" and with "Burst".

    Args:
        name: The beginning of the names of the options.
        rate: The requests a second; 0: any number.
        burst: The requests at once; 0: twice the rate.
        text: The message of the error.

    Raises:
        ValueError: An option is out of range.
    """
    for option, value, isRight in (
        (f"{name}Rate", rate, isAmount(rate)),
        (f"{name}Burst", burst, isCount(burst)),
    ):
        if not isRight:
            raise ValueError(f"{option}={value!r}: must be a finite number, 0 or more")
    return AddressLimit(rate, burst or max(1.0, 2 * rate), text)

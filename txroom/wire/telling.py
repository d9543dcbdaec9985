"""
Refusals after the upgrade: a client is told in its own protocol why it isn't let in, and dropped.

There is no connection behind it: no bytes of the client are parsed, no hook runs. How many are told at a
time is bounded, in all and by address, since a WebSocket that is opened to be closed takes a little more
than an HTTP answer.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..application import Refusal
from .closing import Linger, closeGently, takeOver
from .frames import CLOSE, closePayload, frame, preparedFrame
from .sweep import Sweep

#: Clients that are told at a time, and those from one address.
MOST = 256
MOST_PER_ADDRESS = 4


class Tellings:
    """The clients of one server that are being told."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._perAddress: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._perAddress.total()

    def mayTell(self, address: str) -> bool:
        """Whether one more from there can be told; `address` is "" if it isn't known."""
        return len(self) < MOST and (not address or self._perAddress[address] < MOST_PER_ADDRESS)

    def tell(self, transport: Any, address: str, answer: bytes, refusal: Refusal, now: float) -> None:
        """Write the 101 `answer` and the refusal, and let the connection go."""
        self._perAddress[address] += 1
        takeOver(transport, _Telling(self, self._sweep, address, now))
        close = frame(CLOSE, closePayload(refusal.code, refusal.reason))
        transport.write(answer + preparedFrame(refusal.message) + close)
        closeGently(transport)

    def _over(self, address: str) -> None:
        self._perAddress[address] -= 1
        if not self._perAddress[address]:
            del self._perAddress[address]


class _Telling(Linger):
    """One client, until it is gone."""

    def __init__(self, tellings: Tellings, sweep: Sweep, address: str, now: float) -> None:
        super().__init__(sweep, now)
        self._tellings = tellings
        self._address = address

    def connectionLost(self, reason: object = None) -> None:
        super().connectionLost(reason)
        self._tellings._over(self._address)

"""
Refusals after the upgrade: a client is told in its own protocol why it isn't let in, and dropped.

There is no connection behind it: no bytes of the client are parsed, no hook runs. How many are told at a
time is bounded, in all and by address, since a WebSocket that is opened to be closed takes a little more
than an HTTP answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.application import Refusal
from ..wire.frames import CLOSE, closePayload, frame, preparedFrame
from ..wire.timerwheel import TimerWheel
from ..wire.transports import Linger, closeGently, takeOver
from .admission import Crowd

#: Clients that are told at a time, and those from one address.
MOST = 256
MOST_PER_ADDRESS = 4


class Tellings:
    """The clients of one server that are being told; `onEmpty` is called whenever the last of them goes."""

    def __init__(self, wheel: TimerWheel, onEmpty: Callable[[], None]) -> None:
        self._wheel = wheel
        self._onEmpty = onEmpty
        self._told: Crowd[Linger] = Crowd()

    def __len__(self) -> int:
        return len(self._told)

    def mayTell(self, address: str) -> bool:
        """Whether one more from there can be told; `address` is "" if it isn't known."""
        return len(self) < MOST and self._told.count(address) < MOST_PER_ADDRESS

    def tell(self, transport: Any, address: str, answer: bytes, refusal: Refusal, now: float) -> None:
        """Write the 101 `answer` and the refusal, and let the connection go."""
        linger = Linger(self._wheel, now, self._over)
        self._told.add(linger, address)
        takeOver(transport, linger)
        close = frame(CLOSE, closePayload(refusal.code, refusal.reason))
        transport.write(answer + preparedFrame(refusal.message) + close)
        closeGently(transport)

    def drop(self) -> None:
        """Wait for nobody any longer."""
        for linger in self._told:
            linger.drop()

    def _over(self, linger: Linger) -> None:
        self._told.remove(linger)
        if not self._told:
            self._onEmpty()

"""
Refusals in-band: the WebSocket is opened only to say in the client's sub-protocol why it is refused.

A page in a browser learns nothing of an HTTP answer that refuses its WebSocket, neither status nor body. So
a client that offers a sub-protocol in which its application can say it (`Application.tellRefusal`; rooms
can) is sent the 101 answer, one message and a Close frame, all at once. There is no `Connection` behind it:
what the client sends is thrown away unparsed, and no hook runs.

How many clients are refused like that at a time is bounded, in all and by address, since it takes a little
more than an HTTP answer; beyond that they get the HTTP answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.application import Refusal
from ..wire.frames import CLOSE, closePayload, frame, preparedFrame
from ..wire.timerwheel import TimerWheel
from ..wire.transports import closeGently, takeOver
from .addressgroups import AddressGroups
from .lingering import LingeringConnection

#: Clients that are refused in-band at a time, and those from one address.
MAX_REFUSALS = 256
MAX_REFUSALS_PER_ADDRESS = 4


class InBandRefusals:
    """
    The clients of one server that are refused in-band and aren't gone yet.

    `onEmpty` is called whenever the last of them goes.
    """

    def __init__(self, wheel: TimerWheel, onEmpty: Callable[[], None]) -> None:
        self._wheel = wheel
        self._onEmpty = onEmpty
        self._members: AddressGroups[LingeringConnection] = AddressGroups()

    def __len__(self) -> int:
        return len(self._members)

    def hasRoom(self, address: str) -> bool:
        """Whether there may be one more from that address; it is "" if it isn't known."""
        return len(self) < MAX_REFUSALS and self._members.count(address) < MAX_REFUSALS_PER_ADDRESS

    def begin(self, transport: Any, address: str, switching: bytes, refusal: Refusal, now: float) -> None:
        """
        Refuse a client in-band.

        Args:
            transport: The client's, whose request hasn't been answered.
            address: What the client is counted under.
            switching: The 101 answer, which names the sub-protocol of the refusal.
            refusal: The message and how to close.
            now: The time.
        """
        linger = LingeringConnection(self._wheel, now, self._gone)
        self._members.add(linger, address)
        takeOver(transport, linger)
        close = frame(CLOSE, closePayload(refusal.code, refusal.reason))
        transport.write(switching + preparedFrame(refusal.message) + close)
        closeGently(transport)

    def drop(self) -> None:
        """Drop them all."""
        for linger in self._members:
            linger.drop()

    def _gone(self, linger: LingeringConnection) -> None:
        self._members.remove(linger)
        if not self._members:
            self._onEmpty()

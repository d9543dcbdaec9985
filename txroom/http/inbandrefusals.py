"""
In-band refusals: the WebSocket is opened only to tell the client in its sub-protocol why it is refused.

A browser shows a page neither the status nor the body of an HTTP answer that refuses its WebSocket. A client
that offers a sub-protocol in which its application can report a refusal (`Application.tellRefusal`, which
room applications implement) therefore gets the 101 answer, one message and a Close frame, all in one write.
It has no `Connection`: what the client sends is discarded unparsed, and no hook runs.

The number of clients that are refused this way at a time is limited, in all and per address, because it costs
a little more than an HTTP answer. Clients beyond the limit get the HTTP answer.
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

#: The most clients that are refused in-band at a time, in all and from one address.
MAX_REFUSALS = 256
MAX_REFUSALS_PER_ADDRESS = 4


class InBandRefusals:
    """
    The connections of one server that were refused in-band and are not closed yet.

    `onEmpty` is called each time the last of them is closed.
    """

    def __init__(self, wheel: TimerWheel, onEmpty: Callable[[], None]) -> None:
        self._wheel = wheel
        self._onEmpty = onEmpty
        self._members: AddressGroups[LingeringConnection] = AddressGroups()

    def __len__(self) -> int:
        return len(self._members)

    def hasRoom(self, address: str) -> bool:
        """
        Return whether one more client from that address can be refused in-band; "" is an unknown address.
        """
        return len(self) < MAX_REFUSALS and self._members.count(address) < MAX_REFUSALS_PER_ADDRESS

    def begin(self, transport: Any, address: str, switching: bytes, refusal: Refusal, now: float) -> None:
        """
        Refuse a client in-band.

        Args:
            transport: The client's transport. Its request has not been answered.
            address: The address under which the client is counted.
            switching: The 101 answer, which names the sub-protocol of the refusal.
            refusal: The message, and the code and reason of the Close frame.
            now: The current time.
        """
        linger = LingeringConnection(self._wheel, now, self._gone)
        self._members.add(linger, address)
        takeOver(transport, linger)
        close = frame(CLOSE, closePayload(refusal.code, refusal.reason))
        transport.write(switching + preparedFrame(refusal.message) + close)
        closeGently(transport)

    def drop(self) -> None:
        """Abort all of them."""
        for linger in self._members:
            linger.drop()

    def _gone(self, linger: LingeringConnection) -> None:
        self._members.remove(linger)
        if not self._members:
            self._onEmpty()

"""
The receiving side of a connection whose frames an Autobahn protocol reads.

Pausing, rate limits and deadlines work as in every `Receiver`. Autobahn parses the bytes, and asks before
each frame whether to go on (`MountedProtocol.processData`).
"""

from __future__ import annotations

from typing import Any

from ..core.connection import Connection
from ..wire.receiver import Receiver
from ..wire.states import DISCARDING


class AutobahnReceiver(Receiver):
    """
    Passes received bytes on to an Autobahn protocol.

    Args:
        wire: The `AutobahnWire`.
        connection: The connection.
    """

    _wire: Any

    def __init__(self, wire: Any, connection: Connection) -> None:
        now = wire.context.clock.seconds()
        super().__init__(wire, wire.context, connection, wire.options, now)
        self.state = wire.state
        self._isBegun = False
        self._received = 0

    def parse(self) -> None:
        """Let the protocol parse all received bytes, unless reading is paused."""
        if self.isParsing or self.reading or self.state >= DISCARDING:
            return
        self.isParsing = True
        try:
            if not self._isBegun:
                self._isBegun = True
                self._wire.begin()
            self._feed()
        finally:
            self.isParsing = False
        self.applyReading()

    def _feed(self) -> None:
        wire, size = self._wire, 0
        while not self.reading and self.state < DISCARDING:
            data, self.data = self.data, b""
            size += len(data)
            try:
                if data:
                    wire.protocol.dataReceived(data)
                else:
                    wire.protocol.consumeData()
            except Exception:
                wire.methodRaised("a method")
                return
            if not self.data:
                break
        if self.state < DISCARDING:
            self._note(size)

    def _note(self, size: int) -> None:
        """
        Record after parsing whether a message or a frame is incomplete, and how many of its bytes have
        arrived.
        """
        protocol = self._wire.protocol
        isInside = protocol.inside_message or protocol.current_frame is not None
        if not (isInside or (protocol.data and not self.reading)):
            self.incompleteSince = None
        elif self.incompleteSince is not None:
            self._received += size
        else:
            self._received = 0
            self.incompleteSince = self.lastReceived
            self._wire.reschedule()

    @property
    def receivedOfMessage(self) -> int:
        return self._received if self.incompleteSince is not None else 0

    def charge(self, size: int) -> None:
        """Count a message of `size` bytes against the rate limits."""
        if self._meter is not None:
            self._charge(self._meter, size)

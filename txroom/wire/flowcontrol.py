"""
Whether a connection is read. `reading` of a connection is one of three states:

    FLOWING   What comes is parsed and delivered.
        hold     → HELD      The application pauses it, a hook of it runs, it is over its rate, or it has had
                             its share of this turn of the reactor.
    HELD      Nothing is read; what has come lies unparsed.
        release  → FLOWING   The last reason is gone: what lies there is parsed.
        peek     → PEEKING   The heartbeat has to know whether the peer is still there.
    PEEKING   As HELD, but up to `MAX_PEEKED` bytes are read ahead.
        release  → FLOWING
        tooMuch  → HELD      So many bytes lie there.

`clear` leads to FLOWING from everywhere: a connection that is closed reads the peer's answer. The transport
is told only when a read has been parsed, once for all that happened meanwhile.
"""

from __future__ import annotations

from typing import Any, Protocol

from .context import WireContext

FLOWING = 0
HELD = 1
PEEKING = 2

#: Why reading is held; bits of `FlowControl.reasons`.
APPLICATION = 1
HOOK = 2
RATE = 4
TURN = 8
#: The reasons that the client has not caused.
_OURS = APPLICATION | HOOK

#: After a hold of so many seconds the rate limits let through what could have come during the hold.
LONG_HOLD = 1.0
#: Bytes that are read ahead of a hook that takes long.
MAX_PEEKED = 64 * 1024


class ReceiverPort(Protocol):
    """What `FlowControl` needs of the `Receiver`."""

    context: WireContext
    transport: Any
    data: bytes
    reading: int
    isParsing: bool
    lastReceived: float
    incompleteSince: float | None

    def parse(self) -> None:
        """Parse and deliver what lies there."""
        ...

    def credit(self, seconds: float, now: float) -> None:
        """Nobody has read for so many seconds: let what came in that time through the rate limits."""
        ...


class FlowControl:
    """Why a connection is held, and what follows; made when it is held for the first time."""

    __slots__ = ("_connection", "_since", "isReading", "reasons", "resumedAt", "until")

    def __init__(self, connection: ReceiverPort) -> None:
        self._connection = connection
        #: Whether the transport reads: what has come so far has been seen.
        self.isReading = True
        self.reasons = 0
        #: When it was held, for a reason that isn't the client's doing.
        self._since = 0.0
        #: Until when the rate limit holds it.
        self.until: float | None = None
        self.resumedAt = 0.0

    def hold(self, why: int) -> None:
        """Stop for one reason more."""
        connection = self._connection
        if why & _OURS and not self.reasons & _OURS:
            # A hook runs because something has just been received.
            self._since = connection.lastReceived if why == HOOK else connection.context.seconds()
        self.reasons |= why
        if connection.reading == FLOWING:
            connection.reading = HELD
        self.apply()

    def release(self, why: int) -> None:
        """A reason is gone."""
        connection = self._connection
        if not self.reasons & why:
            return
        self.lift(why)
        if self.reasons or connection.transport is None:
            return
        # Nothing came, and no message became complete, because nobody read: that is no fault of the peer.
        connection.lastReceived = self.resumedAt = now = connection.context.seconds()
        connection.incompleteSince = None
        if why & _OURS and now - self._since >= LONG_HOLD:
            connection.credit(now - self._since, now)
        connection.parse()
        self.apply()

    def lift(self, why: int) -> None:
        """As `release`, but the caller parses what has come."""
        self.reasons &= ~why
        if not self.reasons:
            self._connection.reading = FLOWING

    def clear(self) -> None:
        """Drop all reasons."""
        self.until = None
        self.lift(self.reasons)

    def peek(self) -> bool:
        """Read ahead, up to `MAX_PEEKED` bytes; returns whether the transport reads."""
        connection = self._connection
        if connection.reading != FLOWING and len(connection.data) <= MAX_PEEKED:
            connection.reading = PEEKING
            self.apply()
        return self.isReading

    def tooMuch(self) -> None:
        """Stop reading ahead: more than `MAX_PEEKED` bytes have come."""
        self._connection.reading = HELD
        self.apply()

    def apply(self) -> None:
        """Pause or resume the transport, unless a read is being parsed."""
        connection = self._connection
        reads = connection.reading != HELD
        if connection.isParsing or connection.transport is None or self.isReading is reads:
            return
        self.isReading = reads
        if reads:
            connection.transport.resumeProducing()
        else:
            connection.transport.pauseProducing()

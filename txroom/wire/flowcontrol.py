"""
Flow control of the receiving side. `Receiver.reading` is one of three states:

    FLOWING   Received bytes are parsed and delivered.
        hold     → HELD      The application paused the connection, one of its hooks is running, it exceeds
                             its rate limit, or it has used its budget of this turn of the reactor.
    HELD      The transport is paused, and received bytes are kept unparsed.
        release  → FLOWING   The last reason is removed, and the kept bytes are parsed.
        peek     → PEEKING   The heartbeat has to find out whether the peer is alive.
    PEEKING   Like HELD, but up to `MAX_PEEKED` bytes are read ahead.
        release  → FLOWING
        tooMuch  → HELD      More than `MAX_PEEKED` bytes are kept.

`clear` leads to FLOWING from each state: a connection that is closing reads the peer's answer. The transport
is paused or resumed once, after a read is parsed.
"""

from __future__ import annotations

from typing import Any, Protocol

from .context import WireContext

FLOWING = 0
HELD = 1
PEEKING = 2

#: The reasons to hold reading; bits of `FlowControl.reasons`.
APPLICATION = 1
HOOK = 2
RATE = 4
TURN = 8
#: The reasons that are not caused by the client.
_OURS = APPLICATION | HOOK

#: After a hold of at least this many seconds, the rate limits make allowance for the messages that arrived
#: during the hold.
LONG_HOLD = 1.0
#: The largest number of bytes that are read ahead while reading is held.
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
        """Parse and deliver the received bytes."""
        ...

    def credit(self, seconds: float, now: float) -> None:
        """Make allowance for messages that arrived during `seconds` in which the connection was not read."""
        ...


class FlowControl:
    """The flow control of one connection; created when its reading is first held."""

    __slots__ = ("_connection", "_since", "isReading", "reasons", "resumedAt", "until")

    def __init__(self, connection: ReceiverPort) -> None:
        self._connection = connection
        #: Whether the transport reads, so that everything that has arrived is known.
        self.isReading = True
        self.reasons = 0
        #: Since when reading is held for a reason that the client did not cause.
        self._since = 0.0
        #: When the hold of the rate limit ends.
        self.until: float | None = None
        self.resumedAt = 0.0

    def hold(self, why: int) -> None:
        """Hold reading for a reason, in addition to others."""
        connection = self._connection
        if why & _OURS and not self.reasons & _OURS:
            # A hook runs because something was received, so the hold began at that time.
            self._since = connection.lastReceived if why == HOOK else connection.context.seconds()
        self.reasons |= why
        if connection.reading == FLOWING:
            connection.reading = HELD
        self.apply()

    def release(self, why: int) -> None:
        """Remove a reason. When none is left, the received bytes are parsed and reading continues."""
        connection = self._connection
        if not self.reasons & why:
            return
        self.lift(why)
        if self.reasons or connection.transport is None:
            return
        # The peer is not at fault if nothing arrived while the connection was not read.
        connection.lastReceived = self.resumedAt = now = connection.context.seconds()
        connection.incompleteSince = None
        if why & _OURS and now - self._since >= LONG_HOLD:
            connection.credit(now - self._since, now)
        connection.parse()
        self.apply()

    def lift(self, why: int) -> None:
        """Like `release`, but the caller parses the received bytes."""
        self.reasons &= ~why
        if not self.reasons:
            self._connection.reading = FLOWING

    def clear(self) -> None:
        """Remove all reasons."""
        self.until = None
        self.lift(self.reasons)

    def peek(self) -> bool:
        """Read ahead up to `MAX_PEEKED` bytes. Returns whether the transport reads."""
        connection = self._connection
        if connection.reading != FLOWING and len(connection.data) <= MAX_PEEKED:
            connection.reading = PEEKING
            self.apply()
        return self.isReading

    def tooMuch(self) -> None:
        """Stop reading ahead, because more than `MAX_PEEKED` bytes are kept."""
        self._connection.reading = HELD
        self.apply()

    def apply(self) -> None:
        """Pause or resume the transport, unless received bytes are being parsed."""
        connection = self._connection
        reads = connection.reading != HELD
        if connection.isParsing or connection.transport is None or self.isReading is reads:
            return
        self.isReading = reads
        if reads:
            connection.transport.resumeProducing()
        else:
            connection.transport.pauseProducing()

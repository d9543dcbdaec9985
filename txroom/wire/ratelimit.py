"""
How much one connection may send in a time.
"""

from __future__ import annotations

from ..core.options import ServerOptions
from ..core.tokenbucket import TokenBucket
from .timerwheel import TimerWheel

#: Control frames (pings, pongs) a second, and at once; nobody with good intentions comes near.
CONTROL_RATE = 100.0
CONTROL_BURST = 500.0
#: Seconds a connection may be slowed down without a break before it is closed.
PATIENCE = 10.0
#: So many times it may be, however long.
SLOWED = 10


class Meter:
    """The message and byte buckets of one connection, and for how long they have slowed it down."""

    __slots__ = ("_bytes", "_messages", "_slowed", "_slowedSince")

    def __init__(self, options: ServerOptions, now: float) -> None:
        self._messages = _bucket(options.messageRate, options.messageBurst, now)
        self._bytes = _bucket(options.byteRate, options.byteBurst, now)
        self._slowed = 0
        self._slowedSince: float | None = None

    @staticmethod
    def of(options: ServerOptions, now: float) -> Meter | None:
        """A meter, if the options limit anything."""
        return Meter(options, now) if options.messageRate or options.byteRate else None

    def spend(self, size: int, now: float) -> float:
        """Count one message of `size` bytes; the seconds to stop reading for."""
        wait = 0.0
        atEase = True
        if self._messages is not None:
            wait = self._messages.spend(1, now)
            atEase = self._messages.isHalfFull
        if self._bytes is not None:
            wait = max(wait, self._bytes.spend(size, now))
            atEase = atEase and self._bytes.isHalfFull
        if wait:
            self._slowed += 1
            if self._slowedSince is None:
                self._slowedSince = now
        elif atEase:
            self._slowed = 0
            self._slowedSince = None
        return wait

    def credit(self, seconds: float, now: float) -> float:
        """
        What comes now came during so many `seconds`, in which nobody read; `settle` ends that.

        The seconds for which to stop reading still.
        """
        buckets = [each for each in (self._messages, self._bytes) if each is not None]
        wait = max(bucket.credit(seconds, now) for bucket in buckets)
        if not wait:
            self._slowed = 0
            self._slowedSince = None
        return wait

    def settle(self) -> None:
        """Forget what is left of a credit."""
        for bucket in (self._messages, self._bytes):
            if bucket is not None:
                bucket.settle()

    def isAbused(self, now: float) -> bool:
        """Whether it has been over its rate for longer than `PATIENCE`, and not with a few long messages."""
        if self._slowedSince is None or self._slowed <= SLOWED:
            return False
        return now - self._slowedSince > PATIENCE


class Allowance:
    """
    What one connection may still send, and what it is excused.

    Made at its first control frame, when it is first slowed down, or when it was not read for long. The
    server's own standstills are no fault of the client's: what comes after one may be as much as could have
    come meanwhile, for `PATIENCE` seconds.
    """

    __slots__ = ("_controls", "_excusedAt", "_meter", "_wheel", "settleAt")

    def __init__(self, meter: Meter | None, connectedAt: float, now: float, wheel: TimerWheel) -> None:
        self._meter = meter
        self._controls = TokenBucket(CONTROL_RATE, CONTROL_BURST, now)
        self._excusedAt = connectedAt
        self._wheel = wheel
        #: When `settle` is due, if it is.
        self.settleAt: float | None = None

    def takesControl(self, now: float) -> bool:
        """Count one control frame; whether it isn't one too many."""
        if not self._controls.spend(1, now):
            return True
        return self._isExcused(now) and not self._controls.credit(0.0, now)

    def excuse(self, wait: float, now: float) -> float:
        """The seconds to stop reading for, of those that the meter has said."""
        assert self._meter is not None
        return self._meter.credit(0.0, now) if self._isExcused(now) else wait

    def credit(self, seconds: float, now: float) -> None:
        """What comes now came while nobody read: for a while it may be as much as that time allows."""
        self._controls.credit(seconds, now)
        if self._meter is not None:
            self._meter.credit(seconds, now)
        self.settleAt = now + PATIENCE

    def settle(self) -> None:
        """What came meanwhile has been read."""
        self.settleAt = None
        self._controls.settle()
        if self._meter is not None:
            self._meter.settle()

    def _isExcused(self, now: float) -> bool:
        """Whether the process stood still, for which this client hasn't been given credit yet."""
        lost = self._wheel.lostSince(self._excusedAt)
        self._excusedAt = now
        if lost:
            self.credit(lost, now)
        return lost > 0


def _bucket(rate: float, burst: float, now: float) -> TokenBucket | None:
    return TokenBucket(rate, burst or max(1.0, 2 * rate), now) if rate else None

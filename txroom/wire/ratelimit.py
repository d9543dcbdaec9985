"""
The rate limits of one connection.
"""

from __future__ import annotations

from ..core.options import ServerOptions
from ..core.tokenbucket import TokenBucket
from .timerwheel import TimerWheel

#: The limits for control frames: per second, and at once. Legitimate clients stay far below them.
CONTROL_RATE = 100.0
CONTROL_BURST = 500.0
#: The number of seconds for which a connection may be slowed down continuously before it is closed.
PATIENCE = 10.0
#: A connection that was slowed down at most this many times is not closed: a few long messages are no abuse.
SLOWED = 10


class Meter:
    """The token buckets for the messages and bytes of one connection, and how long they slow it down."""

    __slots__ = ("_bytes", "_messages", "_slowed", "_slowedSince")

    def __init__(self, options: ServerOptions, now: float) -> None:
        self._messages = _bucket(options.messageRate, options.messageBurst, now)
        self._bytes = _bucket(options.byteRate, options.byteBurst, now)
        self._slowed = 0
        self._slowedSince: float | None = None

    @staticmethod
    def of(options: ServerOptions, now: float) -> Meter | None:
        """Make a meter, or return `None` if the options set no limits."""
        return Meter(options, now) if options.messageRate or options.byteRate else None

    def spend(self, size: int, now: float) -> float:
        """Count a message of `size` bytes. Returns the number of seconds for which to hold reading."""
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
        Make allowance for messages that arrived during `seconds` in which the connection was not read.

        The allowance ends with `settle`.

        Returns:
            The number of seconds for which to hold reading.
        """
        buckets = [each for each in (self._messages, self._bytes) if each is not None]
        wait = max(bucket.credit(seconds, now) for bucket in buckets)
        if not wait:
            self._slowed = 0
            self._slowedSince = None
        return wait

    def settle(self) -> None:
        """Drop the rest of a credit."""
        for bucket in (self._messages, self._bytes):
            if bucket is not None:
                bucket.settle()

    def isAbused(self, now: float) -> bool:
        """
        Check whether the limit was exceeded for longer than `PATIENCE` seconds, and by more than `SLOWED`
        messages.
        """
        if self._slowedSince is None or self._slowed <= SLOWED:
            return False
        return now - self._slowedSince > PATIENCE


class Allowance:
    """
    The rate limits of one connection, with exceptions for messages that were not read in time.

    It is created at the first control frame, when the connection is first slowed down, or when it was not
    read for a long time. If the server process was stopped, the client may exceed the limits for `PATIENCE`
    seconds by the messages it was allowed to send during the stop.
    """

    __slots__ = ("_controls", "_excusedAt", "_meter", "_wheel", "settleAt")

    def __init__(self, meter: Meter | None, connectedAt: float, now: float, wheel: TimerWheel) -> None:
        self._meter = meter
        self._controls = TokenBucket(CONTROL_RATE, CONTROL_BURST, now)
        self._excusedAt = connectedAt
        self._wheel = wheel
        #: When `settle` has to be called.
        self.settleAt: float | None = None

    def takesControl(self, now: float) -> bool:
        """Count one control frame. Returns whether it is within the limit."""
        if not self._controls.spend(1, now):
            return True
        return self._isExcused(now) and not self._controls.credit(0.0, now)

    def excuse(self, wait: float, now: float) -> float:
        """Reduce the number of seconds for which to hold reading, if the process was stopped."""
        assert self._meter is not None
        return self._meter.credit(0.0, now) if self._isExcused(now) else wait

    def credit(self, seconds: float, now: float) -> None:
        """Make allowance for messages that arrived during `seconds` in which the connection was not read."""
        self._controls.credit(seconds, now)
        if self._meter is not None:
            self._meter.credit(seconds, now)
        self.settleAt = now + PATIENCE

    def settle(self) -> None:
        """End a credit: the messages that it was for have been read."""
        self.settleAt = None
        self._controls.settle()
        if self._meter is not None:
            self._meter.settle()

    def _isExcused(self, now: float) -> bool:
        """Give credit for the time for which the process was stopped. Returns whether there was any."""
        lost = self._wheel.lostSince(self._excusedAt)
        self._excusedAt = now
        if lost:
            self.credit(lost, now)
        return lost > 0


def _bucket(rate: float, burst: float, now: float) -> TokenBucket | None:
    return TokenBucket(rate, burst or max(1.0, 2 * rate), now) if rate else None

"""
A token bucket: how much may be done in a time.
"""

from __future__ import annotations


class TokenBucket:
    """`rate` tokens a second flow in, at most `burst` stay."""

    __slots__ = ("_at", "_most", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = self._most = burst
        self._at = now

    def spend(self, amount: float, now: float) -> float:
        """Take `amount`, on credit if need be; the seconds until the debt is paid (0: none)."""
        self._fill(now)
        self._tokens -= amount
        return -self._tokens / self.rate if self._tokens < 0 else 0.0

    def credit(self, seconds: float, now: float) -> float:
        """
        Let what would have flowed in during those `seconds` be spent beyond the burst, until `settle`.

        For what could not be looked at as it came. The seconds until the debt is paid (0: none).
        """
        self._fill(now)
        self._tokens += seconds * self.rate
        self._most = max(self.burst, self._tokens)
        return -self._tokens / self.rate if self._tokens < 0 else 0.0

    def settle(self) -> None:
        """Forget what is left of a `credit`."""
        self._most = self.burst

    def take(self, now: float) -> bool:
        """Take one token, if there is one; hot."""
        tokens = self._tokens
        if now > self._at:
            tokens += (now - self._at) * self.rate
        if tokens > self._most:
            tokens = self._most
        self._at = now
        isTaken = tokens >= 1.0
        self._tokens = tokens - 1.0 if isTaken else tokens
        return isTaken

    def unspent(self, now: float) -> float:
        """How many tokens there would be now if any number of them stayed since the last call."""
        return self._tokens + max(0.0, now - self._at) * self.rate

    def change(self, rate: float, burst: float, now: float) -> None:
        """Let another rate and burst count from now on; what is there stays, up to the new burst."""
        self._fill(now)
        self.rate = rate
        self.burst = self._most = burst
        self._tokens = min(burst, self._tokens)

    def wait(self, amount: float) -> float:
        """Seconds until so much is there, as of the last call."""
        return max(0.0, (amount - self._tokens) / self.rate)

    def isFull(self, now: float) -> bool:
        """Whether all of the burst is there."""
        self._fill(now)
        return self._tokens >= self.burst

    def _fill(self, now: float) -> None:
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now

    @property
    def isHalfFull(self) -> bool:
        """Whether at least half of the burst is there."""
        return self._tokens * 2 >= self.burst

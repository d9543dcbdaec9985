"""
A token bucket, for rate limits.
"""

from __future__ import annotations


class TokenBucket:
    """
    A token bucket: `rate` tokens are added per second, up to `burst`.

    `spend` can take more tokens than there are. The bucket is then in debt, until the tokens that are added
    have paid the debt.

    Args:
        rate: Tokens per second.
        burst: The most tokens that it holds; it starts full.
        now: The current time in seconds.
    """

    __slots__ = ("_at", "_most", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = self._most = burst
        self._at = now

    def spend(self, amount: float, now: float) -> float:
        """
        Take `amount` tokens, even more than there are.

        Returns:
            The seconds until the debt is paid; 0 if there is none.
        """
        self._fill(now)
        self._tokens -= amount
        return -self._tokens / self.rate if self._tokens < 0 else 0.0

    def credit(self, seconds: float, now: float) -> float:
        """
        Add the tokens of `seconds`. Until `settle` is called, the tokens may exceed the burst.

        This is for messages that could not be handled when they arrived.

        Returns:
            The seconds until the debt is paid; 0 if there is none.
        """
        self._fill(now)
        self._tokens += seconds * self.rate
        self._most = max(self.burst, self._tokens)
        return -self._tokens / self.rate if self._tokens < 0 else 0.0

    def settle(self) -> None:
        """Drop the rest of a `credit`."""
        self._most = self.burst

    def take(self, now: float) -> bool:
        """
        Take one token if there is one. Called for every message, so it is fast.

        Returns:
            Whether there was one.
        """
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
        """Return how many tokens there would be now if the burst had not limited them since the last call."""
        return self._tokens + max(0.0, now - self._at) * self.rate

    def change(self, rate: float, burst: float, now: float) -> None:
        """Change the rate and the burst. The present tokens are kept, up to the new burst."""
        self._fill(now)
        self.rate = rate
        self.burst = self._most = burst
        self._tokens = min(burst, self._tokens)

    def wait(self, amount: float) -> float:
        """Return the seconds until there are `amount` tokens, counted from the last call."""
        return max(0.0, (amount - self._tokens) / self.rate)

    def isFull(self, now: float) -> bool:
        """Return whether the bucket is full."""
        self._fill(now)
        return self._tokens >= self.burst

    def _fill(self, now: float) -> None:
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now

    @property
    def isHalfFull(self) -> bool:
        """Whether the bucket is at least half full."""
        return self._tokens * 2 >= self.burst

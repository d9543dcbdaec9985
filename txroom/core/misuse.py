"""
The limit on a client's mistakes: a few are tolerated, more in a short time count as misuse.
"""

from __future__ import annotations

#: This many mistakes within this many seconds are misuse.
MAX_MISTAKES = 3
MISTAKE_SECONDS = 10.0


class MisuseCounter:
    """Counts the recent mistakes of one client. Times are those of the server's clock, in seconds."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: tuple[float, ...] = ()

    def add(self, now: float) -> bool:
        """
        Count a mistake.

        Args:
            now: The current time.

        Returns:
            Whether the client must be disconnected for misuse.
        """
        self._times = (*self._times[1 - MAX_MISTAKES :], now)
        return len(self._times) == MAX_MISTAKES and now - self._times[0] <= MISTAKE_SECONDS

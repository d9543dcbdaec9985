"""
Mistakes of one client, counted: a few are human.
"""

from __future__ import annotations

#: So many mistakes in so many seconds are too many.
STRIKES = 3
STRIKE_SECONDS = 10.0


class Strikes:
    """When a client made its last mistakes, in seconds of the server's clock."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: tuple[float, ...] = ()

    def add(self, now: float) -> bool:
        """One more; whether it is one too many."""
        self._times = (*self._times[1 - STRIKES :], now)
        return len(self._times) == STRIKES and now - self._times[0] <= STRIKE_SECONDS

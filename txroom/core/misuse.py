"""
How many mistakes a client may make: one or two are human, more in a short time are misuse.
"""

from __future__ import annotations

#: A client misuses the server with this many mistakes in so many seconds.
MAX_MISTAKES = 3
MISTAKE_SECONDS = 10.0


class MisuseCounter:
    """Remembers when one client made its last mistakes, in seconds of the server's clock."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: tuple[float, ...] = ()

    def add(self, now: float) -> bool:
        """
        Count a mistake that the client has made now.

        Returns:
            Whether that was one too many, so that the client is to be disconnected.
        """
        self._times = (*self._times[1 - MAX_MISTAKES :], now)
        return len(self._times) == MAX_MISTAKES and now - self._times[0] <= MISTAKE_SECONDS

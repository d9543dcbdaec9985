"""
A pace: when each of many clients that have to come back may be sent away.

If all were sent away at once, each of them would wait for all others. So only a few are away at a time, and
the next ones follow when these have come back. How many that are depends on how long the last ones took: more
if these were `SOON` back, and fewer if not, because then the processes that serve them, or the clients, have
as much to do as they can.

Clients that don't come back don't hold up the others for good: each may go at its time in a schedule, whoever
is away.
"""

from __future__ import annotations

#: A client that is back within so many seconds has not waited for others.
SOON = 0.5
#: How many clients may be away at a time, at least and at most. It begins with the least.
LEAST, MOST = 2.0, 64.0
#: The seconds between two questions to a `Pace`.
STEP = 0.02


class Pace:
    """
    See the module. It has no clock: its callers tell the time in seconds, and ask again every `STEP` seconds.

    Args:
        count: How many clients have to go in all.
        seconds: The most seconds after which all of them may have gone.
        now: The current time.
    """

    __slots__ = ("_away", "_begun", "_gone", "_limit", "_rate")

    def __init__(self, count: int, seconds: float, now: float) -> None:
        #: How many clients are away, how many may be, and how many have gone.
        self._away = 0
        self._limit = LEAST
        self._gone = 0
        self._begun = now
        self._rate = count / seconds if seconds > 0 else float("inf")

    def goes(self, clients: int, now: float) -> bool:
        """
        Send `clients` away together, if it is their turn. If there are more than may be away, they go alone.

        Returns:
            Whether they go now. They are away until `back` is called.
        """
        isDue = self._rate * (now - self._begun) >= self._gone + clients
        if self._away and self._away + clients > self._limit and not isDue:
            return False
        self._away += clients
        self._gone += clients
        return True

    def back(self, clients: int, seconds: float) -> None:
        """So many clients are back after that time, or are not waited for any more."""
        self._away -= clients
        if seconds <= SOON:
            self._limit = min(MOST, self._limit + clients / 2)
        else:
            self._limit = max(LEAST, self._limit - clients * 2)

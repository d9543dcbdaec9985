"""
Since when a node has held its lease without a gap, so that no other node can have become the owner of its
rooms.

The node's own clock is not enough: it may stand still while the machine is suspended, or a virtual machine is
paused. So it is compared with Redis's clock, which has gone on. What Redis's clock is ahead counts as time
that the node has missed.
"""

from __future__ import annotations

from collections.abc import Sequence

from .lease import EXPIRY, GRACE

#: A node whose last renewal is at most so many seconds older than the newest one of all nodes was alive when
#: Redis was stopped, even if Redis has lost its newest data.
TOGETHER = 4.0


class Holding:
    """The time of the node's lease; see the module. All times are in seconds."""

    __slots__ = ("_most", "_since", "_until", "shift")

    def __init__(self) -> None:
        #: Redis's clock minus that of the node.
        self.shift = 0.0
        #: The most that `shift` may really have been; infinite: it isn't known.
        self._most = float("inf")
        self._since = 0.0
        self._until = float("-inf")

    def since(self, now: float) -> float:
        """Return since when the lease has not lapsed; infinite if it has."""
        return self._since if now < self._until else float("inf")

    def renewed(self, redisNow: float, began: float, now: float) -> None:
        """
        The lease has been renewed, at Redis's time `redisNow`.

        It is counted from when that was asked for (`began`), since it isn't known when Redis has run it.
        """
        if self._hasLapsed(redisNow, now):
            self._since = now
            self._until = float("-inf")
        self.shift = redisNow - (began + now) / 2
        self._most = redisNow - began
        self._until = max(self._until, began + EXPIRY)

    def connected(self, leases: Sequence[int], now: float, isRestarted: bool) -> None:
        """
        The node has connected to Redis. The renewal comes next.

        Args:
            leases: The reply of the script `restarted`.
            now: The time.
            isRestarted: Whether this Redis was started after the former connection.
        """
        own, newest, milliseconds = leases
        redisNow = milliseconds / 1000
        if self._hasLapsed(redisNow, now):
            self._until = float("-inf")
        if isRestarted and own >= 0 and newest - TOGETHER * 1000 <= own:
            # The lease had not expired when the former Redis was stopped. Other nodes don't take rooms before
            # they have waited for it; see `Lease.redisRestarted`.
            self._until = max(self._until, now + GRACE - 1.0)
        self.shift = redisNow - now
        self._most = float("inf")

    def _hasLapsed(self, redisNow: float, now: float) -> bool:
        missed = max(0.0, redisNow - (now + self._most))
        return now + missed >= self._until

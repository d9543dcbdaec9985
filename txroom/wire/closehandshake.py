"""
How long a connection that is being closed may take.

Once the Close frame is written the peer has `closeTimeout` seconds to answer it and to end the TCP
connection. A peer with a slow link may still be receiving what was sent before, or sending what it had
begun: the deadline is extended as long as bytes move in either direction.

The codes with which connections are closed are chosen where something goes wrong; `frames.Violation` carries
those of the RFC.
"""

from __future__ import annotations

from collections.abc import Callable

from .deadlines import NEVER, dueBy

#: The most bytes received after our Close frame that extend the deadline.
MAX_EARNED = 1 << 20
#: How often in `closeTimeout` a connection that is closing is checked for bytes that move.
CHECKS = 4


class CloseHandshake:
    """The closing handshake of one connection: its deadline, and the code and reason for `onDisconnect`."""

    __slots__ = ("_moved", "_movedAt", "_since", "_takenBefore", "_timeout", "code", "reason", "received")

    def __init__(self, timeout: float, now: float, taken: int) -> None:
        #: What `onDisconnect` is told: by the peer's Close frame, or by the rule that it broke.
        self.code: int | None = None
        self.reason = ""
        #: Bytes that have come since the Close frame was written.
        self.received = 0
        self._timeout = timeout
        self._since = self._movedAt = now
        self._takenBefore = taken
        self._moved = 0

    def end(self, code: int, reason: str) -> None:
        """Set the code and the reason that `onDisconnect` gets; only the first call counts."""
        if self.code is None:
            self.code, self.reason = code, reason

    def deadline(self, taken: int, received: int, now: float, lostSince: Callable[[float], float]) -> float:
        """
        When the connection is dropped, closed or not.

        Args:
            taken: Bytes that the peer has taken so far.
            received: Bytes that have come since the Close frame, as far as they count; a peer that broke a
                rule gets no more time for what it sends.
            now: The time.
            lostSince: Seconds for which the process stood still since a time.
        """
        taken = max(0, taken - self._takenBefore)
        if taken + received != self._moved:
            self._moved, self._movedAt = taken + received, now
        if not self._timeout:
            return NEVER
        return min(
            dueBy(self._since, self._timeout, taken + min(received, MAX_EARNED)) + lostSince(self._since),
            self._movedAt + self._timeout + lostSince(self._movedAt),
        )

    def nextDeadline(self, deadline: float, now: float) -> float:
        """When to compute the deadline again."""
        return min(deadline, now + self._timeout / CHECKS) if self._timeout else NEVER

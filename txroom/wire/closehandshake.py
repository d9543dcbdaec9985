"""
The deadline of the closing handshake.

When our Close frame is written, the peer has `closeTimeout` seconds to answer it and to end the TCP
connection. A peer with a slow link may still be receiving earlier messages, or sending the rest of one, so
the deadline is extended while bytes move in either direction.

Close codes are chosen where an error is found; `frames.Violation` carries those of RFC 6455.
"""

from __future__ import annotations

from collections.abc import Callable

from .deadlines import NEVER, dueBy

#: The largest number of bytes received after our Close frame that extend the deadline.
MAX_EARNED = 1 << 20
#: How often during `closeTimeout` the progress of a connection is checked.
CHECKS = 4


class CloseHandshake:
    """The closing handshake of one connection: its deadline, and the code and reason for `onDisconnect`."""

    __slots__ = ("_moved", "_movedAt", "_since", "_takenBefore", "_timeout", "code", "reason", "received")

    def __init__(self, timeout: float, now: float, taken: int) -> None:
        #: The code for `onDisconnect`: that of the peer's Close frame, or that of the rule it broke.
        self.code: int | None = None
        self.reason = ""
        #: The number of bytes received since our Close frame was written.
        self.received = 0
        self._timeout = timeout
        self._since = self._movedAt = now
        self._takenBefore = taken
        self._moved = 0

    def end(self, code: int, reason: str) -> None:
        """Set the code and the reason for `onDisconnect`; only the first call has an effect."""
        if self.code is None:
            self.code, self.reason = code, reason

    def deadline(self, taken: int, received: int, now: float, lostSince: Callable[[float], float]) -> float:
        """
        Compute when the connection is dropped if it is not closed by then.

        Args:
            taken: The number of bytes that the peer has acknowledged.
            received: The number of bytes received since our Close frame, or 0 for a peer that broke a rule,
                whose bytes do not extend the deadline.
            now: The current time.
            lostSince: A function that returns for how many seconds the process was stopped since a time.
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
        """Get the time at which the deadline has to be computed again."""
        return min(deadline, now + self._timeout / CHECKS) if self._timeout else NEVER

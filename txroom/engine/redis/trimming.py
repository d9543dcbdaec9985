"""Which entries of a log are deleted: those that the owner does not need."""

from __future__ import annotations

#: After how many seconds entries that aren't needed are deleted although nothing is written.
TRIM_SECONDS = 10.0


class Trimming:
    """How far the log of a room can be trimmed, and is."""

    __slots__ = ("_due", "_forgotten", "_trimmed")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin with a new log."""
        #: Entries up to these offsets are not needed, and have been deleted.
        self._forgotten = self._trimmed = 0
        self._due = 0.0

    @property
    def isWaiting(self) -> bool:
        """Whether there are entries that aren't needed."""
        return self._forgotten > self._trimmed

    def forget(self, offset: int, now: float) -> None:
        """The entries up to this offset are not needed."""
        if not self.isWaiting:
            self._due = now + TRIM_SECONDS
        self._forgotten = max(self._forgotten, offset)

    def isDue(self, now: float) -> bool:
        """Return whether entries that aren't needed have been kept for long enough."""
        return self.isWaiting and now >= self._due

    def least(self) -> int:
        """Return the offset below which entries are deleted now; 0: none."""
        if not self.isWaiting:
            return 0
        self._trimmed = self._forgotten
        return self._forgotten + 1

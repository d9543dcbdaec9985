"""
The changes of one room's presence that its members have yet to be told.

Several changes reach the members together, as one frame. Not all members are to be told of the same ones: a
client that joins in between is sent the members there are, and is to be told only of what changes after that.

The changes are kept as a log, each with what presence said of the member before. A member's *mark* is the
length of the log when it was sent the roster: it is to be told the difference between the roster at that time
and the roster now. Members without a mark were there before the first change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple


class PresenceEntry(NamedTuple):
    """What presence says of one member."""

    #: The id of the user.
    user: str
    #: The payload of `{"user": …, "metas": [{…}]}`, which has the meta of this member alone.
    payload: bytes
    #: Goes up with each member that joins: the order of the roster.
    place: int


#: Members that have joined, and members that have left. One that is in both has another meta.
Difference = tuple[list[PresenceEntry], list[PresenceEntry]]
#: Whether members are told of a change: what was said of somebody before, and what is said now.
IsTold = Callable[[PresenceEntry | None, PresenceEntry | None], bool]


class _Change(NamedTuple):
    """A member has changed."""

    id: str
    #: What presence said of it; `None`: it wasn't there.
    before: PresenceEntry | None
    #: How many members there were.
    size: int


class PresenceChanges:
    """The log of what has changed since the members were told the last time."""

    __slots__ = ("_latest", "_log", "_newestMark", "marks")

    def __init__(self) -> None:
        self._log: list[_Change] = []
        #: By member: the index of the last change of it.
        self._latest: dict[str, int] = {}
        #: By member: its mark, if it was sent the roster after the first change.
        self.marks: dict[str, int] = {}
        self._newestMark = 0

    def __bool__(self) -> bool:
        return bool(self._log)

    def note(self, id: str, before: PresenceEntry | None, size: int) -> None:
        """
        Note that a member changes.

        If nobody was sent the roster since this member changed the last time, the earlier change says all.

        Args:
            id: The member's id.
            before: What presence said of it until now; `None`: it wasn't there.
            size: How many members there were until now.
        """
        if self._latest.get(id, -1) < self._newestMark:
            self._latest[id] = len(self._log)
            self._log.append(_Change(id, before, size))

    def mark(self, id: str) -> None:
        """Note that a member was sent the roster as it is now."""
        if self._log:
            self.marks[id] = self._newestMark = len(self._log)
        else:
            self.marks.pop(id, None)

    def forget(self, id: str) -> None:
        """Forget the mark of a member that has left."""
        self.marks.pop(id, None)

    def sizeAt(self, mark: int) -> int | None:
        """How many members there were at a mark; `None`: nothing has changed since."""
        return self._log[mark].size if mark < len(self._log) else None

    def since(
        self, marks: Iterable[int], roster: Mapping[str, PresenceEntry], isTold: IsTold
    ) -> dict[int, Difference]:
        """
        What has changed since each of some marks.

        Args:
            marks: 0 is that of the members that have none.
            roster: The members as they are now.
            isTold: Which changes are told.
        """
        # From the last change to the first: what was said before the first change after a mark counts.
        found: dict[int, Difference] = {}
        changed: dict[str, PresenceEntry | None] = {}
        index = len(self._log)
        for mark in sorted(marks, reverse=True):
            while index > mark:
                index -= 1
                id, before, _ = self._log[index]
                now = roster.get(id)
                changed.pop(id, None)
                if now != before and isTold(before, now):
                    changed[id] = before
            ids = list(reversed(changed))
            found[mark] = (
                [roster[id] for id in ids if id in roster],
                [before for id in ids if (before := changed[id]) is not None],
            )
        return found

    def clear(self) -> None:
        """All members have been told."""
        self._log.clear()
        self._latest.clear()
        self.marks.clear()
        self._newestMark = 0

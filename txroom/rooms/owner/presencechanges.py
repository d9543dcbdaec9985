"""
The changes of a room's presence that its members have not been told of yet.

Several changes are sent together, as one frame. Not all members must be told of the same changes: a client
that joins in between receives the current list of members, and must only be told of the changes after that.

The changes are kept in a log, each with the former entry of the member. The *mark* of a member is the length
of the log at the time when it received the list of members. It must be told the difference between the list
at that time and the current list. Members without a mark have joined before the first change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple


class PresenceEntry(NamedTuple):
    """What other members see of a member."""

    #: The id of the user.
    user: str
    #: The payload of `{"user": …, "metas": [{…}]}`, with the meta of this member alone.
    payload: bytes
    #: The place in the order of the members. It is greater for each member that joins.
    place: int


#: The members that have joined, and those that have left. A member in both has changed its meta.
Difference = tuple[list[PresenceEntry], list[PresenceEntry]]
#: Decides whether members are told of a change, from the former entry and the current one.
IsTold = Callable[[PresenceEntry | None, PresenceEntry | None], bool]


class _Change(NamedTuple):
    """A change of a member: it has joined, left, or changed its meta."""

    id: str
    #: The former entry; `None` if it was no member.
    before: PresenceEntry | None
    #: The number of members before the change.
    size: int


class PresenceChanges:
    """The log of the changes since the members were told the last time."""

    __slots__ = ("_latest", "_log", "_newestMark", "marks")

    def __init__(self) -> None:
        self._log: list[_Change] = []
        #: The index of the last change of each member.
        self._latest: dict[str, int] = {}
        #: The marks of the members that have received the list of members after the first change.
        self.marks: dict[str, int] = {}
        self._newestMark = 0

    def __bool__(self) -> bool:
        return bool(self._log)

    def note(self, id: str, before: PresenceEntry | None, size: int) -> None:
        """
        Add a change, unless the log has one of the same member that no newer mark separates from this one.

        Args:
            id: The id of the member.
            before: The former entry of the member; `None` if it was no member.
            size: The number of members before the change.
        """
        if self._latest.get(id, -1) < self._newestMark:
            self._latest[id] = len(self._log)
            self._log.append(_Change(id, before, size))

    def mark(self, id: str) -> None:
        """Set the mark of a member that receives the current list of members."""
        if self._log:
            self.marks[id] = self._newestMark = len(self._log)
        else:
            self.marks.pop(id, None)

    def forget(self, id: str) -> None:
        """Remove the mark of a member that has left."""
        self.marks.pop(id, None)

    def sizeAt(self, mark: int) -> int | None:
        """Return the number of members at a mark; `None` if nothing has changed since."""
        return self._log[mark].size if mark < len(self._log) else None

    def since(
        self, marks: Iterable[int], roster: Mapping[str, PresenceEntry], isTold: IsTold
    ) -> dict[int, Difference]:
        """
        Return what has changed since each of some marks.

        Args:
            marks: The marks; 0 for members without one.
            roster: The current entries of the members, by id.
            isTold: Decides which changes are told.
        """
        # From the last change to the first, since the first change after a mark has the entry at that mark.
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
        """Forget the changes, since all members have been told of them."""
        self._log.clear()
        self._latest.clear()
        self.marks.clear()
        self._newestMark = 0

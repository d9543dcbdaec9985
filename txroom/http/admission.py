"""
Who gives way when there are too many: what is unfinished is counted by client address.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, Protocol, TypeVar

Member = TypeVar("Member")


class Crowd(Generic[Member]):
    """
    Members by address, each of which may have several.

    `last` of them is the oldest of the address that has most, or of the one that has had so many for the
    longest time. A member without an address ("") is one by itself. Every call costs the same, however
    many there are.
    """

    def __init__(self) -> None:
        self._addresses: dict[Member, Hashable] = {}
        self._members: dict[Hashable, dict[Member, None]] = {}
        #: The addresses that have so many members, in the order in which they came to that.
        self._having: dict[int, dict[Hashable, None]] = {}
        self._most = 0

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._addresses))

    def __contains__(self, member: object) -> bool:
        return member in self._addresses

    def add(self, member: Member, address: str) -> None:
        """One more; again, under another address, for one that is there already."""
        if member in self._addresses:
            self.remove(member)
        key = self._addresses[member] = address or member
        members = self._members.setdefault(key, {})
        members[member] = None
        count = len(members)
        self._move(key, count - 1, count)
        self._most = max(self._most, count)

    def remove(self, member: Member) -> None:
        """One less; harmless for one that isn't there."""
        key = self._addresses.pop(member, None)
        if key is None:
            return
        members = self._members[key]
        count = len(members)
        del members[member]
        self._move(key, count, count - 1)
        if not members:
            del self._members[key]
        if self._most not in self._having:
            self._most -= 1  # where the address went that had the most

    def count(self, address: str) -> int:
        """How many an address has."""
        return len(self._members.get(address, ()))

    def oldestOf(self, address: str) -> Member | None:
        """The oldest of an address; `None` if it has none."""
        return next(iter(self._members.get(address, ())), None)

    def last(self) -> Member | None:
        """The one that gives way; `None` if there is none."""
        if not self._most:
            return None
        key = next(iter(self._having[self._most]))
        return next(iter(self._members[key]))

    def _move(self, key: Hashable, before: int, after: int) -> None:
        if before:
            others = self._having[before]
            del others[key]
            if not others:
                del self._having[before]
        if after:
            self._having.setdefault(after, {})[key] = None


class Handshaking(Protocol):
    """A connection whose handshake isn't finished."""

    def giveWay(self, reason: str) -> None:
        """It is refused, for that reason."""
        ...


class Visit(Protocol):
    """A request for a page, from its head until its connection is gone."""

    def giveWay(self) -> None:
        """It only waits for its client, and another one is to have its place."""
        ...

    def drain(self) -> None:
        """The server stops."""
        ...

    def drop(self) -> None:
        """Drop the connection."""
        ...


class Visits:
    """All requests for pages by address, and those of them that wait for their clients."""

    def __init__(self) -> None:
        self._all: Crowd[Visit] = Crowd()
        #: Answered, but the client hasn't taken it all; and those whose body hasn't come. In this order they
        #: give way.
        self.answered: Crowd[Visit] = Crowd()
        self.asking: Crowd[Visit] = Crowd()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Visit]:
        return iter(self._all)

    def count(self, address: str) -> int:
        """How many an address has."""
        return self._all.count(address)

    def add(self, visit: Visit, address: str) -> None:
        """One more, whose body is to come."""
        self._all.add(visit, address)
        self.asking.add(visit, address)

    def asked(self, visit: Visit) -> None:
        """Its body has come; now it waits for us."""
        self.asking.remove(visit)

    def answer(self, visit: Visit, address: str) -> None:
        """It is answered; now it waits for its client again."""
        if visit in self._all:
            self.answered.add(visit, address)

    def remove(self, visit: Visit) -> None:
        """One less; harmless for one that isn't there."""
        for crowd in (self._all, self.answered, self.asking):
            crowd.remove(visit)

    def giveWay(self, address: str | None = None) -> bool:
        """Make one give way, one of that address if any is given; whether there was one."""
        for crowd in (self.answered, self.asking):
            visit = crowd.last() if address is None else crowd.oldestOf(address)
            if visit is not None:
                self.remove(visit)
                visit.giveWay()
                return True
        return False

"""
The joins of a client that are under way.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from .joining import Entrance
from .room import Room

#: What two joins must have in common to be one request: the method, the target and the options.
Key = tuple[str, str, bytes]


@attrs.define(eq=False)
class Join:
    """A request to be let in, and who waits for it."""

    entrance: Entrance
    #: `None`: nobody else's request is the same.
    key: Key | None
    waiting: list[Deferred[Room]] = attrs.field(factory=list)

    @property
    def isWanted(self) -> bool:
        """Whether anybody waits still."""
        return bool(self.waiting)

    def wait(self) -> Deferred[Room]:
        """One more waits."""
        waiter: Deferred[Room] = Deferred(self._forget)
        self.waiting.append(waiter)
        return waiter

    def _forget(self, waiter: Deferred[Room]) -> None:
        if waiter in self.waiting:
            self.waiting.remove(waiter)


class Joins:
    """Those of one client."""

    def __init__(self) -> None:
        self._underWay: list[Join] = []

    def same(self, key: Key) -> Join | None:
        """The one that asks the same, if somebody waits for it still."""
        for join in self._underWay:
            if join.key == key and join.isWanted:
                return join
        return None

    def add(self, join: Join) -> None:
        """One more is under way."""
        self._underWay.append(join)

    def remove(self, join: Join) -> None:
        """It was answered, and nobody waits any more."""
        join.waiting.clear()
        self._underWay.remove(join)

    def mayLeadTo(self, name: str, id: str) -> bool:
        """Whether one of them may be answered with that room."""
        return any(join.isWanted and join.entrance.mayLeadTo(name, id) for join in self._underWay)

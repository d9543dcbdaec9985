"""
The joins of a client that the server has not answered yet.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred

from .joinattempt import JoinRequest

#: What two joins must have in common to be one request: the method, the target and the options.
Key = tuple[str, str, bytes]
RoomT = TypeVar("RoomT")


@attrs.define(eq=False)
class PendingJoin(Generic[RoomT]):
    """A request to join, and who waits for the room."""

    request: JoinRequest
    #: `None`: no other request is the same.
    key: Key | None
    waiting: list[Deferred[RoomT]] = attrs.field(factory=list)

    @property
    def isWanted(self) -> bool:
        """Whether anybody waits still."""
        return bool(self.waiting)

    def wait(self) -> Deferred[RoomT]:
        """One more waits."""
        waiter: Deferred[RoomT] = Deferred(self._forget)
        self.waiting.append(waiter)
        return waiter

    def _forget(self, waiter: Deferred[RoomT]) -> None:
        if waiter in self.waiting:
            self.waiting.remove(waiter)


class PendingJoins(Generic[RoomT]):
    """Those of one client."""

    def __init__(self) -> None:
        self._pending: list[PendingJoin[RoomT]] = []

    def same(self, key: Key) -> PendingJoin[RoomT] | None:
        """The one that asks the same, if somebody waits for it still."""
        for join in self._pending:
            if join.key == key and join.isWanted:
                return join
        return None

    def add(self, join: PendingJoin[RoomT]) -> None:
        """One more is pending."""
        self._pending.append(join)

    def remove(self, join: PendingJoin[RoomT]) -> None:
        """It was answered, and nobody waits any more."""
        join.waiting.clear()
        self._pending.remove(join)

    def mayLeadTo(self, name: str, id: str) -> bool:
        """Whether one of them may be answered with the room of that name and id."""
        return any(join.isWanted and join.request.mayLeadTo(name, id) for join in self._pending)

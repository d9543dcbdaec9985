"""
The joins of a client that the server has not answered yet.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred

from .joinattempt import JoinRequest

#: The method, the target and the options of a join; joins with equal keys share one request.
Key = tuple[str, str, bytes]
RoomT = TypeVar("RoomT")


@attrs.define(eq=False)
class PendingJoin(Generic[RoomT]):
    """A request to join, and the Deferreds that wait for the room."""

    request: JoinRequest
    #: `None`: the request is not shared with other joins.
    key: Key | None
    waiting: list[Deferred[RoomT]] = attrs.field(factory=list)

    @property
    def isWanted(self) -> bool:
        """Whether a Deferred is still waiting."""
        return bool(self.waiting)

    def wait(self) -> Deferred[RoomT]:
        """Return another Deferred that waits for the room."""
        waiter: Deferred[RoomT] = Deferred(self._forget)
        self.waiting.append(waiter)
        return waiter

    def _forget(self, waiter: Deferred[RoomT]) -> None:
        if waiter in self.waiting:
            self.waiting.remove(waiter)


class PendingJoins(Generic[RoomT]):
    """The pending joins of one client."""

    def __init__(self) -> None:
        self._pending: list[PendingJoin[RoomT]] = []

    def same(self, key: Key) -> PendingJoin[RoomT] | None:
        """Return the pending join with that key, if a Deferred is still waiting for it."""
        for join in self._pending:
            if join.key == key and join.isWanted:
                return join
        return None

    def add(self, join: PendingJoin[RoomT]) -> None:
        """Add a join."""
        self._pending.append(join)

    def remove(self, join: PendingJoin[RoomT]) -> None:
        """Remove a join that was answered."""
        join.waiting.clear()
        self._pending.remove(join)

    def mayLeadTo(self, name: str, id: str) -> bool:
        """Return whether the server could answer one of the joins with the room of that name and id."""
        return any(join.isWanted and join.request.mayLeadTo(name, id) for join in self._pending)

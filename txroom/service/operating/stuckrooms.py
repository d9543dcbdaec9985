"""
The rooms of all nodes in which something has waited for long, for operators who look for what is stuck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import nlargest
from typing import Any

import msgspec
from msgspec import Struct, to_builtins

from ...protocol.excerpts import fitting
from ...rooms.application import RoomApplication
from ...rooms.owner.directory import RoomWait
from ..cluster import Cluster

#: The most bytes of a list of rooms.
MOST_SIZE = 512 << 10

_STUCK = "txroom.stuck"


class StuckRoom(Struct):
    """A room in which a hook, a handler or a timer waits, or whose messages aren't committed."""

    room: str
    #: The name that it is registered under.
    name: str
    node: str
    #: The state of its life, such as "open" or "creating".
    stage: str
    #: For how many seconds the oldest has waited.
    seconds: float
    #: Its name, such as "onJoin"; "commit" for messages that aren't committed.
    what: str
    #: The id of the member that it was called for; empty: for none.
    member: str
    #: How many hooks, handlers and timers wait.
    waiting: int


class StuckRooms(Struct):
    """The rooms in which something waits, those that have waited for longest first."""

    rooms: list[StuckRoom]
    #: The nodes that have not answered.
    unanswered: list[str]


class RoomWaits:
    """
    Tells in which rooms something waits, of this node and of others.

    Args:
        cluster: The cluster.
        applications: Returns the applications with rooms of this node.
    """

    def __init__(self, cluster: Cluster, applications: Callable[[], Iterable[RoomApplication]]) -> None:
        self._cluster = cluster
        self._applications = applications
        cluster.answerNode(_STUCK, self._own)

    async def find(self, seconds: float, limit: int) -> StuckRooms:
        """
        Find the rooms of all nodes.

        Args:
            seconds: For how long something must have waited.
            limit: The most rooms.
        """
        answers = await self._cluster.askNodes(_STUCK, [seconds, limit])
        found = [
            msgspec.convert({**each, "node": node}, StuckRoom)
            for node, those in answers.done.items()
            for each in those
        ]
        longest = nlargest(limit, found, key=lambda room: room.seconds)
        return StuckRooms(fitting(longest, MOST_SIZE), list(answers.unanswered))

    def _own(self, args: tuple[float, int]) -> list[dict[str, Any]]:
        """Return the rooms of this node."""
        seconds, limit = args
        waits = [wait for each in self._applications() for wait in each.rooms.waits(seconds)]
        longest = nlargest(limit, waits, key=lambda wait: wait.seconds)
        return fitting((to_builtins(_shown(each)) for each in longest), MOST_SIZE)


def _shown(wait: RoomWait) -> StuckRoom:
    return StuckRoom(wait.room, wait.name, "", wait.stage, wait.seconds, wait.what, wait.member, wait.waiting)

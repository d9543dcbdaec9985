"""
The last rooms that have ended a client's membership on one connection.

The client may not know it yet, so frames that it sends to such a room are no mistake. If the room has moved
to another owner, the former owner passes on what the client doesn't send again; see `owner.forwarding`.
"""

from __future__ import annotations

from ...core.codes import ErrorCode
from ..contract.commands import Call, Frame, ListMembers
from ..contract.items import Error
from ..contract.ports import Link


class FormerRooms:
    """
    See the module.

    Args:
        most: The number of rooms that are remembered.
    """

    __slots__ = ("_most", "_rooms")

    def __init__(self, most: int) -> None:
        self._most = most
        #: By the id of the room, or `None` for the room of the client's path: the link to the former owner,
        #: if the room has moved and the client has not resumed yet.
        self._rooms: dict[str | None, Link | None] = {}

    def __contains__(self, room: str | None) -> bool:
        return room in self._rooms

    def add(self, room: str | None, link: Link | None = None) -> None:
        """Remember a room, and the link to its former owner if it has moved."""
        self._rooms.pop(room, None)
        self._rooms[room] = link
        if len(self._rooms) > self._most:
            del self._rooms[next(iter(self._rooms))]

    def resumed(self, room: str) -> None:
        """The client is in the room again."""
        for each in (room, None):
            if each in self._rooms:
                self._rooms[each] = None

    def submit(self, room: str | None, ref: int | None, frame: Frame) -> Error | None:
        """The client has sent a frame to a former room. Returns the error for a request that is refused."""
        link = self._rooms[room]
        if type(frame) is ListMembers or (link is not None and type(frame) is Call and frame.n is None):
            return Error(ref, None, ErrorCode.UNAVAILABLE)
        if link is not None:
            link.submit(frame)
        return None

    def end(self, hasLeft: bool) -> None:
        """Forget all rooms. A client that `hasLeft` its rooms leaves those that have moved too."""
        rooms, self._rooms = self._rooms, {}
        for link in rooms.values():
            if link is not None and hasLeft:
                link.leave()

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

    __slots__ = ("_byPath", "_most", "_rooms")

    def __init__(self, most: int) -> None:
        self._most = most
        #: By the id of the room: the link to the former owner, if the room has moved and the client has not
        #: resumed yet.
        self._rooms: dict[str, Link | None] = {}
        #: The id of the room of the client's path, if it is one of them; `None` stands for it in frames.
        self._byPath = ""

    def __contains__(self, room: str | None) -> bool:
        return self._idOf(room) in self._rooms

    def _idOf(self, room: str | None) -> str:
        return self._byPath if room is None else room

    def add(self, room: str, link: Link | None = None, isByPath: bool = False) -> None:
        """
        Remember a room, and the link to its former owner if it has moved. `isByPath` says whether it is the
        room of the client's path.
        """
        if isByPath:
            self._byPath = room
        self._rooms.pop(room, None)
        self._rooms[room] = link
        if len(self._rooms) > self._most:
            del self._rooms[next(iter(self._rooms))]

    def resumed(self, room: str) -> None:
        """The client is in the room again."""
        if room in self._rooms:
            self._rooms[room] = None

    def submit(self, room: str | None, ref: int | None, frame: Frame) -> Error | None:
        """The client has sent a frame to a former room. Returns the error for a request that is refused."""
        link = self._rooms[self._idOf(room)]
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

"""
The methods of a host that a `Room` and its clients use; see `api.ports`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...core.codes import ErrorCode
from ...protocol import payload
from ...protocol.errors import RoomError
from ...state import State, View
from ..api.room import Room
from .life import RoomLife
from .member import Member
from .outbox import Outbox
from .parts import Parts


class UserPort:
    """The base of `Host`. After the end of the room its methods do nothing."""

    __slots__ = ()

    life: RoomLife
    outbox: Outbox
    _findRoom: Callable[[], Room | None]
    _parts: Parts

    def findRoom(self) -> Room | None:
        """Return the room; `None` if it has ended and has been freed."""
        return self._findRoom()

    def kick(self, member: Member, text: str) -> None:
        """Make a member leave; see `Client.kick`."""
        if not self.life.isOver:
            self._parts.leaving.kick(member, text)

    def regroup(self, member: Member, group: str, isIn: bool) -> None:
        """Put a member into a group, or take it out; see `Client.enter`."""
        member.regroup(payload.checkText("group", group), isIn)
        if member.isPresent:
            self.outbox.record(member.record())

    # -- the state

    def useState(self, state: State) -> None:
        """An instance of a `State` class is about to be assigned to `Room.state`."""
        if not self.life.isOver:
            self._parts.states.use(state)

    def patchState(self) -> None:
        """Send a patch of the state; see `Room.patch`."""
        if not self.life.isOver:
            self._parts.states.ask()

    def viewOf(self, member: Member) -> View:
        """Return the view of a member; see `Client.view`."""
        if self.life.isOver:
            raise RoomError(ErrorCode.ROOM_GONE, "the room of this client has ended")
        return self._parts.states.view(member)

"""
Stands in for the parts of a room that has ended, for users that still hold the room or one of its clients.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError


class EndedRoom:
    """
    Takes the place of all parts that `Room` and `Client` use, after the room has ended. It sends nothing, and
    has no state.
    """

    __slots__ = ()

    def ignore(self, *args: Any, **given: Any) -> None:
        """Do nothing."""

    broadcast = send = kick = setMeta = checkpoint = ignore

    def call(self, *args: Any) -> Deferred[Any]:
        """Fail with `roomGone`."""
        return fail(RoomError(ErrorCode.ROOM_GONE))

    def nothing(self) -> list[Any]:
        """Return no messages and no members."""
        return []

    history = members = nothing


ENDED_ROOM = EndedRoom()

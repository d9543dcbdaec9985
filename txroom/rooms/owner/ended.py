"""
What is left of a room that has ended: answers for whoever has the room still, or one of its clients.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError


class EndedRoom:
    """
    The parts of an owner whose room has ended, all in one: nothing is said, and nobody is told anything.

    It answers all that `Room` and `Client` ask of those parts, and has no state.
    """

    __slots__ = ()

    def ignore(self, *args: Any, **given: Any) -> None:
        """Do nothing."""

    broadcast = send = kick = setMeta = ignore

    def call(self, *args: Any) -> Deferred[Any]:
        """Fail: nobody can answer."""
        return fail(RoomError(ErrorCode.ROOM_GONE))

    def nothing(self) -> list[Any]:
        """Give nothing: nothing is kept, and nobody is there."""
        return []

    history = members = nothing


ENDED_ROOM = EndedRoom()

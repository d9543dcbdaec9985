"""
What is left of a room that has ended: answers for whoever has the room still, or one of its clients.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError


class Nobody:
    """
    The parts of a host whose room has ended, all in one: there is nobody to be told anything.

    It answers all that `Room` and `Client` ask of `Emitter` and `Membership`, and has no state.
    """

    __slots__ = ()

    #: Seats that are reserved.
    reserved = 0

    def ignore(self, *args: Any, **given: Any) -> None:
        """Nobody hears it."""

    broadcast = send = kick = regroup = setMeta = ignore

    def call(self, *args: Any) -> Deferred[Any]:
        """Nobody can answer."""
        return fail(RoomError(ErrorCode.ROOM_GONE))

    def nothing(self) -> list[Any]:
        """Nothing is kept, and nobody is there."""
        return []

    history = roster = nothing


NOBODY = Nobody()

"""
What a client tells of its membership in a room: the state, and what comes with a loss.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import attrs

from ..protocol.serverframes import Member


class RoomState(StrEnum):
    """
    Where a membership is in its life; while it is away or resuming, what is sent waits.

    ::

        joined --connection lost, left 41xx--> away --connected, a little later--> resuming
        resuming --joined--> joined    --error for now--> away    --error for good--> left
        resuming --forgotten: joins anew--> resuming
        any --left, leave(), a final close code, close()--> left
    """

    #: There is a connection, and we are a member.
    JOINED = "joined"
    #: The connection is lost, or the room is not available just now.
    AWAY = "away"
    #: The server was asked; nothing is sent for the room until it has answered.
    RESUMING = "resuming"
    #: For good, see the event "left".
    LEFT = "left"


@attrs.frozen
class Unconfirmed:
    """A message that was sent, and may or may not have been handled."""

    type: str
    #: Plain data.
    data: Any


@attrs.frozen
class Loss:
    """What comes with the event "lost"."""

    #: What `Room.snapshot` of the server gave.
    snapshot: Any
    #: Who is here now, if the room has presence.
    members: list[Member]
    #: The messages that follow have greater offsets.
    offset: int
    #: What we had sent, and may or may not have been handled.
    unconfirmed: list[Unconfirmed]

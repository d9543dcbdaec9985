"""
What a client tells about its membership in a room: its status, and what was lost.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import attrs

from ..protocol.serverframes import Member


class RoomStatus(StrEnum):
    """
    The status of a membership. While it is "away" or "resuming", messages are queued.

    ::

        joined --connection lost, left 41xx--> away --connected, delay over--> resuming
        resuming --joined--> joined    --temporary error--> away    --other error--> left
        resuming --server no longer knows the member: join again--> resuming
        any --left, leave(), a final close code, close()--> left
    """

    #: The connection is open, and the client is a member of the room.
    JOINED = "joined"
    #: The connection is lost, or the room is temporarily unavailable.
    AWAY = "away"
    #: The client has asked the server to resume, and sends nothing to the room until it answers.
    RESUMING = "resuming"
    #: The client is no longer in the room; the event "left" tells why.
    LEFT = "left"


@attrs.frozen
class Unconfirmed:
    """A message that was sent, and that the server may or may not have handled."""

    type: str
    #: The data of the message, as plain data.
    data: Any


@attrs.frozen
class Loss:
    """The argument of the event "lost"."""

    #: What the server's `Room.snapshot` returned.
    snapshot: Any
    #: The members now, if the room has presence.
    members: list[Member]
    #: Further messages have greater offsets.
    offset: int
    #: The messages that the client sent, and that the server may or may not have handled.
    unconfirmed: list[Unconfirmed]

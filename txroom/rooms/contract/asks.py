"""
Asks: what the server's own code, and operators, ask of a room wherever it runs.

They are passed to `Engine.ask`.

A room carries out a command at once, or not at all, and answers with plain data when that has been committed.
If it can't be reached, the error is `unavailable`, with `mayHaveHappened` in its details: `False` if the room
has not done it, `True` if it may have.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ...core.codes import CloseCode, ErrorCode
from ...protocol.errors import RoomError


class Inspect(Struct, frozen=True, array_like=True, tag_field="kind", tag="inspect"):
    """
    Describe the room and its members.

    The answer is a mapping: `listing` (the fields of a `Listing`), `epoch`, `offset` (of the log), and
    `members`, a list of mappings of `member`, `userId`, `user`, `isConnected`, `groups` and `meta`.
    """

    #: The most members to describe.
    limit: int = 100


class Kick(Struct, frozen=True, array_like=True, tag_field="kind", tag="kick"):
    """Make members leave: the one with the id, and those of the user. The answer is their number."""

    member: str | None = None
    userId: str | None = None
    #: The text of `Left`.
    reason: str = ""


class Lock(Struct, frozen=True, array_like=True, tag_field="kind", tag="lock"):
    """Lock the room, so that no client can join, or unlock it. The answer is `None`."""

    isLocked: bool = True


class Dispose(Struct, frozen=True, array_like=True, tag_field="kind", tag="dispose"):
    """End the room. The answer is `None`; it comes when its members have left, and the rest has begun."""

    code: int = CloseCode.ROOM_CLOSED
    reason: str = ""


class SendTo(Struct, frozen=True, array_like=True, tag_field="kind", tag="sendTo"):
    """
    Send a message to members. The answer is its offset, or `None` for a volatile message.

    The answer comes when the message has been committed.
    """

    type: str
    #: The payload.
    data: bytes
    #: The ids of the members; `None`: all.
    members: tuple[str, ...] | None = None
    #: The users whose members get it; `None`: all.
    userIds: tuple[str, ...] | None = None
    isVolatile: bool = False


class Reserve(Struct, frozen=True, array_like=True, tag_field="kind", tag="reserve"):
    """Reserve a seat. The answer is its token; it comes when the reservation has been committed."""

    #: The only user that may take the seat, as plain data; `None`: any user.
    user: Any = None
    #: For how long; `None`: the room's `seatSeconds`.
    seconds: float | None = None


Command = Inspect | Kick | Lock | Dispose | SendTo | Reserve


def unanswered(mayHaveHappened: bool) -> RoomError:
    """Return the error for a command that wasn't answered."""
    text = "the room didn't answer in time" if mayHaveHappened else "the room can't be reached"
    return RoomError(ErrorCode.UNAVAILABLE, text, {"mayHaveHappened": mayHaveHappened})

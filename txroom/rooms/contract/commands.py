"""
What members say to their room: what an edge gives to `Link.submit`.

Data is as it came, in JSON or in MessagePack (`Arrival.isJSON`): it is read when it is known what type the
handler takes. Frames with a number `n` are handled exactly once, whatever happens to connections and owners
meanwhile; the owner counts them.
"""

from __future__ import annotations

from msgspec import Struct


class Send(Struct, frozen=True, tag_field="kind"):
    """A message to the room; `n` is its number if it is to be handled exactly once."""

    type: str
    data: bytes
    n: int | None = None


class Call(Struct, frozen=True, tag_field="kind"):
    """A message that the room is to answer."""

    ref: int
    type: str
    data: bytes
    n: int | None = None


class Unreadable(Struct, frozen=True, tag_field="kind"):
    """
    A message, or an answer, that is well-formed but can't be read: it counts, and is refused.

    `ref` is that of a `Call`, or that of the `RoomCall` which it would answer.
    """

    ref: int | None
    n: int | None
    isAnswer: bool
    #: What is wrong with it, and with what of it.
    message: str
    field: str


class CallReply(Struct, frozen=True, tag_field="kind"):
    """The client's answer to an `RoomCall`."""

    ref: int
    data: bytes


class CallFailed(Struct, frozen=True, tag_field="kind"):
    """The client could not answer an `RoomCall`."""

    ref: int
    code: str
    message: str = ""


class Leave(Struct, frozen=True, tag_field="kind"):
    """The client leaves when all it sent before is handled."""

    ref: int


class ListMembers(Struct, frozen=True, tag_field="kind"):
    """The client asks for the members after a place, of which it was told before (`Joined.membersAfter`)."""

    ref: int
    after: int


Frame = Send | Call | Unreadable | CallReply | CallFailed | Leave | ListMembers

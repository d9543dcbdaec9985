"""
Commands: what members send to their room. An edge passes them to `Link.submit`.

The data stays encoded as the client sent it, in JSON or in MessagePack (`Arrival.isJSON`). The owner decodes
it when it knows which type the handler takes. A frame with a number `n` is handled exactly once, even if
connections or owners are lost meanwhile; the owner counts these frames.
"""

from __future__ import annotations

from msgspec import Struct


class Send(Struct, frozen=True, array_like=True, tag_field="kind"):
    """A message to the room. `n` is its number if it must be handled exactly once."""

    type: str
    data: bytes
    n: int | None = None


class Call(Struct, frozen=True, array_like=True, tag_field="kind"):
    """A message that the room answers."""

    ref: int
    type: str
    data: bytes
    n: int | None = None


class Unreadable(Struct, frozen=True, array_like=True, tag_field="kind"):
    """
    A message or an answer that is well-formed, but has a wrong value. It is counted and refused.

    `ref` is that of a `Call`, or that of the `RoomCall` that the frame was to answer.
    """

    ref: int | None
    n: int | None
    isAnswer: bool
    #: The error, and the name of the wrong field.
    message: str
    field: str


class CallReply(Struct, frozen=True, array_like=True, tag_field="kind"):
    """The client's answer to a `RoomCall`."""

    ref: int
    data: bytes


class CallFailed(Struct, frozen=True, array_like=True, tag_field="kind"):
    """The client answers a `RoomCall` with an error."""

    ref: int
    code: str
    message: str = ""


class Leave(Struct, frozen=True, array_like=True, tag_field="kind"):
    """The client leaves, after everything that it sent before has been handled."""

    ref: int


class ListMembers(Struct, frozen=True, array_like=True, tag_field="kind"):
    """The client asks for more members: those after a place in the list (`Joined.membersAfter`)."""

    ref: int
    after: int


class WantState(Struct, frozen=True, array_like=True, tag_field="kind"):
    """
    The edge asks for what its client has missed of the state of the room: the client was too slow, and has
    received now what was sent to it. The owner answers with a `StatePatch` or a `StateFull`.
    """

    #: See `Resume.stateVersion`.
    version: int | None = None
    #: Whether the edge only tells that its client has received this version. Then there is no answer.
    isReceived: bool = False


Frame = Send | Call | Unreadable | CallReply | CallFailed | Leave | ListMembers | WantState


def withoutData(frame: Send | Call) -> Send | Call:
    """Return a copy of a frame without its data, to refuse it later."""
    if type(frame) is Call:
        return Call(frame.ref, frame.type, b"", frame.n)
    return Send(frame.type, b"", frame.n)

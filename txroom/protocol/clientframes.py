"""
The frames that clients of rooms send.

The server reads them by `rooms.edge.dialect`, the Python client writes them by `client.codec`.
"""

from __future__ import annotations

from typing import Annotated, get_args

from msgspec import Meta, Raw, Struct

from .limits import MAX_CODE, MAX_NAME, MAX_NUMBER, MAX_TEXT, MAX_TOKEN

Ref = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
N = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
RoomId = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Type = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Code = Annotated[str, Meta(max_length=MAX_CODE)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Token = Annotated[str, Meta(max_length=MAX_TOKEN)]

#: What is left out at the end of a frame.
ABSENT = Raw(b"")


class _Frame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag_field="frame"):
    """An array, its kind first."""


class _ByName(_Frame, frozen=True):
    """A way into a room of some name."""

    ref: Ref
    name: Name
    options: Raw = ABSENT


class JoinFrame(_ByName, frozen=True, tag="join"):
    """Join a room of that name; make one if there is none."""


class CreateFrame(_ByName, frozen=True, tag="create"):
    """Make a room and join it."""


class JoinOnlyFrame(_ByName, frozen=True, tag="joinOnly"):
    """Join a room of that name; there must be one."""


class JoinByIdFrame(_Frame, frozen=True, tag="joinById"):
    """Join that room."""

    ref: Ref
    room: RoomId
    options: Raw = ABSENT


class ResumeFrame(_Frame, frozen=True, tag="resume"):
    """Be a member again."""

    ref: Ref
    room: RoomId
    token: Token
    epoch: Code
    #: Any number; one that is none of the room's is as good as unknown.
    offset: int


class LeaveFrame(_Frame, frozen=True, tag="leave"):
    """Leave."""

    ref: Ref
    room: RoomId | None


class SendFrame(_Frame, frozen=True, tag="send"):
    """A message."""

    room: RoomId | None
    type: Type
    data: Raw = ABSENT
    n: N | None = None


class CallFrame(_Frame, frozen=True, tag="call"):
    """A message that is to be answered."""

    ref: Ref
    room: RoomId | None
    type: Type
    data: Raw = ABSENT
    n: N | None = None


class ReplyFrame(_Frame, frozen=True, tag="reply"):
    """The answer to a call of the room."""

    room: RoomId | None
    ref: Ref
    data: Raw = ABSENT


class ErrorFrame(_Frame, frozen=True, tag="error"):
    """A call of the room could not be answered."""

    room: RoomId | None
    ref: Ref
    code: Code
    message: Text = ""


class RoomsFrame(_Frame, frozen=True, tag="rooms"):
    """Which rooms of that name are there?"""

    ref: Ref
    name: Name | None
    filter: Raw = ABSENT


class MembersFrame(_Frame, frozen=True, tag="members"):
    """Which members are there besides those that the client was told of?"""

    ref: Ref
    room: RoomId | None
    #: What `joined`, or the answer before, has given.
    after: Ref


class PingFrame(_Frame, frozen=True, tag="ping"):
    """Are you there?"""

    ref: Ref


ClientFrame = (
    JoinFrame
    | CreateFrame
    | JoinOnlyFrame
    | JoinByIdFrame
    | ResumeFrame
    | LeaveFrame
    | SendFrame
    | CallFrame
    | ReplyFrame
    | ErrorFrame
    | RoomsFrame
    | MembersFrame
    | PingFrame
)

#: What the first elements of these frames may be.
CLIENT_KINDS = frozenset(frame.__struct_config__.tag for frame in get_args(ClientFrame))

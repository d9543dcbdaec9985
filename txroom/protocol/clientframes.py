"""
The frames that clients of rooms send.

`rooms.edge.dialect` decodes them on the server, `client.codec` encodes them in the Python client.
"""

from __future__ import annotations

from typing import Annotated, get_args

from msgspec import Meta, Raw, Struct

from .limits import MAX_CODE, MAX_DEVICE, MAX_NAME, MAX_NUMBER, MAX_TEXT, MAX_TOKEN

Ref = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
N = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
RoomId = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Type = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Code = Annotated[str, Meta(max_length=MAX_CODE)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Token = Annotated[str, Meta(max_length=MAX_TOKEN)]

#: The value of an element that is missing at the end of a frame.
ABSENT = Raw(b"")


class _Frame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag_field="frame"):
    """An array that begins with its kind."""


class Features(Struct, frozen=True):
    """What the client asks for besides membership. Names that the server doesn't know are ignored."""

    #: The newest native format of state that the client reads; 0: it wants no state.
    state: Ref = 0


class ResumedFeatures(Features, frozen=True):
    """The features of a client that resumes."""

    #: The version of the state that the client has; `None`: it has none.
    stateVersion: Ref | None = None


class _ByName(_Frame, frozen=True):
    """A request to join a room of some name."""

    ref: Ref
    name: Name
    options: Raw = ABSENT
    features: Features = Features()


class JoinFrame(_ByName, frozen=True, tag="join"):
    """Join a room of that name; create one if none is open."""


class CreateFrame(_ByName, frozen=True, tag="create"):
    """Create a room and join it."""


class JoinOnlyFrame(_ByName, frozen=True, tag="joinOnly"):
    """Join a room of that name that exists already."""


class JoinByIdFrame(_Frame, frozen=True, tag="joinById"):
    """Join the room with that id."""

    ref: Ref
    room: RoomId
    options: Raw = ABSENT
    features: Features = Features()


class ResumeFrame(_Frame, frozen=True, tag="resume"):
    """Resume a membership."""

    ref: Ref
    room: RoomId
    token: Token
    epoch: Code
    #: Any integer. One that the room's log never reached counts as an unknown offset.
    offset: int
    #: The number of this attempt, greater for each; 0: the client does not number them.
    attempt: Ref = 0
    features: ResumedFeatures = ResumedFeatures()


class LeaveFrame(_Frame, frozen=True, tag="leave"):
    """Leave a room."""

    ref: Ref
    room: RoomId | None


class SendFrame(_Frame, frozen=True, tag="send"):
    """A message to a room."""

    room: RoomId | None
    type: Type
    data: Raw = ABSENT
    n: N | None = None


class CallFrame(_Frame, frozen=True, tag="call"):
    """A message that the room answers."""

    ref: Ref
    room: RoomId | None
    type: Type
    data: Raw = ABSENT
    n: N | None = None


class ReplyFrame(_Frame, frozen=True, tag="reply"):
    """The answer to a call from the room."""

    room: RoomId | None
    ref: Ref
    data: Raw = ABSENT


class ErrorFrame(_Frame, frozen=True, tag="error"):
    """An error, in answer to a call from the room."""

    room: RoomId | None
    ref: Ref
    code: Code
    message: Text = ""


class RoomsFrame(_Frame, frozen=True, tag="rooms"):
    """A request for the rooms of a name."""

    ref: Ref
    name: Name | None
    filter: Raw = ABSENT


class MembersFrame(_Frame, frozen=True, tag="members"):
    """A request for more members: those after a place in the list."""

    ref: Ref
    room: RoomId | None
    #: The place: `membersAfter` of `joined`, of `presence`, or of the last answer.
    after: Ref


class PingFrame(_Frame, frozen=True, tag="ping"):
    """A request that the server answers at once."""

    ref: Ref


class NotifyFrame(_Frame, frozen=True, tag="notify"):
    """
    The first on a connection asks for the notifications of the user; each later one acknowledges them.
    """

    #: The id of the device, which it keeps; `None` or empty: it has none.
    device: Annotated[str, Meta(max_length=MAX_DEVICE)] | None
    #: The epoch and the number of the last notification that the page has handled; `None` and 0: none.
    epoch: Annotated[str, Meta(max_length=MAX_CODE)] | None
    n: Ref


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
    | NotifyFrame
)

#: The kinds of these frames: their first elements.
CLIENT_KINDS = frozenset(frame.__struct_config__.tag for frame in get_args(ClientFrame))

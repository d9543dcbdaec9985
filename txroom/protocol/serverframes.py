"""
The frames that the server sends to clients of rooms.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from msgspec import Meta, Struct

from .limits import MAX_NUMBER

Count = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]


class Member(Struct, frozen=True):
    """A user in the presence of a room."""

    #: The id of the user, from the server's `Room.userId`.
    user: Any
    #: The meta of each of the user's memberships; its `member` is the member's id.
    metas: list[Any]


class MembershipInfo(Struct, frozen=True):
    """The content of `joined`."""

    member: str
    token: str
    epoch: str
    offset: Count
    handled: Count
    #: The number of our frames that the server has received, handled or not.
    accepted: Count = 0
    name: str | None = None
    recovered: Any = False
    members: list[Member] | None = None
    snapshot: Any = None
    #: If `members` are not all: how many there are, and what the frame `members` takes to list the others.
    memberCount: Count | None = None
    membersAfter: Count | None = None
    #: If we have asked for the state of the room: the version of what follows, and a description of the state
    #: if all of it follows.
    stateVersion: Count | None = None
    schema: Any = None


class MembersPage(Struct, frozen=True):
    """The answer to the frame `members`."""

    members: list[Member]
    memberCount: Count
    #: The place from which to list the next members.
    membersAfter: Count


class _Frame(Struct, frozen=True, array_like=True, tag_field="frame"):
    """An array that begins with its kind. Elements that a later version adds at its end are ignored."""


class Joined(_Frame, frozen=True, tag="joined"):
    """We have joined or resumed."""

    ref: Count | None
    room: str
    membership: MembershipInfo


class Message(_Frame, frozen=True, tag="msg"):
    """A message from the room; one without an offset is volatile."""

    room: str
    offset: Count | None
    type: str
    data: Any = None


class Left(_Frame, frozen=True, tag="left"):
    """Our membership has ended, or continues on another connection."""

    room: str
    code: Count
    reason: str | None = None


class Ack(_Frame, frozen=True, tag="ack"):
    """Our frames up to `n` have been handled."""

    room: str
    n: Count


class Reply(_Frame, frozen=True, tag="reply"):
    """The answer to a request or call."""

    ref: Count
    data: Any = None


class Error(_Frame, frozen=True, tag="error"):
    """A request, call or message was refused."""

    ref: Count | None
    room: str | None
    code: str
    message: str | None = None
    details: Any = None


class Call(_Frame, frozen=True, tag="call"):
    """A call from the room."""

    ref: Count
    room: str
    type: str
    data: Any = None


class Presence(_Frame, frozen=True, tag="presence"):
    """Members have joined or left, or their metas have changed."""

    room: str
    joined: list[Member]
    left: list[Member]
    #: How many members there are now.
    memberCount: Count | None = None
    #: If members that have joined are left out: what the frame `members` takes to list them.
    membersAfter: Count | None = None


class Bye(_Frame, frozen=True, tag="bye"):
    """The server is about to close the connection; reconnect after `retryAfter` seconds."""

    code: Count
    retryAfter: float | None = None


class Notified(_Frame, frozen=True, tag="notified"):
    """The answer to the subscription: the next notification is the one after `n` of this epoch."""

    epoch: str
    n: Count
    #: How many notifications are lost that this client had not handled.
    dropped: Count = 0


class Notify(_Frame, frozen=True, tag="notify"):
    """A notification for the user; one without an epoch was not queued, and is not acknowledged."""

    epoch: str | None
    n: Count
    type: str
    data: Any = None
    #: How many notifications are lost between the one before and this one.
    dropped: Count = 0


class State(_Frame, frozen=True, tag="state"):
    """The whole state of the room. In JSON the data is base64 text."""

    room: str
    version: Count
    data: bytes


class Patch(_Frame, frozen=True, tag="patch"):
    """
    What has changed in the state of the room, for a client that has a version between `since` and `version`.
    """

    room: str
    since: Count
    version: Count
    data: bytes


#: The frames that a room sends to its members.
RoomFrame = Message | Left | Ack | Call | Presence | State | Patch

ServerFrame = Joined | Reply | Error | Bye | Notified | Notify | RoomFrame

#: The kinds of these frames: their first elements.
SERVER_KINDS = frozenset(frame.__struct_config__.tag for frame in get_args(ServerFrame))

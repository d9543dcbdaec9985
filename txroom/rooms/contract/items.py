"""
What a room sends to clients: from its owner to the edges.

An owner gives an item to `Outlet.deliver`, with the links that it is for. What an item carries are ids,
texts and payloads, which are MessagePack; each edge writes them in the dialects of its own clients. `Bye`,
`Left` and `RequestReply` are made by the edge itself, and cross nothing.

**Frames.** An item for one client is framed when it is sent. One that may go to many, a `SharedItem`, is
framed once for each dialect that they speak: it keeps what the dialect made of it. What it keeps is no field
of the item. It is not compared, not encoded, and does not cross to another process.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from ...core.message import Prepared
from ...protocol.payload import NIL


class Dialect(Protocol):
    """What an item needs of a dialect: `txroom.rooms.edge.ports.Dialect` has the rest."""

    def frame(self, item: Item) -> Prepared | None:
        """What its clients are sent for `item`; `None`: nothing."""


class Item(Struct, frozen=True):
    """Something that is sent to clients."""

    @property
    def isVolatile(self) -> bool:
        """Whether it may get lost, and may overtake other items."""
        return False

    def prepared(self, dialect: Dialect) -> Prepared | None:
        """
        What to send to a client that speaks `dialect`; hot.

        Returns:
            `None` if the dialect has nothing to say of this item.
        """
        return dialect.frame(self)


class _Framed:
    """
    Room for the frames of an item, beside its fields.

    A slot takes 8 bytes, and 72 more when there is a frame. A `__dict__` for it would take 170 bytes, from
    Python 3.12 on 340.
    """

    __slots__ = ("frames",)

    #: Dialects, each followed by what it made of the item; `None`: nobody has been sent it yet.
    frames: tuple[Any, ...] | None


_setFrames: Any = _Framed.frames.__set__  # type: ignore[misc,union-attr]  # the fields of an item are frozen


class SharedItem(Item, _Framed, frozen=True):
    """An item that may go to many clients."""

    def __post_init__(self) -> None:
        _setFrames(self, None)

    def prepared(self, dialect: Dialect) -> Prepared | None:
        """As that of any item, built once for all clients that speak `dialect`; hot."""
        frames = self.frames
        if frames is None:
            frame = dialect.frame(self)
            _setFrames(self, (dialect, frame))
            return frame
        if frames[0] is dialect:
            return frames[1]  # type: ignore[no-any-return]
        for index in range(2, len(frames), 2):
            if frames[index] is dialect:
                return frames[index + 1]  # type: ignore[no-any-return]
        frame = dialect.frame(self)
        _setFrames(self, (*frames, dialect, frame))
        return frame


class Message(SharedItem, frozen=True, tag_field="kind"):
    """A message to members; it is logged, unless it has no offset and so is volatile."""

    room: str
    offset: int | None
    type: str
    data: bytes

    @property
    def isVolatile(self) -> bool:
        """Whether it may get lost, and may overtake other items."""
        return self.offset is None


class Replay(Item, frozen=True, tag_field="kind"):
    """Messages that one member has missed, or that somebody who joins is shown; sent together."""

    messages: tuple[Message, ...]


class RoomCall(Item, frozen=True, tag_field="kind"):
    """A call from the room to one client, which answers with `ref`."""

    ref: int
    room: str
    type: str
    data: bytes


class Reply(Item, frozen=True, tag_field="kind"):
    """The answer to a client's `Call`."""

    ref: int
    data: bytes


class Error(Item, frozen=True, tag_field="kind"):
    """What a client did was refused, or failed."""

    ref: int | None
    room: str | None
    code: str
    message: str = ""
    details: Any = None


class Joined(Item, frozen=True, tag_field="kind"):
    """A client is a member, or is one again; what it has missed follows."""

    ref: int | None
    room: str
    name: str
    member: str
    token: str
    epoch: str
    #: The messages that follow have greater offsets than this.
    offset: int
    recovered: bool
    #: The client's frames up to this number are handled.
    handled: int
    snapshot: bytes = NIL
    #: The client's frames up to this number have come, if that is more than are handled.
    accepted: int = 0
    #: The payloads of the users in the room, or of the first of them; `None`: the room has no presence.
    members: tuple[bytes, ...] | None = None
    #: The payload of the client itself, if it is none of these.
    ownMember: bytes = b""
    #: If these are not all: how many members there are, and what `ListMembers` takes to get the others.
    memberCount: int | None = None
    membersAfter: int | None = None


class PresenceChange(SharedItem, frozen=True, tag_field="kind"):
    """Members have joined, left or another meta: payloads of `{user, metas}`."""

    room: str
    joined: tuple[bytes, ...]
    left: tuple[bytes, ...]
    #: How many members there are now.
    memberCount: int
    #: If members that have joined are left out: what `ListMembers` takes to get them.
    membersAfter: int | None = None


class MembersPage(Item, frozen=True, tag_field="kind"):
    """The answer to a client's `ListMembers`."""

    ref: int
    members: tuple[bytes, ...]
    memberCount: int
    #: What `ListMembers` takes to get the next ones.
    membersAfter: int


class Ack(Item, frozen=True, tag_field="kind"):
    """The client's frames up to `n` are handled."""

    room: str
    n: int


# -- made by the edge


class Left(Item, frozen=True):
    """The client is no member any more, or not over this connection."""

    room: str
    code: int
    reason: str


class RequestReply(Item, frozen=True):
    """The edge's own answer to a request."""

    ref: int
    data: Any = None


class Bye(Item, frozen=True):
    """The server is about to close the connection; the client may come back in `retryAfter` seconds."""

    code: int
    retryAfter: float

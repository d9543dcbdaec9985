"""
Items: what a room sends to clients, on the way from its owner to the edges.

An owner passes an item to `Outlet.deliver`, with the links that it is for. An item carries ids, texts and
payloads, which are MessagePack. Each edge translates items to the dialects of its clients. The edge itself
makes `Bye`, `Left` and `RequestReply`; these never cross.

**Frames.** An item for one client is framed when it is sent. A `SharedItem` may go to many clients: it is
framed once for each dialect that they speak, and keeps these frames. The frames are no field of the item.
They are neither compared nor encoded, and don't cross to another process.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from msgspec import Struct

from ...core.message import Prepared
from ...protocol.payload import NIL


class Dialect(Protocol):
    """The part of a dialect that items use; `txroom.rooms.edge.ports.Dialect` is all of it."""

    def frame(self, item: Item) -> Prepared | None:
        """Return the message for `item`, or `None` if its clients get none."""


class Item(Struct, frozen=True):
    """Something that a room, or the edge, sends to clients."""

    #: Whether the session sends it in another way than as one message that is the same for all clients.
    isSpecial: ClassVar[bool] = False

    @property
    def isVolatile(self) -> bool:
        """Whether it may get lost, and may overtake other items."""
        return False

    def prepared(self, dialect: Dialect) -> Prepared | None:
        """
        Return the message for a client that speaks `dialect`, or `None` if it gets none.

        Called for every message.
        """
        return dialect.frame(self)


class _Framed:
    """
    A slot for the frames of an item, beside its fields.

    The slot takes 8 bytes, and 72 more when there is a frame. A `__dict__` would take 170 bytes, and 340 from
    Python 3.12 on.
    """

    __slots__ = ("frames",)

    #: Each dialect, followed by its frame; `None` before the item is sent for the first time.
    frames: tuple[Any, ...] | None


_setFrames: Any = _Framed.frames.__set__  # type: ignore[misc,union-attr]  # the fields of an item are frozen


class SharedItem(Item, _Framed, frozen=True):
    """An item that may go to many clients."""

    def __post_init__(self) -> None:
        _setFrames(self, None)

    def prepared(self, dialect: Dialect) -> Prepared | None:
        """
        Return the message as `Item.prepared`, built once for all clients of `dialect`.

        Called for every message.
        """
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


class Message(SharedItem, frozen=True, array_like=True, tag_field="kind"):
    """A message to members. One with an offset is logged; one without is volatile."""

    room: str
    offset: int | None
    type: str
    data: bytes

    @property
    def isVolatile(self) -> bool:
        """Whether it may get lost, and may overtake other items."""
        return self.offset is None


class Replay(Item, frozen=True, array_like=True, tag_field="kind"):
    """Earlier messages for one member that joins or resumes, sent together."""

    isSpecial: ClassVar[bool] = True

    messages: tuple[Message, ...]


class RoomCall(Item, frozen=True, array_like=True, tag_field="kind"):
    """A call from the room to one client, whose answer has the same `ref`."""

    ref: int
    room: str
    type: str
    data: bytes


class Reply(Item, frozen=True, array_like=True, tag_field="kind"):
    """The answer to a client's `Call`."""

    ref: int
    data: bytes


class Error(Item, frozen=True, array_like=True, tag_field="kind"):
    """A request or a message of the client was refused, or failed."""

    ref: int | None
    room: str | None
    code: str
    message: str = ""
    details: Any = None


class Joined(Item, frozen=True, array_like=True, tag_field="kind"):
    """The client has joined or resumed; the messages that it missed follow."""

    ref: int | None
    room: str
    name: str
    member: str
    token: str
    epoch: str
    #: All messages that follow have greater offsets.
    offset: int
    recovered: bool
    #: The client's frames up to this number have been handled.
    handled: int
    snapshot: bytes = NIL
    #: The client's frames up to this number have been received, if that is more than `handled`.
    accepted: int = 0
    #: The payloads of the users in the room, or of the first of them; `None` if the room has no presence.
    members: tuple[bytes, ...] | None = None
    #: The payload of the client itself, if it is not among them.
    ownMember: bytes = b""
    #: If `members` is not the whole list: the number of members, and the place from which `ListMembers` lists
    #: the others.
    memberCount: int | None = None
    membersAfter: int | None = None
    #: The version of the room's state that the client has when it has received what follows. `None`: the room
    #: has no state, or the client has not asked for it.
    stateVersion: int | None = None
    #: What describes the state, in its format: a payload, or the handshake of Colyseus. Empty if the client
    #: has it already.
    schema: bytes = b""


class PresenceChange(SharedItem, frozen=True, array_like=True, tag_field="kind"):
    """Members have joined or left, or their metas have changed: payloads of `{user, metas}`."""

    room: str
    joined: tuple[bytes, ...]
    left: tuple[bytes, ...]
    #: The number of members now.
    memberCount: int
    #: If `joined` is not complete: the place from which `ListMembers` lists the others.
    membersAfter: int | None = None


class MembersPage(Item, frozen=True, array_like=True, tag_field="kind"):
    """The answer to a client's `ListMembers`."""

    ref: int
    members: tuple[bytes, ...]
    memberCount: int
    #: The place from which `ListMembers` lists the next members.
    membersAfter: int


class Ack(Item, frozen=True, array_like=True, tag_field="kind"):
    """The client's frames up to `n` have been handled."""

    room: str
    n: int


class StateFull(Item, frozen=True, array_like=True, tag_field="kind"):
    """The whole state of a room, as one member sees it."""

    isSpecial: ClassVar[bool] = True

    room: str
    version: int
    data: bytes


class StatePatch(SharedItem, frozen=True, array_like=True, tag_field="kind"):
    """
    What has changed in the state of a room, for all members that see the same.

    It takes a client from any version between `since` and `version` to `version`. It is no log entry and not
    volatile: it stays in order with the other items, and edges leave it out for clients that are too slow.
    These get one patch for all that they have missed; see `WantState`.
    """

    isSpecial: ClassVar[bool] = True

    room: str
    since: int
    version: int
    data: bytes


class StatePatches(Item, frozen=True, array_like=True, tag_field="kind"):
    """
    What has changed in the state of a room, for the members on one node that have views of their own.

    An edge makes the `StatePatch` of each: `data`, which all see, and then the bytes in `own`.
    """

    isSpecial: ClassVar[bool] = True

    room: str
    since: int
    version: int
    data: bytes
    #: By link; members that are missing see nothing more.
    own: dict[str, bytes]


#: The items of the state.
StateItem = StateFull | StatePatch | StatePatches


# -- made by the edge


class Left(Item, frozen=True):
    """The client's membership has ended, or continues on another connection."""

    room: str
    code: int
    reason: str


class RequestReply(Item, frozen=True):
    """The edge's answer to a request that it handles itself."""

    ref: int
    data: Any = None


class Notified(Item, frozen=True):
    """The client gets the notifications after `n` from now on; `dropped` ones before that are lost."""

    epoch: str
    n: int
    dropped: int


class Notify(Item, frozen=True):
    """A notification for the client's user; one without an epoch is not queued."""

    epoch: str | None
    n: int
    type: str
    data: bytes
    #: How many are lost between the one before and this one.
    dropped: int


class Bye(Item, frozen=True):
    """The server is about to close the connection. The client may reconnect after `retryAfter` seconds."""

    code: int
    retryAfter: float

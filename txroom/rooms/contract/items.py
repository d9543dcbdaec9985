"""
What a room sends to members: from an owner to the edges. Payloads are MessagePack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from ...protocol.plain import NIL as NIL

if TYPE_CHECKING:
    from ...core.message import Prepared


class Dialect(Protocol):
    """What an `Item` needs of a dialect; see `txroom.rooms.edge.dialect`."""

    name: str

    def frame(self, item: Item) -> Prepared: ...


class Item(Struct, frozen=True, dict=True):
    """Something a room emits; its frame is built once for each dialect, however many get it."""

    @property
    def isVolatile(self) -> bool:
        """Whether it may get lost, and overtake."""
        return False

    def prepared(self, dialect: Dialect) -> Prepared:
        """The message to send in `dialect`."""
        frames = self.__dict__
        frame: Prepared | None = frames.get(dialect.name)
        if frame is None:
            frame = frames[dialect.name] = dialect.frame(self)
        return frame


class Message(Item, frozen=True, dict=True, tag_field="kind"):
    """A message to members; volatile without an offset."""

    room: str
    offset: int | None
    type: str
    data: bytes

    @property
    def isVolatile(self) -> bool:
        """Whether it may get lost, and overtake."""
        return self.offset is None


class Replay(Item, frozen=True, dict=True, tag_field="kind"):
    """Messages that one member has missed, or that a newcomer is shown; sent at once."""

    messages: tuple[Message, ...]


class Asked(Item, frozen=True, dict=True, tag_field="kind"):
    """A call from the room to one client."""

    ref: int
    room: str
    type: str
    data: bytes


class Reply(Item, frozen=True, dict=True, tag_field="kind"):
    """The answer to a client's `Call`."""

    ref: int
    data: bytes


class Error(Item, frozen=True, dict=True, tag_field="kind"):
    """What a client did was refused or failed."""

    ref: int | None
    room: str | None
    code: str
    message: str = ""
    details: Any = None


class Joined(Item, frozen=True, dict=True, tag_field="kind"):
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
    members: bytes = NIL
    snapshot: bytes = NIL
    #: The client's frames up to this number have come, if that is more than are handled.
    accepted: int = 0


class PresenceChange(Item, frozen=True, dict=True, tag_field="kind"):
    """Who came and who went; lists of `{user, metas}`."""

    room: str
    joined: bytes
    left: bytes


class Ack(Item, frozen=True, dict=True, tag_field="kind"):
    """The client's frames up to `n` are handled."""

    room: str
    n: int

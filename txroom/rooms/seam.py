"""
The seam between the edge, which holds a client's socket, and the owner, which runs a room.

What crosses it are ids, bytes and the frozen structs of this module; never a member, a connection, a
callable or live data. An engine carries it: in memory each crossing is a plain call; with the same four
protocols rooms live in other processes and on other machines.

An edge gives each of its attachments to a room an unguessable id, the *link*. The owner addresses the
links, not the members, since during a takeover one member has two of them on one edge.

These rules make recovery sound, and every engine keeps them:

- The records that a `Journal` gets in one turn of the reactor are committed together, or none of them.
- Items reach an edge in the order in which `Outlet.deliver` was called; only volatile ones may overtake
  or get lost, and the edge drops those that come before `Joined`.
- Frames reach the owner in the order in which `Link.submit` was called, and listings are published in
  the order of `Engine.publish`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred

from ..handshake import Handshake, Headers
from .matching import Order, keyOf
from .plain import NIL as NIL

if TYPE_CHECKING:
    from ..connection import Prepared


# -- edge to owner: how a client comes


class Request(Struct, frozen=True):
    """What of a `Handshake` crosses to the owner."""

    target: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    peer: str = ""
    peerPort: int | None = None
    secure: bool = False
    certificate: bytes | None = None

    @classmethod
    def of(cls, handshake: Handshake) -> Request:
        """The request that `handshake` describes."""
        return cls(
            handshake.target,
            handshake.headers.pairs,
            handshake.peer,
            handshake.peerPort,
            handshake.secure,
            handshake.certificate,
        )

    def handshake(self) -> Handshake:
        """The handshake on the owner's side; its `data` is empty."""
        return Handshake(
            target=self.target,
            headers=Headers(self.headers),
            peer=self.peer,
            peerPort=self.peerPort,
            secure=self.secure,
            certificate=self.certificate,
        )


class Arrival(Struct, frozen=True, kw_only=True):
    """What `Join` and `Resume` have in common."""

    #: The edge's id of this attachment.
    link: str
    #: The edge's id of the client's socket.
    session: str
    room: str
    #: The client's number of the request; `None` when it joined by its path.
    ref: int | None = None
    #: What `verifyClient` accepted the client as; plain data.
    user: Any = None
    #: Whether the client speaks JSON, in which the data of its frames comes and bytes can't go.
    isJSON: bool = True


class Join(Arrival, frozen=True, kw_only=True, tag_field="kind"):
    """A client wants to become a member."""

    options: dict[str, Any] = {}
    request: Request = Request()
    #: Whether the room was made for this client.
    isMaker: bool = False


class Resume(Arrival, frozen=True, kw_only=True, tag_field="kind"):
    """A client that is a member comes with a new connection."""

    token: str
    epoch: str
    #: The offset of the last message it got.
    offset: int


class Refused(Struct, frozen=True):
    """Why there is no link: the parts of an `error` frame."""

    code: str
    message: str = ""
    details: Any = None


# -- edge to owner: what a client says. The data is in the client's dialect (`Arrival.isJSON`).


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

    `ref` is that of a `Call`, or that of the `Asked` which it would answer.
    """

    ref: int | None
    n: int | None
    isAnswer: bool
    #: What is wrong with it, and with what of it.
    message: str
    field: str


class Answer(Struct, frozen=True, tag_field="kind"):
    """The client's answer to an `Asked`."""

    ref: int
    data: bytes


class Failed(Struct, frozen=True, tag_field="kind"):
    """The client could not answer an `Asked`."""

    ref: int
    code: str
    message: str = ""


class Leave(Struct, frozen=True, tag_field="kind"):
    """The client leaves when all it sent before is handled."""

    ref: int


Frame = Send | Call | Unreadable | Answer | Failed | Leave


# -- owner to edge: what a room emits. Payloads are MessagePack.


class Dialect(Protocol):
    """What an `Item` needs of a dialect; see `txroom.rooms.dialect`."""

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


# -- what is known of rooms


class Listing(Struct, frozen=True, tag_field="kind"):
    """A room as matchmaking sees it: a hint, which may be out of date."""

    room: str
    name: str
    clients: int
    #: 0: any number.
    maxClients: int
    isLocked: bool = False
    isPrivate: bool = False
    metadata: Mapping[str, Any] = {}
    #: The values of the options that the registration filters by.
    filters: Mapping[str, Any] = {}
    #: The options of the room; not for clients.
    options: Mapping[str, Any] = {}
    #: Counts up in one process, so that rooms can be sorted by age.
    age: int = 0

    @property
    def isOpen(self) -> bool:
        """Whether a client that is not invited may join."""
        return not (self.isLocked or self.isPrivate or self.isFull)

    @property
    def isFull(self) -> bool:
        """Whether all seats are taken."""
        return 0 < self.maxClients <= self.clients

    def matches(self, filter: Mapping[str, Any]) -> bool:
        """Whether each value is that of the filtered option, or of the metadata, of its name."""
        for name, wanted in filter.items():
            value = self.filters[name] if name in self.filters else self.metadata.get(name)
            if keyOf(value) != keyOf(wanted):
                return False
        return True


# -- the journal


class Entry(Struct, frozen=True, dict=True, tag_field="kind"):
    """A logged message."""

    offset: int
    type: str
    data: bytes
    #: The members it is for; `None`: all but `exclude`.
    to: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()

    def isFor(self, member: str) -> bool:
        """Whether that member gets it."""
        return member not in self.exclude and (self.to is None or member in self.to)


class MemberRecord(Struct, frozen=True, tag_field="kind"):
    """A member as it must survive its owner."""

    member: str
    user: Any
    userId: str
    #: SHA-256 of the resume tokens that are valid.
    tokens: tuple[bytes, ...]
    groups: tuple[str, ...] = ()
    meta: Any = None
    options: Mapping[str, Any] = {}
    #: The id of the user before onAuth.
    arrivalId: str = ""
    #: Where in the log it has come in; it may not resume from before that.
    offset: int = 0


class Gone(Struct, frozen=True, tag_field="kind"):
    """That member is none any more."""

    member: str


class Handled(Struct, frozen=True, tag_field="kind"):
    """A member's frame is handled; `reply` if it was a call."""

    member: str
    n: int
    reply: Reply | Error | None = None


class Reserved(Struct, frozen=True, tag_field="kind"):
    """A seat is kept for who has its token."""

    #: SHA-256 of the token.
    seat: bytes
    #: The only user who may come; `None`: anybody.
    userId: str | None = None
    #: How long; 0: it is taken, or free again.
    seconds: float = 0.0


Record = Entry | MemberRecord | Gone | Handled | Reserved | Listing


class Loaded(Struct, frozen=True):
    """What a `Journal` knew when it was claimed."""

    offset: int = 0
    entries: tuple[Entry, ...] = ()
    members: tuple[MemberRecord, ...] = ()
    handled: tuple[Handled, ...] = ()
    reserved: tuple[Reserved, ...] = ()
    listing: Listing | None = None


class Journal(Protocol):
    """
    What a room must not forget; one for each room that is owned.

    It tells its host `committed(count)`, the number of records committed since it was claimed, in order,
    and `lost(code)` once when the room has another owner; what is written after that is forgotten.
    """

    #: Random; a new one means that the log began anew.
    epoch: str
    loaded: Loaded

    def write(self, record: Record) -> None:
        """Commit `record` after those before."""

    def release(self) -> Deferred[None]:
        """The room has ended: forget it."""


class Owner(Protocol):
    """What a `Journal` tells its host."""

    def committed(self, count: int) -> None:
        """So many records are committed since the journal was claimed."""

    def lost(self, code: int) -> None:
        """The room has another owner, or its state is lost: tell the clients `code`."""


class Link(Protocol):
    """From an edge to a room, for one client; none of its methods raises."""

    #: The edge's id of the attachment; that of an earlier one, if the client was in the room already.
    id: str
    #: The member's id.
    member: str

    def submit(self, frame: Frame) -> None:
        """The client said something."""

    def leave(self) -> None:
        """The client is gone for good."""

    def drop(self) -> None:
        """The client's connection is lost; it may resume."""


class Outlet(Protocol):
    """From the rooms to an edge."""

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        """Send an item to the clients of those links; unknown ones are ignored. Calls no hooks."""

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        """Those links have ended: tell the clients `left` with `code`; 0: tell them nothing."""


class Engine(Protocol):
    """What carries rooms; one for each application in a process. The Deferreds have fired, in memory."""

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        user: Any,
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        """
        The rooms of that name that match, or the open ones of them, in that order; hints only.

        At most `limit` (0: any number); no private ones.
        """

    def create(self, name: str, options: Mapping[str, Any], user: Any) -> Deferred[str]:
        """Make a room; its id. Fails with `RoomError`."""

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """
        Join or resume. What the room emits may reach `outlet` before this fires.

        If the room has lost its owner it gets another first, and whoever else comes waits for that.
        """

    def reserve(self, room: str, user: Any, seconds: float | None) -> Deferred[str]:
        """Keep a seat; its token, once that can't get lost any more. Fails with `RoomError`."""

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        """Become the owner of a room."""

    def publish(self, listing: Listing) -> None:
        """A room has changed."""

"""
What the requests and answers of the HTTP API look like.

The OpenAPI document has these types, with their texts, and requests are checked by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ..protocol.limits import MAX_NAME

#: A name that rooms are registered under.
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
#: The id of a room, a member or a user, or the name of a group.
Id = Annotated[str, Meta(min_length=1, max_length=256)]
Ids = Annotated[list[Id], Meta(max_length=1000)]
MessageType = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Reason = Annotated[str, Meta(max_length=123)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Age = Annotated[int, Meta(description="A number that grows from room to room: the larger, the younger.")]
Time = Annotated[float, Meta(description="When it was sent, in seconds since 1970.")]

#: How rooms can be listed; "-" means the greatest first. "age" is the oldest first.
Order = Literal["age", "-age", "clients", "-clients", "name"]


class Request(Struct, forbid_unknown_fields=True):
    """The base of what clients send: a field that isn't known is a mistake."""


# -- rooms


class ListRooms(Request):
    """Which rooms to list."""

    #: The name that they are registered under.
    name: Name | None = None
    #: A JSON object: values that their filtered options or metadata must have.
    filter: str = ""
    order: Order = "age"
    #: The `next` of the answer before.
    cursor: str = ""
    limit: Limit = 100


class RoomFields(Struct):
    """What is told of a room."""

    room: str
    #: The name that it is registered under.
    name: str
    clients: int
    #: The most clients; 0: any number.
    maxClients: int
    isLocked: bool
    isPrivate: bool
    metadata: Mapping[str, Any]
    #: The values of the options that it can be filtered by.
    filters: Mapping[str, Any]
    #: The options that it was created with.
    options: Mapping[str, Any]


class RoomInfo(RoomFields):
    """A room."""

    #: The node that it is on.
    node: str
    age: Age


class RoomList(Struct):
    """Some of the rooms: as many as there may be, or fewer if they are large."""

    rooms: list[RoomInfo]
    #: The `cursor` for the following ones; null: these are the last.
    next: str | None


class QueryRooms(Request):
    """Which rooms to find, as matchmaking does."""

    name: Name | None = None
    #: Values that their filtered options or metadata must have.
    filter: dict[str, Any] = {}
    limit: Limit = 100


class FoundRoom(Struct):
    """A room that clients can find."""

    room: str
    name: str
    clients: int
    maxClients: int
    isLocked: bool
    metadata: Mapping[str, Any]


class FoundRooms(Struct):
    """The rooms, in the order in which clients would join them."""

    rooms: list[FoundRoom]


class CreateRoom(Request):
    """A new room."""

    #: The name that it is registered under.
    name: Name
    options: dict[str, Any] = {}


class Created(Struct):
    """The new room."""

    room: str


class InspectRoom(Request):
    """How much to tell of a room."""

    #: The most members, which are in the order of their ids.
    members: Annotated[int, Meta(ge=0, le=1000)] = 100
    #: The `next` of the answer before.
    cursor: Annotated[str, Meta(max_length=256)] = ""


class MemberInfo(Struct):
    """A member of a room."""

    member: str
    userId: str
    #: What the server accepted as its user.
    user: Any
    isConnected: bool
    groups: list[str]
    meta: Mapping[str, Any]


class RoomDetails(RoomFields):
    """A room and its members."""

    #: The epoch and the last offset of its log.
    epoch: str
    offset: int
    members: list[MemberInfo]
    #: The `cursor` for the following members; null: these are the last, or none were asked for.
    next: str | None


class Publish(Request):
    """A message for members of a room. Without `members`, `userIds` and `groups`, all members get it."""

    type: MessageType
    data: Any = None
    #: The ids of members.
    members: Ids | None = None
    userIds: Ids | None = None
    groups: Ids | None = None
    #: Whether it may be lost, and isn't in the log.
    isVolatile: bool = False


class Published(Struct):
    """The message was committed."""

    #: Its offset in the log; null for a volatile one.
    offset: int | None


class LockRoom(Request):
    """Whether clients can join a room."""

    isLocked: bool = True


class HideRoom(Request):
    """Whether clients find a room only by its id."""

    isPrivate: bool = True


class ReplaceMetadata(Request):
    """The new metadata of a room, which replaces all of the old."""

    metadata: dict[str, Any]


class KickMember(Request):
    """The member, or the user with all its members, that is to leave a room."""

    member: Id | None = None
    userId: Id | None = None
    #: The text for its client.
    reason: Reason = ""


class Kicked(Struct):
    """How many members have left."""

    kicked: int


class DisposeRoom(Request):
    """Why a room ends."""

    #: The close code for its clients.
    code: Annotated[int, Meta(ge=4000, le=4999)] = 4008
    reason: Reason = ""


class ReserveSeat(Request):
    """For whom to reserve a seat."""

    #: The only user that may take it; null: any user.
    user: Any = None
    #: For how long; null: the room's own time.
    seconds: Annotated[float, Meta(ge=0, le=86400)] | None = None


class Reserved(Struct):
    """A seat is reserved."""

    #: The option `seat` for `joinById`. It works once.
    seat: str


class LogQuery(Request):
    """Which messages of a room to read."""

    #: The offset after which to read.
    offset: Annotated[int, Meta(ge=0, le=2**53)] = 0
    #: The epoch of that offset.
    epoch: Annotated[str, Meta(max_length=64)] = ""
    limit: Limit = 100
    #: For how long to wait for a message if there is none. It is of no use for events and the history.
    seconds: Annotated[float, Meta(ge=0, le=4)] = 0.0
    #: Whether to read the history of the room, from which newcomers get messages. There are no events of it.
    history: bool = False


class LogEntry(Struct, omit_defaults=True):
    """A message of a room."""

    offset: int
    at: Time
    type: str
    data: Any
    #: The ids of the members that it was sent to, of which the first 100 are told; missing: all. Only the
    #: role `manage` sees such messages.
    to: list[str] | None = None
    #: How many members it was sent to, if it wasn't sent to all.
    toCount: int | None = None
    #: The ids of members that it was not sent to, of which the first 100 are told.
    exclude: list[str] = []
    #: How many members it was not sent to.
    excludeCount: int = 0
    #: The bytes of its data, if they are too many, so that the data is left out.
    size: int = 0


class LogPage(Struct):
    """Messages that a room keeps for clients that resume, or its history."""

    #: Offsets can be compared only in the same epoch.
    epoch: str
    #: The offsets of the first message that is kept, and of the last one.
    first: int
    last: int
    entries: list[LogEntry]
    #: The `offset` for the following ones.
    next: int


# -- users


class ConnectionInfo(Struct):
    """A connection of a user."""

    id: str
    node: str
    #: The path of its URL, or the beginning of a long one.
    path: str
    #: The address of the client.
    address: str
    #: For how many seconds it has been open.
    seconds: float


class PlaceInfo(Struct):
    """A room that a user is in."""

    room: str
    member: str
    node: str
    isConnected: bool


class UserInfo(Struct):
    """Where a user is."""

    userId: str
    #: The connections, or some of very many.
    connections: list[ConnectionInfo]
    #: The rooms, or some of very many. One is there for each member of the user in it.
    rooms: list[PlaceInfo]
    #: The nodes that have not answered, where it may be too.
    unanswered: list[str]
    #: How many connections were found, of which a node tells the first 1000.
    connectionCount: int
    #: How many members of the user rooms have.
    roomCount: int


class KickUser(Request):
    """Why a user leaves all rooms."""

    reason: Reason = ""


class UserKicked(Struct):
    """What has been left."""

    #: How many members have left, by room.
    rooms: dict[str, int]
    #: The nodes of rooms that have not answered, where it may be still.
    unanswered: list[str]


class Notify(Request):
    """A notification for a user."""

    type: MessageType
    data: Any = None
    #: Whether it waits for the user. If not, only clients that are connected get it.
    queue: bool = True
    #: The most notifications in the queue, of which the oldest are dropped.
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100
    #: After how many seconds it expires; null: it doesn't.
    seconds: Annotated[float, Meta(gt=0, le=604_800)] | None = None


class Notified(Struct):
    """The notification is in the queue, or has been sent."""

    #: Its epoch and number in the queue; null and 0 if it wasn't queued.
    epoch: str | None
    n: int
    #: Whether clients of the user were listening.
    isListening: bool
    #: Whether it had been sent before, with the same key.
    isRepeated: bool


class NotifyAll(Request):
    """A notification for all users who are connected."""

    type: MessageType
    data: Any = None

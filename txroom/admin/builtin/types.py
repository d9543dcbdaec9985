"""
What the built-in calls take and answer, besides what the HTTP API has too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from .. import types

#: A text that is sought; upper and lower case are the same.
Text = Annotated[str, Meta(max_length=256)]
Cursor = Annotated[str, Meta(max_length=1024)]
NodeId = Annotated[str, Meta(min_length=1, max_length=256)]
Limit = types.Limit
Level = Literal["debug", "info", "warn", "error", "critical"]


# -- rooms


class WaitingCall(Struct):
    """A hook, a handler or a timer of a room that waits."""

    #: Its name, such as "onJoin".
    name: str
    #: The id of the member that it was called for; empty: for none.
    member: str
    #: For how many seconds it has waited.
    seconds: float
    #: How many messages of that member wait behind it.
    waiting: int


class RoomReport(types.RoomFields):
    """A room, and how it is."""

    node: str
    #: The state of its life: "creating", "open", "moving", "cut", "disposing", "lost" or "ending".
    stage: str
    #: The epoch and the last offset of its log.
    epoch: str
    offset: int
    #: The members that have joined, and those of them that are connected.
    members: int
    connected: int
    #: The hooks, handlers and timers that wait, the oldest first; at most 100.
    running: list[WaitingCall]
    #: How many there are.
    runningCount: int
    #: How many messages of all members wait.
    waiting: int
    #: For how many seconds nothing was committed although something waits for it; 0: all is committed.
    commitSeconds: float
    #: What `Room.inspect` returns, and its error; empty: none.
    inspect: Any
    inspectError: str
    #: As much of its declared state as has 64 KiB; null: it declares none. Only the role manage sees private
    #: parts. Integers of more than 53 bits are texts.
    state: Any = None
    #: Whether there is more of the state.
    isStateCut: bool = False


class ShownMember(types.MemberInfo):
    """A member of a room."""

    #: Whether a hook or a handler is running for it, and how many of its messages wait.
    isBusy: bool
    waiting: int


class MemberPage(Struct):
    """Some of the members of a room, in the order of their ids."""

    members: list[ShownMember]
    #: The `cursor` for the following ones; null: these are the last.
    next: str | None


class Stranded(Struct):
    """A room that a node could not open, and that no node has."""

    room: str
    name: str
    #: The path of its application.
    application: str
    #: Why it could not be opened. The log of the node has more.
    why: str
    #: In how many seconds the node tries again.
    retrySeconds: float
    node: str


class StrandedRooms(Struct):
    """The rooms that no node has, because none could open them."""

    rooms: list[Stranded]
    #: The nodes that have not answered.
    unanswered: list[str]


class RegisteredName(Struct):
    """A name that rooms are registered under."""

    name: str
    #: The path of its application.
    path: str
    #: The class of the rooms.
    roomClass: str
    #: Whether clients may create rooms, and the most rooms; 0: any number.
    clientsMayCreate: bool
    maxRooms: int


class RegisteredNames(Struct):
    """The names that rooms are registered under at the node that answers."""

    names: list[RegisteredName]


class MessageSchema(Struct):
    """A type of message that rooms handle."""

    type: str
    #: The docstring of its handler.
    description: str
    #: Whether the handler takes data.
    takesData: bool
    #: The JSON Schema of the data; an empty one: any plain data.
    schema: dict[str, Any]


class RoomSchema(Struct):
    """What rooms of a name take."""

    name: str
    path: str
    roomClass: str
    #: The docstring of the class.
    description: str
    messages: list[MessageSchema]
    #: Whether rooms handle messages of other types too (`Room.onMessage`).
    handlesOthers: bool
    #: The JSON Schema of the options that rooms are filtered by. Rooms may have others.
    options: dict[str, Any]


# -- users


class DeviceInfo(Struct):
    """A device of a user."""

    device: str
    #: How many of the notifications that wait it has not acknowledged.
    waiting: int


class QueueReport(Struct):
    """The queue of a user's notifications."""

    epoch: str
    #: How many notifications are kept, of which some may have expired, and their bytes.
    kept: int
    size: int
    #: The number of the newest notification, and the highest that any device has acknowledged.
    last: int
    acknowledged: int
    devices: list[DeviceInfo]


class UserReport(types.UserInfo):
    """Where a user is, and which notifications are queued for it."""

    #: Null: the user has no queue.
    queue: QueueReport | None


# -- the server


class ServerOptionsAnswer(Struct):
    """The options of a server."""

    #: The values of the options, by their names.
    options: dict[str, Any]
    #: Those that are not the default.
    changed: list[str]
    #: The options that applications override, by the paths of the applications.
    applications: dict[str, dict[str, Any]]


class LogLevel(Struct):
    """The lowest level that is logged."""

    #: The level; empty: the program that runs the server filters the log itself.
    level: str
    #: The nodes that have not changed it.
    unanswered: list[str] = []

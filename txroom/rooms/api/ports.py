"""
Ports: the protocols by which a `Room` and a `Client` know their owner.

The owner (`txroom.rooms.owner`) runs rooms and imports their classes, so these classes cannot import the
owner. `Room` and `Client` are `Any` here, since they import this module.

`Room.broadcast`, `Client.send` and `Client.call` go directly to the part of the owner that does the work,
without a method of the port in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from ...state import State, View
from ..contract.listing import Listing
from .clock import RoomClock
from .history import HistoryEntry


class LeaveReason(StrEnum):
    """
    The reason for which a client has left, an argument of `Room.onLeave`.

    Each value is a string, so it can be logged and sent.
    """

    #: The client has left by itself.
    LEFT = "left"
    #: The client has lost its connection and has not resumed in time.
    DROPPED = "dropped"
    #: The room has kicked the client.
    KICKED = "kicked"
    #: The client has broken the protocol, or has sent messages again and again that the room does not accept.
    MISUSE = "misuse"
    #: The client has exceeded `Room.messageRate` for too long.
    RATE_ABUSE = "rateAbuse"
    #: The room was closed.
    CLOSED = "closed"
    #: The server is shutting down.
    SHUTDOWN = "shutdown"


class Broadcaster(Protocol):
    """Sends the messages of a room and of its clients."""

    def broadcast(
        self, type: str, data: Any, exclude: Any = (), to: Any = None, volatile: bool = False
    ) -> int | None:
        """See `Room.broadcast`."""
        ...

    def send(self, member: Any, type: str, data: Any, volatile: bool = False) -> int | None:
        """See `Client.send`."""
        ...

    def history(self) -> list[HistoryEntry]:
        """See `Room.messages`."""
        ...


class Calls(Protocol):
    """Calls handlers of the clients of a room."""

    def call(self, member: Any, type: str, data: Any, timeout: float) -> Deferred[Any]:
        """See `Client.call`."""
        ...


class Presence(Protocol):
    """The presence of a room."""

    def members(self) -> list[Any]:
        """Return the list that `Room.members` copies."""
        ...

    def setMeta(self, member: Any, meta: Mapping[str, Any]) -> None:
        """See `Client.meta`."""
        ...


class RoomListing(Protocol):
    """The properties of a room that matchmaking knows."""

    @property
    def options(self) -> Mapping[str, Any]:
        """See `Room.options`."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """See `Room.metadata`."""
        ...

    @property
    def isPrivate(self) -> bool:
        """See `Room.isPrivate`."""
        ...

    @property
    def isLocked(self) -> bool:
        """Whether `Room.lock` was called."""
        ...

    @property
    def isFull(self) -> bool:
        """Whether all seats are taken or reserved."""
        ...

    def setLocked(self, isLocked: bool) -> None:
        """See `Room.lock`."""
        ...

    def setPrivate(self, isPrivate: bool) -> None:
        """See `Room.setPrivate`."""
        ...

    def setMetadata(self, metadata: Mapping[str, Any]) -> None:
        """See `Room.setMetadata`."""
        ...


class MessageLog(Protocol):
    """The log of the messages that a room has sent."""

    @property
    def epoch(self) -> str:
        """See `Room.epoch`."""
        ...

    @property
    def offset(self) -> int:
        """See `Room.offset`."""
        ...


class Outbox(Protocol):
    """The queue of a room's messages that are not committed to the journal yet."""

    def whenCommitted(self) -> Deferred[None]:
        """See `Room.whenCommitted`."""
        ...


class Saving(Protocol):
    """Saves a room's own data."""

    def checkpoint(self) -> None:
        """See `Room.checkpoint`."""
        ...


class MemberPort(Protocol):
    """A member of a room, as its owner keeps it and a `Client` shows it."""

    @property
    def id(self) -> str: ...
    @property
    def user(self) -> Any: ...
    @property
    def userId(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def groups(self) -> frozenset[str]: ...
    @property
    def meta(self) -> Mapping[str, Any]: ...

    @property
    def session(self) -> str:
        """The id of its connection; empty while it has none."""
        ...

    @property
    def trace(self) -> str | None:
        """The `Handshake.traceparent` of the connection with which it has joined."""
        ...

    @property
    def state(self) -> Any:
        """The state of the member, an enumeration."""
        ...

    @property
    def client(self) -> Any:
        """The `Client` of this member."""
        ...

    @property
    def isConnected(self) -> bool:
        """Whether the member has joined and has a connection."""
        ...

    @property
    def isPresent(self) -> bool:
        """Whether the member is in the room: it has joined and not left, connected or not."""
        ...

    @property
    def hasLeft(self) -> bool:
        """Whether the member has left."""
        ...


class ClientPort(Protocol):
    """The part of its owner that a `Client` uses, for as long as something refers to the client."""

    @property
    def id(self) -> str:
        """The id of the room."""
        ...

    @property
    def name(self) -> str:
        """The name of the room."""
        ...

    @property
    def broadcaster(self) -> Broadcaster: ...
    @property
    def calls(self) -> Calls: ...
    @property
    def presence(self) -> Presence: ...

    def kick(self, member: Any, text: str) -> None:
        """See `Client.kick`."""
        ...

    def regroup(self, member: Any, group: str, isIn: bool) -> None:
        """See `Client.enter` and `Client.exit`."""
        ...

    def viewOf(self, member: Any) -> View:
        """See `Client.view`."""
        ...

    def findRoom(self) -> Any:
        """Return the `Room`; `None` if it has ended and nothing refers to it any more."""
        ...


class RoomServices(Protocol):
    """
    The part of its application that a room can use; see the methods of `RoomApplication`.

    `Room.application` has this type. If you need other methods, narrow the type with
    `isinstance(room.application, RoomApplication)`.
    """

    @property
    def registrations(self) -> Mapping[str, Any]:
        """The `Registration` of each name."""
        ...

    @property
    def rooms(self) -> Mapping[str, Any]:
        """The `Room` of each id, of this process."""
        ...

    def query(
        self, name: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> Deferred[list[Listing]]:
        """See `RoomApplication.query`."""
        ...

    def createRoom(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[str]:
        """See `RoomApplication.createRoom`."""
        ...

    def reserveSeat(self, roomId: str, user: Any = None, seconds: float | None = None) -> Deferred[str]:
        """See `RoomApplication.reserveSeat`."""
        ...

    def broadcastToRooms(self, name: str, type: str, data: Any = None) -> None:
        """See `RoomApplication.broadcastToRooms`."""
        ...


class RoomPort(ClientPort, Protocol):
    """
    The part of its owner that a `Room` uses, from `onCreate` on, for as long as something refers to the room.
    """

    @property
    def application(self) -> RoomServices: ...
    @property
    def isRestored(self) -> bool: ...

    @property
    def members(self) -> Mapping[str, MemberPort]:
        """The members that have a seat, by id."""
        ...

    @property
    def timers(self) -> RoomClock: ...
    @property
    def roomListing(self) -> RoomListing: ...
    @property
    def log(self) -> MessageLog: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def saving(self) -> Saving: ...

    def useState(self, state: State) -> None:
        """An instance of a `State` class is about to be assigned to `Room.state`."""
        ...

    def patchState(self) -> None:
        """See `Room.patch`."""
        ...

    def dispose(
        self, code: int = ..., reason: LeaveReason = LeaveReason.CLOSED, text: str = ""
    ) -> Deferred[None]:
        """End the room: all members leave, then `onDispose` is called. The Deferred fires after that."""
        ...

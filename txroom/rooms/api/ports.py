"""
Ports: what a `Room` and a `Client` ask of whatever runs them.

What runs a room is its owner (`txroom.rooms.owner`), which is built upon rooms; so a room knows it by these
protocols alone. Rooms and clients themselves stand above this module, too, which is why they are `Any` here.

`Room.broadcast`, `Client.send` and `Client.call` go to the part of the owner that does it straight away,
without a method of the port in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from ..contract.listing import Listing
from .clock import RoomClock
from .history import HistoryEntry


class LeaveReason(StrEnum):
    """Why a client has left; what `Room.onLeave` gets. Each is a text, to log, to compare or to send."""

    #: It wanted to.
    LEFT = "left"
    #: It lost its connection, and did not resume in time.
    DROPPED = "dropped"
    KICKED = "kicked"
    #: It broke the protocol, or sent what the room doesn't understand, again and again.
    MISUSE = "misuse"
    #: It sent too much for too long.
    RATE_ABUSE = "rateAbuse"
    #: The room was closed.
    CLOSED = "closed"
    #: The server is shutting down.
    SHUTDOWN = "shutdown"


class Broadcaster(Protocol):
    """Sends what a room and its clients are told to send."""

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
    """Asks the clients of a room."""

    def call(self, member: Any, type: str, data: Any, timeout: float) -> Deferred[Any]:
        """See `Client.call`."""
        ...


class Presence(Protocol):
    """Knows what the members of a room are told of one another."""

    def members(self) -> list[Any]:
        """What `Room.members` is a copy of."""
        ...

    def setMeta(self, member: Any, meta: Mapping[str, Any]) -> None:
        """See `Client.meta`."""
        ...


class RoomListing(Protocol):
    """Knows what matchmaking is told of a room."""

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
        """Whether no seat is free."""
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
    """Counts what was sent."""

    @property
    def epoch(self) -> str:
        """See `Room.epoch`."""
        ...

    @property
    def offset(self) -> int:
        """See `Room.offset`."""
        ...


class Outbox(Protocol):
    """Knows what of it is committed."""

    def whenCommitted(self) -> Deferred[None]:
        """See `Room.whenCommitted`."""
        ...


class MemberPort(Protocol):
    """A member of a room, as its owner keeps it: what a `Client` tells."""

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
    def state(self) -> Any:
        """Where it is in its life, to be shown; an enum."""
        ...

    @property
    def client(self) -> Any:
        """The `Client` of this member."""
        ...

    @property
    def isConnected(self) -> bool:
        """Whether it has joined and has a connection."""
        ...

    @property
    def isPresent(self) -> bool:
        """Whether it counts as being in the room: joined, and connected, to resume or about to leave."""
        ...

    @property
    def hasLeft(self) -> bool:
        """Whether it is no member any more."""
        ...


class ClientPort(Protocol):
    """What a `Client` asks of what runs its room, for as long as anybody has the client."""

    @property
    def id(self) -> str:
        """The room's id."""
        ...

    @property
    def name(self) -> str:
        """The room's name."""
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

    def findRoom(self) -> Any:
        """The `Room`; `None` if it has ended, and nobody has it any more."""
        ...


class RoomServices(Protocol):
    """
    What a room may ask of the application that serves it: what `RoomApplication` says of these.

    A type checker that is to know more of `Room.application` is told so by
    `isinstance(room.application, RoomApplication)`.
    """

    @property
    def registrations(self) -> Mapping[str, Any]:
        """What was registered, by name: a `Registration` each."""
        ...

    @property
    def rooms(self) -> Mapping[str, Any]:
        """The rooms of this process, by id: a `Room` each."""
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
    """What a `Room` asks of what runs it, from `onCreate` on, and for as long as anybody has the room."""

    @property
    def application(self) -> RoomServices: ...
    @property
    def isRestored(self) -> bool: ...

    @property
    def members(self) -> Mapping[str, MemberPort]:
        """Who has a seat, by id."""
        ...

    @property
    def timers(self) -> RoomClock: ...
    @property
    def roomListing(self) -> RoomListing: ...
    @property
    def log(self) -> MessageLog: ...
    @property
    def outbox(self) -> Outbox: ...

    def dispose(
        self, code: int = ..., reason: LeaveReason = LeaveReason.CLOSED, text: str = ""
    ) -> Deferred[None]:
        """End the room: all leave, then `onDispose`; fires when it is over."""
        ...

"""
Room and Client: the classes that users write against.

Each has the other in its types, so they are one module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ...core.codes import CloseCode, ErrorCode, isSendable
from ...core.handshake import Handshake
from ...core.validation import isInteger
from ...protocol import payload
from ...protocol.errors import RoomError
from .. import hooks
from .assignment import checksOf
from .clock import RoomClock
from .history import HistoryEntry
from .ports import ClientPort, LeaveReason, MemberPort, RoomPort, RoomServices
from .settings import SETTINGS, RoomSettings


class Client:
    """
    A member as its room sees it: the first argument of the hooks and handlers.

    It stays the same object while the client loses its connection and resumes.
    """

    __slots__ = ("_host", "_member", "data")

    def __init__(self, host: ClientPort, member: MemberPort) -> None:
        self._host = host
        self._member = member
        #: Free for the room; never read by txroom.
        self.data: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Client {self.id} {self._member.state.name} of {self._host.name} {self._host.id}>"

    @property
    def id(self) -> str:
        """The member's id, unique and unguessable; others see it in presence."""
        return self._member.id

    @property
    def room(self) -> Room:
        """
        The room it is or was in.

        A client that is kept doesn't keep a room that has ended: raises `RoomError` (`roomGone`) if nobody
        else has the room any more.
        """
        room: Room | None = self._host.findRoom()
        if room is None:
            raise RoomError(ErrorCode.ROOM_GONE, "the room of this client has ended")
        return room

    @property
    def user(self) -> Any:
        """What `onAuth` made of it, else what `verifyClient` accepted it as."""
        return self._member.user

    @property
    def userId(self) -> str:
        """What `Room.userId` says of `user`; the same for all connections of one user."""
        return self._member.userId

    @property
    def options(self) -> Mapping[str, Any]:
        """What it joined with, but `auth`."""
        return self._member.options

    @property
    def isConnected(self) -> bool:
        """Whether it has joined and has a connection; while it is to resume, messages wait for it."""
        return self._member.isConnected

    @property
    def hasLeft(self) -> bool:
        """Whether it is no member any more."""
        return self._member.hasLeft

    @property
    def groups(self) -> frozenset[str]:
        """The groups it is in."""
        return self._member.groups

    @property
    def meta(self) -> Mapping[str, Any]:
        """
        What presence tells of it; set it, best in `onJoin`, and others are told.

        It is copied both ways. Raises `TypeError` unless it is plain data.
        """
        return MappingProxyType(payload.plain(dict(self._member.meta), True))

    @meta.setter
    def meta(self, meta: Mapping[str, Any]) -> None:
        if not isinstance(meta, Mapping):
            raise TypeError(f"meta={meta!r}: must be a mapping: client.meta = {{'name': 'ada'}}")
        self._host.presence.setMeta(self._member, meta)

    def send(self, type: str, data: Any = None, *, volatile: bool = False) -> int | None:
        """
        Send it a message; the offset, or `None` if it is volatile or the client has left.

        What is sent in `onAuth` has none yet either: it waits until the client is let in.
        Like a broadcast it is logged, and survives a lost connection, unless it is `volatile`. Raises
        as `Room.broadcast` for data that can't be sent.
        """
        return self._host.broadcaster.send(self._member, type, data, volatile)

    def call(self, type: str, data: Any = None, timeout: float = 10.0) -> Deferred[Any]:
        """
        Ask the client; fires with its answer.

        It is asked at most once, and has `timeout` seconds. Fails with `CallError` if it answers with an
        error, and with `RoomError` if it doesn't answer: `timeout`, or `roomGone` if it leaves. Raises
        `ValueError` for a timeout that is no number of seconds.

        One that is being let in is asked when it has joined, so that `onAuth` and `onJoin` can't wait for the
        answer: in these it fails with `RuntimeError` if they do.
        """
        return self._host.calls.call(self._member, type, data, timeout)

    def kick(self, reason: str = "") -> None:
        """Make it leave, with 4003; it can't resume. `reason` is told to the client."""
        self._host.kick(self._member, reason)

    def enter(self, group: str) -> None:
        """Become one of a group (`broadcast(..., to=group)`)."""
        self._host.regroup(self._member, group, True)

    def exit(self, group: str) -> None:
        """Be no longer one of a group."""
        self._host.regroup(self._member, group, False)


#: Who gets a broadcast: a group, a client, several clients, or a test of each client.
To = str | Client | Iterable[Client] | Callable[[Client], bool]


class Room(RoomSettings):
    """
    A room: subclass it, and register the class under a name (`Server.register`).

    Hooks may return a value, a Deferred or a coroutine; each may take `handlerTimeout`. The hooks and
    handlers of one client run one after another, those of different clients side by side. What a hook or
    a handler raises is logged and costs nobody else anything; raise `RoomError` to tell the client.

    The class attributes are the settings of its rooms; `register(name, RoomClass, maxClients=4)` sets one
    for a registration, and `onCreate` may set them on the instance; `history`, the recovery limits and
    `tickRate` count as they are when it is over. A wrong value raises `ValueError` where it is set.
    """

    #: The names of the settings.
    SETTINGS: ClassVar[frozenset[str]] = frozenset(SETTINGS)

    _host: RoomPort
    # What `super().__setattr__` is in a class; looked up once, since people assign to rooms all the time.
    __assign = object.__setattr__

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.__assign = super().__setattr__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.id}>"

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CHECKS:
            _CHECKS[name](self, name, value)
        self.__assign(name, value)

    # -- hooks

    def onCreate(self, options: Mapping[str, Any]) -> Any:
        """
        The room begins. `options` are the client's, overlaid by those of the registration; its `auth`
        is not among them.

        If it raises the room isn't made. `isRestored` tells whether it goes on where another process stopped;
        with the engine in memory it never does.
        """

    def canJoin(self, options: Mapping[str, Any], user: Any) -> Any:
        """
        Whether somebody may take a seat; asked before one is taken.

        If this returns something falsy the client is refused with `forbidden`. A client that has asked for
        any room of that name then gets another one, if need be a new one.
        When it raises a `RoomError` of another code, that is the answer, and no other room is tried.
        """
        return True

    def onAuth(self, client: Client, options: Mapping[str, Any], handshake: Handshake) -> Any:
        """
        Whether a client that has a seat may join; a true value other than `True` becomes `client.user`.

        The option `auth`, with which clients show who they are, isn't kept when this is over: neither
        `onJoin` nor `client.options` has it.
        """
        return True

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> Any:
        """A client has joined; if this raises, it hasn't, and `onLeave` isn't called."""

    def onMessage(self, client: Client, type: str, data: Any) -> Any:
        """Called with a message that has no handler; by default the client is told `unknownType`."""
        raise NotImplementedError

    def snapshot(self, client: Client) -> Any:
        """
        The state of the room for a client that can't get it from earlier messages; sent in `joined`.

        Called after `onJoin`, and when a client resumes but the messages it missed are not known. Must return
        plain data at once, so that it fits the messages that follow.
        """
        return None

    def onDrop(self, client: Client) -> Any:
        """A client has lost its connection, and may resume."""

    def onResume(self, client: Client, recovered: bool) -> Any:
        """A client has come back, or came with a new connection while the old was open still."""

    def onLeave(self, client: Client, reason: LeaveReason) -> Any:
        """A client has left; exactly once after each `onJoin`."""

    def onDispose(self) -> Any:
        """The room ends; exactly once after `onCreate`, and last."""

    def onTick(self, seconds: float) -> Any:
        """Called `tickRate` times a second, with the time since the last call."""

    def onRoomError(self, failure: Failure, client: Client | None) -> str | None:
        """
        A hook, handler or timer of this room raised; the error is logged already. May return what follows.

        "client": the client is kicked; "room": the room is closed; else nothing. Called in the next turn of
        the reactor, when what raised is over; it can't be asynchronous. `client` is `None` for what was not
        called for a client, such as a timer.
        """
        return None

    def userId(self, user: Any) -> str | None:
        """
        The id of a user in presence; `None`: each connection counts as a user of its own.

        By default a text or a number, or the "id" of a mapping.
        """
        if isinstance(user, Mapping):
            user = user.get("id")
        return str(user) if isinstance(user, str | int) and not isinstance(user, bool) else None

    # -- what is known of it

    @property
    def id(self) -> str:
        """The room's id, unguessable."""
        return self._host.id

    @property
    def name(self) -> str:
        """The name under which it was registered."""
        return self._host.name

    @property
    def application(self) -> RoomServices:
        """
        The `RoomApplication` with which it was registered: other rooms by their ids (`rooms`), `createRoom`,
        `reserveSeat`.
        """
        return self._host.application

    @property
    def options(self) -> Mapping[str, Any]:
        """What it was created with. It can't be changed; lists and objects within it should not be."""
        return self._host.roomListing.options

    @property
    def clients(self) -> list[Client]:
        """Those who have joined, connected or to resume, in the order in which they joined."""
        return [member.client for member in self._host.members.values() if member.isPresent]

    @property
    def members(self) -> list[dict[str, Any]]:
        """Presence: `{"user": id, "metas": [{"member": id, ...}]}` for each user; a copy."""
        members: list[dict[str, Any]] = payload.plain(self._host.presence.members(), True)
        return members

    @property
    def clock(self) -> RoomClock:
        """The room's time: `callLater`, `every` and `sleep`, cancelled when it ends."""
        return self._host.timers

    @property
    def epoch(self) -> str:
        """Random; offsets of different epochs can't be compared."""
        return self._host.log.epoch

    @property
    def offset(self) -> int:
        """The offset of the last message."""
        return self._host.log.offset

    @property
    def messages(self) -> list[HistoryEntry]:
        """What `history` keeps, in order: offset, type and data of each."""
        return self._host.broadcaster.history()

    @property
    def isLocked(self) -> bool:
        """Whether `lock` was called, or all seats are taken."""
        roomListing = self._host.roomListing
        return roomListing.isLocked or roomListing.isFull

    @property
    def isPrivate(self) -> bool:
        """Whether it is left out of matchmaking."""
        return self._host.roomListing.isPrivate

    @property
    def isRestored(self) -> bool:
        """
        Whether it goes on where another process has stopped, with members who are to resume.

        For engines to come: with the one in memory a room ends with its process, and this is `False`.
        """
        return self._host.isRestored

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What matchmaking tells of it."""
        return self._host.roomListing.metadata

    def client(self, id: str) -> Client | None:
        """The client with that id, if it is in the room. Raises `TypeError` for what is no text."""
        payload.checkText("id", id)
        member = self._host.members.get(id)
        return member.client if member is not None and member.isPresent else None

    def group(self, name: str) -> list[Client]:
        """The clients of a group. Raises `TypeError` for what is no text."""
        payload.checkText("name", name)
        return [client for client in self.clients if name in client.groups]

    # -- what can be done with it

    def broadcast(
        self,
        type: str,
        data: Any = None,
        *,
        exclude: Client | Iterable[Client] = (),
        to: To | None = None,
        volatile: bool = False,
    ) -> int | None:
        """
        Send a message to all members, or to those of `to`, except `exclude`; its offset.

        Members that are away get it when they resume. A `volatile` message goes to those who are there
        now, may overtake, is dropped where it would have to wait, and has no offset. Raises `TypeError`,
        `ValueError` or `OverflowError` for data that can't be sent: what is no plain data, keys that are no
        texts, NaN, integers of more than 64 bits.
        """
        return self._host.broadcaster.broadcast(type, data, exclude, to, volatile)

    def whenCommitted(self) -> Deferred[None]:
        """Fires when what was sent so far can't get lost any more; fails with `RoomError`."""
        return self._host.outbox.whenCommitted()

    def kick(self, client: Client, reason: str = "") -> None:
        """
        Make a client leave, with 4003; it can't resume. `reason` is told to it.

        Raises `TypeError` for what is no client, or no text.
        """
        if not isinstance(client, Client):
            raise TypeError(f"client={client!r}: is no client; the one of an id is room.client(id)")
        client.kick(reason)

    def disconnect(self, reason: str = "", code: int = CloseCode.ROOM_CLOSED) -> Deferred[None]:
        """
        Close the room: all leave with `code`, then it ends; fires after `onDispose`.

        In a hook or a handler of the room itself it fires at once, since the end waits for that.
        Raises `TypeError` for a reason that is no text, `ValueError` for a code that can't be sent.
        """
        reason = payload.checkText("reason", reason)
        if not isInteger(code) or not isSendable(code):
            raise ValueError(f"code={code!r}: can't be sent")
        ended = self._host.dispose(code, LeaveReason.CLOSED, reason)
        return succeed(None) if hooks.currentOwner.get() is self._host else ended

    def lock(self) -> None:
        """Let nobody join any more, until `unlock`; a full room is locked without this."""
        self._host.roomListing.setLocked(True)

    def unlock(self) -> None:
        """Undo `lock`; a full room stays full."""
        self._host.roomListing.setLocked(False)

    def setPrivate(self, isPrivate: bool = True) -> None:
        """
        Leave it out of matchmaking and listings; it can be joined by its id still.

        Raises `TypeError` unless it is `True` or `False`.
        """
        if not isinstance(isPrivate, bool):
            raise TypeError(f"isPrivate={isPrivate!r}: must be True or False")
        self._host.roomListing.setPrivate(isPrivate)

    def setMetadata(self, metadata: Mapping[str, Any]) -> None:
        """
        Replace what matchmaking tells of it by a copy. Raises `TypeError` unless it is a mapping of plain
        data.
        """
        if not isinstance(metadata, Mapping):
            raise TypeError(f"metadata={metadata!r}: must be a mapping, such as {{'title': 'Chess'}}")
        self._host.roomListing.setMetadata(metadata)


_CHECKS = checksOf(Room)

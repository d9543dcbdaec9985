"""
`Room`, the class with which users write rooms.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed

from ...core.codes import CloseCode, isSendable
from ...core.validation import isInteger
from ...protocol import payload
from .. import hooks
from .assignment import checksOf
from .client import Client, To
from .clock import RoomClock
from .history import HistoryEntry
from .ports import LeaveReason, RoomPort, RoomServices
from .roomhooks import RoomHooks
from .settings import SETTINGS
from .stateclass import ANNOTATED, resolved


class Room(RoomHooks):
    """
    A room: clients join it, send messages to it and receive messages from it, like a Colyseus `Room`.

    Subclass it and register the class under a name (`Server.register`). A hook may return a value, a Deferred
    or a coroutine, and may take `handlerTimeout` seconds. The hooks and handlers of one client run one after
    another; those of different clients run concurrently. If a hook or handler raises an exception, it is
    logged and affects no other client; raise `RoomError` to send an error to the client.

    The settings of a room are class attributes. `register(name, RoomClass, maxClients=4)` overrides a setting
    for one name, and `onCreate` may assign settings to one room. `history`, `recoveryLimit`, `recoverySize`
    and `tickRate` are read when `onCreate` has finished, and so is `resumeSeconds` for how long messages are
    kept; the others are read whenever they are needed. A wrong value raises `ValueError`: for a class when it
    is registered, otherwise where it is set.

    A *seat* is one of the places that `maxClients` limits. A *meta* is what the other members see about a
    client (`Client.meta`), and a *listing* is what matchmaking shows of the room. Messages to members have
    numbers, their *offsets* in the log of the room; `epoch` identifies the log. With a `RedisEngine`, the
    *journal* in Redis has what another process needs to continue the room. A message is *committed* when it
    is in the journal.
    """

    #: The names of the settings.
    SETTINGS: ClassVar[frozenset[str]] = frozenset(SETTINGS)

    #: The state that the server keeps the same at all clients which ask for it, like the ``state`` of a
    #: Colyseus room. Declare it with a class of your own: ``state: Game``, where ``Game`` is a
    #: `txroom.state.State`. There is an instance before `onCreate`, which may assign another one; later only
    #: its fields can change. The room goes on with it in another process, as it was at the last checkpoint
    #: (see `checkpoint`). A class without this annotation may use the name for something else.
    state: Any

    _host: RoomPort
    #: The class of the state, if the class of the room annotates it.
    _stateClass: ClassVar[Any] = None
    # The inherited `__setattr__`, looked up once for each class, since rooms assign attributes all the time.
    __assign = object.__setattr__

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        frame = inspect.currentframe()
        caller = None if frame is None else frame.f_back
        if caller is not None and ANNOTATED in vars(cls).get("__annotations__", {}):
            cls._stateClass = resolved(cls, caller.f_globals, caller.f_locals)
        cls.__assign = super().__setattr__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.id}>"

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CHECKS:
            _CHECKS[name](self, name, value)
        self.__assign(name, value)

    # -- its state

    @property
    def id(self) -> str:
        """The id of the room. It is unique and cannot be guessed."""
        return self._host.id

    @property
    def name(self) -> str:
        """The name under which the class is registered."""
        return self._host.name

    @property
    def application(self) -> RoomServices:
        """
        The `RoomApplication` with which the class is registered. It has the other rooms (`rooms`),
        `createRoom` and `reserveSeat`.
        """
        return self._host.application

    @property
    def options(self) -> Mapping[str, Any]:
        """
        The options with which the room was created. The mapping cannot be changed; do not change lists and
        objects in it.
        """
        return self._host.roomListing.options

    @property
    def clients(self) -> list[Client]:
        """The clients that have joined and not left, connected or not, in the order in which they came."""
        return [member.client for member in self._host.members.values() if member.isPresent]

    @property
    def members(self) -> list[dict[str, Any]]:
        """
        The users in the room, as presence shows them: `{"user": id, "metas": [{"member": id, ...}]}` for each
        user, with one meta for each client of the user. The list is a copy.
        """
        members: list[dict[str, Any]] = payload.plain(self._host.presence.members(), True)
        return members

    @property
    def clock(self) -> RoomClock:
        """The time of the room: `callLater`, `every` and `sleep`, all of which end with the room."""
        return self._host.timers

    @property
    def epoch(self) -> str:
        """A random string that identifies the room's log. Offsets of different epochs cannot be compared."""
        return self._host.log.epoch

    @property
    def offset(self) -> int:
        """The offset of the last message in the log; 0 if there is none."""
        return self._host.log.offset

    @property
    def messages(self) -> list[HistoryEntry]:
        """The messages that `history` keeps, in order."""
        return self._host.broadcaster.history()

    @property
    def isLocked(self) -> bool:
        """Whether `lock` was called or all seats are taken."""
        roomListing = self._host.roomListing
        return roomListing.isLocked or roomListing.isFull

    @property
    def isPrivate(self) -> bool:
        """Whether matchmaking and listings leave the room out, see `setPrivate`."""
        return self._host.roomListing.isPrivate

    @property
    def isRestored(self) -> bool:
        """
        Whether the room goes on here after another process has run it. Its members may resume.

        It is always `False` with the engine in memory, whose rooms end with the process; except after
        `RoomHarness.restart`.
        """
        return self._host.isRestored

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata that listings show to clients, see `setMetadata`."""
        return self._host.roomListing.metadata

    def client(self, id: str) -> Client | None:
        """
        Return the client with an id.

        Args:
            id: The id of the client (`Client.id`).

        Returns:
            The client; `None` if it is not in the room.

        Raises:
            TypeError: The id is not a string.
        """
        payload.checkText("id", id)
        member = self._host.members.get(id)
        return member.client if member is not None and member.isPresent else None

    def group(self, name: str) -> list[Client]:
        """
        Return the clients in a group (`Client.enter`). Raises `TypeError` for a name that is not a string.
        """
        payload.checkText("name", name)
        return [client for client in self.clients if name in client.groups]

    # -- methods

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
        Send a message to all members, or to some of them.

        The message is kept in the room's message log: members that have lost their connection receive it when
        they resume.

        Args:
            type: The type of the message, a string of 1 to 128 characters.
            data: Plain data, or other types that msgspec can encode.
            exclude: A client or several clients that do not receive it.
            to: The receivers: a group, a client, several clients, or a function that is called with each
                client and returns whether it receives the message. By default all members.
            volatile: Send the message only to the members that are connected now. It may arrive before
                other messages, and it is dropped for members that read too slowly.

        Returns:
            The offset of the message in the room's log; `None` if it is volatile or the room has ended.

        Raises:
            TypeError: The data has parts that are not plain data, or keys that are not strings; or `to` or
                `exclude` has something that is not a client.
            ValueError: The data is nested too deep, or has a float that is not a finite number; or the type
                has no or too many characters.
            OverflowError: The data has an integer of more than 64 bits.
        """
        return self._host.broadcaster.broadcast(type, data, exclude, to, volatile)

    def whenCommitted(self) -> Deferred[None]:
        """
        Return a Deferred that fires when all messages that were sent so far are committed to the journal.

        It fires at once with the engine in memory. It fails with `RoomError` if another process has taken
        over the room.
        """
        return self._host.outbox.whenCommitted()

    def patch(self) -> None:
        """
        Send the members now what has changed in `state`, besides every `patchRate`.

        Raises:
            TypeError: The class declares no state.
        """
        self._host.patchState()

    def checkpoint(self) -> None:
        """
        Call `save`, and write its data to the journal, so that the room does not lose it with its process. A
        declared `state` is saved with it, also if the class has no `save`.

        In a handler of a message, `save` is called when the handler ends. Its data is committed together with
        the messages that the handler sends from its last `await` on, and with the record that it has
        handled its message: all of it, or nothing. If `save` fails, the client receives the error `internal`,
        and the data that was saved before stays. Elsewhere, such as in a timer, `save` is called at once.

        With `exact`, a checkpoint is taken after each handler. Otherwise one is taken every `saveSeconds`,
        if a hook, handler or timer was called meanwhile; and before the room moves to another process in a
        planned way. The engine in memory keeps nothing, so there `save` is not called at all.

        Raises:
            TypeError: The class does not have the hooks `save` and `load`, and declares no state.
            Exception: `save` fails. Not in handlers of messages.
        """
        self._host.saving.checkpoint()

    def kick(self, client: Client, reason: str = "") -> None:
        """
        Remove a client from the room, with the close code 4003. It cannot resume.

        Args:
            client: The client.
            reason: A text that is sent to the client.

        Raises:
            TypeError: `client` is not a client, or the reason is not a string.
        """
        if not isinstance(client, Client):
            raise TypeError(f"client={client!r}: must be a Client; for an id use room.client(id)")
        client.kick(reason)

    def disconnect(self, reason: str = "", code: int = CloseCode.ROOM_CLOSED) -> Deferred[None]:
        """
        Close the room: all clients leave, then the room ends.

        Args:
            reason: A text that is sent to the clients.
            code: The close code that is sent to the clients; by default 4008.

        Returns:
            A Deferred that fires after `onDispose`. In a hook or handler of this room it has fired already,
            because the room cannot end before that hook or handler.

        Raises:
            TypeError: The reason is not a string.
            ValueError: The code cannot be sent in a Close frame (RFC 6455 §7.4).
        """
        reason = payload.checkText("reason", reason)
        if not isInteger(code) or not isSendable(code):
            raise ValueError(f"code={code!r}: can't be sent")
        ended = self._host.dispose(code, LeaveReason.CLOSED, reason)
        return succeed(None) if hooks.currentOwner.get() is self._host else ended

    def lock(self) -> None:
        """Let only clients with a reserved seat join, until `unlock`. So does a full room."""
        self._host.roomListing.setLocked(True)

    def unlock(self) -> None:
        """Undo `lock`. A room without free seats stays locked."""
        self._host.roomListing.setLocked(False)

    def setPrivate(self, isPrivate: bool = True) -> None:
        """
        Leave the room out of matchmaking and listings. Clients can still join it by its id.

        Args:
            isPrivate: `False` lists the room again.

        Raises:
            TypeError: `isPrivate` is neither `True` nor `False`.
        """
        if not isinstance(isPrivate, bool):
            raise TypeError(f"isPrivate={isPrivate!r}: must be True or False")
        self._host.roomListing.setPrivate(isPrivate)

    def setMetadata(self, metadata: Mapping[str, Any]) -> None:
        """
        Replace the metadata that listings show to clients, and by which clients can filter rooms.

        Args:
            metadata: A mapping of plain data, which is copied.

        Raises:
            TypeError: It is not a mapping of plain data.
        """
        if not isinstance(metadata, Mapping):
            raise TypeError(f"metadata={metadata!r}: must be a mapping, such as {{'title': 'Chess'}}")
        self._host.roomListing.setMetadata(metadata)


_CHECKS = checksOf(Room)

"""
`Room`: a room as the user of its client sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

from twisted.internet.defer import Deferred, fail

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.serverframes import Member
from .baseclient import BaseClient
from .events import Emitter, Listener
from .membership import Handle, Membership
from .roomstatus import Loss, RoomStatus
from .sendqueue import Sent

PresenceListener = Callable[[list[Member], list[Member], list[Member]], object]
EndListener = Callable[[int, str], object]
MessageListener = Callable[[Any, int | None], object]
AnyMessageListener = Callable[[str, Any, int | None], object]

#: The events of a room. `room.on` takes these names and types of messages; use `room.onMessage` for a type of
#: message that has the name of an event.
_EVENTS = frozenset({"state", "presence", "reconnecting", "recovered", "lost", "left", "error"})


class Room:
    """
    A room that the client has joined; made by `Client.join` and similar methods.

    Each join has a `Room` of its own, with its own listeners, which ends with its own `leave()`. Two joins
    that lead to the same room share one membership. It ends when the last of them is left.
    """

    def __init__(self, client: BaseClient[Room], membership: Membership, handle: Handle) -> None:
        self._client = client
        self._membership = membership
        self._handle = handle
        self._listeners = handle.listeners
        self._sender = membership.sender

    def __repr__(self) -> str:
        return f"<Room {self.name!r} {self.id} {self.status.value}>"

    @property
    def client(self) -> BaseClient[Room]:
        """The `Client` with which the room was joined."""
        return self._client

    @property
    def status(self) -> RoomStatus:
        """The status of the membership."""
        return RoomStatus.LEFT if self._handle.isLeft else self._membership.status

    @property
    def id(self) -> str:
        """The id of the room. It changes if the client has to join another room after a loss."""
        return self._membership.id

    @property
    def name(self) -> str:
        """The name under which the room is registered."""
        return self._membership.name

    @property
    def member(self) -> str:
        """The id of this membership."""
        return self._membership.member

    @property
    def members(self) -> list[Member]:
        """
        The users in the room, each with one meta for each of the user's memberships, if the room has
        presence.

        In a room of more than `presenceLimit` members the list is not complete: it has the members that the
        server has sent, and those that `fetchMembers` has fetched. `memberCount` is the number of all
        members.
        """
        return self._membership.presence.members

    @property
    def memberCount(self) -> int:
        """
        How many memberships there are, if the room has presence. A user with two memberships counts twice.
        """
        return self._membership.presence.count

    @property
    def snapshot(self) -> Any:
        """
        What the server's `Room.snapshot` returned at the last join or, if the room has emitted "lost" since,
        the snapshot that came with it.
        """
        return self._handle.snapshot

    @property
    def state(self) -> Any:
        """
        The state that the room declares; `None` if it has none.

        It is there when the join has succeeded, and changes when the room emits "state". Its objects have
        their fields as attributes; maps are mappings, and lists are sequences. Only the server changes it:
        assigning raises `AttributeError` or `TypeError`. With the option `states` it is an instance of your
        own `State` class; then don't change it, since nothing checks that.
        """
        return self._membership.state.root

    @property
    def stateVersion(self) -> int | None:
        """The version of the state, which grows with each patch; `None` if there is no state."""
        return self._membership.state.version

    @property
    def stateTime(self) -> float:
        """When the last patch has arrived, in seconds of the client's clock."""
        return self._membership.state.time

    @property
    def sent(self) -> int:
        """
        The number of the last message or call that was sent to this membership, or is queued for it. The
        numbers count from 1, without volatile messages.
        """
        return self._sender.sent

    @property
    def handled(self) -> int:
        """
        The number of the last message or call that the server has handled.

        At the event "state", the state has the effects of all messages up to this one, and of none behind
        it, if their handlers change the state before they await anything. After "lost" the numbers can begin
        anew.
        """
        return self._sender.handled

    @property
    def offset(self) -> int:
        """The offset of the last message received."""
        return self._membership.offset

    @property
    def epoch(self) -> str:
        """The log that `offset` belongs to. A room that is created again has another one."""
        return self._membership.epoch

    @property
    def reconnectionToken(self) -> str | None:
        """
        The token with which `Client.resume` continues this membership, also in another process.

        It is `None` after the room was left. Read it when you need it, since it changes with every
        connection. Keep it secret: anybody with it can take the membership over. It contains the options of
        the join, except `auth` and `seat`.
        """
        return None if self._handle.isLeft else self._membership.reconnectionToken

    @property
    def buffered(self) -> int:
        """How many frames are queued because the room is away or its window is full."""
        return self._sender.waiting

    # -- listening

    @overload
    def on(self, name: Literal["presence"], listener: PresenceListener) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["reconnecting", "left"], listener: EndListener) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["recovered"], listener: Callable[[], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["state"], listener: Callable[[Any], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["lost"], listener: Callable[[Loss], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["error"], listener: Callable[[Exception], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: str, listener: MessageListener) -> Callable[[], None]: ...
    # mypy needs this for lambdas with one more argument that has a default.
    @overload
    def on(self, name: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def on(self, name: str, listener: Listener) -> Callable[[], None]:
        """
        Call `listener(data, offset)` for messages of that type, or call `listener` at one of the events of
        the room:

        - "state" (state): the state has changed, or is there for the first time
        - "presence" (members, joined, left): members joined or left, or their metas changed
        - "reconnecting" (code, reason): the room is away; messages sent now are queued
        - "recovered" (): the client is in the room again and has missed nothing
        - "lost" (`Loss`): the client is in the room again, but may have missed messages
        - "left" (code, reason): the client is no longer in the room
        - "error" (error): the server refused a message, or a listener raised an exception

        The offset of a volatile message is `None`. A listener may return a Deferred or a coroutine.

        Returns:
            A function that removes the listener.
        """
        return self._emitterOf(name).on(name, listener)

    @overload
    def once(self, name: Literal["presence"], listener: PresenceListener) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["reconnecting", "left"], listener: EndListener) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["recovered"], listener: Callable[[], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["state"], listener: Callable[[Any], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["lost"], listener: Callable[[Loss], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["error"], listener: Callable[[Exception], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: str, listener: MessageListener) -> Callable[[], None]: ...
    # mypy needs this for lambdas with one more argument that has a default.
    @overload
    def once(self, name: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """Like `on`, but only for the next message or event."""
        return self._emitterOf(name).once(name, listener)

    def off(self, name: str, listener: Callable[..., object] | None = None) -> None:
        """
        Remove a listener that `on` or `once` added; without `listener`, remove all listeners of that name.
        """
        self._emitterOf(name).off(name, listener)

    @overload
    def onMessage(self, type: Literal["*"], listener: AnyMessageListener) -> Callable[[], None]: ...
    @overload
    def onMessage(self, type: str, listener: MessageListener) -> Callable[[], None]: ...
    @overload
    def onMessage(self, type: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def onMessage(self, type: str, listener: Listener) -> Callable[[], None]:
        """
        Call `listener(data, offset)` for messages of that type, even if it is the name of an event.

        With `"*"`, call `listener(type, data, offset)` for messages of all types without a listener of
        their own.

        Returns:
            A function that removes the listener.
        """
        return self._listeners.messages.on(type, listener)

    def onPresence(self, listener: PresenceListener) -> Callable[[], None]:
        """
        Call `listener(members, joined, left)` when a member joins or leaves. Returns a function that
        removes it.
        """
        return self.on("presence", listener)

    def fetchMembers(self) -> Deferred[list[Member]]:
        """
        Fetch the next members that are not in `members`, at most as many as the room's `presenceLimit`.

        They are added to `members`, and the listeners of "presence" are called with no joined and no left
        members.

        Returns:
            A Deferred that fires with the fetched members; the list is empty when all are known. It fails
                with "unavailable" if the room is away or the connection is lost, with "rateLimited" after
                too many requests, and with "timeout" after `requestTimeout`.
        """
        return self._membership.fetchMembers()

    def handle(self, type: str, handler: Callable[[Any], Any]) -> Callable[[], None]:
        """
        Answer the server's calls of that type with what `handler(data)` returns.

        The handler may return a Deferred or a coroutine. If it raises a `RoomError`, the server receives
        that error. For any other exception the server receives "internal", and the exception goes to the
        listeners of "error".

        Returns:
            A function that removes the handler.
        """
        return self._listeners.handle(type, handler)

    def _emitterOf(self, name: str) -> Emitter:
        return self._listeners.events if name in _EVENTS else self._listeners.messages

    # -- sending

    def send(self, type: str, data: Any = None, *, volatile: bool = False) -> Sent:
        """
        Send a message, now or when the client is in the room again. The server handles it exactly once.

        Args:
            type: The type of the message, a string of 1 to 128 characters.
            data: Plain data, or other types that msgspec can encode.
            volatile: Send the message only if the client is in the room now. It may be lost.

        Returns:
            A `Sent`, which tells when the server has handled the message. You can ignore it.

        Raises:
            RoomError: "roomGone" after the room was left, "unavailable" or "rateLimited" if `maxBuffered`
                frames are queued, "invalidData" if the data cannot be encoded or is too large.
        """
        self._refuseIfLeaving()
        return self._sender.send(type, data, volatile)

    def call(self, type: str, data: Any = None, *, timeout: float | None = None) -> Deferred[Any]:
        """
        Send a call; the Deferred fires with the answer. The server handles it at most once, even if the
        connection is lost.

        The Deferred fails with the server's error; with "timeout" after `timeout` seconds (default:
        `callTimeout`); with "replyLost" if the call was or may have been handled but its answer is lost;
        with "roomGone" when the room is left; and with the errors that `send` raises. If you cancel the
        Deferred, the client ignores the answer; the server still handles a call that was sent.
        """
        try:
            self._refuseIfLeaving()
        except RoomError as error:
            return fail(error)
        return self._sender.call(type, data, timeout)

    def ping(self) -> Deferred[float]:
        """Measure the round-trip time to the server, in seconds; see `Client.ping`."""
        return self._client.ping()

    def leave(self) -> Deferred[None]:
        """
        Leave the room. The client first sends the queued messages, then asks the server to end the
        membership. The Deferred fires when the server has answered, or after `leaveTimeout` seconds.

        After `leaveTimeout` the client leaves without sending the messages that are still queued. If there is
        no connection, the server ends the membership when `resumeSeconds` are over.

        If the client has joined the room twice, both joins are one membership. Then only this object ends,
        and the Deferred fires at once.
        """
        return self._membership.leave(self._handle)

    def _refuseIfLeaving(self) -> None:
        if self._handle.isLeaving or self._handle.isLeft:
            raise RoomError(ErrorCode.ROOM_GONE, "the room was left")

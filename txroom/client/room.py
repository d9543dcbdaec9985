"""
A room as the user of its client sees it.
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
from .roomstate import Loss, RoomState
from .sendqueue import Sent

PresenceListener = Callable[[list[Member], list[Member], list[Member]], object]
EndListener = Callable[[int, str], object]
MessageListener = Callable[[Any, int | None], object]
AnyMessageListener = Callable[[str, Any, int | None], object]

#: What `room.on` takes besides the types of messages. A message of such a type: `room.onMessage`.
_EVENTS = frozenset({"presence", "reconnecting", "recovered", "lost", "left", "error"})


class Room:
    """
    A room that the client has joined; made by `client.join` and its like.

    Each join has one of its own, with listeners of its own, which ends with its own `leave()`. Two that lead
    to the same room share one membership there; that ends when the last of them is left.
    """

    def __init__(self, client: BaseClient[Room], membership: Membership, handle: Handle) -> None:
        self._client = client
        self._membership = membership
        self._handle = handle
        self._listeners = handle.listeners
        self._sender = membership.sender

    def __repr__(self) -> str:
        return f"<Room {self.name!r} {self.id} {self.state.value}>"

    @property
    def client(self) -> BaseClient[Room]:
        """The `Client` it was joined with."""
        return self._client

    @property
    def state(self) -> RoomState:
        """Where the membership is in its life."""
        return RoomState.LEFT if self._handle.isLeft else self._membership.state

    @property
    def id(self) -> str:
        """The id of the room; it changes if the client has to join another one after a loss."""
        return self._membership.id

    @property
    def name(self) -> str:
        """The name it was registered with."""
        return self._membership.name

    @property
    def member(self) -> str:
        """The id of this membership."""
        return self._membership.member

    @property
    def members(self) -> list[Member]:
        """Who is here, if the room has presence."""
        return self._membership.presence.members

    @property
    def snapshot(self) -> Any:
        """What `Room.snapshot` of the server gave at the last join or loss."""
        return self._handle.snapshot

    @property
    def offset(self) -> int:
        """The offset of the last message received."""
        return self._membership.offset

    @property
    def epoch(self) -> str:
        """Which log `offset` is of; a room that begins anew has another."""
        return self._membership.epoch

    @property
    def reconnectionToken(self) -> str | None:
        """
        What `Client.resume` takes, also in another process; `None` when the room was left.

        Look at it when you need it: with every connection it is another. Whoever has it can take the
        membership over, so keep it secret. The options of the join are in it, but for `auth`.
        """
        return None if self._handle.isLeft else self._membership.reconnectionToken

    @property
    def buffered(self) -> int:
        """How many frames wait to be sent."""
        return self._sender.waiting

    # -- listening

    @overload
    def on(self, name: Literal["presence"], listener: PresenceListener) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["reconnecting", "left"], listener: EndListener) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["recovered"], listener: Callable[[], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["lost"], listener: Callable[[Loss], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["error"], listener: Callable[[Exception], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: str, listener: MessageListener) -> Callable[[], None]: ...
    # For lambdas with one more argument that has a default, which mypy can't infer otherwise.
    @overload
    def on(self, name: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def on(self, name: str, listener: Listener) -> Callable[[], None]:
        """
        Call `listener(data, offset)` at messages of that type (offset `None`: volatile), or at one of the
        room's own events:

        - "presence" (members, joined, left)
        - "reconnecting" (code, reason): away; what is sent now waits
        - "recovered" (): back, nothing was missed
        - "lost" (`Loss`): back, but messages were missed
        - "left" (code, reason): for good
        - "error" (error): the server refused a message, or a listener raised

        A listener may return a Deferred or a coroutine. Returns a function that ends it.
        """
        return self._emitterOf(name).on(name, listener)

    @overload
    def once(self, name: Literal["presence"], listener: PresenceListener) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["reconnecting", "left"], listener: EndListener) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["recovered"], listener: Callable[[], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["lost"], listener: Callable[[Loss], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["error"], listener: Callable[[Exception], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: str, listener: MessageListener) -> Callable[[], None]: ...
    # For lambdas with one more argument that has a default, which mypy can't infer otherwise.
    @overload
    def once(self, name: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """The same for the next one only."""
        return self._emitterOf(name).once(name, listener)

    def off(self, name: str, listener: Callable[..., object] | None = None) -> None:
        """End what `on` began; without a listener, for all of that name."""
        self._emitterOf(name).off(name, listener)

    @overload
    def onMessage(self, type: Literal["*"], listener: AnyMessageListener) -> Callable[[], None]: ...
    @overload
    def onMessage(self, type: str, listener: MessageListener) -> Callable[[], None]: ...
    @overload
    def onMessage(self, type: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def onMessage(self, type: str, listener: Listener) -> Callable[[], None]:
        """
        Call `listener(data, offset)` at messages of that type, whatever it is named. `"*"` is for the types
        that have no listener of their own: `listener(type, data, offset)`.
        """
        return self._listeners.messages.on(type, listener)

    def onPresence(self, listener: PresenceListener) -> Callable[[], None]:
        """Call `listener(members, joined, left)` when somebody comes or goes."""
        return self.on("presence", listener)

    def handle(self, type: str, handler: Callable[[Any], Any]) -> Callable[[], None]:
        """
        Answer the server's calls of that type with what `handler(data)` returns, later if it is async.

        A `RoomError` that it raises is the answer too; of any other error the server is told "internal", and
        it goes to the listeners of "error". Returns a function that ends it.
        """
        return self._listeners.handle(type, handler)

    def _emitterOf(self, name: str) -> Emitter:
        return self._listeners.events if name in _EVENTS else self._listeners.messages

    # -- speaking

    def send(self, type: str, data: Any = None, *, volatile: bool = False) -> Sent:
        """
        Send a message, now or when the room is back; the server handles it exactly once.

        Raises `RoomError` if it can't be accepted: "roomGone" after the room was left, "unavailable" or
        "rateLimited" when `maxBuffered` frames wait, "invalidData" if it can't be encoded or is too large.

        A `volatile` message is sent only if it can be now, and may get lost.
        """
        self._refuseIfLeaving()
        return self._sender.send(type, data, volatile)

    def call(self, type: str, data: Any = None, *, timeout: float | None = None) -> Deferred[Any]:
        """
        Ask the room; the Deferred has the answer. It is handled at most once, also across a lost connection.

        Fails with the server's error, with "timeout" after `timeout` seconds (default: `callTimeout`), with
        "replyLost" if it was or may have been handled but the answer is lost, with "roomGone" when the room
        is left. Cancelling the Deferred gives the answer up; what was sent is handled all the same.
        """
        try:
            self._refuseIfLeaving()
        except RoomError as error:
            return fail(error)
        return self._sender.call(type, data, timeout)

    def ping(self) -> Deferred[float]:
        """The time to the server and back, in seconds; see `Client.ping`."""
        return self._client.ping()

    def leave(self) -> Deferred[None]:
        """
        Leave, after what was sent before. Fires when the server has said so, or after `leaveTimeout`; at once
        if another join has led to the same room and is not left.

        By then the server is asked to let go in any case, and what still waited is not sent. Only if there is
        no connection it is not told: it gives up the seat by itself, when `resumeSeconds` are over.
        """
        return self._membership.leave(self._handle)

    def _refuseIfLeaving(self) -> None:
        if self._handle.isLeaving or self._handle.isLeft:
            raise RoomError(ErrorCode.ROOM_GONE, "the room was left")

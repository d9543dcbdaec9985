"""
A room as its client sees it: the state of one membership, across connections.

There is no network in here, and no time but the clock's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..codes import CloseCode, ErrorCode
from ..connection import isAsync, toDeferred
from ..rooms.errors import RoomError
from . import frames
from .events import Emitter, Listener
from .frames import Joined, Member, Membership
from .outbox import Outbox, Parcel

if TYPE_CHECKING:
    from .session import Answer, Session

#: What the server takes, in characters.
MAX_TYPE = 128
MAX_CODE = 64
MAX_REASON = 1024
#: Bytes by which a frame may still grow: its number.
_MARGIN = 16

#: After these errors a resume is tried again; after those of `_FORGOTTEN` the client joins anew.
_TEMPORARY = frozenset({"unavailable", "rateLimited", "timeout", "internal"})
_FORGOTTEN = frozenset({"noSuchRoom", "roomGone", "unauthorized"})

_CLOSES: dict[str, int] = {
    ErrorCode.UNAUTHORIZED: CloseCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: CloseCode.KICKED,
    ErrorCode.NO_SUCH_ROOM: CloseCode.NO_SUCH_ROOM,
    ErrorCode.RATE_LIMITED: CloseCode.RATE_ABUSE,
}

#: What `room.on` takes besides the types of messages. A message of such a type: `room.onMessage`.
_EVENTS = frozenset({"presence", "reconnecting", "recovered", "lost", "left", "error"})


class RoomState(StrEnum):
    """
    Where a membership is in its life; while it is away or resuming, what is sent waits.

    ::

        joined --connection lost, left 41xx--> away --connected, a little later--> resuming
        resuming --joined--> joined    --error for now--> away    --error for good--> left
        resuming --forgotten: joins anew--> resuming
        any --left, leave(), a final close code, close()--> left
    """

    JOINED = "joined"
    #: The connection is lost, or the room is not available just now.
    AWAY = "away"
    #: The server was asked; nothing is sent for the room until it has answered.
    RESUMING = "resuming"
    #: For good, see the event "left".
    LEFT = "left"


class NoAnswer(RoomError):
    """The error of a request that the server has not answered."""


@attrs.frozen
class Unconfirmed:
    """A message that was sent, and may or may not have been handled."""

    type: str
    data: Any


@attrs.frozen
class Loss:
    """What comes with the event "lost"."""

    #: What `Room.snapshot` of the server gave.
    snapshot: Any
    members: list[Member]
    #: The messages that follow have greater offsets.
    offset: int
    #: What we had sent, and may or may not have been handled.
    unconfirmed: list[Unconfirmed]


@attrs.frozen
class Entrance:
    """How the client came in."""

    method: str
    target: str
    options: Mapping[str, Any]


@attrs.define(eq=False)
class Leaving:
    """Somebody wants to leave."""

    timer: IDelayedCall
    waiters: list[Deferred[None]]
    isSent: bool = False


class Sent:
    """
    What becomes of a message. It need not be looked at: `await` it, or ask for `whenHandled()`.
    """

    def __init__(self) -> None:
        #: Whether the server has handled it.
        self.isHandled = False
        #: Why that will never be known.
        self.error: RoomError | None = None
        self._waiters: list[Deferred[None]] = []

    def whenHandled(self) -> Deferred[None]:
        """
        Fires when the server has handled the message. Fails with `RoomError`: "roomGone" when the room is
        left before, "replyLost" when that can't be known any more.
        """
        if self.error is not None:
            return fail(self.error)
        if self.isHandled:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def __await__(self) -> Generator[Deferred[None], None, None]:
        return self.whenHandled().__await__()

    def _settle(self, error: RoomError | None = None) -> list[Deferred[None]]:
        self.error = error
        self.isHandled = error is None
        waiters, self._waiters = self._waiters, []
        return waiters


class _SendParcel(Parcel):
    sent: Sent
    room: Room

    def acknowledged(self) -> None:
        for waiter in self.sent._settle():
            self.room._session.turn.post(waiter.callback, None)

    def failed(self, error: RoomError) -> None:
        for waiter in self.sent._settle(error):
            self.room._session.turn.post(waiter.errback, error)


class _CallParcel(Parcel):
    room: Room
    answer: Deferred[Any]
    timer: IDelayedCall | None = None
    isSettled = False

    def failed(self, error: RoomError) -> None:
        self.settle(error)

    def settle(self, error: RoomError | None, data: Any = None) -> None:
        """The call is over for who made it; `answer` fires unless he has given it up."""
        if self.isSettled:
            return
        self.isSettled = True
        session = self.room._session
        if self.ref is not None:
            session.forget(self.ref)
        stop(self.timer)
        if error is None:
            session.turn.post(self.answer.callback, data)
        else:
            session.turn.post(self.answer.errback, error)

    def giveUp(self) -> None:
        """Nobody waits any more."""
        if not self.isSettled:
            self.isSettled = True
            if self.ref is not None:
                self.room._session.forget(self.ref)
            stop(self.timer)
            self.room._abandon(self)


class Room:
    """
    A room that the client has joined; made by `client.join` and its like.
    """

    _log = Logger()

    def __init__(self, session: Session, entrance: Entrance) -> None:
        self._session = session
        self._options = session.options
        self._entrance = entrance
        self._outbox = Outbox(session.options.window)
        self._events = Emitter(self._listenerFailed)
        self._messages = Emitter(lambda type, failure: self._report(failure))
        self._handlers: dict[str, Callable[[Any], Any]] = {}
        self._members: dict[bytes, Member] = {}
        #: What is told when whoever awaited the join has had the time to add listeners.
        self._held: deque[tuple[Any, ...]] | None = deque()
        self._token = ""
        self._attempts = 0
        self._since = 0.0
        #: Counts up when a membership or a connection begins or ends: what began before is of no account.
        self._visit = 0
        self._timer: IDelayedCall | None = None
        self._leaving: Leaving | None = None
        #: Where the membership is in its life.
        self.state = RoomState.AWAY
        #: The id of the room; it changes if the client has to join another one after a loss.
        self.id = ""
        #: The name it was registered with.
        self.name = ""
        #: The id of this membership.
        self.member = ""
        #: What `Room.snapshot` of the server gave at the last join or loss.
        self.snapshot: Any = None
        #: The offset of the last message received, and which log it is of.
        self.offset = 0
        self.epoch = ""

    def __repr__(self) -> str:
        return f"<Room {self.name!r} {self.id} {self.state.value}>"

    @property
    def client(self) -> Session:
        """The client it was joined with."""
        return self._session

    @property
    def members(self) -> list[Member]:
        """Who is here, if the room has presence."""
        return list(self._members.values())

    @property
    def buffered(self) -> int:
        """How many frames wait to be sent."""
        return self._outbox.waiting

    # -- listening

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
        return self._events.on(name, listener) if name in _EVENTS else self.onMessage(name, listener)

    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """The same for the next one only."""
        emitter = self._events if name in _EVENTS else self._messages
        return emitter.once(name, listener)

    def off(self, name: str, listener: Listener | None = None) -> None:
        """End what `on` began; without a listener, for all of that name."""
        (self._events if name in _EVENTS else self._messages).off(name, listener)

    def onMessage(self, type: str, listener: Listener) -> Callable[[], None]:
        """
        Call `listener(data, offset)` at messages of that type, whatever it is named. `"*"` is for the types
        that have no listener of their own: `listener(type, data, offset)`.
        """
        return self._messages.on(type, listener)

    def onPresence(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(members, joined, left)` when somebody comes or goes."""
        return self.on("presence", listener)

    def handle(self, type: str, handler: Callable[[Any], Any]) -> Callable[[], None]:
        """Answer the server's calls of that type with what `handler(data)` returns, later if it is async."""
        if not callable(handler):
            raise TypeError(f"the handler of {type} is no function")
        self._handlers[type] = handler

        def end() -> None:
            if self._handlers.get(type) is handler:
                del self._handlers[type]

        return end

    # -- speaking

    def send(self, type: str, data: Any = None, *, volatile: bool = False) -> Sent:
        """
        Send a message, now or when the room is back; the server handles it exactly once.

        Raises `RoomError` if it can't be accepted: "roomGone" after the room was left, "unavailable" or
        "rateLimited" when `maxBuffered` frames wait, "invalidData" if it can't be encoded or is too large.

        A `volatile` message is sent only if it can be now, and may get lost.
        """
        parcel = _SendParcel(type, self._encoded(type, data))
        parcel.room, parcel.sent = self, Sent()
        with self._session.turn:
            if not volatile:
                self._submit(parcel)
                return parcel.sent
            self._checkSize(parcel)
            parcel.sent._settle()
            if self.state is RoomState.JOINED:
                self._write(parcel)
            return parcel.sent

    def call(self, type: str, data: Any = None, *, timeout: float | None = None) -> Deferred[Any]:
        """
        Ask the room; the Deferred has the answer. It is handled at most once, also across a lost connection.

        Fails with the server's error, with "timeout" after `timeout` seconds (default: `callTimeout`), with
        "replyLost" if it was or may have been handled but the answer is lost, with "roomGone" when the room
        is left. Cancelling the Deferred gives the answer up; what was sent is handled all the same.
        """
        seconds = self._options.callTimeout if timeout is None else timeout
        try:
            parcel = _CallParcel(type, self._encoded(type, data), isAwaited=True)
        except RoomError as error:
            return fail(error)
        parcel.room = self
        parcel.answer = Deferred(lambda _: self._giveUp(parcel))

        def answered(error: RoomError | None, answer: Answer | None) -> None:
            parcel.settle(error, getattr(answer, "data", None))
            self._outbox.answered(parcel)
            self._pump()

        def late() -> None:
            parcel.settle(RoomError(ErrorCode.TIMEOUT, f"no answer to {type} within {seconds:g} s"))
            self._abandon(parcel)

        with self._session.turn:
            parcel.ref = self._session.expect(answered)
            parcel.timer = self._session.later(seconds, late)
            try:
                self._submit(parcel)
            except RoomError as error:
                parcel.settle(error)
        return parcel.answer

    def ping(self) -> Deferred[float]:
        """The time to the server and back, in seconds."""
        return self._session.ping()

    def leave(self) -> Deferred[None]:
        """
        Leave, after what was sent before. Fires when the server has said so, or after `leaveTimeout`; then
        the server gives up the seat by itself.
        """
        if self.state is RoomState.LEFT:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        with self._session.turn:
            if self._leaving is None:
                timer = self._session.later(self._options.leaveTimeout, self._hasLeft)
                self._leaving = Leaving(timer, [waiter])
                self._pump()
            else:
                self._leaving.waiters.append(waiter)
        return waiter

    # -- towards the session; all of it within a turn

    def enter(self, joined: Joined) -> None:
        """The first `joined`."""
        self._take(joined.room, joined.membership, isResumed=False)
        # Whoever awaits the join gets to add listeners before the first event.
        self._session.later(0, self._release)
        if self._members:
            self._tell("presence", self.members, self.members, [])

    def enterAgain(self, joined: Joined) -> None:
        """`joined` to somebody who is here already."""
        membership = joined.membership
        isSame = self.state is RoomState.JOINED and membership.member == self.member
        if not isSame or not self._outbox.acknowledge(membership.handled):
            self._return(joined.room, membership, isResumed=False)
            return
        self._token = membership.token
        self._pump()

    def connected(self) -> None:
        """There is a connection."""
        if self.state is RoomState.AWAY:
            self._resume()

    def away(self, code: int, reason: str) -> None:
        """There is none, or the room is not reachable through it."""
        if self.state is RoomState.LEFT:
            return
        wasJoined = self.state is RoomState.JOINED
        stop(self._timer)
        self.state = RoomState.AWAY
        self._visit += 1
        if self._leaving is not None and self._leaving.isSent:
            self._hasLeft()
        elif wasJoined:
            if self._session.clock.seconds() - self._since >= self._options.stableAfter:
                self._attempts = 0
            self._tell("reconnecting", code, reason)

    def receive(self, frame: frames.RoomFrame) -> None:
        """A frame for this room."""
        if isinstance(frame, frames.Left):
            self._left(frame.code, frame.reason or "")
        elif self.state is not RoomState.JOINED:
            pass  # of the former link: it comes again, or is in `joined`
        elif isinstance(frame, frames.Message):
            self._message(frame)
        elif isinstance(frame, frames.Ack):
            if not self._outbox.acknowledge(frame.n):
                raise frames.NotAFrame("an acknowledgement of what was not sent")
            self._pump()
        elif isinstance(frame, frames.Presence):
            self._changePresence(frame.joined, frame.left)
            self._tell("presence", self.members, frame.joined, frame.left)
        else:
            self._deliver(self._called, frame, self._visit)

    def end(self, code: int, reason: str) -> None:
        """The room is over for us."""
        if self.state is RoomState.LEFT:
            return
        self.state = RoomState.LEFT
        self._visit += 1
        stop(self._timer)
        self._session.remove(self)
        error = RoomError(ErrorCode.ROOM_GONE, reason or f"the room was left ({code})", {"code": code})
        for parcel in self._outbox.clear():
            parcel.failed(error)
        self._tell("left", code, reason)
        if self._leaving is not None:
            stop(self._leaving.timer)
            for waiter in self._leaving.waiters:
                self._session.turn.post(waiter.callback, None)

    def refused(self, error: RoomError) -> None:
        """The server refused something that nobody waits for."""
        self._session.turn.post(self._report, Failure(error))

    # -- membership

    def _resume(self) -> None:
        self.state = RoomState.RESUMING
        self._visit += 1
        visit = self._visit

        def done(error: RoomError | None, joined: Answer | None) -> None:
            if visit != self._visit:
                return
            if isinstance(joined, Joined):
                self._return(joined.room, joined.membership, isResumed=True)
            elif error is not None:
                mayRejoin = self._options.rejoin and self._leaving is None
                if error.code in _FORGOTTEN and mayRejoin:
                    self._rejoin()
                else:
                    self._notResumed(error)

        self._session.ask(
            lambda ref: ("resume", ref, self.id, self._token, self.epoch, self.offset), done, Joined
        )

    def _rejoin(self) -> None:
        """Join anew: the same room if it is still there, else as at first."""
        visit = self._visit
        entrance = self._entrance
        # A reserved seat is for once.
        options = {name: value for name, value in entrance.options.items() if name != "seat"}
        ways = deque([("joinById", self.id)])
        if entrance.method in ("joinOrCreate", "join"):
            ways.append((entrance.method, entrance.target))

        def isWanted() -> bool:
            return visit == self._visit

        def done(error: RoomError | None, joined: Answer | None) -> None:
            if isinstance(joined, Joined):
                present = self._session.room(joined.room)
                if not isWanted():
                    self._session.disown(joined.room)
                elif present is not None and present is not self:
                    present.enterAgain(joined)
                    self.end(CloseCode.ROOM_CLOSED, "instead there is a room that was joined already")
                else:
                    self._return(joined.room, joined.membership, isResumed=False)
            elif error is not None and isWanted():
                if ways and error.code not in _TEMPORARY:
                    self._session.place(*ways.popleft(), options, done, isWanted)
                else:
                    self._notResumed(error)

        self._session.place(*ways.popleft(), options, done, isWanted)

    def _notResumed(self, error: RoomError) -> None:
        if isinstance(error, NoAnswer):
            self._session.drop("no answer")
        elif error.code in _TEMPORARY:
            self._retry(CloseCode.ENGINE_UNAVAILABLE, error.message)
        else:
            self.end(_CLOSES.get(error.code, CloseCode.ROOM_CLOSED), error.message)

    def _retry(self, code: int, reason: str) -> None:
        """Resume a little later, over the connection there is."""
        self.away(code, reason)
        if self.state is not RoomState.AWAY:
            return
        delay = self._options.delay(self._attempts)
        self._attempts += 1
        self._timer = self._session.later(delay, self._session.connectRoom, self)

    def _return(self, id: str, membership: Membership, *, isResumed: bool) -> None:
        unconfirmed = self._take(id, membership, isResumed=isResumed)
        gone = RoomError(ErrorCode.REPLY_LOST, "it may or may not have been handled")
        for parcel in unconfirmed:
            parcel.failed(gone)
        if isResumed and membership.recovered is True and not unconfirmed:
            self._tell("recovered")
        else:
            plain = self._session.codec.plain
            sent = [Unconfirmed(parcel.type, plain(parcel.data)) for parcel in unconfirmed]
            self._tell("lost", Loss(self.snapshot, self.members, membership.offset, sent))
        if membership.members is not None:
            self._tell("presence", self.members, [], [])

    def _take(self, id: str, membership: Membership, *, isResumed: bool) -> list[Parcel]:
        """
        A member, again: sends what is still held, with its old numbers, then what waited.

        Returns the frames that were sent to a membership which is no more, and of which nothing is known.
        """
        isSame = isResumed and membership.member == self.member
        again = self._outbox.resume(membership.handled) if isSame else None
        unconfirmed = self._outbox.restart(membership.handled) if again is None else []
        former = self.id
        self.id = id
        self.name = membership.name or self.name
        self.member = membership.member
        self._token = membership.token
        self.epoch = membership.epoch
        if not isResumed or membership.recovered is not True:
            self.offset = membership.offset
            self.snapshot = membership.snapshot
        self._members = {}
        self._changePresence(membership.members or [], [])
        stop(self._timer)
        self._visit += 1
        self.state = RoomState.JOINED
        self._since = self._session.clock.seconds()
        self._session.admit(self, former)
        for parcel in again or ():
            self._write(parcel)
        self._pump()
        return unconfirmed

    def _left(self, code: int, reason: str) -> None:
        mayResume = 4100 <= code <= 4199
        # While resuming on the same connection it is the former link that ends.
        if self.state is RoomState.RESUMING and (mayResume or code == CloseCode.REPLACED):
            return
        if mayResume and self._leaving is None:
            self._retry(code, reason)
        else:
            self.end(code, reason)

    def _hasLeft(self) -> None:
        self.end(CloseCode.NORMAL, "left")

    # -- in

    def _message(self, message: frames.Message) -> None:
        offset = message.offset
        if offset is not None:
            if offset <= self.offset:
                return
            self.offset = offset
        self._deliver(self._hear, message)

    def _hear(self, message: frames.Message) -> None:
        if not self._messages.emit(message.type, message.data, message.offset):
            self._messages.emit("*", message.type, message.data, message.offset)

    def _changePresence(self, joined: list[Member], left: list[Member]) -> None:
        """Users by their id; a meta is known by its member, and one that comes again replaces the former."""

        def without(user: Any, metas: list[Any]) -> list[Any]:
            gone = {_keyOfMeta(meta) for meta in metas}
            known = self._members.get(_keyOf(user))
            return [meta for meta in known.metas if _keyOfMeta(meta) not in gone] if known else []

        for each in left:
            stay = without(each.user, each.metas)
            if stay:
                self._members[_keyOf(each.user)] = Member(each.user, stay)
            else:
                self._members.pop(_keyOf(each.user), None)
        for each in joined:
            metas = [*without(each.user, each.metas), *each.metas]
            self._members[_keyOf(each.user)] = Member(each.user, metas)

    def _called(self, call: frames.Call, visit: int) -> None:
        """The answer goes to the connection that asked, or nowhere."""

        def answer(*frame: Any) -> None:
            if visit == self._visit and self.state is RoomState.JOINED:
                self._session.write(self._session.codec.write(*frame))

        def replied(data: Any) -> None:
            answer("reply", self.id, call.ref, frames.raw(self._session.codec.data(data)))

        def failed(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, RoomError):
                self._report(failure)
                error = RoomError(ErrorCode.INTERNAL, "the handler failed")
            answer("error", self.id, call.ref, error.code[:MAX_CODE], error.message[:MAX_REASON])

        handler = self._handlers.get(call.type)
        try:
            if handler is None:
                raise RoomError(ErrorCode.UNKNOWN_TYPE, f"no handler of {call.type}")
            result = handler(call.data)
            if isAsync(result):
                toDeferred(result).addCallback(replied).addErrback(failed)
            else:
                replied(result)
        except Exception:
            failed(Failure())

    def _tell(self, name: str, *args: Any) -> None:
        self._deliver(self._events.emit, name, *args)

    def _deliver(self, function: Callable[..., Any], *args: Any) -> None:
        if self._held is None:
            self._session.turn.post(function, *args)
        else:
            self._held.append((function, *args))

    def _release(self) -> None:
        held, self._held = self._held or deque(), None
        for function, *args in held:
            self._session.turn.post(function, *args)

    def _report(self, failure: Failure) -> None:
        if self._events.has("error"):
            self._tell("error", failure.value)
        else:
            self._session.report(failure)

    def _listenerFailed(self, name: str, failure: Failure) -> None:
        if name == "error":
            self._log.failure("a listener of errors failed", failure)
        else:
            self._report(failure)

    # -- out

    def _encoded(self, type: str, data: Any) -> bytes:
        if not isinstance(type, str) or not 0 < len(type) <= MAX_TYPE:
            message = f"the type of a message is a text of 1 to {MAX_TYPE} characters"
            raise RoomError(ErrorCode.BAD_REQUEST, message)
        return self._session.codec.data(data)

    def _checkSize(self, parcel: Parcel) -> None:
        limit = self._options.maxPayload
        if len(self._frame(parcel)) > limit - _MARGIN:
            raise RoomError(ErrorCode.INVALID_DATA, f"larger than {limit} bytes")

    def _submit(self, parcel: Parcel) -> None:
        if self.state is RoomState.LEFT or self._leaving is not None:
            raise RoomError(ErrorCode.ROOM_GONE, "the room was left")
        self._checkSize(parcel)
        limit = self._options.maxBuffered
        if self._outbox.waiting >= limit:
            isHere = self.state is RoomState.JOINED
            code = ErrorCode.RATE_LIMITED if isHere else ErrorCode.UNAVAILABLE
            raise RoomError(code, f"{limit} messages wait already")
        self._outbox.add(parcel)
        self._pump()

    def _giveUp(self, parcel: _CallParcel) -> None:
        with self._session.turn:
            parcel.giveUp()

    def _abandon(self, parcel: Parcel) -> None:
        self._outbox.abandon(parcel)
        self._pump()

    def _pump(self) -> None:
        if self.state is not RoomState.JOINED:
            return
        while (parcel := self._outbox.next()) is not None:
            self._write(parcel)
        if self._leaving is not None and not self._leaving.isSent and not self._outbox.waiting:
            self._leaving.isSent = True
            self._session.leave(self.id, lambda error, answer: self._hasLeft())

    def _write(self, parcel: Parcel) -> None:
        self._session.write(self._frame(parcel))

    def _frame(self, parcel: Parcel) -> bytes:
        head = ("send",) if parcel.ref is None else ("call", parcel.ref)
        tail = () if parcel.n is None else (parcel.n,)
        return self._session.codec.write(*head, self.id, parcel.type, frames.raw(parcel.data), *tail)


def stop(timer: IDelayedCall | None) -> None:
    """Cancel a delayed call, if there is one and it is still to come."""
    if timer is not None and timer.active():
        timer.cancel()


def _keyOf(value: Any) -> bytes:
    return frames.key(value)


def _keyOfMeta(meta: Any) -> bytes:
    member = meta.get("member") if isinstance(meta, dict) else None
    return _keyOf(meta if member is None else member)

"""
The stay in a room: the state of one membership, across connections.

There is no network in here, and no time but the clock's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.codes import CloseCode, ErrorCode
from ..protocol import serverframes as frames
from ..protocol.closecodes import Comeback, comebackAfter, leftCodeOf, mayResume
from ..protocol.errors import RoomError
from ..protocol.joinoptions import SEAT, without
from ..protocol.limits import MAX_CODE, MAX_TEXT
from ..protocol.serverframes import Joined, Member, Membership
from .callqueue import stop
from .codec import NotAFrame, raw
from .connection import ClientState
from .context import Shared
from .inbound import Hearing
from .joining import AuthFailed, Entrance, knock
from .outbound import Post
from .outbox import Parcel
from .presence import Presence
from .requests import Answer, NoAnswer
from .token import Ticket

if TYPE_CHECKING:
    from .room import Room

#: So many times "internal" in a row, and the server's mistake is none that passes.
_MAX_INTERNAL = 5
#: Most calls of the server that wait for an answer.
_MAX_CALLS = 256
#: Most types of messages of which it is said that nobody listens.
_MAX_UNHEARD = 32


class RoomState(StrEnum):
    """
    Where a membership is in its life; while it is away or resuming, what is sent waits.

    ::

        joined --connection lost, left 41xx--> away --connected, a little later--> resuming
        resuming --joined--> joined    --error for now--> away    --error for good--> left
        resuming --forgotten: joins anew--> resuming
        any --left, leave(), a final close code, close()--> left
    """

    #: There is a connection, and we are a member.
    JOINED = "joined"
    #: The connection is lost, or the room is not available just now.
    AWAY = "away"
    #: The server was asked; nothing is sent for the room until it has answered.
    RESUMING = "resuming"
    #: For good, see the event "left".
    LEFT = "left"


@attrs.frozen
class Unconfirmed:
    """A message that was sent, and may or may not have been handled."""

    type: str
    #: Plain data.
    data: Any


@attrs.frozen
class Loss:
    """What comes with the event "lost"."""

    #: What `Room.snapshot` of the server gave.
    snapshot: Any
    #: Who is here now, if the room has presence.
    members: list[Member]
    #: The messages that follow have greater offsets.
    offset: int
    #: What we had sent, and may or may not have been handled.
    unconfirmed: list[Unconfirmed]


@attrs.define(eq=False)
class Share:
    """What one join has of a stay: listeners and an end of its own."""

    hearing: Hearing
    #: For this see `Room`.
    snapshot: Any
    #: What its user holds of it, as long as it lasts.
    room: Room | None = None
    #: Whether its user wants to leave, and has.
    isLeaving: bool = False
    isLeft: bool = False


@attrs.define(eq=False)
class _Leaving:
    """The last who was here wants to leave."""

    timer: IDelayedCall
    waiters: list[Deferred[None]]
    isSent: bool = False


class Stay:
    """
    A membership that outlives its connections; `stays` are all of this client, by the ids of their rooms.

    All joins that lead to the room share it. But for `leave` it is called within a turn.
    """

    _log = Logger()

    def __init__(self, shared: Shared, stays: dict[str, Stay], entrance: Entrance) -> None:
        self._shared = shared
        self._stays = stays
        self._entrance = entrance
        self.post = Post(shared, self.mayLeave)
        self._shares: list[Share] = []
        #: Types of messages that nobody listens to, of which was told.
        self._unheardTypes: set[str] = set()
        #: The server's calls that are to be answered.
        self._calls: set[int] = set()
        self.presence = Presence()
        #: For these see `Room`.
        self.state = RoomState.AWAY
        self.id = ""
        self.name = ""
        self.member = ""
        self.offset = 0
        self.epoch = ""
        self._token = ""
        self._attempts = 0
        #: How often in a row we were not let in again for a mistake of the server's.
        self._internal = 0
        self._since = 0.0
        #: Counts up when a membership or a connection begins or ends: what began before is of no account.
        self._visit = 0
        self._timer: IDelayedCall | None = None
        self._leaving: _Leaving | None = None
        self._onGone: list[Callable[[], None]] = []

    @property
    def reconnectionToken(self) -> str | None:
        """See `Room.reconnectionToken`."""
        if self.state is RoomState.LEFT:
            return None
        return Ticket.of(self.id, self._token, self._shared.requests.lastRef, self._entrance).write()

    # -- what happens to it

    @property
    def rooms(self) -> list[Room]:
        """What users hold of it."""
        return [share.room for share in self._shares if share.room is not None]

    def enter(self, joined: Joined) -> None:
        """The first `joined`."""
        self._take(joined.room, joined.membership, isResumed=False)

    def enterAgain(self, joined: Joined) -> None:
        """`joined` to somebody who is here already."""
        membership = joined.membership
        isSame = self.state is RoomState.JOINED and membership.member == self.member
        if not isSame or not self.post.acknowledge(membership.handled):
            self._return(joined.room, membership, isResumed=False)
            return
        self._token = membership.token
        self.post.pump()

    def share(self, snapshot: Any) -> Share:
        """One more join has led here."""
        if self._leaving is not None and not self._leaving.isSent:
            self._stayAfterAll()
        share = Share(Hearing(self._shared, self._unheard), snapshot)
        self._shares.append(share)
        # Whoever awaits the join gets to add listeners before the first event.
        self._shared.turn.later(0, share.hearing.begin)
        members = self.presence.members
        if members:
            share.hearing.events.tell("presence", members, members, [])
        return share

    def report(self, failure: Failure) -> None:
        """Something is wrong with what was sent: whoever listens is told."""
        listening = [share.hearing.events for share in self._shares if share.hearing.events.has("error")]
        for events in listening:
            events.report(failure)
        if not listening:
            self._shared.report(failure)

    def connected(self) -> None:
        """There is a connection."""
        if self.state is RoomState.AWAY:
            self._resume()

    def away(self, code: int, reason: str) -> None:
        """There is none, or the room is not reachable through it."""
        if self.state is RoomState.LEFT:
            return
        wasJoined = self.state is RoomState.JOINED
        self._interrupt(RoomState.AWAY)
        if self._leaving is not None and self._leaving.isSent:
            self._hasLeft()
        elif wasJoined:
            if self._shared.turn.clock.seconds() - self._since >= self._shared.options.stableAfter:
                self._attempts = 0
            self._tell("reconnecting", code, reason)

    def receive(self, frame: frames.RoomFrame) -> None:
        """A frame for this room, but for messages."""
        if isinstance(frame, frames.Left):
            self._left(frame.code, frame.reason or "")
        elif self.state is not RoomState.JOINED:
            pass  # of the former link: it comes again, or is in `joined`
        elif isinstance(frame, frames.Ack):
            if not self.post.acknowledge(frame.n):
                raise NotAFrame("an acknowledgement of what was not sent")
            self.post.pump()
        elif isinstance(frame, frames.Presence):
            self.presence.change(frame.joined, frame.left)
            self._tell("presence", self.presence.members, frame.joined, frame.left)
        elif isinstance(frame, frames.Call):
            self._called(frame)

    def message(self, message: frames.Message) -> None:
        """A message of this room; hot."""
        if self.state is not RoomState.JOINED:
            return  # of the former link, as in `receive`
        offset = message.offset
        if offset is not None:
            if offset <= self.offset:
                return
            self.offset = offset
        for share in list(self._shares):
            share.hearing.message(message)

    def leave(self, share: Share) -> Deferred[None]:
        """See `Room.leave`."""
        if share.isLeft:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        with self._shared.turn:
            share.isLeaving = True
            if any(not other.isLeaving for other in self._shares):
                self._part(share, CloseCode.NORMAL, "left")
                self._shared.turn.post(waiter.callback, None)
            elif self._leaving is None:
                timer = self._shared.turn.later(self._shared.options.leaveTimeout, self._tooLate)
                self._leaving = _Leaving(timer, [waiter])
                self.post.end()
                self.post.pump()
            else:
                self._leaving.waiters.append(waiter)
        return waiter

    @property
    def isLeaving(self) -> bool:
        """Whether the last who was here wants to leave."""
        return self._leaving is not None

    def whenGone(self, function: Callable[[], None]) -> None:
        """Call it within a turn when the room is over for us."""
        self._onGone.append(function)

    def end(self, code: int, reason: str) -> None:
        """The room is over for us."""
        if self.state is RoomState.LEFT:
            return
        self._interrupt(RoomState.LEFT)
        self._forget(self.id)
        self.post.close()
        error = RoomError(ErrorCode.ROOM_GONE, reason or f"the room was left ({code})", {"code": code})
        self.post.failAll(error)
        for share in list(self._shares):
            self._part(share, code, reason)
        self._releaseWaiters()
        onGone, self._onGone = self._onGone, []
        for function in onGone:
            self._shared.turn.post(function)

    def _part(self, share: Share, code: int, reason: str) -> None:
        """It is over for one of those who are here."""
        self._shares.remove(share)
        share.isLeft = True
        share.room = None
        share.hearing.events.tell("left", code, reason)
        share.hearing.end()

    def _releaseWaiters(self) -> None:
        if self._leaving is not None:
            stop(self._leaving.timer)
            waiters, self._leaving.waiters = self._leaving.waiters, []
            for waiter in waiters:
                self._shared.turn.post(waiter.callback, None)

    def _stayAfterAll(self) -> None:
        """Another join has led here before the leave was sent: only who wanted to leave is gone."""
        for share in list(self._shares):
            self._part(share, CloseCode.NORMAL, "left")
        self._releaseWaiters()
        self._leaving = None
        self.post.goOn()

    # -- coming back

    def _resume(self) -> None:
        self.state = RoomState.RESUMING
        self._visit += 1
        visit = self._visit

        def done(error: RoomError | None, joined: Answer | None) -> None:
            if visit != self._visit:
                if isinstance(joined, Joined) and joined.room not in self._stays:
                    self._shared.requests.leave(joined.room)
            elif isinstance(joined, Joined):
                self._return(joined.room, joined.membership, isResumed=True)
            elif error is not None:
                mayRejoin = self._shared.options.rejoin and self._leaving is None
                if comebackAfter(error.code) is Comeback.REJOIN and mayRejoin:
                    self._rejoin()
                else:
                    self._notResumed(error)

        self._shared.requests.ask(
            lambda ref: ("resume", ref, self.id, self._token, self.epoch, self.offset), done, Joined
        )

    def _rejoin(self) -> None:
        """Join anew: the same room if it is still there, else as at first."""
        visit = self._visit
        first = self._entrance
        options = without(first.options, SEAT)  # which is for once
        ways = deque([Entrance("joinById", self.id, options)])
        if first.method in ("joinOrCreate", "join"):
            ways.append(Entrance(first.method, first.target, options))

        def isWanted() -> bool:
            return visit == self._visit

        def done(error: RoomError | None, joined: Answer | None) -> None:
            if isinstance(joined, Joined):
                present = self._stays.get(joined.room)
                if not isWanted():
                    if present is None:
                        self._shared.requests.leave(joined.room)
                elif present is not None and present is not self:
                    present.enterAgain(joined)
                    self.end(CloseCode.ROOM_CLOSED, "instead there is a room that was joined already")
                else:
                    self._return(joined.room, joined.membership, isResumed=False)
            elif error is not None and isWanted():
                if ways and not _isTemporary(error):
                    knock(self._shared, ways.popleft(), done, isWanted)
                else:
                    self._notResumed(error)

        knock(self._shared, ways.popleft(), done, isWanted)

    def _notResumed(self, error: RoomError) -> None:
        self._internal = self._internal + 1 if error.code == ErrorCode.INTERNAL else 0
        if isinstance(error, NoAnswer):
            self._shared.line.drop("no answer")
        elif self._internal >= _MAX_INTERNAL:
            self.report(Failure(error))
            self.end(CloseCode.ROOM_CLOSED, error.message or error.code)
        elif _isTemporary(error):
            self._retry(CloseCode.ENGINE_UNAVAILABLE, error.message)
        else:
            self.end(leftCodeOf(error.code), error.message)

    def _retry(self, code: int, reason: str) -> None:
        """Resume a little later, over the connection there is."""
        self.away(code, reason)
        if self.state is not RoomState.AWAY:
            return
        delay = self._shared.options.delay(self._attempts)
        self._attempts += 1
        self._timer = self._shared.turn.later(delay, self._again)

    def _again(self) -> None:
        if self._shared.line.state is ClientState.OPEN:
            self.connected()

    def _return(self, id: str, membership: Membership, *, isResumed: bool) -> None:
        unconfirmed = self._take(id, membership, isResumed=isResumed)
        gone = RoomError(ErrorCode.REPLY_LOST, "it may or may not have been handled")
        for parcel in unconfirmed:
            parcel.failed(gone)
        if isResumed and membership.recovered is True and not unconfirmed:
            self._tell("recovered")
        else:
            plain = self._shared.codec.plain
            sent = [Unconfirmed(parcel.type, plain(parcel.data)) for parcel in unconfirmed]
            self._tell("lost", Loss(membership.snapshot, self.presence.members, membership.offset, sent))
        if membership.members is not None:
            self._tell("presence", self.presence.members, [], [])

    def _take(self, id: str, membership: Membership, *, isResumed: bool) -> list[Parcel]:
        """
        A member, again: sends what is still held, with its old numbers, then what waited.

        Returns the frames that were sent to a membership which is no more, and of which nothing is known.
        """
        isSame = isResumed and membership.member == self.member
        handled, accepted = membership.handled, max(membership.handled, membership.accepted)
        again = self.post.resume(handled, accepted) if isSame else None
        unconfirmed = self.post.restart(handled, accepted) if again is None else []
        self._forget(self.id)
        self._stays[id] = self
        self.id = id
        self.name = membership.name or self.name
        self.member = membership.member
        self._token = membership.token
        self.epoch = membership.epoch
        if not isResumed or membership.recovered is not True:
            self.offset = membership.offset
            for share in self._shares:
                share.snapshot = membership.snapshot
        self.presence.restart(membership.members or [])
        stop(self._timer)
        self._visit += 1
        self.state = RoomState.JOINED
        self._internal = 0
        self._since = self._shared.turn.clock.seconds()
        self.post.open(id, again or [])
        return unconfirmed

    # -- going away

    def _interrupt(self, state: RoomState) -> None:
        """No member over this connection any more."""
        stop(self._timer)
        self.state = state
        self._visit += 1
        self._calls.clear()
        self.post.shut()

    def _forget(self, id: str) -> None:
        if self._stays.get(id) is self:
            del self._stays[id]

    def _left(self, code: int, reason: str) -> None:
        # While resuming on the same connection it is the former link that ends.
        if self.state is RoomState.RESUMING and (mayResume(code) or code == CloseCode.REPLACED):
            return
        if mayResume(code) and self._leaving is None:
            self._retry(code, reason)
        else:
            self.end(code, reason)

    def mayLeave(self) -> None:
        """All that was sent is on its way; a join that may lead here isn't."""
        leaving = self._leaving
        if leaving is None or leaving.isSent or self.state is not RoomState.JOINED or self.post.waiting:
            return
        if not self._shared.isAwaited(self.name, self.id):
            leaving.isSent = True
            self._shared.requests.leave(self.id, lambda error, answer: self._hasLeft())

    def _tooLate(self) -> None:
        """Nobody waits any longer; what still waits to be sent is not sent."""
        leaving = self._leaving
        if self.state is RoomState.JOINED and leaving is not None and not leaving.isSent:
            if self._shared.isAwaited(self.name, self.id):
                for share in list(self._shares):
                    self._part(share, CloseCode.NORMAL, "left")
                self._releaseWaiters()
                return
            self._shared.requests.leave(self.id)
        self._hasLeft()

    def _hasLeft(self) -> None:
        self.end(CloseCode.NORMAL, "left")

    # -- what it hears

    def isVisit(self, visit: int) -> bool:
        """Whether it is that visit still: no connection was lost since."""
        return visit == self._visit and self.state is RoomState.JOINED

    def _called(self, call: frames.Call) -> None:
        """A call has come: who has a handler answers, or may have one when the turn is over."""
        answers = _Answers(self, self._shared, self._visit, self._calls)
        if len(self._calls) >= _MAX_CALLS:
            error = RoomError(ErrorCode.RATE_LIMITED, f"{_MAX_CALLS} calls are to be answered already")
            answers.error(call.ref, error)
            return
        self._calls.add(call.ref)
        hearings = [share.hearing for share in self._shares]
        able = [hearing for hearing in hearings if hearing.hasHandler(call.type)]
        fresh = [hearing for hearing in hearings if not hearing.hasBegun]
        if not hearings:
            answers.error(call.ref, RoomError(ErrorCode.ROOM_GONE, "the room is being left"))
        for hearing in (able or fresh or hearings)[:1]:
            hearing.call(call, answers)

    def _unheard(self, type: str) -> None:
        """A message had no listener with one of those who are here; say so once if it had none at all."""
        told = self._unheardTypes
        if type in told or len(told) >= _MAX_UNHEARD or any(one.hearing.hears(type) for one in self._shares):
            return
        told.add(type)
        self._log.warn(
            "nobody listens to messages of type {type!r} of room {name!r}", type=type, name=self.name
        )

    def _tell(self, name: str, *args: Any) -> None:
        for share in list(self._shares):
            share.hearing.events.tell(name, *args)


class _Answers:
    """Answers go to the connection that asked, or nowhere."""

    def __init__(self, stay: Stay, shared: Shared, visit: int, calls: set[int]) -> None:
        self._stay = stay
        self._shared = shared
        self._visit = visit
        self._calls = calls

    def reply(self, ref: int, data: Any) -> None:
        """With data. Raises `RoomError` if that can't be sent, and then nothing was."""
        codec, limit = self._shared.codec, self._shared.options.maxPayload
        frame = codec.write("reply", self._stay.id, ref, raw(codec.data(data, "answer")))
        if len(frame) > limit:
            raise RoomError(ErrorCode.INVALID_DATA, f"answer: {len(frame)} bytes, of at most {limit}")
        self._write(ref, frame)

    def error(self, ref: int, error: RoomError) -> None:
        """With an error."""
        code, message = error.code[:MAX_CODE], error.message[:MAX_TEXT]
        self._write(ref, self._shared.codec.write("error", self._stay.id, ref, code, message))

    def _write(self, ref: int, frame: bytes) -> None:
        if self._stay.isVisit(self._visit):
            self._calls.discard(ref)
            self._shared.line.write(frame)


def _isTemporary(error: RoomError) -> bool:
    """Whether it is worth to try again."""
    return isinstance(error, AuthFailed) or comebackAfter(error.code) is Comeback.RETRY

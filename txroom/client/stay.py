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
from twisted.python.failure import Failure

from ..codes import CloseCode, ErrorCode
from ..rooms.credentials import SEAT, without
from ..rooms.errors import RoomError
from . import frames
from .entering import Entrance, knock
from .frames import Joined, Member, Membership
from .hearing import Hearing
from .line import ClientState
from .outbox import Parcel
from .post import Post
from .presence import Presence
from .requests import Answer, NoAnswer
from .shared import Shared
from .ticket import Ticket
from .turn import stop

if TYPE_CHECKING:
    from .room import Room

#: After these errors a resume is tried again; after those of `_FORGOTTEN` the client joins anew.
_TEMPORARY = frozenset({"unavailable", "rateLimited", "timeout", "internal"})
_FORGOTTEN = frozenset({"noSuchRoom", "roomGone", "unauthorized"})
#: So many times "internal" in a row, and the server's mistake is none that passes.
_MAX_INTERNAL = 5

_CLOSES: dict[str, int] = {
    ErrorCode.UNAUTHORIZED: CloseCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: CloseCode.KICKED,
    ErrorCode.NO_SUCH_ROOM: CloseCode.NO_SUCH_ROOM,
    ErrorCode.RATE_LIMITED: CloseCode.RATE_ABUSE,
}


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
class _Leaving:
    """Somebody wants to leave."""

    timer: IDelayedCall
    waiters: list[Deferred[None]]
    isSent: bool = False


class Stay:
    """
    A membership that outlives its connections; `stays` are all of this client, by the ids of their rooms.

    But for `leave` it is called within a turn.
    """

    #: What users hold of it.
    room: Room

    def __init__(self, shared: Shared, stays: dict[str, Stay], entrance: Entrance) -> None:
        self._shared = shared
        self._stays = stays
        self._entrance = entrance
        self.post = Post(shared, self._mayLeave)
        self.hearing = Hearing(shared)
        self.presence = Presence()
        #: For these see `Room`.
        self.state = RoomState.AWAY
        self.id = ""
        self.name = ""
        self.member = ""
        self.snapshot: Any = None
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

    @property
    def reconnectionToken(self) -> str | None:
        """See `Room.reconnectionToken`."""
        if self.state is RoomState.LEFT:
            return None
        return Ticket.of(self.id, self._token, self._shared.requests.lastRef, self._entrance).write()

    # -- what happens to it

    def enter(self, joined: Joined) -> None:
        """The first `joined`."""
        self._take(joined.room, joined.membership, isResumed=False)
        # Whoever awaits the join gets to add listeners before the first event.
        self._shared.turn.later(0, self.hearing.begin)
        members = self.presence.members
        if members:
            self._tell("presence", members, members, [])

    def enterAgain(self, joined: Joined) -> None:
        """`joined` to somebody who is here already."""
        membership = joined.membership
        isSame = self.state is RoomState.JOINED and membership.member == self.member
        if not isSame or not self.post.acknowledge(membership.handled):
            self._return(joined.room, membership, isResumed=False)
            return
        self._token = membership.token
        self.post.pump()

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
        """A frame for this room."""
        if isinstance(frame, frames.Left):
            self._left(frame.code, frame.reason or "")
        elif self.state is not RoomState.JOINED:
            pass  # of the former link: it comes again, or is in `joined`
        elif isinstance(frame, frames.Message):
            self._message(frame)
        elif isinstance(frame, frames.Ack):
            if not self.post.acknowledge(frame.n):
                raise frames.NotAFrame("an acknowledgement of what was not sent")
            self.post.pump()
        elif isinstance(frame, frames.Presence):
            self.presence.change(frame.joined, frame.left)
            self._tell("presence", self.presence.members, frame.joined, frame.left)
        else:
            self.hearing.call(frame, self._answerOf(self._visit))

    def leave(self) -> Deferred[None]:
        """See `Room.leave`."""
        if self.state is RoomState.LEFT:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        with self._shared.turn:
            if self._leaving is None:
                timer = self._shared.turn.later(self._shared.options.leaveTimeout, self._tooLate)
                self._leaving = _Leaving(timer, [waiter])
                self.post.end()
                self.post.pump()
            else:
                self._leaving.waiters.append(waiter)
        return waiter

    def end(self, code: int, reason: str) -> None:
        """The room is over for us."""
        if self.state is RoomState.LEFT:
            return
        self._interrupt(RoomState.LEFT)
        self._forget(self.id)
        self.post.end()
        error = RoomError(ErrorCode.ROOM_GONE, reason or f"the room was left ({code})", {"code": code})
        self.post.failAll(error)
        self._tell("left", code, reason)
        if self._leaving is not None:
            stop(self._leaving.timer)
            for waiter in self._leaving.waiters:
                self._shared.turn.post(waiter.callback, None)

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
                if error.code in _FORGOTTEN and mayRejoin:
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
                if ways and error.code not in _TEMPORARY:
                    knock(self._shared, ways.popleft(), done, isWanted)
                else:
                    self._notResumed(error)

        knock(self._shared, ways.popleft(), done, isWanted)

    def _notResumed(self, error: RoomError) -> None:
        self._internal = self._internal + 1 if error.code == ErrorCode.INTERNAL else 0
        if isinstance(error, NoAnswer):
            self._shared.line.drop("no answer")
        elif self._internal >= _MAX_INTERNAL:
            self.hearing.events.report(Failure(error))
            self.end(CloseCode.ROOM_CLOSED, error.message or error.code)
        elif error.code in _TEMPORARY:
            self._retry(CloseCode.ENGINE_UNAVAILABLE, error.message)
        else:
            self.end(_CLOSES.get(error.code, CloseCode.ROOM_CLOSED), error.message)

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
            self._tell("lost", Loss(self.snapshot, self.presence.members, membership.offset, sent))
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
            self.snapshot = membership.snapshot
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
        self.post.shut()

    def _forget(self, id: str) -> None:
        if self._stays.get(id) is self:
            del self._stays[id]

    def _left(self, code: int, reason: str) -> None:
        mayResume = 4100 <= code <= 4199
        # While resuming on the same connection it is the former link that ends.
        if self.state is RoomState.RESUMING and (mayResume or code == CloseCode.REPLACED):
            return
        if mayResume and self._leaving is None:
            self._retry(code, reason)
        else:
            self.end(code, reason)

    def _mayLeave(self) -> None:
        """All that was sent is on its way."""
        if self._leaving is not None and not self._leaving.isSent:
            self._leaving.isSent = True
            self._shared.requests.leave(self.id, lambda error, answer: self._hasLeft())

    def _tooLate(self) -> None:
        """Nobody waits any longer; what still waits to be sent is not sent."""
        if self.state is RoomState.JOINED and self._leaving is not None and not self._leaving.isSent:
            self._shared.requests.leave(self.id)
        self._hasLeft()

    def _hasLeft(self) -> None:
        self.end(CloseCode.NORMAL, "left")

    # -- what it hears

    def _message(self, message: frames.Message) -> None:
        offset = message.offset
        if offset is not None:
            if offset <= self.offset:
                return
            self.offset = offset
        self.hearing.message(message)

    def _answerOf(self, visit: int) -> Callable[..., None]:
        """An answer goes to the connection that asked, or nowhere."""

        def answer(*frame: Any) -> None:
            if visit == self._visit and self.state is RoomState.JOINED:
                self._shared.line.write(self._shared.codec.write(*frame))

        return answer

    def _tell(self, name: str, *args: Any) -> None:
        self.hearing.events.tell(name, *args)

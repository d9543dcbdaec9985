"""
A membership in a room, which survives lost connections; its statuses are those of `RoomStatus`.

This module does no network input or output, and takes the time only from the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ..core.codes import CloseCode, ErrorCode
from ..protocol import serverframes as frames
from ..protocol.closecodes import mayResume
from ..protocol.errors import RoomError
from ..protocol.serverframes import Joined, Member, MembershipInfo, Reply
from .callqueue import stop
from .codec import NotAFrame
from .context import ClientContext
from .joinattempt import JoinRequest
from .listeners import RoomListeners, Unheard
from .presence import Presence
from .recovery import Recovery
from .requests import Answer
from .roomstate import RoomState
from .roomstatus import Loss, RoomStatus, Unconfirmed
from .sender import RoomSender
from .sendqueue import Pending
from .servercalls import ServerCalls
from .token import ReconnectionToken


@attrs.define(eq=False)
class Handle:
    """The part of a shared membership that belongs to one join: its listeners, and whether it was left."""

    listeners: RoomListeners
    #: See `Room.snapshot`.
    snapshot: Any
    #: The `Room` of the user until it is left; kept for `Client.joined`.
    room: Any = None
    #: Whether the user has called `leave()`, and whether the room was left.
    isLeaving: bool = False
    isLeft: bool = False


@attrs.define(eq=False)
class _Leaving:
    """What is pending after the last user of a membership has called `leave()`."""

    timer: IDelayedCall
    waiters: list[Deferred[None]]
    #: Whether the server was asked to end the membership.
    isSent: bool = False


class Membership:
    """
    A membership that survives lost connections.

    `memberships` maps the id of each room that this client is in to its membership. All joins that lead to
    the same room share one. The code that made one of these joins is a *user* of the membership. Each user
    has a `Room` and a `Handle`, and leaves by itself.

    The methods, except `leave` and `fetchMembers`, are called within `with queue:`.
    """

    def __init__(
        self, context: ClientContext, memberships: dict[str, Membership], request: JoinRequest
    ) -> None:
        self._context = context
        self._memberships = memberships
        self._request = request
        self.sender = RoomSender(context, self.leaveIfSent)
        self._calls = ServerCalls(context)
        self._recovery = Recovery(context, request)
        self._handles: list[Handle] = []
        self._unheard = Unheard()
        self.presence = Presence()
        self.state = RoomState(context.queue.clock, context.options.states)
        #: See the properties of `Room`.
        self.status = RoomStatus.AWAY
        self.id = ""
        self.name = ""
        self.member = ""
        self.offset = 0
        self.epoch = ""
        #: The resume token.
        self.token = ""
        self._leaving: _Leaving | None = None
        self._endCallbacks: list[Callable[[], None]] = []

    @property
    def reconnectionToken(self) -> str | None:
        """See `Room.reconnectionToken`."""
        if self.status is RoomStatus.LEFT:
            return None
        return ReconnectionToken.of(
            self.id, self.token, self._context.requests.lastRef, self._request
        ).write()

    @property
    def rooms(self) -> list[Any]:
        """The `Room` of each user."""
        return [handle.room for handle in self._handles if handle.room is not None]

    # -- entering

    def enter(self, joined: Joined) -> None:
        """Enter the room, because the server has answered the first join."""
        self._apply(joined.room, joined.membership, isResumed=False)

    def enterAgain(self, joined: Joined) -> None:
        """
        Take the answer of the server to another join, which led to the room that the client is in already.
        """
        info = joined.membership
        isSame = self.status is RoomStatus.JOINED and info.member == self.member
        if not isSame or not self.sender.acknowledge(info.handled):
            self._readmit(joined.room, info, isResumed=False)
            return
        self.token = info.token
        self.state.expect(info, self.name)
        self.sender.pump()

    def addHandle(self, snapshot: Any) -> Handle:
        """Add the handle of one more join that led to this room."""
        if self._leaving is not None and not self._leaving.isSent:
            self._cancelLeaving()
        handle = Handle(RoomListeners(self._context, self._noListener), snapshot)
        self._handles.append(handle)
        members = self.presence.members
        if members:
            handle.listeners.events.tell("presence", members, members, [])
        if self.state.root is not None:
            handle.listeners.events.tell("state", self.state.root)
        return handle

    def begin(self, handle: Handle) -> None:
        """Deliver events from the next turn on: the code that awaits the join can add listeners before."""
        self._context.queue.later(0, handle.listeners.begin)

    def _readmit(self, id: str, info: MembershipInfo, *, isResumed: bool) -> None:
        """Enter the room again, and tell the users whether messages were lost."""
        unconfirmed = self._apply(id, info, isResumed=isResumed)
        gone = RoomError(
            ErrorCode.REPLY_LOST, "the connection was lost, and the server may or may not have handled this"
        )
        for pending in unconfirmed:
            pending.failed(gone)
        if isResumed and info.recovered is True and not unconfirmed:
            self._tell("recovered")
        else:
            plain = self._context.codec.plain
            sent = [Unconfirmed(pending.type, plain(pending.data)) for pending in unconfirmed]
            self._tell("lost", Loss(info.snapshot, self.presence.members, info.offset, sent))
        if info.members is not None:
            self._tell("presence", self.presence.members, [], [])

    def _apply(self, id: str, info: MembershipInfo, *, isResumed: bool) -> list[Pending]:
        """
        Enter the room as the frame `joined` says.

        First send again the frames that were sent but not acknowledged, with their old numbers; then send
        those that were never sent.

        Returns:
            The frames that were sent to a former membership and may or may not have been handled.
        """
        isSame = isResumed and info.member == self.member
        handled, accepted = info.handled, max(info.handled, info.accepted)
        again = self.sender.resume(handled, accepted) if isSame else None
        unconfirmed = self.sender.restart(handled, accepted) if again is None else []
        self._unregister()
        self._memberships[id] = self
        self.id = id
        self.name = info.name or self.name
        self.member = info.member
        self.token = info.token
        self.epoch = info.epoch
        if not isResumed or info.recovered is not True:
            self.offset = info.offset
            for handle in self._handles:
                handle.snapshot = info.snapshot
        self.presence.restart(info)
        self.state.expect(info, self.name)
        self.status = RoomStatus.JOINED
        self._recovery.entered()
        self._calls.restart()
        self.sender.open(id, again or [])
        return unconfirmed

    # -- what the server sends

    def message(self, message: frames.Message) -> None:
        """Deliver a message of this room. This is called for each message, so it must be fast."""
        if self.status is not RoomStatus.JOINED:
            return  # it was sent before the room was resumed, as in `receive`
        offset = message.offset
        if offset is not None:
            if offset <= self.offset:
                return
            self.offset = offset
        for handle in list(self._handles):
            handle.listeners.message(message)

    def receive(self, frame: frames.RoomFrame) -> None:
        """Handle another frame for this room."""
        if isinstance(frame, frames.Left):
            self._left(frame.code, frame.reason or "")
        elif self.status is not RoomStatus.JOINED:
            pass  # it was sent before the room was resumed: it comes again, or `joined` contains it
        elif isinstance(frame, frames.Ack):
            if not self.sender.acknowledge(frame.n):
                raise NotAFrame("an acknowledgement of frames that were not sent")
            self.sender.pump()
        elif isinstance(frame, frames.Presence):
            self.presence.change(frame)
            self._tell("presence", self.presence.members, frame.joined, frame.left)
        elif isinstance(frame, frames.State):
            self.state.replace(frame)
            self._tell("state", self.state.root)
        elif isinstance(frame, frames.Patch):
            if self.state.lacks(frame):
                self._recovery.later(self, CloseCode.STATE_LOST, "a patch of the state is missing")
            elif self.state.patch(frame):
                self._tell("state", self.state.root)
        elif isinstance(frame, frames.Call):
            self._calls.called(frame, [handle.listeners for handle in self._handles])

    def fetchMembers(self) -> Deferred[list[Member]]:
        """See `Room.fetchMembers`."""
        after = self.presence.after
        if self.status is not RoomStatus.JOINED:
            return fail(RoomError(ErrorCode.UNAVAILABLE, "the room is away"))
        if after is None:
            return succeed([])
        fetched: Deferred[list[Member]] = Deferred()

        def done(error: RoomError | None, answer: Answer | None) -> None:
            try:
                if not isinstance(answer, Reply):
                    raise error or RoomError(ErrorCode.INTERNAL)
                members = self.presence.add(answer.data)
            except RoomError as error:
                self._context.queue.post(fetched.errback, error)
            else:
                self._tell("presence", self.presence.members, [], [])
                self._context.queue.post(fetched.callback, members)

        with self._context.queue:
            self._context.requests.ask(lambda ref: ("members", ref, self.id, after), done)
        return fetched

    def _left(self, code: int, reason: str) -> None:
        # While the client resumes on the same connection, this frame ends the former membership there.
        if self.status is RoomStatus.RESUMING and (mayResume(code) or code == CloseCode.REPLACED):
            return
        if mayResume(code) and self._leaving is None:
            self._recovery.later(self, code, reason)
        else:
            self.end(code, reason)

    # -- interruption and recovery

    @property
    def isAway(self) -> bool:
        """Whether the status is `RoomStatus.AWAY`."""
        return self.status is RoomStatus.AWAY

    @property
    def mayRejoin(self) -> bool:
        """Whether the client may join again as another member."""
        return self._context.options.rejoin and self._leaving is None

    def connected(self) -> None:
        """Resume if the membership is away, because the connection is open."""
        if self.status is RoomStatus.AWAY:
            self.status = RoomStatus.RESUMING
            self._recovery.begin(self)

    def readmitted(self, joined: Joined, *, isResumed: bool) -> None:
        """Enter the room again, or another one of the same name, because the server has let the client in."""
        present = self._memberships.get(joined.room)
        if not isResumed and present is not None and present is not self:
            present.enterAgain(joined)
            self.end(
                CloseCode.ROOM_CLOSED, "the client has joined another room instead, which it was in already"
            )
        else:
            self._readmit(joined.room, joined.membership, isResumed=isResumed)

    def away(self, code: int, reason: str) -> None:
        """
        Interrupt the membership, because the connection is lost, or the room cannot be reached through it.
        """
        if self.status is RoomStatus.LEFT:
            return
        wasJoined = self.status is RoomStatus.JOINED
        self._interrupt(RoomStatus.AWAY)
        if code != CloseCode.STATE_LOST:
            self.state.fail(RoomError(ErrorCode.UNAVAILABLE, "the connection was lost", {"code": code}))
        if self._leaving is not None and self._leaving.isSent:
            self._hasLeft()
        elif wasJoined:
            self._tell("reconnecting", code, reason)

    def end(self, code: int, reason: str) -> None:
        """End the membership, because the client is no longer in the room, and tell all users."""
        if self.status is RoomStatus.LEFT:
            return
        self._interrupt(RoomStatus.LEFT)
        self._unregister()
        self.sender.close()
        error = RoomError(ErrorCode.ROOM_GONE, reason or f"the room was left ({code})", {"code": code})
        self.sender.failAll(error)
        self.state.fail(error)
        for handle in list(self._handles):
            self._endHandle(handle, code, reason)
        self._releaseWaiters()
        onGone, self._endCallbacks = self._endCallbacks, []
        for function in onGone:
            self._context.queue.post(function)

    def whenEnded(self, function: Callable[[], None]) -> None:
        """Call `function` within `with queue:` when the client is no longer in the room."""
        self._endCallbacks.append(function)

    def _interrupt(self, status: RoomStatus) -> None:
        """Stop sending to the room, because the client is no longer a member over this connection."""
        self.status = status
        self._recovery.interrupted()
        self._calls.restart()
        self.sender.shut()

    def _unregister(self) -> None:
        if self._memberships.get(self.id) is self:
            del self._memberships[self.id]

    # -- leaving: after the last user calls leave(), the queued frames are sent, then the server is asked

    @property
    def isLeaving(self) -> bool:
        """Whether the last user has called `leave()`."""
        return self._leaving is not None

    def leave(self, handle: Handle) -> Deferred[None]:
        """See `Room.leave`."""
        if handle.isLeft:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        with self._context.queue:
            handle.isLeaving = True
            if any(not other.isLeaving for other in self._handles):
                self._endHandle(handle, CloseCode.NORMAL, "left")
                self._context.queue.post(waiter.callback, None)
            elif self._leaving is None:
                timer = self._context.queue.later(self._context.options.leaveTimeout, self._leaveTimedOut)
                self._leaving = _Leaving(timer, [waiter])
                self.sender.end()
                self.sender.pump()
            else:
                self._leaving.waiters.append(waiter)
        return waiter

    def leaveIfSent(self) -> None:
        """Ask the server to end the membership if no frame is queued and no pending join could lead here."""
        leaving = self._leaving
        if leaving is None or leaving.isSent or self.status is not RoomStatus.JOINED or self.sender.waiting:
            return
        if not self._context.mayBeJoined(self.name, self.id):
            leaving.isSent = True
            self._context.requests.leave(self.id, lambda error, answer: self._hasLeft())

    def _leaveTimedOut(self) -> None:
        """
        `leaveTimeout` is over: leave without sending the queued frames.

        If a pending join may lead here, end only the handles.
        """
        leaving = self._leaving
        if self.status is RoomStatus.JOINED and leaving is not None and not leaving.isSent:
            if self._context.mayBeJoined(self.name, self.id):
                self._endHandles()
                return
            self._context.requests.leave(self.id)
        self._hasLeft()

    def _cancelLeaving(self) -> None:
        """
        Keep the membership, because another join has led here before the server was asked to end it.

        End only the handles of the users that have left.
        """
        self._endHandles()
        self._leaving = None
        self.sender.reopen()

    def _hasLeft(self) -> None:
        self.end(CloseCode.NORMAL, "left")

    def _endHandles(self) -> None:
        for handle in list(self._handles):
            self._endHandle(handle, CloseCode.NORMAL, "left")
        self._releaseWaiters()

    def _endHandle(self, handle: Handle, code: int, reason: str) -> None:
        """Tell one of the users that the room was left."""
        self._handles.remove(handle)
        handle.isLeft = True
        handle.room = None
        handle.listeners.events.tell("left", code, reason)
        handle.listeners.end()

    def _releaseWaiters(self) -> None:
        if self._leaving is not None:
            stop(self._leaving.timer)
            waiters, self._leaving.waiters = self._leaving.waiters, []
            for waiter in waiters:
                self._context.queue.post(waiter.callback, None)

    # -- events

    def report(self, failure: Failure) -> None:
        """Tell the listeners of "error" that the server has refused a message."""
        listening = [
            handle.listeners.events for handle in self._handles if handle.listeners.events.has("error")
        ]
        for events in listening:
            events.report(failure)
        if not listening:
            self._context.report(failure)

    def _tell(self, name: str, *args: Any) -> None:
        for handle in list(self._handles):
            handle.listeners.events.tell(name, *args)

    def _noListener(self, type: str) -> None:
        """Called when one of the users has no listener for messages of this type."""
        self._unheard.note(self.name, type, [handle.listeners for handle in self._handles])

"""
The inbox of a room: it counts and checks the frames of clients, calls the handlers, answers, and
acknowledges.

The messages of one client are handled one after another. `Inbox._dispatch` finds the handler of a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import CoroutineType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...core.awaitables import clearFailure, clearTraceback, isAsync, runUntilWaiting, toDeferred
from ...core.codes import CloseCode, ErrorCode
from ...core.tokenbucket import TokenBucket
from ...protocol import payload, received
from ...protocol.errors import BadMessage, CallError, InvalidData, RoomError
from ...protocol.limits import WINDOW
from ...protocol.payload import NIL
from .. import hooks
from ..api.handlers import Handler, unknownType
from ..api.ports import LeaveReason
from ..contract import commands
from ..contract.commands import (
    Call,
    CallFailed,
    CallReply,
    Frame,
    Leave,
    ListMembers,
    Send,
    Unreadable,
    WantState,
)
from ..contract.items import Error, Reply
from ..contract.records import Handled
from .acks import Acks
from .broadcaster import Broadcaster
from .calls import Calls
from .context import RoomContext
from .forwarding import Forwarding
from .leaving import Leaving
from .life import Stage
from .member import JOINED, PARTING, Member, State, copied
from .presence import Presence
from .saving import Saving
from .states import States
from .timing import Fallback

#: The most queued frames of one member, for frames without a number. `WINDOW` limits those with one.
MAX_WAITING = 256
#: The most bytes of data in the queued frames of one member. One frame may be queued whatever its size.
WAITING_SIZE = 2 << 20
#: The seconds for which a member may exceed the room's message rate before it is kicked.
PATIENCE = 10.0


class Inbox(Acks):
    """Handles the frames of the members of one room."""

    __slots__ = (
        "_calls",
        "_clock",
        "_fallback",
        "_forwarding",
        "_handlers",
        "_leaving",
        "_life",
        "_outbox",
        "_port",
        "_presence",
        "_room",
        "_runner",
        "_saving",
        "_states",
        "_unnumbered",
    )

    def __init__(
        self,
        context: RoomContext,
        handlers: Mapping[str, Handler],
        fallback: Fallback | None,
        broadcaster: Broadcaster,
        states: States,
        calls: Calls,
        leaving: Leaving,
        presence: Presence,
        saving: Saving,
        forwarding: Forwarding,
    ) -> None:
        super().__init__(context, broadcaster)
        self._room = context.room
        self._port = context.port
        self._clock = context.clock
        self._outbox = context.outbox
        self._runner = context.runner
        self._handlers = handlers
        self._calls = calls
        self._leaving = leaving
        self._life = context.life
        self._presence = presence
        #: `None` if the class of the room isn't saved.
        self._saving = saving if saving.canSave else None
        self._states = states
        #: The frames without a number whose asynchronous handlers are running.
        self._unnumbered: dict[Member, Frame] = {}
        self._forwarding = forwarding
        self._fallback = fallback

    def take(self, member: Member, frame: Frame) -> None:
        """Take a frame of `member`, which is in the room. Called for every message."""
        if len(member.tokens) > 1 and type(frame) is not WantState:  # that is not from the client
            member.confirmToken()
            if self._outbox.isRecording:
                self._outbox.record(member.record())
        if type(frame) is Send or type(frame) is Call:  # isinstance takes ten times as long for Structs
            if self._life.isTaking:
                self._takeMessage(member, frame)
            else:
                self._forwarding.take(member, frame)
        elif isinstance(frame, Leave):
            if self._life.stage is Stage.CUT:
                self._forwarding.leave(member)
            else:
                member.leaveRequest = frame.ref, member.link
                member.mailbox.post(self._leave, member)
        elif isinstance(frame, Unreadable):
            self._takeUnreadable(member, frame)
        elif isinstance(frame, CallReply | CallFailed):
            self._takeAnswer(member, frame)
        elif isinstance(frame, ListMembers):
            self._presence.page(member, frame.ref, frame.after)
        elif isinstance(frame, WantState):
            self._states.want(member, frame.version, frame.isReceived)

    def _takeMessage(self, member: Member, frame: Send | Call, error: RoomError | None = None) -> None:
        """
        Count a message. Then handle it after the earlier ones, or refuse it if there is an `error`.

        Called for every message.
        """
        n = frame.n
        if n is not None:
            if n <= member.accepted:
                self._repeated(member, frame, n)
                return
            if n != member.accepted + 1 or n > member.acked + WINDOW:
                self._misuse(member, "n out of order")
                return
            member.accepted = n
        mailbox = member.mailbox
        if mailbox.isBusy or self._room.messageRate > 0:
            error = self._overload(member, n) or error
        outbox = self._outbox
        isLate = mailbox.isBusy or (outbox.waitsSince is not None and outbox.isStalled)
        if error is None and isLate:
            error = self._errorOfQueueing(member, frame)
            if error is None:
                mailbox.post(self._handleLate, member, frame, member.isJSON, member.link)
                return
        if error is None:
            # No earlier message is unfinished, so the handler is called directly, without `mailbox.post`.
            mailbox.isBusy = True
            waited = None
            try:
                waited = self._handle(member, frame, member.isJSON, member.link)
            finally:
                mailbox.begun(waited)
        elif n is None:
            self._refuse(member, frame, error, member.link)  # immediately, because the queue may be full
        else:
            mailbox.post(self._refuse, member, commands.withoutData(frame), error, member.link)

    def _errorOfQueueing(self, member: Member, frame: Send | Call) -> RoomError | None:
        """Count the bytes of a frame that is to be queued, or return an error if they are too many."""
        size = len(frame.data)
        if member.waitingSize and member.waitingSize + size > WAITING_SIZE:
            return RoomError(ErrorCode.RATE_LIMITED, "too much data waits to be handled")
        member.waitingSize += size
        return None

    def _handleLate(
        self, member: Member, frame: Send | Call, isJSON: bool, link: str
    ) -> Deferred[Any] | None:
        """Handle a frame that was queued, as soon as the journal commits records."""
        if self._outbox.isStalled:
            goesOn = self._outbox.whenGoingOn()
            return goesOn.addCallback(lambda _: self._handleLate(member, frame, isJSON, link))
        member.waitingSize -= len(frame.data)
        return self._handle(member, frame, isJSON, link)

    def _takeUnreadable(self, member: Member, frame: Unreadable) -> None:
        """Count and refuse a message or an answer with an invalid value."""
        error = InvalidData(frame.message, frame.field)
        if frame.isAnswer:
            waiting = self._calls.take(member, frame.ref or 0)
            self._mistake(member)
            if waiting is not None:
                hooks.failWaiter(waiting, CallError(error.code, error.message))
        elif not self._life.isTaking:
            self._forwarding.take(member, frame)
        elif frame.ref is None:
            self._takeMessage(member, Send("", b"", frame.n), error)
        else:
            self._takeMessage(member, Call(frame.ref, "", b"", frame.n), error)

    def _repeated(self, member: Member, frame: Send | Call, n: int) -> None:
        """Answer a frame that the client sends again, because it didn't get the acknowledgement or reply."""
        if type(frame) is not Call:
            return
        if n > member.handled:
            member.returnRefs[n] = frame.ref, member.link
            return
        reply = member.replies.get(n)
        if reply is None:
            error = Error(frame.ref, self._id, ErrorCode.REPLY_LOST)
            self._broadcaster.say(member, error)
        else:
            self._broadcaster.say(member, copied(reply, frame.ref))

    def _overload(self, member: Member, n: int | None) -> RoomError | None:
        """Return an error if too many messages are queued, or if the member exceeds the message rate."""
        if n is None and len(member.mailbox) >= MAX_WAITING:
            return RoomError(ErrorCode.RATE_LIMITED, "too many messages wait to be handled")
        room = self._room
        rate = room.messageRate
        if rate <= 0:
            return None
        now = self._clock.seconds()
        burst = room.messageBurst or max(1.0, 2 * rate)
        bucket = member.messages
        if bucket is None:
            bucket = member.messages = TokenBucket(rate, burst, now)
        elif bucket.rate != rate or bucket.burst != burst:
            bucket.change(rate, burst, now)
        if member.slowedSince is not None and bucket.unspent(now) >= 1.0 + burst / 2:
            member.slowedSince = None  # it has been slow enough to gain half a burst and one token
        if bucket.take(now):
            return None
        if member.slowedSince is None:
            member.slowedSince = now
        elif now - member.slowedSince > PATIENCE:
            self._leaving.leave(member, CloseCode.RATE_ABUSE, LeaveReason.RATE_ABUSE, "too fast")
        return RoomError(ErrorCode.RATE_LIMITED, "too many messages")

    # -- handling

    def _handle(self, member: Member, frame: Send | Call, isJSON: bool, link: str) -> Deferred[Any] | None:
        """
        Call the handler of a frame that arrived over `link`. Called for every message.

        Returns:
            A Deferred if the handler is asynchronous.
        """
        if not JOINED <= member.state <= PARTING:
            return None
        saving = self._saving
        handling = None if saving is None else saving.handling(member)
        token = hooks.currentOwner.set(self._port)
        try:
            result = self._dispatch(member, frame, isJSON)
            if type(result) is CoroutineType:
                result = runUntilWaiting(result)
            if result is not None and isAsync(result):
                waited = hooks.withTimeout(self._clock, self._room.handlerTimeout, toDeferred(result))
                if frame.n is None:
                    self._unnumbered[member] = frame
                self._runner.running.note(waited, self._handlerOf(frame), member.id)
                return waited.addBoth(self._finished, member, frame, link)
        except RoomError as error:
            self._handled(member, frame, error, link)
            if isinstance(error, BadMessage):
                self._mistake(member)
            return None
        except BaseException:
            raised = self._runner.report(hooks.asException(Failure()), member, self._handlerOf(frame))
            self._handled(member, frame, raised, link)
            return None
        finally:
            hooks.currentOwner.reset(token)
            if saving is not None and handling is not None:
                saving.handlerLeft(handling)
        self._handled(member, frame, result, link)
        return None

    def _dispatch(self, member: Member, frame: Send | Call, isJSON: bool) -> Any:
        room = self._room
        data = frame.data
        if not data:
            data, isJSON = NIL, False
        handler = self._handlers.get(frame.type)
        if handler is None:
            if self._fallback is None:
                raise unknownType(frame.type)
            given = received.read(data, isJSON, room.binary)
            return self._fallback.onMessage(member.client, frame.type, given)
        if not handler.takesData:
            received.check(data, isJSON, room.binary)
            return handler.function(room, member.client)
        return handler.function(room, member.client, handler.read(data, isJSON, room.binary))

    def _handlerOf(self, frame: Send | Call) -> str:
        """Return the name of the handler of a message, for the log."""
        handler = self._handlers.get(frame.type)
        return "onMessage" if handler is None else getattr(handler.function, "__name__", frame.type)

    def _finished(self, result: Any, member: Member, frame: Send | Call, link: str) -> None:
        """Finish a frame whose asynchronous handler has ended."""
        if frame.n is None:
            self._unnumbered.pop(member, None)
        if self._life.stage is Stage.CUT:  # the next owner calls the handler again
            if isinstance(result, Failure):
                clearFailure(result)
            return
        if not isinstance(result, Failure):
            self._handled(member, frame, result, link)
            return
        error = result.value
        if not isinstance(error, RoomError):
            error = self._runner.report(result, member, self._handlerOf(frame))
        elif isinstance(error, hooks.HookTimeout):
            self._runner.report(result, member, self._handlerOf(frame))
        clearTraceback(result.value)
        self._handled(member, frame, error, link)

    def _handled(self, member: Member, frame: Send | Call, result: Any, link: str) -> None:
        """Save the room if that is due, since a handler has ended, and finish its frame."""
        if self._saving is not None:
            result = self._saving.handled(member, result)
        self._finish(member, frame, result, link)

    def _refuse(self, member: Member, frame: Send | Call, error: RoomError, link: str) -> None:
        if member.isPresent:
            self._finish(member, frame, error, link)
            if isinstance(error, BadMessage):
                self._mistake(member)

    def _finish(self, member: Member, frame: Send | Call, result: Any, link: str) -> None:
        """Record that a frame has been handled, then answer and acknowledge it. Called for every message."""
        if not JOINED <= member.state <= PARTING:
            return
        n = frame.n
        ref = None
        if type(frame) is Call:
            ref = frame.ref
            if n is not None and member.returnRefs:
                ref, link = member.returnRefs.pop(n, (ref, link))
        answer: Reply | Error | None = None
        if isinstance(result, RoomError):
            details = result.details if ref is not None else _detailsOf(result, frame.type)
            answer = Error(ref, self._id, result.code, result.message, details)
        elif ref is not None:
            answer = self._replyOf(member, frame, ref, result)
        if n is not None:
            member.handled = n
            kept = answer if ref is not None else None
            if self._outbox.isRecording:
                self._outbox.record(Handled(member.id, n, kept))
            if kept is not None:
                member.keepReply(n, kept)
            self._acknowledge(member)
        # A ref is valid on one connection only. A client with a new connection repeats the call, and gets the
        # kept reply.
        if answer is not None and (ref is None or link == member.link):
            self._broadcaster.say(member, answer)

    def _replyOf(self, member: Member, frame: Send | Call, ref: int, result: Any) -> Reply | Error:
        try:
            return Reply(ref, payload.encode(result, self._room.binary, "answer"))
        except Exception:
            error = self._runner.report(Failure(), member, self._handlerOf(frame))
        return Error(ref, self._id, error.code, error.message)

    # -- the rest

    def _leave(self, member: Member) -> None:
        ref, link = member.leaveRequest or (None, "")
        if link == member.link and ref is not None:
            self._broadcaster.say(member, Reply(ref, NIL))
        self._leaving.leave(member, CloseCode.NORMAL, LeaveReason.LEFT)

    def finishLeave(self, member: Member) -> None:
        """Let a member leave now if it is going to leave after its earlier frames are handled."""
        if member.state is State.PARTING or member.leaveRequest is not None:
            self._leave(member)

    def _takeAnswer(self, member: Member, frame: CallReply | CallFailed) -> None:
        waiting = self._calls.take(member, frame.ref)
        if waiting is None:
            return  # the call has timed out or was answered already
        if isinstance(frame, CallFailed):
            hooks.failWaiter(waiting, CallError(frame.code, frame.message))
            return
        try:
            isJSON = member.isJSON and bool(frame.data)
            data = received.read(frame.data or NIL, isJSON, self._room.binary)
        except InvalidData as error:
            self._mistake(member)
            hooks.failWaiter(waiting, CallError(error.code, error.message))
        else:
            waiting.callback(data)

    def _mistake(self, member: Member) -> None:
        if member.misuse.add(self._clock.seconds()):
            self._misuse(member, "too many bad messages")

    def _misuse(self, member: Member, text: str) -> None:
        self._leaving.leave(member, CloseCode.MISUSE, LeaveReason.MISUSE, text)

    # -- while the room moves

    def cut(self, member: Member) -> None:
        """Cancel the handler that is running for a member, and leave its frames to the next owner."""
        frames = [args[1] for job, args in member.mailbox.clear() if job == self._handleLate]
        if member in self._unnumbered:
            frames.insert(0, self._unnumbered[member])
        self._forwarding.takeEarlier(member, frames)
        member.mailbox.cancel()

    def takeLate(self, member: Member, frame: Send | None, isJSON: bool) -> None:
        """Take what a member has sent to the former owner: a message, or `None` if it leaves."""
        if frame is None:
            member.mailbox.post(self._leave, member)
        else:
            member.waitingSize += len(frame.data)
            member.mailbox.post(self._handleLate, member, frame, isJSON, member.link)


def _detailsOf(error: RoomError, type: str) -> Any:
    """Return the details of an error for a message; no request of the client says which type it had."""
    return {**error.details, "type": type} if isinstance(error, InvalidData) and type else error.details

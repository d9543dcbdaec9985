"""
Joining: a client becomes a member.

The client takes a seat in one step. Then `onAuth` and `onJoin` are called, and the client receives `joined`
or an error. If a step fails, the seat is freed, and no other hook is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...core.awaitables import clearTraceback
from ...core.codes import CloseCode, ErrorCode
from ...protocol import payload
from ...protocol.errors import RoomError
from ...protocol.joinoptions import AUTH, SEAT, without
from ...protocol.payload import NIL
from .. import hooks
from ..api.client import Client
from ..api.ports import LeaveReason
from ..contract.arrivals import Join, Refused
from ..contract.asks import TellSeat
from ..contract.items import Error
from ..contract.ports import Link, Outlet
from . import replays
from .broadcaster import Broadcaster
from .calls import Calls
from .context import Lifecycle, RoomContext
from .leaving import Leaving
from .life import Stage, closedError
from .member import Member, State
from .presence import Presence
from .roomlisting import RoomListing
from .saving import Saving
from .seats import Seats
from .states import Shown, States
from .tokens import newId
from .welcome import Welcome

#: The message for a client whose sub-protocol cannot carry the room's messages.
NEEDS_MSGPACK = "this room needs the sub-protocol txroom.v1.msgpack"


class Joining:
    """Admits clients to one room."""

    __slots__ = (
        "_broadcaster",
        "_calls",
        "_context",
        "_isUsed",
        "_leaving",
        "_lifecycle",
        "_linkOf",
        "_presence",
        "_roomListing",
        "_saving",
        "_seats",
        "_states",
        "_welcome",
    )

    def __init__(
        self,
        context: RoomContext,
        lifecycle: Lifecycle,
        roomListing: RoomListing,
        seats: Seats,
        broadcaster: Broadcaster,
        calls: Calls,
        presence: Presence,
        leaving: Leaving,
        welcome: Welcome,
        saving: Saving,
        states: States,
        linkOf: Callable[[Member], Link],
    ) -> None:
        self._context = context
        self._lifecycle = lifecycle
        self._roomListing = roomListing
        self._seats = seats
        self._broadcaster = broadcaster
        self._calls = calls
        self._presence = presence
        self._leaving = leaving
        self._welcome = welcome
        self._saving = saving
        self._states = states
        self._linkOf = linkOf
        #: Whether a client has become a member.
        self._isUsed = False

    # -- a seat

    async def join(self, outlet: Outlet, join: Join, isWanted: Callable[[], bool]) -> Link | Refused:
        """
        Take a seat and begin to join. The client receives `joined` or an error by way of `outlet`.

        A second join on the same connection leads to the same member.

        Args:
            outlet: The edge.
            join: The request.
            isWanted: Returns whether the edge is still there.
        """
        if join.isAgain:
            self._endFormer(join.joinLink)
        result = await self._enter(outlet, join, isWanted)
        if isinstance(result, Refused):
            if join.isAgain:
                self._seats.withdraw(join.options.get(SEAT))
            self._refused(join.isCreator)
        return result

    async def tellSeat(self, command: TellSeat) -> str:
        """
        Reserve a seat for a client that joins in a moment; see `TellSeat`.

        Raises:
            RoomError: The client is refused.
        """
        result = await self._tell(command)
        if isinstance(result, Refused):
            self._refused(command.isCreator)
            raise RoomError(result.code, result.message, result.details)
        return result

    async def _tell(self, command: TellSeat) -> str | Refused:
        context = self._context
        options = MappingProxyType(dict(command.options))
        userId = context.runner.userId(command.user, "")
        refusal = self._seats.refusal(None, userId) or await self._mayJoin(options, command.user)
        # The room may have changed while `canJoin` was running.
        if not context.life.isOpen:
            raise closedError(context.life)
        if refusal is not None:
            return refusal
        refusal = self._seats.refusal(None, userId)
        return self._seats.tell(userId, without(options, AUTH)) if refusal is None else refusal

    def _refused(self, isCreator: bool) -> None:
        """
        End the room after a client was refused, if it was created for that client and no other has joined.
        """
        if isCreator and not self._isUsed:
            self._lifecycle.creatorRefused()

    async def _enter(self, outlet: Outlet, join: Join, isWanted: Callable[[], bool]) -> Link | Refused:
        context = self._context
        sessions = context.roster.sessions
        known = sessions.get(join.session)
        if known is not None:
            return self._again(known, join)
        token = join.options.get(SEAT)
        told = self._seats.optionsOf(token)
        options = MappingProxyType(_optionsOf(join, told))
        userId = context.runner.userId(join.user, "")
        refusal = self._refusal(join, token, userId)
        if refusal is None and told is None:  # `canJoin` was called before a client was told of its seat
            refusal = await self._mayJoin(options, join.user)
        if refusal is not None:
            return refusal
        if not isWanted():
            return Refused(ErrorCode.UNAVAILABLE)
        # The room may have changed while `canJoin` was running.
        known = sessions.get(join.session)
        if known is not None:
            return self._again(known, join)
        refusal = self._refusal(join, token, userId)
        if refusal is not None:
            return refusal
        member = self._seat(outlet, join, token, options, userId)
        link = self._linkOf(member)  # made now, because a hook may refuse the client later
        member.mailbox.post(self._admit, member, join)
        return link

    def _endFormer(self, link: str) -> None:
        """End the membership that the client has got by the same request and has not been told of."""
        for member in list(self._context.roster.members.values()):
            if member.joinLink == link and member.state is State.DROPPED:
                self._seats.giveBack(member)
                self._leaving.leave(member, CloseCode.NORMAL, LeaveReason.DROPPED)

    def _again(self, member: Member, join: Join) -> Link | Refused:
        """Answer another join of a connection that has joined already, or is joining."""
        if member.state is State.SEATED:
            member.refs.append(join.ref)
        else:
            refusal = replays.refusal(self._context, member)
            if refusal is not None:
                return refusal
            self._presence.catchUp(member)  # for clients that do not read the members of a second `joined`
            offset, state = self._context.log.offset, self._shownAgain(member)
            replays.spend(self._context, member, [], NIL, state)
            self._welcome.announce(member, [join.ref], offset, [], NIL, recovered=True, state=state)
        return self._linkOf(member)

    def _shownAgain(self, member: Member) -> Shown | None:
        """
        Return what a member is shown of the state once more. If it can't be sent as a whole, that is nothing:
        the client keeps what it has, and goes on by patches.
        """
        try:
            return self._states.show(member, member.stateFormat, None)
        except Exception:
            self._context.runner.report(Failure(), member, "state")
            return self._states.kept(member)

    def _refusal(self, join: Join, token: object, userId: str) -> Refused | None:
        context = self._context
        if not context.life.isOpen:
            return Refused(context.life.closedCode)
        if context.room.binary and join.isJSON:
            return Refused(ErrorCode.BAD_REQUEST, NEEDS_MSGPACK)
        return self._seats.refusal(token, userId)

    async def _mayJoin(self, options: Mapping[str, Any], user: Any) -> Refused | None:
        """Call `canJoin`, and return why the client may not join; `None` if it may."""
        context = self._context
        try:
            mayJoin = await context.runner.call(context.room.canJoin, options, user)
        except RoomError as error:
            clearTraceback(error)
            return Refused.of(error)
        except Exception:
            told = context.runner.report(Failure(), hook="canJoin")
            return Refused(told.code, told.message)
        return None if mayJoin else Refused(ErrorCode.FORBIDDEN)

    def _seat(
        self, outlet: Outlet, join: Join, token: object, options: Mapping[str, Any], userId: str
    ) -> Member:
        context = self._context
        id = newId() if self._seats.optionsOf(token) is None else str(token)
        member = Member(id, join.user, userId or id, options)
        member.client = Client(context.port, member)
        member.refs = [join.ref]
        member.joinLink = join.joinLink
        member.offset = context.log.offset
        self._seats.take(member, token)
        context.roster.attached(member, outlet, join)
        self._roomListing.changed()
        return member

    # -- the hooks

    def _admit(self, member: Member, join: Join) -> Deferred[None]:
        return Deferred.fromCoroutine(self._steps(member, join)).addCallback(self._over, member, join)

    def _over(self, _: None, member: Member, join: Join) -> None:
        if member.state is State.GONE:
            self._refused(join.isCreator)

    async def _steps(self, member: Member, join: Join) -> None:
        """Call `onAuth` and `onJoin` and send `joined`. If a step fails, free the seat."""
        context, room, client = self._context, self._context.room, member.client
        member.early = []
        hook = "onAuth"
        handshake = join.request.handshake()
        member.trace = handshake.traceparent
        try:
            for former in [each for each in context.roster.leaving if each.id == member.id]:
                await self._step(member, self._untilGone, former)
            user = await self._step(member, room.onAuth, client, member.options, handshake)
            if not user:
                raise RoomError(ErrorCode.UNAUTHORIZED)
            if user is not True:
                member.userId = context.runner.userId(user, member.id)
                member.user = payload.plain(user, True, "the user that onAuth returns")
            member.options = MappingProxyType(without(member.options, AUTH))
            if member.pendingLeave is not None:
                self._giveBack(member, Error(None, None, ErrorCode.ROOM_GONE))
                return
            member.offset = context.log.offset
            self._broadcaster.admit(member)
            hook = "onJoin"
            await self._step(member, room.onJoin, client, member.options)
            self._saving.hookEnded(member)
        except RoomError as error:
            if isinstance(error, hooks.HookTimeout):
                context.runner.report(Failure(), member, hook)
            clearTraceback(error)
            self._giveBack(member, Error(None, None, error.code, error.message, error.details))
        except Exception:
            told = RoomError(ErrorCode.INTERNAL)
            if context.life.stage is not Stage.CUT:
                told = context.runner.report(Failure(), member, hook)
            self._giveBack(member, Error(None, None, told.code, told.message))
        else:
            try:
                self._joined(member)
            except Exception:
                told = context.runner.report(Failure(), member)
                self._giveBack(member, Error(None, None, told.code, told.message))

    def _untilGone(self, former: Member) -> Deferred[None]:
        """
        Return a Deferred that fires when `onLeave` is over for the former membership of a client, which has
        the same id; see `_endFormer`.
        """
        gone: Deferred[None] = Deferred()
        self._context.runner.post(former.mailbox.post, gone.callback, None)
        return gone

    def _step(self, member: Member, hook: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call `onAuth` or `onJoin`. Its result is in `member.runningHook` while it is awaited."""

        def step() -> Any:
            member.runningHook = hook(*args)
            return member.runningHook

        def over(result: Any) -> Any:
            member.runningHook = None
            return result

        name = getattr(hook, "__name__", "")
        return self._context.runner.call(step, name=name, member=member).addBoth(over)

    # -- the end of it

    def _giveBack(self, member: Member, error: Error) -> None:
        """Free the seat of a client that could not join, and answer with the error."""
        context = self._context
        if context.life.stage is Stage.CUT:
            self._moved(member)
            return
        pending = member.pendingLeave
        member.state = State.GONE
        self._presence.left(member)  # the last step may have failed after `came`
        self._seats.joined(member)
        context.roster.members.pop(member.id, None)
        member.mailbox.clear()
        self._calls.failAll(member)
        if pending is not None:
            error = Error(None, None, ErrorCode.ROOM_GONE)
        self._answerAll(member, error)
        if member.audience:
            context.outbox.end(member.audience, 0 if pending is None else pending.code)
        context.roster.detached(member)
        member.forget()
        self._roomListing.changed()
        self._lifecycle.seatFreed()

    def _moved(self, member: Member) -> None:
        """
        Forget a client that has not joined before the room moves. Its edge asks the next owner, where a seat
        that was reserved for it is still reserved.
        """
        context = self._context
        member.state = State.GONE
        context.roster.joining.discard(member)
        context.roster.members.pop(member.id, None)
        self._calls.failAll(member)
        if member.audience:
            context.outbox.end(member.audience, CloseCode.ROOM_MOVED)
        context.roster.detached(member)
        member.forget()

    def _answerAll(self, member: Member, error: Error) -> None:
        """Answer all join requests of the member's connection with an error."""
        for ref in member.refs:
            answer = Error(ref, None, error.code, error.message, error.details)
            self._context.outbox.emit(answer, member.audience)

    def _joined(self, member: Member) -> None:
        """Make a client whose hooks have succeeded a member, unless it must leave already."""
        context = self._context
        snapshot = NIL if member.pendingLeave is not None else self._welcome.snapshot(member)
        missed = context.log.missed(member.offset, member.id)
        if missed is None:
            member.leaveLater(
                CloseCode.ENGINE_UNAVAILABLE, LeaveReason.DROPPED, "too many messages were sent meanwhile"
            )
        state, mark = None, ""
        if member.pendingLeave is None:
            try:
                state = self._states.show(member, member.stateFormat, None)
                mark = self._states.mark(member.stateFormat)
            except Exception:
                context.runner.report(Failure(), member, "state")
                member.leaveLater(CloseCode.STATE_LOST, LeaveReason.DROPPED, "the state can't be sent")
        if member.pendingLeave is not None:
            self._leaveUnseen(member)
            return
        self._isUsed = True
        shown = context.log.forNewcomer(member.offset, context.clock.seconds())
        offset = shown[0].offset - 1 if shown else member.offset
        self._seats.joined(member)
        member.issueToken(mark=mark)
        self._presence.came(member)
        replay = [*shown, *(missed or ())]
        self._welcome.announce(member, member.refs, offset, replay, snapshot, state=state)
        pending, member.pending = member.pending, []
        for item in pending:
            self._broadcaster.say(member, item)
        context.lifecycleLog.tell("join", context, member)
        self._presence.settle()
        self._roomListing.changed()
        context.runner.tell("join", context.room, member.client)

    def _leaveUnseen(self, member: Member) -> None:
        """End a membership whose hooks have succeeded but which must end: only `onLeave` is called."""
        pending = member.pendingLeave
        if pending is None:
            return
        self._seats.joined(member)
        mayRetry = pending.code >= CloseCode.SHUTTING_DOWN
        code = ErrorCode.UNAVAILABLE if mayRetry else ErrorCode.ROOM_GONE
        self._answerAll(member, Error(None, None, code))
        member.state = State.JOINED
        self._leaving.leave(member, *pending, isSeen=False)


def _optionsOf(join: Join, told: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return the options with which a client joins. For a seat that it was told of, those are the options that
    `canJoin` has seen, and the client's credentials, which aren't kept with the seat.
    """
    if told is None:
        return without(join.options, SEAT)
    return {**told, AUTH: join.options[AUTH]} if AUTH in join.options else dict(told)

"""
Joining: a client becomes a member.

The client takes a seat in one step. Then `onAuth` and `onJoin` are called, and the client receives `joined`
or an error. If a step fails, the seat is freed, and no other hook is called.
"""

from __future__ import annotations

import secrets
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
from ..contract.items import Error
from ..contract.ports import Link, Outlet
from .broadcaster import Broadcaster
from .calls import Calls
from .context import Lifecycle, RoomContext
from .leaving import Leaving
from .life import Stage
from .member import Member, State
from .presence import Presence
from .roomlisting import RoomListing
from .saving import Saving
from .seats import Seats
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
        result = await self._enter(outlet, join, isWanted)
        if isinstance(result, Refused):
            self._refused(join)
        return result

    def _refused(self, join: Join) -> None:
        """
        End the room after a client was refused, if it was created for that client and no other has joined.
        """
        if join.isCreator and not self._isUsed:
            self._lifecycle.creatorRefused()

    async def _enter(self, outlet: Outlet, join: Join, isWanted: Callable[[], bool]) -> Link | Refused:
        context = self._context
        if join.isAgain:
            self._endFormer(join.link)
        sessions = context.roster.sessions
        known = sessions.get(join.session)
        if known is not None:
            return self._again(known, join)
        token = join.options.get(SEAT)
        options = MappingProxyType(without(join.options, SEAT))
        userId = context.runner.userId(join.user, "")
        refusal = self._refusal(join, token, userId) or await self._mayJoin(options, join.user)
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

    def _again(self, member: Member, join: Join) -> Link:
        """Answer another join of a connection that has joined already, or is joining."""
        if member.state is State.SEATED:
            member.refs.append(join.ref)
        else:
            self._presence.catchUp(member)  # for clients that do not read the members of a second `joined`
            self._welcome.announce(member, [join.ref], self._context.log.offset, [], NIL, recovered=True)
        return self._linkOf(member)

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
            return Refused(error.code, error.message, error.details)
        except Exception:
            context.runner.report(Failure(), hook="canJoin")
            return Refused(ErrorCode.INTERNAL)
        return None if mayJoin else Refused(ErrorCode.FORBIDDEN)

    def _seat(
        self, outlet: Outlet, join: Join, token: object, options: Mapping[str, Any], userId: str
    ) -> Member:
        context = self._context
        id = secrets.token_urlsafe(12)
        member = Member(id, join.user, userId or id, options)
        member.client = Client(context.port, member)
        member.refs = [join.ref]
        member.joinLink = join.link
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
            self._refused(join)

    async def _steps(self, member: Member, join: Join) -> None:
        """Call `onAuth` and `onJoin` and send `joined`. If a step fails, free the seat."""
        context, room, client = self._context, self._context.room, member.client
        member.early = []
        hook = "onAuth"
        try:
            user = await self._step(member, room.onAuth, client, member.options, join.request.handshake())
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
            if context.life.stage is not Stage.CUT:
                context.runner.report(Failure(), member, hook)
            self._giveBack(member, Error(None, None, ErrorCode.INTERNAL))
        else:
            try:
                self._joined(member)
            except Exception:
                context.runner.report(Failure(), member)
                self._giveBack(member, Error(None, None, ErrorCode.INTERNAL))

    def _step(self, member: Member, hook: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call `onAuth` or `onJoin`. Its result is in `member.runningHook` while it is awaited."""

        def step() -> Any:
            member.runningHook = hook(*args)
            return member.runningHook

        def over(result: Any) -> Any:
            member.runningHook = None
            return result

        return self._context.runner.call(step).addBoth(over)

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
        if member.pendingLeave is not None:
            self._leaveUnseen(member)
            return
        self._isUsed = True
        shown = context.log.forNewcomer(member.offset, context.clock.seconds())
        offset = shown[0].offset - 1 if shown else member.offset
        self._seats.joined(member)
        member.issueToken()
        self._presence.came(member)
        self._welcome.announce(member, member.refs, offset, [*shown, *(missed or ())], snapshot)
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

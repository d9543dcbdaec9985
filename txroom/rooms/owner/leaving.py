"""
Losing the connection, coming back, and leaving: how a member's state changes, and which hooks are called.

The states of a member are those of `member.State`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ...core.codes import CloseCode
from ...protocol import payload
from ..api.ports import LeaveReason
from ..contract.records import MemberRemoved
from .calls import Calls
from .context import Lifecycle, RoomContext
from .member import Member, State
from .presence import Presence
from .revokedtokens import RevokedTokens
from .roomlisting import RoomListing

#: A client that has left for one of these reasons can't resume, and doesn't join anew by itself.
_EXPELLING = frozenset({LeaveReason.KICKED, LeaveReason.MISUSE, LeaveReason.RATE_ABUSE})


class Leaving:
    """Ends the memberships of one room."""

    __slots__ = ("_calls", "_context", "_lifecycle", "_presence", "_revoked", "_roomListing")

    def __init__(
        self,
        context: RoomContext,
        lifecycle: Lifecycle,
        roomListing: RoomListing,
        presence: Presence,
        calls: Calls,
        revoked: RevokedTokens,
    ) -> None:
        self._context = context
        self._lifecycle = lifecycle
        self._roomListing = roomListing
        self._presence = presence
        self._calls = calls
        self._revoked = revoked

    # -- losing the connection

    def drop(self, member: Member) -> None:
        """Its connection is lost: it may resume for a while."""
        context = self._context
        if member.state is State.SEATED:
            member.leaveLater(CloseCode.NORMAL, LeaveReason.DROPPED)
            context.roster.detached(member)
        elif member.state is State.JOINED:
            context.roster.detached(member)
            if context.room.resumeSeconds <= 0:
                self.leave(member, CloseCode.NORMAL, LeaveReason.DROPPED)
                return
            member.state = State.DROPPED
            self._awaitReturn(member)
            context.lifecycleLog.tell("drop", context, member)
            self._notify(member, isAway=True)

    def awaitReturns(self) -> None:
        """The room begins: give the members of an earlier owner `resumeSeconds` to resume."""
        for member in self._context.roster.members.values():
            if member.state is State.DROPPED:
                self._awaitReturn(member)

    def _awaitReturn(self, member: Member) -> None:
        context = self._context
        member.cancelExpiry()
        member.expiry = context.clock.callLater(context.room.resumeSeconds, self._expired, member)

    def _expired(self, member: Member) -> None:
        member.expiry = None
        if member.state is State.DROPPED:
            self.leave(member, CloseCode.NORMAL, LeaveReason.DROPPED)

    def resumed(self, member: Member, recovered: bool) -> None:
        """It has resumed, perhaps before its old connection was lost."""
        context = self._context
        context.lifecycleLog.tell("resume", context, member, "" if recovered else "not recovered")
        self._notify(member, recovered=recovered)

    def _notify(self, member: Member, isAway: bool = False, recovered: bool = True) -> None:
        """Tell the room: one job, however often a client comes and goes before the room can be told."""
        if member.untold is None:
            member.untold = (isAway, recovered)
            member.mailbox.post(self._tellRoom, member)
        else:
            wasAway, isRecovered = member.untold
            member.untold = (isAway or wasAway, recovered and isRecovered)

    def _tellRoom(self, member: Member) -> Deferred[Any] | None:
        """Call `onDrop` if it was away, and `onResume` if it is back."""
        context = self._context
        untold, member.untold = member.untold, None
        if not member.isPresent or untold is None:
            return None
        wasAway, recovered = untold
        isBack = member.state is State.JOINED
        told: Deferred[Any] = succeed(None)
        if wasAway:
            told = context.runner.call(context.room.onDrop, member.client)
            told.addErrback(context.runner.report, member, "onDrop")
        if isBack:
            told.addCallback(lambda _: self._tellBack(member, recovered))
        return told

    def _tellBack(self, member: Member, recovered: bool) -> Deferred[Any] | None:
        context = self._context
        if not member.isPresent:
            return None
        back = context.runner.call(context.room.onResume, member.client, recovered)
        return back.addErrback(context.runner.report, member, "onResume")

    # -- leaving

    def gone(self, member: Member) -> None:
        """Its client has closed the connection for good: it leaves when what it sent before is handled."""
        self._context.roster.detached(member)
        if member.state is State.SEATED:
            member.leaveLater(CloseCode.NORMAL, LeaveReason.LEFT)
        elif member.state is State.JOINED:
            member.state = State.PARTING
            self._calls.failAll(member)
            member.mailbox.post(self._part, member)

    def _part(self, member: Member) -> None:
        self.leave(member, CloseCode.NORMAL, LeaveReason.LEFT)

    def kick(self, member: Member, text: str) -> None:
        """Make it leave; it can't resume."""
        self.leave(member, CloseCode.KICKED, LeaveReason.KICKED, payload.checkText("reason", text))

    def leave(
        self, member: Member, code: int, reason: LeaveReason, text: str = "", isSeen: bool = True
    ) -> None:
        """
        End a membership now, and free the seat; `onLeave` is called in the next turn, after what runs for it.

        One that is being seated is told, and freed, when the hook that runs is over.

        Args:
            member: Who leaves.
            code: What its client is told, and `text` with it; 0: nothing.
            reason: What `onLeave` is told.
            text: Why, in words.
            isSeen: Whether anybody knows that it was a member.
        """
        if member.state is State.SEATED:
            member.leaveLater(code, reason, text)
            return
        if not member.isPresent:
            return
        context = self._context
        self._unseat(member)
        if reason in _EXPELLING:
            self._revoked.add(member.tokens, context.clock.seconds(), context.room.resumeSeconds)
        if isSeen:
            context.lifecycleLog.tell("leave", context, member, text or reason.value)
            context.outbox.record(MemberRemoved(member.id))
        if member.outlet is not None:
            context.outbox.end(member.audience, code, text)
        context.roster.detached(member)
        self._presence.left(member)
        member.mailbox.clear()
        self._calls.failAll(member)
        self._roomListing.changed()
        context.runner.post(member.mailbox.post, self._left, member, reason, isSeen)

    def _unseat(self, member: Member) -> None:
        roster = self._context.roster
        del roster.members[member.id]
        roster.leaving.add(member)
        member.state = State.LEAVING
        member.cancelExpiry()

    def _left(self, member: Member, reason: LeaveReason, isSeen: bool) -> Deferred[None]:
        return Deferred.fromCoroutine(self._sayFarewell(member, reason, isSeen))

    async def _sayFarewell(self, member: Member, reason: LeaveReason, isSeen: bool) -> None:
        context = self._context
        try:
            await context.runner.call(context.room.onLeave, member.client, reason)
        except Exception:
            context.runner.report(Failure(), member, "onLeave")
        if isSeen:
            context.runner.tell("leave", context.room, member.client)
        self._over(member)

    def abandon(self, member: Member) -> None:
        """Another owner has the room, and the member: only what runs for it has to end."""
        member.cancelExpiry()
        if member.state is State.SEATED:
            member.leaveLater(CloseCode.ROOM_MOVED, LeaveReason.DROPPED)
            return
        if not member.isPresent:
            return
        self._unseat(member)
        self._context.roster.detached(member)
        self._calls.failAll(member)
        member.mailbox.clear()
        self._context.runner.post(member.mailbox.post, self._over, member)

    def _over(self, member: Member) -> None:
        """The last hook or handler that ran for it is over."""
        member.state = State.GONE
        member.forget()
        self._context.roster.leaving.discard(member)
        self._lifecycle.seatFreed()

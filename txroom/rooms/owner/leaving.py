"""
Losing the connection, resuming and leaving: the changes of a member's state, and the hooks that are called.

The states of a member are described in `member`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from ...core.codes import CloseCode
from ...protocol import payload
from ..api.ports import LeaveReason
from ..contract.records import MemberRemoved
from .calls import Calls
from .context import Lifecycle, RoomContext
from .forwarding import Forwarding
from .life import Stage
from .member import Member, State
from .presence import Presence
from .revokedtokens import REVOKED_SECONDS, RevokedTokens
from .roomlisting import RoomListing
from .saving import Saving

#: A client that has left for one of these reasons cannot resume, and does not join again by itself.
_EXPELLING = frozenset({LeaveReason.KICKED, LeaveReason.MISUSE, LeaveReason.RATE_ABUSE})


class Leaving:
    """Ends the memberships of one room."""

    __slots__ = (
        "_calls", "_context", "_forwarding", "_lifecycle", "_presence", "_revoked", "_roomListing", "_saving",
    )  # fmt: skip

    def __init__(
        self,
        context: RoomContext,
        lifecycle: Lifecycle,
        roomListing: RoomListing,
        presence: Presence,
        calls: Calls,
        revoked: RevokedTokens,
        saving: Saving,
        forwarding: Forwarding,
    ) -> None:
        self._context = context
        self._lifecycle = lifecycle
        self._roomListing = roomListing
        self._presence = presence
        self._calls = calls
        self._revoked = revoked
        self._saving = saving
        self._forwarding = forwarding

    # -- losing the connection

    def drop(self, member: Member) -> None:
        """Note that a member has lost its connection. It may resume for `resumeSeconds`."""
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
        """Give the members of an earlier owner `resumeSeconds` to resume, when the room begins."""
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
        """Note that a member has resumed, perhaps before its former connection was lost."""
        context = self._context
        context.lifecycleLog.tell("resume", context, member, "" if recovered else "not recovered")
        self._notify(member, recovered=recovered)

    def _notify(self, member: Member, isAway: bool = False, recovered: bool = True) -> None:
        """
        Call `onDrop` and `onResume` when the member's other hooks are over: once, however often the client
        has lost its connection and resumed until then.
        """
        if member.untold is None:
            member.untold = (isAway, recovered)
            member.mailbox.post(self._tellRoom, member)
        else:
            wasAway, isRecovered = member.untold
            member.untold = (isAway or wasAway, recovered and isRecovered)

    def _tellRoom(self, member: Member) -> Deferred[Any] | None:
        """Call `onDrop` if the member was away, and `onResume` if it is connected again."""
        context = self._context
        untold, member.untold = member.untold, None
        if not member.isPresent or untold is None:
            return None
        wasAway, recovered = untold
        isBack = member.state is State.JOINED
        told: Deferred[Any] = succeed(None)
        if wasAway:
            told = self._call("onDrop", context.room.onDrop, member)
        if isBack:
            told.addCallback(lambda _: self._tellBack(member, recovered))
        return told

    def _tellBack(self, member: Member, recovered: bool) -> Deferred[Any] | None:
        context = self._context
        if not member.isPresent:
            return None
        return self._call("onResume", context.room.onResume, member, recovered)

    def _call(self, name: str, hook: Callable[..., Any], member: Member, *args: Any) -> Deferred[None]:
        """Call a hook about a member. The Deferred doesn't fail."""
        runner = self._context.runner
        called = runner.call(hook, member.client, *args, name=name, member=member)
        called.addErrback(runner.report, member, name)
        return called.addCallback(lambda _: self._saving.hookEnded(member))

    # -- leaving

    def gone(self, member: Member) -> None:
        """
        Let a member whose client has closed the connection leave, as soon as its earlier frames are handled.

        While the room is CUT, it leaves at the next owner.
        """
        if self._context.life.stage is Stage.CUT and member.isPresent:
            self._forwarding.leave(member)
        self._context.roster.detached(member)
        if member.state is State.SEATED:
            member.leaveLater(CloseCode.NORMAL, LeaveReason.LEFT)
        elif member.state is State.JOINED and self._context.life.stage is not Stage.CUT:
            member.state = State.PARTING
            self._calls.failAll(member)
            member.mailbox.post(self._part, member)

    def _part(self, member: Member) -> None:
        self.leave(member, CloseCode.NORMAL, LeaveReason.LEFT)

    def kick(self, member: Member, text: str) -> None:
        """Make a member leave. It cannot resume."""
        self.leave(member, CloseCode.KICKED, LeaveReason.KICKED, payload.checkText("reason", text))

    def leave(
        self, member: Member, code: int, reason: LeaveReason, text: str = "", isSeen: bool = True
    ) -> None:
        """
        End a membership and free the seat. `onLeave` is called in a later turn, after the member's other
        hooks.

        A client that is still joining leaves when the hook that is running has finished. While the room is
        CUT, its members belong to the next owner, and nobody leaves here.

        Args:
            member: The member that leaves.
            code: The close code for its client; 0: the client is told nothing.
            reason: The reason for `onLeave`.
            text: The reason in words, for its client and the log.
            isSeen: Whether the other members and the journal know the member.
        """
        if member.state is State.SEATED:
            member.leaveLater(code, reason, text)
            return
        context = self._context
        if not member.isPresent or (isSeen and context.life.stage is Stage.CUT):
            return
        self._unseat(member)
        removed = MemberRemoved(member.id)
        if reason in _EXPELLING:
            seconds = max(context.room.resumeSeconds, REVOKED_SECONDS)
            removed = MemberRemoved(member.id, tuple(member.tokens), seconds)
            self._revoked.add(removed, context.clock.seconds())
        if isSeen:
            context.lifecycleLog.tell("leave", context, member, text or reason.value)
            context.outbox.record(removed)
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
        await self._call("onLeave", context.room.onLeave, member, reason)
        if isSeen:
            context.runner.tell("leave", context.room, member.client)
        self._over(member)

    def abandon(self, member: Member) -> None:
        """Give up a member that another owner has now, without `onLeave`."""
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
        """Forget a member whose last hook or handler has finished."""
        member.state = State.GONE
        member.forget()
        self._context.roster.leaving.discard(member)
        self._lifecycle.seatFreed()

"""
Resuming: a member returns with a new connection, and receives the messages that it has missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.python.failure import Failure

from ...core.codes import CloseCode, ErrorCode
from ...protocol.errors import RoomError
from ...protocol.payload import NIL
from ..api.client import Client
from ..contract.arrivals import SOME_VERSION, Refused, Resume
from ..contract.ports import Link, Outlet
from ..contract.records import Entry, Handled, MemberRecord
from . import replays
from .context import RoomContext
from .joining import NEEDS_MSGPACK
from .leaving import Leaving
from .member import Member, State
from .revokedtokens import RevokedTokens
from .states import States
from .tokens import digest, markOf, memberOf
from .welcome import Welcome

#: The error for a client that can't resume with the state that it has, but may without it.
STATE_CHANGED = "stateChanged"


class Resuming:
    """Lets the members of one room resume."""

    __slots__ = ("_context", "_leaving", "_linkOf", "_revoked", "_states", "_welcome")

    def __init__(
        self,
        context: RoomContext,
        leaving: Leaving,
        revoked: RevokedTokens,
        welcome: Welcome,
        states: States,
        linkOf: Callable[[Member], Link],
    ) -> None:
        self._context = context
        self._leaving = leaving
        self._revoked = revoked
        self._welcome = welcome
        self._states = states
        self._linkOf = linkOf

    def restore(self, members: Iterable[MemberRecord], frames: Iterable[Handled]) -> None:
        """Take over the members of an earlier owner, which may resume, and the frames that it has handled."""
        roster = self._context.roster
        for record in members:
            member = Member.restored(record)
            member.client = Client(self._context.port, member)
            roster.members[member.id] = member
        for handled in frames:
            if handled.member in roster.members:
                roster.members[handled.member].restore(handled)

    def resume(self, outlet: Outlet, resume: Resume) -> Link | Refused:
        """Let a member resume, also if its former connection is still open."""
        context, log = self._context, self._context.log
        refusal = self._refusal(resume)
        if refusal is not None:
            return refusal
        member = context.roster.members[memberOf(resume.token)]
        if context.runner.userId(resume.user, member.id) != member.arrivalId:
            return Refused(ErrorCode.FORBIDDEN)
        refusal = replays.refusal(context, member)
        if refusal is not None:
            return refusal
        mark = self._markFor(member, resume)
        if isinstance(mark, Refused):
            return mark
        offset = log.offset
        missed = self._missed(member, resume)
        snapshot = self._welcome.snapshot(member) if missed is None else NIL
        refusal = self._refusal(resume)  # `userId` and `snapshot` may have changed the room
        if refusal is not None:
            return refusal
        since = log.missed(offset, member.id)
        if since is None:
            return Refused(ErrorCode.UNAVAILABLE, "too many messages were sent meanwhile")
        try:
            state = self._states.show(member, resume.stateFormat, resume.stateVersion)
        except Exception:
            told = context.runner.report(Failure(), member, "state")
            return Refused(told.code, told.message)
        if member.outlet is not None:
            context.outbox.end(member.audience, CloseCode.REPLACED)
        context.roster.attached(member, outlet, resume)
        member.cancelExpiry()
        member.isTold()
        member.issueToken(resume.token, mark)
        member.attempt = resume.attempt or member.attempt
        if missed is not None:
            replay = missed
            self._welcome.announce(
                member, [resume.ref], resume.offset, replay, NIL, recovered=True, state=state
            )
        else:
            shown = log.forNewcomer(offset, context.clock.seconds())
            offset = shown[0].offset - 1 if shown else offset
            replay = [*(entry for entry in shown if entry.isFor(member.id)), *since]
            self._welcome.announce(member, [resume.ref], offset, replay, snapshot, state=state)
        size = replays.spend(context, member, replay, snapshot, state)
        if missed is not None:
            context.meters.messagesRecovered += len(replay)
            context.meters.bytesRecovered += size
        link = self._linkOf(member)  # before a hook can kick it
        self._leaving.resumed(member, missed is not None)
        return link

    def _markFor(self, member: Member, resume: Resume) -> str | Refused:
        """
        Return the mark for the next token of a client, or why it can't resume: it keeps its state, of which
        it doesn't tell the version, and would read what comes by classes that the state doesn't have any
        more.
        """
        try:
            mark = self._states.mark(resume.stateFormat)
        except Exception:
            told = self._context.runner.report(Failure(), member, "state")
            return Refused(told.code, told.message)
        if resume.stateVersion == SOME_VERSION and markOf(resume.token) not in ("", mark):
            return Refused(STATE_CHANGED, "the state of the room has other classes than before")
        return mark

    def check(self, token: str) -> str:
        """Return the id of the member that may resume with a token. Raises `RoomError` if none may."""
        found = self._memberWith(token)
        if isinstance(found, Refused):
            raise RoomError(found.code, found.message, found.details)
        return found.id

    def _memberWith(self, token: str) -> Member | Refused:
        """Return the member that may resume with a token, or why none may."""
        context = self._context
        if not context.life.isOpen:
            return Refused(context.life.closedCode)
        member = context.roster.members.get(memberOf(token))
        if member is None or member.state not in (State.JOINED, State.DROPPED) or not member.accepts(token):
            isRevoked = self._revoked.has(digest(token), context.clock.seconds())
            return Refused(ErrorCode.FORBIDDEN if isRevoked else ErrorCode.UNAUTHORIZED)
        return member

    def _refusal(self, resume: Resume) -> Refused | None:
        context, roster = self._context, self._context.roster
        member = self._memberWith(resume.token)
        if isinstance(member, Refused):
            return member
        if 0 < resume.attempt < member.attempt:
            # The client has given up this attempt. Its number is for a client whose clock was set back.
            late = "a later attempt to resume came first"
            return Refused(ErrorCode.UNAVAILABLE, late, {"attempt": member.attempt})
        if roster.sessions.get(resume.session, member) is not member:
            return Refused(ErrorCode.BAD_REQUEST, "this connection is another member of the room")
        if context.room.binary and resume.isJSON:
            return Refused(ErrorCode.BAD_REQUEST, NEEDS_MSGPACK)
        return None

    def _missed(self, member: Member, resume: Resume) -> list[Entry] | None:
        """
        Return the messages that a member has missed; `None` if they are not kept any more, or if it asks for
        messages from before it joined.
        """
        log = self._context.log
        if resume.epoch != log.epoch or resume.offset < member.offset:
            return None
        return log.missed(resume.offset, member.id)

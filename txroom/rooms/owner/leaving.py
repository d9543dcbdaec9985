"""
Membership: losing the connection, leaving, presence, groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ...core.codes import CloseCode
from ...protocol import payload
from ..api.ports import LeaveReason
from ..contract.arrivals import Arrival
from ..contract.items import PresenceChange
from ..contract.ports import Outlet
from ..contract.records import Gone
from .member import Member, State

if TYPE_CHECKING:
    from .host import Host


#: Who has left like this is not to come back by itself.
_EXPELLED = frozenset({LeaveReason.KICKED, LeaveReason.MISUSE, LeaveReason.RATE_ABUSE})


class Membership:
    """Who is in one room."""

    def __init__(self, host: Host) -> None:
        self._host = host
        #: The payload of the roster, until that changes.
        self._roster: bytes | None = None

    def begin(self) -> None:
        """Those whom an earlier owner left to us have their time to resume."""
        for member in self._host.members.values():
            if member.state is State.DROPPED:
                self._awaitReturn(member)

    # -- how a member is reached

    def attached(self, member: Member, outlet: Outlet, arrival: Arrival) -> None:
        """It has a connection, perhaps another one than before."""
        self.detached(member)
        member.attach(outlet, arrival)
        self._host.sessions[arrival.session] = member

    def detached(self, member: Member) -> None:
        """It has no connection any more."""
        host = self._host
        if host.sessions.get(member.session) is member:
            del host.sessions[member.session]
        member.detach()
        host.emitter.audienceChanged()

    # -- losing the connection

    def drop(self, member: Member) -> None:
        """Its connection is lost."""
        host = self._host
        if member.state is State.SEATED:
            self._doom(member, CloseCode.NORMAL, LeaveReason.DROPPED, "")
            self.detached(member)
        elif member.state is State.JOINED:
            self.detached(member)
            if host.room.resumeSeconds <= 0:
                self.leave(member, CloseCode.NORMAL, LeaveReason.DROPPED)
                return
            member.state = State.DROPPED
            self._awaitReturn(member)
            host.application.lives.tell("drop", host, member)
            self._tellOf(member, isAway=True)

    def resumed(self, member: Member, recovered: bool) -> None:
        """It is back, perhaps without having been away."""
        self._host.application.lives.tell("resume", self._host, member, "" if recovered else "not recovered")
        self._tellOf(member, recovered=recovered)

    def _tellOf(self, member: Member, isAway: bool = False, recovered: bool = True) -> None:
        """Tell the room: one job, however often a client comes and goes before it can be told."""
        if member.visits is None:
            member.visits = (isAway, recovered)
            member.mailbox.post(self._told, member)
        else:
            member.visits = (isAway or member.visits[0], recovered and member.visits[1])

    def _told(self, member: Member) -> Deferred[Any] | None:
        host = self._host
        visits, member.visits = member.visits, None
        if not member.isPresent or visits is None:
            return None
        wasAway, recovered = visits
        isBack = member.state is State.JOINED
        told: Deferred[Any] = succeed(None)
        if wasAway:
            told = host.call(host.room.onDrop, member.client).addErrback(host.report, member, "onDrop")
        if isBack:
            told.addCallback(lambda _: self._toldBack(member, recovered))
        return told

    def _toldBack(self, member: Member, recovered: bool) -> Deferred[Any] | None:
        host = self._host
        if not member.isPresent:
            return None
        back = host.call(host.room.onResume, member.client, recovered)
        return back.addErrback(host.report, member, "onResume")

    def _awaitReturn(self, member: Member) -> None:
        member.cancelExpiry()
        member.expiry = self._host.clock.callLater(self._host.room.resumeSeconds, self._expired, member)

    def _expired(self, member: Member) -> None:
        member.expiry = None
        if member.state is State.DROPPED:
            self.leave(member, CloseCode.NORMAL, LeaveReason.DROPPED)

    # -- leaving

    def gone(self, member: Member) -> None:
        """Its client has closed the connection for good: it leaves when what it sent before is handled."""
        self.detached(member)
        if member.state is State.SEATED:
            self._doom(member, CloseCode.NORMAL, LeaveReason.LEFT, "")
        elif member.state is State.JOINED:
            member.state = State.PARTING
            self._host.emitter.failCalls(member)
            member.mailbox.post(self._leave, member)

    def _leave(self, member: Member) -> None:
        self.leave(member, CloseCode.NORMAL, LeaveReason.LEFT)

    def kick(self, member: Member, text: str) -> None:
        """Make it leave; it can't resume."""
        self.leave(member, CloseCode.KICKED, LeaveReason.KICKED, payload.checkText("reason", text))

    def leave(
        self, member: Member, code: int, reason: LeaveReason, text: str = "", isSeen: bool = True
    ) -> None:
        """
        Its membership ends now, and its seat is free; `onLeave` runs in the next turn, after what is
        running for it.

        One that is being seated is told, and freed, when the hook that runs is over.
        """
        host = self._host
        if member.state is State.SEATED:
            self._doom(member, code, reason, text)
            return
        if not member.isPresent:
            return
        del host.members[member.id]
        self.rosterChanged()
        host.leaving.add(member)
        member.state = State.LEAVING
        member.cancelExpiry()
        if reason in _EXPELLED:
            host.admission.expel(member)
        if isSeen:
            host.application.lives.tell("leave", host, member, text or reason.value)
            host.outbox.record(Gone(member.id))
        if member.outlet is not None:
            host.outbox.end(member.audience, code, text)
        self.detached(member)
        if isSeen and host.room.presence:
            self._tell(None, member)
        member.mailbox.clear()
        host.emitter.failCalls(member)
        host.changed()
        host.later.post(member.mailbox.post, self._left, member, reason, isSeen)

    def _doom(self, member: Member, code: int, reason: LeaveReason, text: str) -> None:
        if member.fate is None:
            member.fate = (code, reason, text)

    def _left(self, member: Member, reason: LeaveReason, isSeen: bool) -> Deferred[None]:
        return Deferred.fromCoroutine(self._farewell(member, reason, isSeen))

    async def _farewell(self, member: Member, reason: LeaveReason, isSeen: bool) -> None:
        host, room = self._host, self._host.room  # which it has no more if it could not be made meanwhile
        try:
            await host.call(room.onLeave, member.client, reason)
        except Exception:
            host.report(Failure(), member, "onLeave")
        if isSeen:
            host.tell("leave", room, member.client)
        self._over(member)

    def abandon(self, member: Member) -> None:
        """Another owner has the room, and the member: only what runs for it has to end."""
        host = self._host
        member.cancelExpiry()
        if member.state is State.SEATED:
            self._doom(member, CloseCode.ROOM_MOVED, LeaveReason.DROPPED, "")
            return
        if not member.isPresent:
            return
        del host.members[member.id]
        host.leaving.add(member)
        member.state = State.LEAVING
        self.detached(member)
        host.emitter.failCalls(member)
        member.mailbox.clear()
        host.later.post(member.mailbox.post, self._over, member)

    def _over(self, member: Member) -> None:
        host = self._host
        member.state = State.GONE
        member.forget()
        host.leaving.discard(member)
        host.emptied()

    # -- presence

    def came(self, member: Member) -> None:
        """Somebody has joined: tell the others."""
        host = self._host
        host.application.lives.tell("join", host, member)
        if host.room.presence:
            self._tell(member, None)
        host.changed()
        host.tell("join", host.room, member.client)

    def setMeta(self, member: Member, meta: Mapping[str, Any]) -> None:
        """What presence tells of a member is something else now."""
        host = self._host
        isBinary = host.room.binary
        plain = payload.plain(dict(meta), isBinary, "meta")
        # Raises before anything has changed, not when somebody joins or leaves.
        now = payload.encode([_entry(member.userId, [_seen(member.id, plain)])], isBinary)
        before, member.meta = self._encoded(member), plain
        if not member.isPresent:
            return
        self.rosterChanged()
        host.outbox.record(member.record())
        if host.room.presence:
            host.outbox.emit(PresenceChange(host.id, now, before), host.emitter.everyone)

    def roster(self) -> list[dict[str, Any]]:
        """See `Room.members`."""
        byUser: dict[str, list[Member]] = {}
        for member in self._host.members.values():
            if member.isPresent:
                byUser.setdefault(member.userId, []).append(member)
        return [
            _entry(userId, [_seen(member.id, member.meta) for member in members])
            for userId, members in byUser.items()
        ]

    def encodedRoster(self) -> bytes:
        """The payload of the roster; whoever joins gets it, so it is encoded once for each change."""
        if self._roster is None:
            self._roster = payload.encode(self.roster(), True)
        return self._roster

    def rosterChanged(self) -> None:
        """A member has come or left, or says something else of itself."""
        self._roster = None

    @staticmethod
    def _encoded(member: Member | None) -> bytes:
        """What presence says of one member, or nothing. It can't fail, since it was tried (`setMeta`)."""
        entries = [] if member is None else [_entry(member.userId, [_seen(member.id, member.meta)])]
        return payload.encode(entries, True)

    def _tell(self, came: Member | None, left: Member | None) -> None:
        host = self._host
        change = PresenceChange(host.id, self._encoded(came), self._encoded(left))
        audience = host.emitter.reached(m for m in host.members.values() if m is not came)
        host.outbox.emit(change, audience)

    # -- groups

    def regroup(self, member: Member, group: str, isIn: bool) -> None:
        """Put a member into a group, or take it out."""
        group = payload.checkText("group", group)
        if isIn:
            member.groups |= {group}
        else:
            member.groups -= {group}
        if member.isPresent:
            self._host.outbox.record(member.record())


def _entry(userId: str, metas: list[dict[str, Any]]) -> dict[str, Any]:
    """A user in presence."""
    return {"user": userId, "metas": metas}


def _seen(id: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The meta of a member as others see it."""
    return {**meta, "member": id}

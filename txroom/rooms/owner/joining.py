"""
Admission: how a client gets in, and how it comes back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ...core.awaitables import clearTraceback
from ...core.codes import CloseCode, ErrorCode
from ...core.tokenbucket import Bucket
from ...protocol import payload
from ...protocol.errors import RoomError
from ...protocol.joinoptions import AUTH, SEAT, without
from ...protocol.payload import NIL
from .. import hooks
from ..api.ports import LeaveReason
from ..api.room import Client
from ..contract.arrivals import Join, Refused, Resume
from ..contract.items import Error, Joined
from ..contract.ports import Link, Outlet
from ..contract.records import Entry, Reserved
from .expelled import Expelled
from .link import HostLink
from .member import Member, State
from .tokens import digest, memberOf, newToken

if TYPE_CHECKING:
    from .host import Host


#: Bytes that may be sent again to a member at least, if the log has fewer or no bound.
LEAST_REPLAYS = 1 << 20
#: For how many bytes of data a message counts that is sent again, besides its own.
REPLAY_COST = 100


@attrs.define
class Reservation:
    """A seat that waits for somebody; `userId` is `None` if anybody who has the token may come."""

    userId: str | None
    expiry: IDelayedCall


class Admission:
    """The door of one room."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reservations: dict[bytes, Reservation] = {}
        self._seated: set[Member] = set()
        self._expelled = Expelled()
        #: Whether anybody has become a member.
        self._isUsed = False

    # -- seats

    @property
    def reserved(self) -> int:
        """Seats that are reserved."""
        return len(self._reservations)

    @property
    def floor(self) -> int | None:
        """What is after this offset must be in the log still: somebody is being seated."""
        return min((each.offset for each in self._seated if each.early is None), default=None)

    def reserve(self, user: Any, seconds: float | None = None) -> str:
        """
        Keep a seat; the token is for one use, as option `seat` of a join.

        With a `user` only that user may come. Raises `RoomError` when the room is full or ending,
        `ValueError` for a user that the room has no id for.
        """
        host = self._host
        userId = None if user is None else host.room.userId(user)
        if user is not None and not userId:
            raise ValueError(f"user={user!r}: the room's userId says of it {userId!r}, not who that is")
        if userId is not None:
            userId = payload.checkText("userId", userId)
        if host.life is not host.life.OPEN:
            raise RoomError(ErrorCode.NO_SUCH_ROOM)
        if host.isFull:
            raise RoomError(ErrorCode.FULL)
        token = newToken()
        wait = host.room.seatSeconds if seconds is None else seconds
        reserved = Reserved(digest(token), userId, wait)
        self.restore(reserved)
        host.outbox.record(reserved)
        host.changed()
        return token

    def restore(self, reserved: Reserved) -> None:
        """Keep a seat; one from an earlier owner has all its time again."""
        expiry = self._host.clock.callLater(reserved.seconds, self._expire, reserved.seat)
        self._reservations[reserved.seat] = Reservation(reserved.userId, expiry)

    def close(self) -> None:
        """The room is ending."""
        for reservation in self._reservations.values():
            reservation.expiry.cancel()
        self._reservations.clear()

    def _expire(self, key: bytes) -> None:
        self._reservations.pop(key, None)
        self._host.outbox.record(Reserved(key))
        self._host.changed()
        self._host.emptied()

    # -- joining

    async def join(self, outlet: Outlet, join: Join) -> Link | Refused:
        """
        Take a seat, in one step, and begin to join; `joined` or an error comes to `outlet`.

        A second join of the same connection is the same as the first.
        """
        result = await self._enter(outlet, join)
        if isinstance(result, Refused):
            self._refused(join)
        return result

    def _refused(self, join: Join) -> None:
        """Somebody doesn't come in; nor is the room of any use that was made for it alone."""
        if join.isMaker and not self._isUsed:
            self._host.discard()

    async def _enter(self, outlet: Outlet, join: Join) -> Link | Refused:
        host = self._host
        known = host.sessions.get(join.session)
        if known is not None:
            return self._again(known, join)
        seat = join.options.get(SEAT)
        options = MappingProxyType(without(join.options, SEAT))
        userId = self._userId(join.user, "")
        refusal = self._refusal(join, seat, userId)
        if refusal is not None:
            return refusal
        try:
            mayJoin = await host.call(host.room.canJoin, options, join.user)
        except RoomError as error:
            clearTraceback(error)
            return Refused(error.code, error.message, error.details)
        except Exception:
            host.report(Failure(), hook="canJoin")
            return Refused(ErrorCode.INTERNAL)
        if not mayJoin:
            return Refused(ErrorCode.FORBIDDEN)
        # Much may have changed.
        known = host.sessions.get(join.session)
        if known is not None:
            return self._again(known, join)
        refusal = self._refusal(join, seat, userId)
        if refusal is not None:
            return refusal
        member = self._seat(outlet, join, seat, options, userId)
        link = self._link(member)  # before it is refused, perhaps
        member.mailbox.post(self._admit, member, join)
        return link

    def _again(self, member: Member, join: Join) -> Link:
        """The connection has joined already, or is joining."""
        if member.state is State.SEATED:
            member.refs.append(join.ref)
        else:
            self._announce(member, [join.ref], self._host.log.offset, [], NIL, recovered=True)
        return self._link(member)

    def _refusal(self, join: Join, seat: Any, userId: str) -> Refused | None:
        host = self._host
        if host.life is not host.life.OPEN:
            return Refused(ErrorCode.NO_SUCH_ROOM)
        if host.room.binary and join.isJSON:
            return Refused(ErrorCode.BAD_REQUEST, "this room needs the sub-protocol txroom.v1.msgpack")
        if seat is not None:
            reservation = self._reservations.get(digest(str(seat)))
            if reservation is None:
                return Refused(ErrorCode.FORBIDDEN, "no such seat")
            if reservation.userId not in (None, userId):
                return Refused(ErrorCode.FORBIDDEN, "the seat is somebody else's")
            return None
        if host.isLocked:
            return Refused(ErrorCode.LOCKED)
        if host.isFull:
            return Refused(ErrorCode.FULL)
        return None

    def _seat(self, outlet: Outlet, join: Join, seat: Any, options: Mapping[str, Any], userId: str) -> Member:
        host = self._host
        id = secrets.token_urlsafe(12)
        member = Member(id, join.user, userId or id, options)
        member.client = Client(host, member)
        member.refs = [join.ref]
        member.offset = host.log.offset
        host.members[id] = member
        self._seated.add(member)
        if seat is not None:
            member.seat = digest(str(seat))
            self._reservations.pop(member.seat).expiry.cancel()
        host.membership.attached(member, outlet, join)
        host.cancelEnd()
        host.changed()
        return member

    def _seatedNoMore(self, member: Member) -> None:
        """It has become a member, or not. Only now is its reservation used up, should the owner be lost."""
        self._seated.discard(member)
        if member.seat is not None:
            self._host.outbox.record(Reserved(member.seat))
            member.seat = None

    def _userId(self, user: Any, fallback: str) -> str:
        try:
            id = self._host.room.userId(user)
            return fallback if id is None else payload.checkText("userId", id) or fallback
        except Exception:
            self._host.report(Failure(), hook="userId")
            return fallback

    def _link(self, member: Member) -> Link:
        return HostLink(self._host, member, member.link)

    def _admit(self, member: Member, join: Join) -> Deferred[None]:
        return Deferred.fromCoroutine(self._steps(member, join)).addCallback(self._admitted, member, join)

    def _admitted(self, _: None, member: Member, join: Join) -> None:
        if member.state is State.GONE:
            self._refused(join)

    async def _steps(self, member: Member, join: Join) -> None:
        """onAuth, onJoin, `joined`; if one fails the seat is free again."""
        host, room, client = self._host, self._host.room, member.client
        member.early = []
        hook = "onAuth"
        try:
            user = await self._step(member, room.onAuth, client, member.options, join.request.handshake())
            if not user:
                raise RoomError(ErrorCode.UNAUTHORIZED)
            if user is not True:
                member.userId = self._userId(user, member.id)
                member.user = user
            member.options = MappingProxyType(without(member.options, AUTH))
            if member.fate is not None:
                self._giveBack(member, Error(None, None, ErrorCode.ROOM_GONE))
                return
            member.offset = host.log.offset
            host.emitter.letIn(member)
            hook = "onJoin"
            await self._step(member, room.onJoin, client, member.options)
        except RoomError as error:
            if isinstance(error, hooks.HookTimeout):
                host.report(Failure(), member, hook)
            clearTraceback(error)
            self._giveBack(member, Error(None, None, error.code, error.message, error.details))
        except Exception:
            host.report(Failure(), member, hook)
            self._giveBack(member, Error(None, None, ErrorCode.INTERNAL))
        else:
            try:
                self._joined(member)
            except Exception:
                host.report(Failure(), member)
                self._giveBack(member, Error(None, None, ErrorCode.INTERNAL))

    def _step(self, member: Member, hook: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call a hook that lets a member in, and remember what that waits for."""

        def step() -> Any:
            member.step = hook(*args)
            return member.step

        def over(result: Any) -> Any:
            member.step = None
            return result

        return self._host.call(step).addBoth(over)

    def _giveBack(self, member: Member, error: Error) -> None:
        """It has not become a member."""
        host = self._host
        member.state = State.GONE
        self._seatedNoMore(member)
        host.members.pop(member.id, None)
        member.mailbox.clear()
        host.emitter.failCalls(member)
        if member.fate is not None:
            error = Error(None, None, ErrorCode.ROOM_GONE)
        self._answerAll(member, error)
        if member.audience:
            host.outbox.end(member.audience, member.fate[0] if member.fate is not None else 0)
        host.membership.detached(member)
        member.forget()
        host.changed()
        host.emptied()

    def _answerAll(self, member: Member, error: Error) -> None:
        """All requests of its connection to join end with that."""
        for ref in member.refs:
            answer = Error(ref, None, error.code, error.message, error.details)
            self._host.outbox.emit(answer, member.audience)

    def _joined(self, member: Member) -> None:
        host = self._host
        snapshot = NIL if member.fate is not None else self._snapshot(member)
        missed = host.log.missed(member.offset, member.id)
        if missed is None and member.fate is None:
            member.fate = (CloseCode.ENGINE_UNAVAILABLE, LeaveReason.DROPPED, "too much was said meanwhile")
        if member.fate is not None:
            # It was a member for a moment, which nobody has seen.
            self._seatedNoMore(member)
            mayRetry = member.fate[0] >= CloseCode.SHUTTING_DOWN
            code = ErrorCode.UNAVAILABLE if mayRetry else ErrorCode.ROOM_GONE
            self._answerAll(member, Error(None, None, code))
            member.state = State.JOINED
            host.membership.leave(member, *member.fate, isSeen=False)
            return
        self._isUsed = True
        host.membership.rosterChanged()
        shown = host.log.forNewcomer(member.offset, host.clock.seconds())
        offset = shown[0].offset - 1 if shown else member.offset
        self._seatedNoMore(member)
        member.issueToken()
        self._announce(member, member.refs, offset, [*shown, *(missed or ())], snapshot)
        pending, member.pending = member.pending, []
        for item in pending:
            host.emitter.say(member, item)
        host.membership.came(member)

    def _announce(
        self,
        member: Member,
        refs: list[int | None],
        offset: int,
        replay: list[Entry],
        snapshot: bytes,
        *,
        recovered: bool = False,
    ) -> None:
        """Tell a client that it is a member, and all that it has missed."""
        host = self._host
        member.state = State.JOINED
        member.offset = min(member.offset, offset)
        host.emitter.audienceChanged()
        member.acked = member.handled
        host.outbox.record(member.record())
        member.announced = host.emitter.lastAnnounced = host.outbox.written
        roster = host.membership.encodedRoster() if host.room.presence else NIL
        for ref in refs:
            joined = Joined(
                ref,
                host.id,
                host.name,
                member.id,
                member.token,
                host.epoch,
                offset,
                recovered,
                member.handled,
                roster,
                snapshot,
                member.accepted,
            )
            host.outbox.emit(joined, member.audience)
        host.emitter.replay(member, replay)
        if replay:
            host.log.framed(replay[0].offset)

    def _snapshot(self, member: Member) -> bytes:
        room = self._host.room
        try:
            return payload.encode(room.snapshot(member.client), room.binary, "snapshot")
        except Exception:
            self._host.report(Failure(), member, "snapshot")
            return NIL

    # -- resuming

    def resume(self, outlet: Outlet, resume: Resume) -> Link | Refused:
        """Let a member come back, or take over from a connection that is open still."""
        host = self._host
        refusal = self._mayNotResume(resume)
        if refusal is not None:
            return refusal
        member = host.members[memberOf(resume.token)]
        if self._userId(resume.user, member.id) != member.arrivalId:
            return Refused(ErrorCode.FORBIDDEN)
        replays, now = self._replaysOf(member), host.clock.seconds()
        wait = replays.spend(0.0, now)
        if wait:
            return Refused(ErrorCode.RATE_LIMITED, "too much was sent again", {"retryAfter": wait})
        offset = host.log.offset
        missed = self._missed(member, resume)
        snapshot = self._snapshot(member) if missed is None else NIL
        refusal = self._mayNotResume(resume)  # what was asked may have changed much
        if refusal is not None:
            return refusal
        since = host.log.missed(offset, member.id)
        if since is None:
            return Refused(ErrorCode.UNAVAILABLE, "too much was said meanwhile")
        if member.outlet is not None:
            host.outbox.end(member.audience, CloseCode.REPLACED)
        host.membership.attached(member, outlet, resume)
        member.cancelExpiry()
        member.issueToken(resume.token)
        if missed is not None:
            replay = missed
            self._announce(member, [resume.ref], resume.offset, replay, NIL, recovered=True)
        else:
            shown = host.log.forNewcomer(offset, now)
            offset = shown[0].offset - 1 if shown else offset
            replay = [*(entry for entry in shown if entry.isFor(member.id)), *since]
            self._announce(member, [resume.ref], offset, replay, snapshot)
        replays.spend(len(snapshot) + sum([len(entry.data) + REPLAY_COST for entry in replay]), now)
        link = self._link(member)  # before it is kicked, perhaps
        host.membership.resumed(member, missed is not None)
        return link

    def _replaysOf(self, member: Member) -> Bucket:
        """What a member may be sent again: twice what is kept at once, then as much in ten seconds."""
        if member.replays is None:
            size = max(self._host.room.recoverySize, LEAST_REPLAYS)
            member.replays = Bucket(size / 10, 2.0 * size, self._host.clock.seconds())
        return member.replays

    def _mayNotResume(self, resume: Resume) -> Refused | None:
        host = self._host
        member = host.members.get(memberOf(resume.token))
        if host.life is not host.life.OPEN:
            return Refused(ErrorCode.NO_SUCH_ROOM)
        if (
            member is None
            or member.state not in (State.JOINED, State.DROPPED)
            or not member.accepts(resume.token)
        ):
            isExpelled = self._expelled.has(digest(resume.token), host.clock.seconds())
            return Refused(ErrorCode.FORBIDDEN if isExpelled else ErrorCode.UNAUTHORIZED)
        if host.sessions.get(resume.session, member) is not member:
            return Refused(ErrorCode.BAD_REQUEST, "this connection is another member of the room")
        if host.room.binary and resume.isJSON:
            return Refused(ErrorCode.BAD_REQUEST, "this room needs the sub-protocol txroom.v1.msgpack")
        return None

    def _missed(self, member: Member, resume: Resume) -> list[Entry] | None:
        """What it has not got; `None` if that isn't known, or it asks for what was before its time."""
        host = self._host
        if resume.epoch != host.epoch or resume.offset < member.offset:
            return None
        return host.log.missed(resume.offset, member.id)

    def expel(self, member: Member) -> None:
        """It was made to leave: its client is told so, should it not know, and does not join anew."""
        host = self._host
        self._expelled.add(member.tokens, host.clock.seconds(), host.room.resumeSeconds)

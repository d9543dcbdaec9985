"""
The host: the owner of one room.

It runs the room and never touches a socket. What it is made of: `Admission` (joining and resuming),
`Membership` (leaving, presence, groups), `Intake` (what clients say) and `Emitter` (what the room
says); the host itself is the room's life, from CREATING to DISPOSED::

    CREATING --onCreate--> OPEN --dispose--> DISPOSING --all have left, onDispose--> DISPOSED
        |                    |                   |
        +--raised--> DISPOSED+------ lost -------+--> LOST --onDispose--> DISPOSED
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..codes import CloseCode, ErrorCode
from . import hooks, payload
from .admission import Admission
from .emitter import Emitter
from .errors import RoomError
from .history import Budget, Log
from .intake import Intake
from .member import Client, LeaveReason, Member
from .membership import Membership
from .outbox import Outbox, audienceOf
from .room import Room
from .seam import Join, Journal, Link, Listing, Outlet, Refused, Resume
from .timers import RoomClock

if TYPE_CHECKING:
    from .application import RoomApplication
    from .registry import Registration

#: Seconds that the log is kept beyond `resumeSeconds`: a lost connection isn't noticed at once.
LOG_SLACK = 60.0


class Life(IntEnum):
    """Where a room is in its life; it only moves on."""

    CREATING = 0
    OPEN = 1
    DISPOSING = 2
    #: Another owner has the room.
    LOST = 3
    DISPOSED = 4


class Host:
    """The owner of one room; see the module."""

    _log = Logger()

    def __init__(
        self,
        id: str,
        registration: Registration,
        options: Mapping[str, Any],
        application: RoomApplication,
        budget: Budget | None = None,
    ) -> None:
        self.id = id
        self.application = application
        self.registration = registration
        self.name = registration.name
        self.options: Mapping[str, Any] = MappingProxyType(dict(options))
        #: By what it is matched, whatever the registration says later.
        self.filters: Mapping[str, Any] = registration.filtersOf(options)
        self.handlers = registration.handlers
        clock = self.clock = application.clock
        self._engine = application.engine
        self._journal: Journal | None = None
        self.epoch = ""
        self.isRestored = False

        self.life = Life.CREATING
        #: Whether `onCreate` has succeeded, so that there is something to dispose of.
        self._isCreated = False
        #: Who has a seat, by id: being seated, joined or to resume.
        self.members: dict[str, Member] = {}
        #: Whose onLeave is running.
        self.leaving: set[Member] = set()
        #: Who can be reached, by the id of the edge's session.
        self.sessions: dict[str, Member] = {}
        self.isLocked = False
        self.isPrivate = False
        self.metadata: Mapping[str, Any] = MappingProxyType({})
        self._listing: Listing | None = None
        self._emptyCall: IDelayedCall | None = None
        self._fate: tuple[int, LeaveReason, str] | None = None
        self._waiters: list[Deferred[None]] = []

        self.room: Room = registration.makeRoom()
        self.room._host = self
        self.timers = RoomClock(clock, lambda failure, name: self.report(failure, hook=name), self._gaveUp)
        self.outbox = Outbox()
        self.log = self._makeLog(budget)
        self.emitter = Emitter(self)
        self.membership = Membership(self)
        self.admission = Admission(self)
        self.intake = Intake(self)

    def _makeLog(self, budget: Budget | None) -> Log:
        room = self.room
        seconds = room.resumeSeconds + LOG_SLACK
        return Log(
            room.history, seconds, room.recoveryLimit, room.recoverySize, lambda: self.admission.floor, budget
        )

    # -- its life

    async def open(self) -> None:
        """Claim the room and run `onCreate`; raises what that raised, and then there is no room."""
        try:
            await self._open()
        except BaseException:
            if not self._isCreated:
                self._tellOver()
            raise

    async def _open(self) -> None:
        journal = self._journal = await self._engine.claim(self.id, self)
        self.epoch = journal.epoch
        self.outbox.begin(journal)
        self._restore(journal)
        try:
            await self.call(self.room.onCreate, self.options)
        except Exception as error:
            self.timers.stop()
            self.outbox.lose()
            self.log.close()
            self.members.clear()  # those of an earlier owner: there is no room to leave
            if self.life is Life.CREATING:
                self.life = Life.DISPOSED
                await journal.release()
            if not isinstance(error, RoomError):
                self.report(Failure(), hook="onCreate")
                raise RoomError(ErrorCode.INTERNAL, "the room can't be made") from None
            raise
        self._isCreated = True
        if self.life is not Life.CREATING:  # lost meanwhile
            self._endWhenEmpty()
            raise RoomError(ErrorCode.UNAVAILABLE)
        self.life = Life.OPEN
        self._begin(journal)

    def _begin(self, journal: Journal) -> None:
        room = self.room
        self.membership.begin()
        for reserved in journal.loaded.reserved:
            self.admission.restore(reserved)
        if room.tickRate > 0:
            interval = 1.0 / room.tickRate
            last = self.clock.seconds()

            def onTick() -> Any:
                nonlocal last
                now = self.clock.seconds()
                elapsed, last = now - last, now
                return room.onTick(elapsed)

            self.timers.every(interval, onTick)
        self.changed()
        self.registration.tell("create", room)
        if self._fate is not None:
            self.dispose(*self._fate)
        elif not self.members:
            self._scheduleEnd(max(room.linger, room.seatSeconds))

    def _restore(self, journal: Journal) -> None:
        """Go on where an earlier owner has stopped."""
        loaded = journal.loaded
        self.log.load(loaded.entries, loaded.offset, self.clock.seconds())
        self.isRestored = loaded.listing is not None
        if loaded.listing is not None:
            self.options = MappingProxyType(dict(loaded.listing.options))
            self.filters = loaded.listing.filters
            self.isLocked = loaded.listing.isLocked
            self.isPrivate = loaded.listing.isPrivate
            self.metadata = MappingProxyType(dict(loaded.listing.metadata))
        for record in loaded.members:
            member = Member.restored(record)
            member.client = Client(self, member)
            self.members[member.id] = member
        for handled in loaded.handled:
            if handled.member in self.members:
                self.members[handled.member].restore(handled)

    def dispose(
        self,
        code: int = CloseCode.ROOM_CLOSED,
        reason: LeaveReason = LeaveReason.CLOSED,
        text: str = "",
    ) -> Deferred[None]:
        """End the room: all leave, then `onDispose`; fires when it is over."""
        if self.life is Life.DISPOSED:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if self.life is Life.CREATING:
            self._fate = (code, reason, text)
        elif self.life is Life.OPEN:
            self.life = Life.DISPOSING
            self.cancelEnd()
            self.timers.stop()
            self.admission.close()
            self.changed()
            for member in list(self.members.values()):
                self.membership.leave(member, code, reason, text)
            self._endWhenEmpty()
        return waiter

    def emptied(self) -> None:
        """Somebody's seat is free: look whether the room is to end."""
        if self.life is Life.OPEN:
            if self._emptyCall is None and self._isEmpty:
                self._scheduleEnd(self.room.linger)
        elif self.life is not Life.CREATING:
            self._endWhenEmpty()

    def discard(self) -> None:
        """It was made for somebody who has been refused, and has had no member: end it, if it is empty."""
        if self.life is Life.OPEN and self._isEmpty:
            self.dispose()

    @property
    def _isEmpty(self) -> bool:
        return not (self.members or self.leaving or self.admission.reserved)

    def _scheduleEnd(self, seconds: float) -> None:
        self.cancelEnd()
        if self.room.autoDispose:
            self._emptyCall = self.clock.callLater(seconds, self._endIfEmpty)

    def cancelEnd(self) -> None:
        """Somebody is coming."""
        call, self._emptyCall = self._emptyCall, None
        if call is not None and call.active():
            call.cancel()

    def _endIfEmpty(self) -> None:
        self._emptyCall = None
        if self.life is Life.OPEN and self.room.autoDispose and self._isEmpty:
            self.dispose()

    def _endWhenEmpty(self) -> None:
        """The last step: all have left, so `onDispose` runs, once, and nothing after it."""
        if (
            not self._isCreated
            or self.members
            or self.leaving
            or self.life not in (Life.DISPOSING, Life.LOST)
        ):
            return
        isLost = self.life is Life.LOST
        self.life = Life.DISPOSED
        Deferred.fromCoroutine(self._end(isLost)).addErrback(
            lambda failure: self._log.failure("room {id} could not be released", failure, id=self.id)
        )

    async def _end(self, isLost: bool) -> None:
        try:
            await self.call(self.room.onDispose)
        except Exception:
            self.report(Failure(), hook="onDispose")
        self.registration.tell("dispose", self.room)
        self.log.close()
        if not isLost:
            await self._release()
        self._tellOver()

    def _tellOver(self) -> None:
        """There is no room, or no more."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    async def _release(self) -> None:
        """When all that was said has left, let go of the room."""
        try:
            await self.outbox.whenCommitted()
        except RoomError:
            pass  # lost meanwhile
        self.outbox.lose()
        if self._journal is not None:
            await self._journal.release()

    def _gaveUp(self) -> None:
        """A timer has raised too often."""
        self._log.error("room {id}: a timer raises again and again; the room is closed", id=self.id)
        self.dispose(CloseCode.ROOM_CLOSED, LeaveReason.CLOSED, "failed")

    # -- the journal's owner

    def committed(self, count: int) -> None:
        """So many records are committed."""
        self.outbox.committed(count)

    def lost(self, code: int) -> None:
        """Another owner has the room, or its state is lost: nothing leaves from here any more."""
        # Who waits for its end, by whatever was never committed, isn't left behind either.
        reached = self.outbox.lose()
        if self.life >= Life.LOST:
            self._forsake(reached, code)
            return
        self.life = Life.LOST
        self.cancelEnd()
        self.timers.stop()
        self.admission.close()
        reached += [(member.outlet, member.link) for member in self.members.values() if member.outlet]
        self._forsake(reached, code)
        for member in list(self.members.values()):
            self.membership.abandon(member)
        self._endWhenEmpty()

    def _forsake(self, reached: list[tuple[Outlet, str]], code: int) -> None:
        for outlet, links in audienceOf(reached):
            outlet.detach(links, code)

    # -- what edges ask

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; see `Engine.attach`."""
        if isinstance(arrival, Join):
            return Deferred.fromCoroutine(self.admission.join(outlet, arrival))
        return succeed(self.admission.resume(outlet, arrival))

    async def reserve(self, user: Any, seconds: float | None) -> str:
        """Keep a seat; see `Engine.reserve`."""
        token = self.admission.reserve(user, seconds)
        await self.outbox.whenCommitted()
        return token

    # -- matchmaking

    @property
    def taken(self) -> int:
        """Seats that are taken or reserved."""
        return len(self.members) + self.admission.reserved

    @property
    def isFull(self) -> bool:
        """Whether no seat is free."""
        return 0 < self.room.maxClients <= self.taken

    @property
    def listing(self) -> Listing:
        """The room as matchmaking sees it now."""
        return Listing(
            self.id,
            self.name,
            self.taken,
            self.room.maxClients,
            self.isLocked or self.life is not Life.OPEN,
            self.isPrivate,
            dict(self.metadata),
            self.filters,
            dict(self.options),
        )

    def changed(self) -> None:
        """Something that matchmaking sees has changed, perhaps: publish it if so."""
        listing = self.listing
        before, self._listing = self._listing, listing
        if listing == before or self.life in (Life.CREATING, Life.LOST, Life.DISPOSED):
            return
        self._engine.publish(listing)
        isMinor = before is not None and (
            before.isLocked,
            before.isPrivate,
            before.metadata,
        ) == (listing.isLocked, listing.isPrivate, listing.metadata)
        if not isMinor and self.life is Life.OPEN:
            self.outbox.record(listing)
        wasClosed = before is not None and (before.isLocked or before.isFull)
        isClosed = listing.isLocked or listing.isFull
        if isClosed != wasClosed and self.life is Life.OPEN:
            self.registration.tell("lock" if isClosed else "unlock", self.room)

    def setLocked(self, isLocked: bool) -> None:
        """See `Room.lock`."""
        self.isLocked = isLocked
        self.changed()

    def setPrivate(self, isPrivate: bool) -> None:
        """See `Room.setPrivate`."""
        self.isPrivate = isPrivate
        self.changed()

    def setMetadata(self, metadata: Mapping[str, Any]) -> None:
        """See `Room.setMetadata`."""
        self.metadata = MappingProxyType(payload.plain(dict(metadata)))
        self.changed()

    # -- running what users wrote

    def call(self, hook: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call a hook with the room's time limit."""
        token = hooks.inside.set(self)
        try:
            return hooks.call(self.clock, self.room.handlerTimeout, hook, *args)
        finally:
            hooks.inside.reset(token)

    def report(self, failure: Failure, member: Member | None = None, hook: str = "") -> None:
        """A hook or a handler raised: log it, and do what `onRoomError` says it shall cost."""
        what = ".".join(filter(None, (type(self.room).__name__, hook)))
        who = "" if member is None else f" for {member.id}"
        self._log.failure(
            "{what} in room {name} {id}{who}", failure, what=what, name=self.name, id=self.id, who=who
        )
        try:
            cost = self.room.onRoomError(failure, None if member is None else member.client)
        except Exception:
            self._log.failure("onRoomError of room {name} {id}", name=self.name, id=self.id)
            return
        if cost == "room":
            self.dispose(CloseCode.ROOM_CLOSED, LeaveReason.CLOSED, "failed")
        elif cost == "client" and member is not None:
            self.membership.kick(member, "failed")

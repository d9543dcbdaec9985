"""
The host: the owner of one room.

It runs the room and never touches a socket. What it is made of: `Admission` (joining and resuming),
`Membership` (leaving, presence, groups), `Intake` (what clients say) and `Emitter` (what the room
says); the host itself is the room's life, from CREATING to DISPOSED::

    CREATING --onCreate, begun--> OPEN --dispose--> DISPOSING --all have left, onDispose--> DISPOSED
        |                           |                   |
        +--raised, and onDispose if onCreate did not--> |
        +---------------------------+------ lost -------+--> LOST --onDispose--> DISPOSED

What users wrote is never called in the middle of a change of all this. What they are asked (`userId`,
`canJoin`, `snapshot`) they are asked before; what they are told (`onLeave`, `onRoomError` and what it says
an error costs, listeners, Deferreds that fail) is posted, and comes in the next turn of the reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import ref

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...core.awaitables import clearTraceback
from ...core.codes import CloseCode, ErrorCode
from ...protocol import payload
from ...protocol.errors import RoomError
from .. import hooks
from ..api.clock import RoomClock
from ..api.history import History
from ..api.ports import LeaveReason
from ..api.room import Client, Room
from ..api.settings import checkSettings
from ..contract.arrivals import Join, Refused, Resume
from ..contract.listing import Listing
from ..contract.ports import Journal, Link, Outlet
from .broadcaster import Emitter
from .ended import NOBODY
from .inbox import Intake
from .joining import Admission
from .leaving import Membership
from .log import Budget, Log
from .member import Member
from .outbox import Outbox, audienceOf

if TYPE_CHECKING:
    from ..application import RoomApplication
    from ..registration import Registration

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
        #: Why it ends, for the log.
        self._why = ""
        self._waiters: list[Deferred[None]] = []
        #: Whether those who listen to the registration have been told that it is made.
        self._isBegun = False
        #: Fires when all have left a room that couldn't be made.
        self._lastLeft: Deferred[None] | None = None
        #: Whether it is over, onDispose and all.
        self._isOver = False

        self.room: Room = registration.makeRoom()
        self.room._host = self
        self._findRoom: Callable[[], Room | None] = lambda: self.room
        self.later = hooks.Later(clock)
        self.timers = RoomClock(clock, lambda failure, name: self.report(failure, hook=name), self._gaveUp)
        self.outbox = Outbox()
        self.log = Log(*self._logged, lambda: self.admission.floor, budget)
        self.emitter = Emitter(self)
        self.membership = Membership(self)
        self.admission: Admission = Admission(self)
        self.intake = Intake(self)

    @property
    def _logged(self) -> tuple[History | None, float, int, int]:
        """What the log keeps, as the room has it."""
        room = self.room
        return room.history, room.resumeSeconds + LOG_SLACK, room.recoveryLimit, room.recoverySize

    # -- its life

    async def open(self) -> None:
        """
        Claim the room, run `onCreate`, and let people in. Raises `RoomError`, and then there is no room:
        what there was of it is disposed of, whatever went wrong and at which step.
        """
        try:
            await self._open()
        except Exception as error:
            if not isinstance(error, RoomError) or isinstance(error, hooks.HookTimeout):
                self.report(Failure(), hook="" if self._isCreated else "onCreate")
            isLost = self.life is Life.LOST
            self.life = Life.DISPOSED
            self._shut()
            self.outbox.lose()
            for member in self.members.values():  # those of an earlier owner: there is no room to leave
                member.forget()
            self.members.clear()
            await self._allHaveLeft()
            await self._end(isLost)
            if not isinstance(error, RoomError):
                error = RoomError(ErrorCode.INTERNAL, "the room can't be made")
            clearTraceback(error)
            raise error from None

    async def _open(self) -> None:
        journal = self._journal = await self._engine.claim(self.id, self)
        self.epoch = journal.epoch
        self.outbox.begin(journal)
        self._restore(journal)
        await self.call(self.room.onCreate, self.options)
        self._isCreated = True
        if self.life is not Life.CREATING:  # lost meanwhile
            raise RoomError(ErrorCode.UNAVAILABLE)
        self._begin(journal)

    def _begin(self, journal: Journal) -> None:
        room = self.room
        checkSettings(type(room).__name__, partial(getattr, room))
        self.log.bound(*self._logged, self.clock.seconds())
        self.membership.begin()
        for reserved in journal.loaded.reserved:
            self.admission.restore(reserved)
        self.life = Life.OPEN
        self.changed()
        if room.tickRate > 0:
            self._startTicks(1.0 / room.tickRate)
        self._isBegun = True
        self.application.lives.tell("create", self)
        self.tell("create", room)
        if self._fate is not None:
            self.dispose(*self._fate)
        elif not self.members:
            self._scheduleEnd(max(room.linger, room.seatSeconds))

    def _startTicks(self, interval: float) -> None:
        last = self.clock.seconds()

        def onTick() -> Deferred[Any]:
            nonlocal last
            now = self.clock.seconds()
            elapsed, last = now - last, now
            return self.call(self.room.onTick, elapsed)

        self.timers.every(interval, onTick)

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
        if self._isOver:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if self.life is Life.CREATING:
            self._fate = (code, reason, text)
        elif self.life is Life.OPEN:
            self.life = Life.DISPOSING
            self._why = text or reason.value
            self._shut()
            self.changed()
            for member in list(self.members.values()):
                self.membership.leave(member, code, reason, text)
            self.later.post(self._endWhenEmpty)
        return waiter

    def _shut(self) -> None:
        """Nobody comes any more, and no timer."""
        self.cancelEnd()
        self.admission.close()
        self.timers.stop()
        self.later.post(self.timers.cancelRunning)

    def emptied(self) -> None:
        """Somebody's seat is free: look whether the room is to end."""
        if self.life is Life.OPEN:
            if self._emptyCall is None and self._isEmpty:
                self._scheduleEnd(self.room.linger)
        elif self.life in (Life.DISPOSING, Life.LOST):
            self.later.post(self._endWhenEmpty)
        elif self._lastLeft is not None and not self.leaving:
            lastLeft, self._lastLeft = self._lastLeft, None
            lastLeft.callback(None)

    async def _allHaveLeft(self) -> None:
        """Wait for `onLeave` of those whom `onCreate` made leave, members of an earlier owner."""
        if self.leaving:
            self._lastLeft = Deferred()
            await self._lastLeft

    def discard(self) -> None:
        """It was made for somebody who has been refused, and has had no member: end it, if it is empty."""
        if self.life is Life.OPEN and self._isEmpty:
            self.dispose(text="its maker was refused")

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
            self.dispose(text="empty")

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
        self.later.flush()
        try:
            if self._isCreated:
                await self._disposeRoom()
            self.log.close()
            if not isLost:
                await self._release()
        finally:
            self._letGo()

    async def _disposeRoom(self) -> None:
        try:
            await self.call(self.room.onDispose)
        except Exception:
            self.report(Failure(), hook="onDispose")
        self.later.flush()
        if self._isBegun:
            self.application.lives.tell("dispose", self, reason=self._why or "lost")
            self.registration.tell("dispose", self.room)

    def _letGo(self) -> None:
        """
        It is over: cut what refers in a circle, so that all of it is freed at once, without the collector.

        What users hold still, a room or a client, has this host, which knows the room only as long as they
        hold it, and whose parts are nobody's.
        """
        if self._journal is None:  # which the engine would have let go of
            self.application.hostEnded(self)
        self._isOver = True
        nobody: Any = NOBODY
        self.emitter = self.membership = self.admission = self.intake = nobody
        self._journal = self._listing = None
        self.outbox.lose()
        self.timers.close()
        self._findRoom = ref(self.room)
        del self.room
        self.outbox.failWaiters()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def findRoom(self) -> Room | None:
        """The room; `None` if it has ended, and nobody has it any more."""
        return self._findRoom()

    async def _release(self) -> None:
        """When all that was said has left, let go of the room."""
        try:
            await self.outbox.whenCommitted()
        except RoomError as error:  # lost meanwhile
            clearTraceback(error)
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
        self.later.post(self.outbox.failWaiters)
        if self.life >= Life.LOST:
            self._forsake(reached, code)
            return
        self.life = Life.LOST
        self._shut()
        reached += [(member.outlet, member.link) for member in self.members.values() if member.outlet]
        self._forsake(reached, code)
        for member in list(self.members.values()):
            self.membership.abandon(member)
        self.later.post(self._endWhenEmpty)

    def _forsake(self, reached: list[tuple[Outlet, str]], code: int) -> None:
        for outlet, links in audienceOf(reached):
            outlet.detach(links, code)

    # -- what edges ask

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; see `Engine.attach`."""
        if self.life is not Life.OPEN:
            return succeed(Refused(ErrorCode.NO_SUCH_ROOM))
        if isinstance(arrival, Join):
            return Deferred.fromCoroutine(self.admission.join(outlet, arrival))
        return succeed(self.admission.resume(outlet, arrival))

    async def reserve(self, user: Any, seconds: float | None) -> str:
        """Keep a seat; see `Engine.reserve`."""
        if self.life is not Life.OPEN:
            raise RoomError(ErrorCode.NO_SUCH_ROOM)
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
        """Whether no seat is free; one that has ended has none."""
        if self._isOver:
            return True
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
        if self.life not in (Life.OPEN, Life.DISPOSING):
            return
        listing = self.listing
        before, self._listing = self._listing, listing
        if listing == before:
            return
        self._engine.publish(listing)
        isMinor = before is not None and (
            before.isLocked,
            before.isPrivate,
            before.metadata,
        ) == (listing.isLocked, listing.isPrivate, listing.metadata)
        if self.life is not Life.OPEN:
            return
        if not isMinor:
            self.outbox.record(listing)
        if before is not None:
            isClosed = listing.isLocked or listing.isFull
            if isClosed != (before.isLocked or before.isFull):
                self.tell("lock" if isClosed else "unlock", self.room)

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
        self.metadata = MappingProxyType(payload.plain(dict(metadata), name="metadata"))
        self.changed()

    # -- running what users wrote

    def call(self, hook: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call a hook with the room's time limit."""
        token = hooks.inside.set(self)
        try:
            return hooks.call(self.clock, self.room.handlerTimeout, hook, *args)
        finally:
            hooks.inside.reset(token)

    def tell(self, event: str, *args: Any) -> None:
        """Tell those who listen to the registration, in the next turn."""
        if self.registration.hasListeners(event):
            self.later.post(self.registration.tell, event, *args)

    def report(self, failure: Failure, member: Member | None = None, hook: str = "") -> None:
        """A hook or a handler raised: log it. What `onRoomError` says it costs comes in the next turn."""
        what = ".".join(filter(None, (self.registration.roomClass.__name__, hook)))
        who = "" if member is None else f" for {member.id}"
        self._log.failure(
            "{what} in room {name} {id}{who}", failure, what=what, name=self.name, id=self.id, who=who
        )
        clearTraceback(failure.value)
        if not self._isOver:
            client = None if member is None else member.client
            self.later.post(self._judge, self.room, failure, member, client)

    def _judge(self, room: Room, failure: Failure, member: Member | None, client: Client | None) -> None:
        try:
            cost = room.onRoomError(failure, client)
        except BaseException:
            self._log.failure("onRoomError of room {name} {id}", name=self.name, id=self.id)
            return
        if cost == "room":
            self.dispose(CloseCode.ROOM_CLOSED, LeaveReason.CLOSED, "failed")
        elif cost == "client" and member is not None:
            self.membership.kick(member, "failed")

"""
The host: the owner of one room.

It runs the room, and never touches a socket. The host makes the parts that do the work, passes to each the
other parts that it uses, and leads the room through the states of `life`.

The host and its parts never call users' code while they change the state of the room. Hooks that answer a
question (`userId`, `canJoin`, `snapshot`) are called before the change. Hooks and listeners that are told
about it (`onLeave`, `onRoomError`) are called in the next turn of the reactor. Deferreds that users wait for
also fail then, and the answer of `onRoomError` takes effect then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...core.awaitables import clearTraceback
from ...core.codes import CloseCode, ErrorCode
from ...protocol.errors import RoomError
from .. import hooks
from ..api.clock import RoomClock, RoomTimers
from ..api.history import History
from ..api.ports import LeaveReason
from ..api.room import Room
from ..api.settings import checkSettings
from ..contract.arrivals import Join, Refused, Resume
from ..contract.asks import Command, Once
from ..contract.listing import Listing
from ..contract.ports import ASK_SECONDS, Journal, Link, Outlet
from ..contract.records import Loaded
from ..registration import Registration
from .budget import Budget
from .context import HostApplication, RoomContext
from .ended import ENDED_ROOM
from .life import Event, RoomLife, Stage, closedError
from .lifecyclelog import lossOf
from .member import State
from .messagelog import MessageLog
from .outbox import Outbox, detachAll
from .parts import Parts, makeParts
from .roster import Roster
from .runner import Runner
from .userport import UserPort

#: Seconds that the log is kept beyond `resumeSeconds`, since a lost connection isn't noticed at once.
LOG_SLACK = 60.0


class Host(UserPort):
    """The owner of one room; see the module."""

    __slots__ = (
        "_clock", "_findRoom", "_isBegun", "_isCreated", "_journal", "_lastEvent", "_lastLeft", "_parts",
        "_pendingEnd", "_waiters", "_why", "application", "broadcaster", "calls", "id", "isRestored",
        "life", "log", "members", "name", "outbox", "presence", "registration", "room", "roomListing",
        "roomTimers", "roster", "runner", "saving", "timers",
    )  # fmt: skip

    _log = Logger()

    def __init__(
        self,
        id: str,
        registration: Registration,
        options: Mapping[str, Any],
        application: HostApplication,
        budget: Budget | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.id = id
        self.name = registration.name
        self.application = application
        self.registration = registration
        self.isRestored = False
        self._journal: Journal | None = None
        #: Whether `onCreate` has succeeded, so that `onDispose` is due.
        self._isCreated = False
        #: Whether the listeners of the registration have been told "create".
        self._isBegun = False
        #: The arguments of the first `dispose` that came before the room was open.
        self._pendingEnd: tuple[int, LeaveReason, str] | None = None
        #: The event that ends the room here, and why, for the log.
        self._lastEvent, self._why = "dispose", ""
        #: Fires when all members have left a room that couldn't be created.
        self._lastLeft: Deferred[None] | None = None
        #: The Deferreds that fire when the room has ended.
        self._waiters: list[Deferred[None]] = []

        self.life = RoomLife()
        self.roster = Roster()
        self.members = self.roster.members
        self.room: Room = registration.makeRoom()
        self.room._host = self
        self._findRoom: Callable[[], Room | None] = lambda: self.room
        self._clock = application.clock
        self.runner = Runner(self.room, self, self._clock, registration)
        self.roomTimers = RoomTimers(
            self._clock,
            lambda failure, name: self.runner.report(failure, hook=name),
            self._timerFailed,
            lambda: self._parts.saving.touch(),
        )
        self.timers = RoomClock(self.roomTimers)
        self.outbox = Outbox(self._clock)
        self.log = MessageLog(*self._bounds, self.roster.floor, budget)
        context = RoomContext(
            id=self.id,
            name=self.name,
            room=self.room,
            port=self,
            clock=self._clock,
            timers=self.timers,
            roomTimers=self.roomTimers,
            life=self.life,
            roster=self.roster,
            log=self.log,
            outbox=self.outbox,
            runner=self.runner,
            lifecycleLog=application.lifecycleLog,
            meters=application.meters,
        )
        self._parts: Parts = makeParts(context, self, registration, application.engine, options, given)
        parts = self._parts
        self.roomListing = parts.roomListing
        self.broadcaster = parts.broadcaster
        self.calls = parts.calls
        self.presence = parts.presence
        self.saving = parts.saving

    @property
    def _bounds(self) -> tuple[History | None, float, int, int]:
        """The bounds of the log, from the room's settings."""
        room = self.room
        return room.history, room.resumeSeconds + LOG_SLACK, room.recoveryLimit, room.recoverySize

    # -- its beginning

    async def open(self, once: Once | None = None) -> None:
        """
        Claim the room, run `onCreate` or `load`, and let clients join.

        Args:
            once: The key of the request that creates the room, if it has one.

        Raises:
            RoomError: The room can't be created, or can't go on here. Everything that was made of it is
                disposed of, whichever step has failed.
        """
        try:
            await self._open(once)
        except Exception as error:
            told = error
            if not isinstance(error, RoomError) or isinstance(error, hooks.HookTimeout):
                why = self.runner.report(Failure(), hook="" if self._isCreated else "onCreate").message
                told = error if isinstance(error, RoomError) else hooks.notCreated(why)
            await self._undo()
            clearTraceback(told)
            raise told from None

    async def _open(self, once: Once | None) -> None:
        journal = self._journal = await self.application.engine.claim(self.id, self)
        self.log.epoch = journal.epoch
        self.outbox.begin(journal)
        self.calls.begin(journal.generation)
        self.isRestored = self._parts.takeover.restore(journal.loaded)
        self._parts.states.begin(journal.generation)
        onCreate = partial(self.runner.call, self.room.onCreate, self.roomListing.options)
        await self.saving.load(onCreate)
        self._isCreated = True
        if self.life.stage is Stage.LOST:
            raise RoomError(ErrorCode.UNAVAILABLE, "the room was lost while it was created")
        if once is not None:
            self._parts.keptAnswers.created(once)
        self._begin(journal)

    def _begin(self, journal: Journal) -> None:
        room = self.room
        checkSettings(type(room).__name__, partial(getattr, room))
        self.log.bound(*self._bounds, self._clock.seconds())
        self.saving.begin()
        self._parts.takeover.begin(journal.loaded)
        self.life.follow(Event.OPENED)
        self._parts.attaching.begin()
        self.roomListing.changed()
        states = self._parts.states
        if room.tickRate > 0:
            after = states.tick if states.isDeclared and room.patchRate == room.tickRate else None
            self.runner.startTicks(self.timers, 1.0 / room.tickRate, after)
        states.start()
        self._isBegun = True
        self.application.lifecycleLog.tell("adopt" if self.isRestored else "create", self)
        self.runner.tell("create", room)
        if self._pendingEnd is not None:
            self.dispose(*self._pendingEnd)
        elif not self.members:
            self._parts.vacancy.wait(max(room.linger, room.seatSeconds))

    async def _undo(self) -> None:
        """
        Dispose of everything that was made of a room that can't be created.

        The room of an earlier owner is kept, for the next one.
        """
        isLost = self.life.isLost
        self.life.goesOn = isLost or self.isRestored
        self.life.follow(Event.FAILED)
        self._parts.attaching.begin()
        self._shut()
        self.outbox.lose()
        for member in self.members.values():  # of an earlier owner: `onLeave` isn't due
            member.state = State.GONE
            member.forget()
        self.members.clear()
        if self.roster.leaving:  # members that `onCreate` kicked
            self._lastLeft = Deferred()
            await self._lastLeft
        await self._end(isLost)

    # -- events that the parts report

    def stopTimers(self) -> None:
        """Stop all timers, and cancel those that are running; see `Lifecycle`."""
        self._parts.states.stop()
        self.roomTimers.stop()
        self.roomTimers.cancelRunning()

    def keepOpen(self) -> None:
        """Keep the room open, because a client has taken a seat."""
        self._parts.vacancy.stop()

    def seatFreed(self) -> None:
        """Check whether the room may end, because a member has left or a reservation has ended."""
        stage = self.life.stage
        if stage is Stage.OPEN:
            self._parts.vacancy.check()
        elif self.life.may(Event.EMPTY):
            self.runner.post(self._endWhenEmpty)
        elif self._lastLeft is not None and not self.roster.leaving:
            lastLeft, self._lastLeft = self._lastLeft, None
            lastLeft.callback(None)

    def creatorRefused(self) -> None:
        """End the room if nobody has ever joined, because the client that it was created for was refused."""
        if self.life.isOpen and self.roster.isEmpty:
            self.dispose(text="its creator was refused")

    def _timerFailed(self) -> None:
        """Close the room, because a timer has raised too many times in a row."""
        self._log.error("room {id}: a timer has raised too many times; the room is closed", id=self.id)
        self.dispose(CloseCode.ROOM_CLOSED, LeaveReason.CLOSED, "failed")

    # -- its end

    def dispose(
        self,
        code: int = CloseCode.ROOM_CLOSED,
        reason: LeaveReason = LeaveReason.CLOSED,
        text: str = "",
    ) -> Deferred[None]:
        """End the room: all members leave, then `onDispose` runs. The Deferred fires when that is over."""
        if self.life.stage is Stage.DISPOSED:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if self.life.stage is Stage.CREATING:
            self._pendingEnd = (code, reason, text)
        elif self.life.follows(Event.CLOSED):
            self._why = text or reason.value
            self._shut()
            self.roomListing.changed()
            for member in list(self.members.values()):
                self._parts.leaving.leave(member, code, reason, text)
            self.runner.post(self._endWhenEmpty)
        return waiter

    def _shut(self) -> None:
        """Let no more clients join, and stop the timers."""
        self._parts.vacancy.stop()
        self.saving.stop()
        self._parts.states.stop()
        self._parts.seats.close()
        self.roomTimers.stop()
        self.runner.post(self.roomTimers.cancelRunning)

    def _endWhenEmpty(self) -> None:
        """Take the last step if all members have left: run `onDispose`, once, and nothing after it."""
        if not (self._isCreated and self.life.may(Event.EMPTY)) or self.members or self.roster.leaving:
            return
        isLost = self.life.isLost
        self.life.follow(Event.EMPTY)
        Deferred.fromCoroutine(self._end(isLost)).addErrback(
            lambda failure: self._log.failure("room {id} could not be released", failure, id=self.id)
        )

    async def _end(self, isLost: bool) -> None:
        self.runner.flush()
        try:
            if self._isCreated:
                await self._disposeRoom()
            self.log.close()
            if not isLost:
                await self._release()
        except Exception:  # and not `finally`: garbage that is collected has nothing to tell those that wait
            self._letGo()
            raise
        self._letGo()

    async def _disposeRoom(self) -> None:
        try:
            await self.runner.call(self.room.onDispose)
        except Exception:
            self.runner.report(Failure(), hook="onDispose")
        self.runner.flush()
        if self._isBegun:
            self.application.lifecycleLog.tell(self._lastEvent, self, reason=self._why)
            self.registration.tell("dispose", self.room)

    async def _release(self) -> None:
        """Release the journal, or hand it over, after all items have been committed and sent."""
        try:
            await self.outbox.whenCommitted()
        except RoomError as error:  # lost meanwhile
            clearTraceback(error)
        self.outbox.lose()
        if self._journal is not None and self.life.goesOn:
            await self._journal.handOver()
        elif self._journal is not None:
            self.life.isReleased = await self._journal.release()

    def _letGo(self) -> None:
        """
        Break the reference cycles of a room that has ended, so that the garbage collector is not needed to
        free it.

        Users may still hold the room or one of its clients, which refer to this host. So the host keeps only
        a weak reference to the room, and `ENDED_ROOM` replaces its parts.
        """
        if self._journal is None:  # the engine never had it
            self.application.hostEnded(self)
        self.life.follow(Event.ENDED)
        self.runner.close()
        self.roomListing.close()
        ended: Any = ENDED_ROOM
        self.broadcaster = self.calls = self.presence = self.saving = ended
        self._parts.states.close()
        self._parts = None  # type: ignore[assignment]  # nothing uses it from now on
        del self.runner
        self._journal = None
        self.outbox.lose()
        self.roomTimers.close()
        self._findRoom = ref(self.room)
        del self.room
        self.outbox.failWaiters()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    # -- for the journal

    def committed(self, count: int) -> None:
        """Send the items that have waited for the first `count` records, which have been committed."""
        self.outbox.committed(count)

    def lost(self, code: int, reason: str = "") -> None:
        """Give up the room and send nothing more: another owner has it, or its records are lost."""
        if self.life.stage is Stage.DISPOSED:
            return
        # Ends of links may be queued behind records that are never committed; these links are ended now.
        reached = self.outbox.lose()
        self.runner.post(self.outbox.failWaiters)
        if not self.life.follows(Event.LOST):
            detachAll(reached, code)
            return
        self._lastEvent, self._why = lossOf(code, reason)
        self._parts.attaching.begin()
        self.runner.post(self._parts.reading.wake)
        self._shut()
        members = list(self.members.values())
        reached += [(member.outlet, member.link) for member in members if member.outlet]
        self._parts.forwarding.begin(members)  # before its members lose their links
        detachAll(reached, code)
        for member in members:
            self._parts.leaving.abandon(member)
        self.runner.post(self._endWhenEmpty)

    def everything(self) -> Loaded:
        """Return the whole state of the room; see `RoomHost.everything`."""
        return Loaded() if self.life.isOver else self._parts.takeover.everything()

    def refounded(self, epoch: str) -> None:
        """Go on after the journal has lost the room's records; see `RoomHost.refounded`."""
        if not self.life.isOver:
            self.application.lifecycleLog.tell("refound", self)
            self._parts.takeover.refounded(epoch)

    # -- for edges

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; see `Engine.attach`."""
        if self.life.isOver:
            return succeed(Refused(self.life.closedCode))
        return self._parts.attaching.attach(outlet, arrival)

    def edgeGone(self, outlet: Outlet) -> None:
        """Drop all links through an edge that is lost; see `RoomHost.edgeGone`."""
        if not self.life.isOver:
            self._parts.attaching.edgeGone(outlet)
            for member in list(self.members.values()):
                if member.outlet is outlet:
                    self._parts.leaving.drop(member)

    # -- for the engine

    async def move(self, mustSave: bool = False) -> bool:
        """Prepare for the next owner; see `RoomHost.move`."""
        return not self.life.isOver and await self._parts.moving.move(mustSave)

    @property
    def listing(self) -> Listing:
        """The listing as it is now."""
        return self.roomListing.listing

    @property
    def connected(self) -> int:
        """The number of connected clients; see `RoomHost`."""
        return len(self.roster.sessions)

    def ask(self, command: Command, seconds: float = ASK_SECONDS) -> Deferred[Any]:
        """Carry out a command; see `RoomHost.ask`."""
        if self.life.isOver:
            return fail(closedError(self.life))
        return self._parts.asked.ask(command, seconds)

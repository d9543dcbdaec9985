"""
Opening rooms at this node: new ones, and those that no node has any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.asks import Once
from ...rooms.contract.ports import HostFactory, Journal, RoomHost
from .here import Here, Owned
from .journals import Claim, Journals, Quarantined, Unreadable
from .locating import Orphan, Place
from .stranded import StrandedRooms

#: The most rooms that are taken at the same time.
AT_ONCE = 100


class _Nobody:
    """The owner of a room that was never open, for as long as it takes to delete it."""

    def __init__(self, claim: Claim) -> None:
        self.id = claim.room
        self.name = claim.name

    def lost(self, code: int, reason: str = "") -> None:
        """Another node has been faster."""

    def committed(self, count: int) -> None:
        """Nothing is written."""


class Owning:
    """
    Makes the owners of rooms, and gives them their journals.

    Args:
        here: The rooms of this node.
        journals: The journals of this node.
        stranded: The rooms that this node could not open.
    """

    _log = Logger()

    def __init__(self, here: Here, journals: Journals, stranded: StrandedRooms) -> None:
        self._here = here
        self._journals = journals
        self._stranded = stranded
        self._factories: dict[str, HostFactory] = {}
        #: The claims of the rooms that are being opened.
        self._claims: dict[str, Claim] = {}
        #: The takeovers that are going on, with those that wait for their ends.
        self._taking: dict[str, list[Deferred[bool]]] = {}
        #: The rooms that wait to be taken, those that somebody asks for apart; and how many are being taken.
        self._asked: dict[str, Orphan] = {}
        self._queue: dict[str, Orphan] = {}
        self._running = 0
        #: Called with the room that an application has lost or ended.
        self.onEnded: Callable[[Owned, bool], None] = lambda owned, isOurs: None
        #: Called with a room that was never open, or could not be opened for too long, and was deleted.
        self.onVanished: Callable[[str], None] = lambda room: None
        self.isStopping = False
        #: Whether the rooms are being handed over to other nodes, and no others are opened meanwhile.
        self.isLeaving = False
        self._staying: list[Deferred[None]] = []

    def serve(self, application: str, factory: HostFactory) -> None:
        """Make owners for the rooms of an application by its factory."""
        self._factories[application] = factory

    # -- leaving

    def leave(self) -> None:
        """Take no more rooms, since this node hands its rooms over."""
        self.isLeaving = True

    def stay(self) -> None:
        """Take rooms again, and let those requests continue that wait for `whenStaying`."""
        self.isLeaving = False
        staying, self._staying = self._staying, []
        for waiter in staying:
            waiter.callback(None)

    def whenStaying(self) -> Deferred[None]:
        """
        Return a Deferred that fires when this node doesn't hand its rooms over, or not any more. Cancel it to
        wait no longer.
        """
        if not self.isLeaving:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._staying.remove)
        self._staying.append(waiter)
        return waiter

    # -- opening

    async def openNew(
        self,
        room: str,
        application: str,
        name: str,
        options: Mapping[str, Any],
        age: int,
        once: Once | None = None,
    ) -> None:
        """Open a new room. Raises `RoomError`."""
        claim = Claim(room, application, name, age, isKeyed=once is not None)
        await self._open(claim, options, once)

    async def _open(self, claim: Claim, options: Mapping[str, Any], once: Once | None = None) -> None:
        room = claim.room
        if self.isStopping or room in self._here:
            raise RoomError(ErrorCode.UNAVAILABLE, "this node stops, or has the room")
        try:
            host = self._factories[claim.application].makeHost(room, claim.name, options)
        except RoomError as error:
            if claim.seen:
                self._failed(claim, error.message or error.code)
            raise
        owned = Owned(host, claim.application, claim.age)
        self._here.add(owned)
        self._claims[room] = claim
        try:
            await host.open(once)
        except Exception as error:
            if claim.seen and owned.generation:  # it was claimed, and could not be opened
                isLost = isinstance(error, RoomError) and error.code == ErrorCode.UNAVAILABLE
                self._failed(claim, str(error), isLost)
            self.ended(host, isOurs=not claim.seen)  # nothing, if its journal has said so
            raise
        finally:
            self._claims.pop(room, None)

    def claim(self, room: str, owner: RoomHost) -> Deferred[Journal]:
        """Give an owner its journal; see `Engine.claim`."""
        claim = self._claims.get(room)
        if claim is None:
            return fail(RoomError(ErrorCode.UNAVAILABLE))

        def claimed(journal: Journal) -> Journal:
            owned = self._here.get(room)
            if owned is not None and owned.host is owner:
                owned.generation = journal.generation
            return journal

        return self._journals.claim(claim, owner).addCallback(claimed)

    def ended(self, host: RoomHost, isOurs: bool) -> None:
        """
        A room has ended, or is lost to this node.

        Args:
            host: Its owner.
            isOurs: Whether it has ended; if not, it may live on at another node.
        """
        owned = self._here.remove(host)
        if owned is not None:
            self._factories[owned.application].hostEnded(host)
            self.onEnded(owned, isOurs)

    # -- taking over

    def take(self, room: str, place: Place, isAsked: bool = True, isBack: bool = False) -> Deferred[bool]:
        """
        Become the owner of a room that no node has, or wait while this node is becoming it.

        Few rooms are taken at the same time, since each has to be read: first those that somebody asks for.

        Args:
            room: The room's id.
            place: Where it was found.
            isAsked: Whether somebody asks for the room.
            isBack: Whether this node takes back what it has handed over, although it leaves.

        Returns:
            A Deferred that fires with whether the room is here now. If not, another node was faster, the room
            can't be opened here, or there is no such room. It never fails.
        """
        waiter: Deferred[bool] = Deferred()
        waiters = self._taking.get(room)
        if waiters is not None:
            waiters.append(waiter)
            if isAsked and room in self._queue:
                self._asked[room] = self._queue.pop(room)
        elif not isinstance(place, Orphan) or (self.isLeaving and not isBack) or self.isQuarantined(room):
            waiter.callback(room in self._here)
        else:
            self._taking[room] = [waiter]
            (self._asked if isAsked else self._queue)[room] = place
            self._takeNext()
        return waiter

    def _takeNext(self) -> None:
        """Begin to take rooms, as many at the same time as that may be."""
        while self._running < AT_ONCE and (self._asked or self._queue):
            queue = self._asked or self._queue
            room = next(iter(queue))
            self._running += 1
            orphan = queue.pop(room)
            Deferred.fromCoroutine(self._take(orphan)).addBoth(self._taken, orphan)

    def _failed(self, claim: Claim, why: str, isLost: bool = False) -> None:
        """A room can't be opened here: leave it to other nodes, and don't try again too soon."""
        self._stranded.failed(claim.room, claim.application, claim.name, why, isLost)

    @property
    def isBusy(self) -> bool:
        """Whether this node is about to become the owner of rooms."""
        return bool(self._taking)

    def isTaking(self, room: str) -> bool:
        """Return whether this node is about to become the owner of a room that existed before."""
        return room in self._taking

    def isQuarantined(self, room: str) -> bool:
        """Return whether this node must not take a room now; its owners have died too often, for example."""
        return self._stranded.isHeldBack(room)

    async def _take(self, orphan: Orphan) -> None:
        claim = Claim(orphan.room, orphan.application, orphan.name, orphan.age, orphan.token, orphan.isDead)
        if self._stranded.mayEnd(orphan.room, orphan.strandedSince):
            await self._delete(orphan)
            return
        if orphan.unreadable:
            raise Unreadable(orphan.unreadable)
        if orphan.listing is None:
            nobody: Any = _Nobody(claim)
            await (await self._journals.claim(claim, nobody)).release()
            self._vanished(claim.room)
            return
        if orphan.application not in self._factories:
            self._failed(claim, "this node doesn't serve the application of the room")
            raise RoomError(ErrorCode.UNAVAILABLE)
        await self._open(claim, orphan.listing.options)
        self._stranded.opened(orphan.room)

    async def _delete(self, orphan: Orphan) -> None:
        """Delete a room that no node could open for too long."""
        try:
            await self._stranded.delete(orphan.room, orphan.token)
        except Exception as error:  # another node has it, or Redis can't be reached: it may be tried again
            self._log.warn("room {room} can't be deleted: {error}", room=orphan.room, error=error)
            raise RoomError(ErrorCode.UNAVAILABLE) from None
        self._log.error("room {room} is deleted: no node could open it for too long", room=orphan.room)
        self._vanished(orphan.room)

    def _vanished(self, room: str) -> None:
        self._stranded.ended(room)
        self.onVanished(room)

    def _taken(self, result: object, orphan: Orphan) -> None:
        self._running -= 1
        room = orphan.room
        if isinstance(result, Failure):
            error = result.value
            if isinstance(error, Quarantined):
                isNews = self._stranded.quarantined(room, orphan.application, orphan.name, error.seconds)
                self._log.emit(
                    LogLevel.error if isNews else LogLevel.debug,
                    "room {room} ({name!r}): its owners have died too often; nobody takes it for "
                    "{seconds:.0f} seconds",
                    room=room,
                    name=orphan.name,
                    seconds=error.seconds,
                )
            elif isinstance(error, Unreadable):
                if self._stranded.failed(room, orphan.application, orphan.name, error.why):
                    self._log.error("room {room} can't be read; it is kept: {why}", room=room, why=error.why)
            elif not isinstance(error, RoomError):
                self._log.failure("room {room} could not be taken over", result, room=room)
        isHere = room in self._here
        for waiter in self._taking.pop(room):
            waiter.callback(isHere)
        self._takeNext()

"""
An engine as unpleasant as one may be: everything that crosses is serialised, takes its time, and overtakes
where it may; journals commit in batches, later; owners get lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txroom.core.codes import CloseCode, ErrorCode
from txroom.engine.makings import Makings
from txroom.protocol.errors import RoomError
from txroom.rooms.contract.arrivals import Join, Refused, Resume
from txroom.rooms.contract.asks import Command
from txroom.rooms.contract.listing import Listing, Order
from txroom.rooms.contract.ports import Link, Made
from txroom.rooms.contract.records import (
    Checkpoint,
    Entry,
    Handled,
    Loaded,
    MemberRecord,
    MemberRemoved,
    SeatReserved,
)
from txroom.rooms.hooks import runCoroutine
from txroom.rooms.matching import placeOf
from txroom.rooms.owner.host import Host

T = TypeVar("T")


def crossed(value: T, type: Any = None) -> T:
    """A copy, by way of bytes."""
    copy: T = msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=type or value.__class__)
    return copy


class Channel:
    """Delivers in order, each after a delay of its own."""

    def __init__(self, clock: IReactorTime, random: Random, slowest: float) -> None:
        self._clock = clock
        self._random = random
        self._slowest = slowest
        self._last = 0.0

    def deliver(self, function: Callable[..., Any], *args: Any) -> None:
        """In order."""
        now = self._clock.seconds()
        self._last = max(self._last, now + self._random.uniform(0, self._slowest))
        self._clock.callLater(self._last - now, function, *args)

    def stray(self, function: Callable[..., Any], *args: Any) -> None:
        """Out of order, at any time."""
        self._clock.callLater(self._random.uniform(0, self._slowest), function, *args)


class LaggingOutlet:
    """Carries items to one edge."""

    def __init__(self, edge: Any, channel: Channel) -> None:
        self._edge = edge
        self._channel = channel

    def deliver(self, item: Any, links: Sequence[str]) -> None:
        way = self._channel.stray if item.isVolatile else self._channel.deliver
        way(self._edge.deliver, crossed(item), list(links))

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        self._channel.deliver(self._edge.detach, list(links), int(code), reason)


class LaggingLink:
    """Carries frames to one room."""

    def __init__(self, link: Link, channel: Channel) -> None:
        self._link = link
        self._channel = channel
        self.id = link.id

    def submit(self, frame: Any) -> None:
        self._channel.deliver(self._link.submit, crossed(frame))

    def leave(self) -> None:
        self._channel.deliver(self._link.leave)

    def drop(self) -> None:
        self._channel.deliver(self._link.drop)


class Stored:
    """What is known of a room whoever owns it."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.epoch = secrets.token_urlsafe(6)
        self.owner: LaggingJournal | None = None
        self.entries: list[Entry] = []
        self.offset = 0
        self.members: dict[str, MemberRecord] = {}
        self.handled: dict[str, list[Handled]] = {}
        self.reserved: dict[bytes, SeatReserved] = {}
        self.listing: Listing | None = None
        self.removed: dict[str, MemberRemoved] = {}
        self.removedAt: dict[str, float] = {}
        self.checkpoint: Checkpoint | None = None

    def apply(self, record: Any) -> None:
        if isinstance(record, Entry):
            self.entries.append(record)
            self.offset = record.offset
        elif isinstance(record, MemberRecord):
            self.members[record.member] = record
        elif isinstance(record, MemberRemoved):
            self.members.pop(record.member, None)
            self.handled.pop(record.member, None)
            if record.tokens:
                self.removed[record.member] = record
                self.removedAt[record.member] = self._clock.seconds()
        elif isinstance(record, Handled):
            self.handled.setdefault(record.member, []).append(record)
        elif isinstance(record, SeatReserved):
            self.reserved.pop(record.seat, None)
            if record.seconds:
                self.reserved[record.seat] = record
        elif isinstance(record, Checkpoint):
            self.checkpoint = record
        else:
            self.listing = record

    def _removed(self) -> tuple[MemberRemoved, ...]:
        """The members that were expelled, with the time that is left."""
        now = self._clock.seconds()
        return tuple(
            msgspec.structs.replace(each, seconds=each.seconds - (now - self.removedAt[each.member]))
            for each in self.removed.values()
        )

    def loaded(self) -> Loaded:
        return crossed(
            Loaded(
                self.offset,
                tuple(self.entries),
                tuple(self.members.values()),
                tuple(record for records in self.handled.values() for record in records),
                tuple(self.reserved.values()),
                self.listing,
                self._removed(),
                self.checkpoint,
            )
        )


class LaggingJournal:
    """Commits what was written in one turn together, some time later."""

    isKept = True
    generation = 1

    def __init__(self, engine: LaggingEngine, room: str, host: Host) -> None:
        self._engine = engine
        self._room = room
        self.host = host
        self.stored = engine.stored[room]
        self.stored.owner = self
        self.epoch = self.stored.epoch
        self.loaded = self.stored.loaded()
        self.channel = Channel(engine.clock, engine.random, engine.slowest)
        self.written = 0
        self.batch: list[Any] = []
        self.pending: list[list[Any]] = []

    def write(self, record: Any) -> None:
        self.written += 1
        if not self.batch:
            self._engine.clock.callLater(0, self._close)
        self.batch.append(crossed(record))

    def _close(self) -> None:
        if self.batch:
            batch, self.batch = self.batch, []
            self.pending.append(batch)
            self.channel.deliver(self._commit, self.written)

    def _commit(self, count: int) -> None:
        if self.stored.owner is not self:
            self.host.lost(CloseCode.ROOM_MOVED)
            return
        self.applyNext()
        self.host.committed(count)

    def applyNext(self) -> None:
        """One batch is safe; whether its owner hears of it is another matter."""
        if self.pending:
            for record in self.pending.pop(0):
                self.stored.apply(record)

    def forget(self, offset: int) -> None:
        """It keeps everything."""

    def handOver(self) -> Deferred[None]:
        """There is one node only."""
        return succeed(None)

    def release(self) -> Deferred[None]:
        if self.stored.owner is self:
            self._engine.ended(self._room, self.host)
        return succeed(None)


class LaggingEngine:
    """See the module. `factory` runs the rooms, as for `MemoryEngine`."""

    def __init__(self, factory: Any, clock: IReactorTime, random: Random, slowest: float = 0.01) -> None:
        self._factory = factory
        self.clock = clock
        self.random = random
        self.slowest = slowest
        self.stored: dict[str, Stored] = {}
        self.hosts: dict[str, Host] = {}
        self._opening: dict[str, list[Deferred[None]]] = {}
        self._listings: dict[str, Listing] = {}
        self._outlets: dict[Any, LaggingOutlet] = {}
        self._ways: dict[str, Channel] = {}
        self._age = 0
        self._makings = Makings()

    def channel(self) -> Channel:
        """A new one."""
        return Channel(self.clock, self.random, self.slowest)

    def _later(self, function: Callable[..., Any], *args: Any) -> None:
        self.clock.callLater(self.random.uniform(0, self.slowest), function, *args)

    def _delayed(self, work: Deferred[Any]) -> Deferred[Any]:
        """The same result, later."""
        outcome: Deferred[Any] = Deferred()
        work.addBoth(lambda result: self._later(outcome.callback, result))
        return outcome

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        found = [
            one
            for one in self._listings.values()
            if one.name == name and one.matches(filter) and (one.isOpen or not (onlyOpen or one.isPrivate))
        ]
        found = sorted(found, key=lambda one: placeOf(one, order))[: limit or None]
        return self._delayed(succeed([crossed(listing) for listing in found]))

    def create(self, name: str, options: Mapping[str, Any]) -> Deferred[str]:
        room = secrets.token_urlsafe(9)
        try:
            most = self._factory.maxRooms(name)
            if 0 < most <= sum(host.name == name for host in self.hosts.values()):
                raise RoomError(ErrorCode.FULL, "no more rooms of that name")
        except RoomError as error:
            return self._delayed(fail(error))
        work = self._open(room, name, crossed(dict(options), dict[str, Any]))
        return self._delayed(work.addCallback(lambda _: room))

    def make(
        self,
        name: str,
        options: Mapping[str, Any],
        key: str | None,
        seats: int,
        mayCreate: Callable[[], None],
    ) -> Deferred[Made]:
        def made(result: Made) -> Any:
            # The client that the room was made for comes first.
            return result if result.isCreator else deferLater(self.clock, self.slowest, lambda: result)

        making = self._makings.make(name, key, seats, mayCreate, lambda: self.create(name, options))
        return making.addCallback(made)

    def _open(self, room: str, name: str, options: Mapping[str, Any]) -> Deferred[None]:
        try:
            host = self._factory.makeHost(room, name, options)
        except RoomError as error:
            return fail(error)
        self.hosts[room] = host

        def failed(failure: Failure) -> Failure:
            if self.hosts.get(room) is host:  # it has never had the room
                del self.hosts[room]
            return failure

        return runCoroutine(host.open()).addErrback(failed)

    def attach(self, outlet: Any, arrival: Join | Resume) -> Deferred[Link | Refused]:
        if outlet not in self._outlets:
            self._outlets[outlet] = LaggingOutlet(outlet, self.channel())
        outcome: Deferred[Link | Refused] = Deferred()
        # The requests of one client come in order; what is before a ":" tells which it is.
        way = self._ways.setdefault(arrival.session.partition(":")[0], self.channel())
        way.deliver(self._attach, self._outlets[outlet], crossed(arrival), outcome)
        return outcome

    def _attach(
        self, outlet: LaggingOutlet, arrival: Join | Resume, outcome: Deferred[Link | Refused]
    ) -> None:
        async def attach() -> Any:
            try:
                host = await self._ownerOf(arrival.room)
            except RoomError as error:  # lost before it had begun
                return Refused(error.code)
            if host is None:
                return Refused(ErrorCode.NO_SUCH_ROOM)
            result = await host.attach(outlet, arrival)
            return crossed(result) if isinstance(result, Refused) else LaggingLink(result, self.channel())

        self._delayed(Deferred.fromCoroutine(attach())).addCallbacks(outcome.callback, outcome.errback)

    def reserve(self, room: str, user: Any, seconds: float | None) -> Deferred[str]:
        async def reserve() -> str:
            host = await self._ownerOf(room)
            if host is None:
                raise RoomError(ErrorCode.NO_SUCH_ROOM)
            return await host.reserve(crossed(user, Any), seconds)

        outcome: Deferred[str] = Deferred()
        self._later(lambda: self._delayed(Deferred.fromCoroutine(reserve())).chainDeferred(outcome))
        return outcome

    async def _ownerOf(self, room: str) -> Host | None:
        """The owner; if there is none somebody becomes it."""
        stored = self.stored.get(room)
        if room in self._opening:
            waiter: Deferred[None] = Deferred()
            self._opening[room].append(waiter)
            await waiter
        elif stored is not None and stored.owner is None and stored.listing is not None:
            self._opening[room] = []
            try:
                await self._open(room, stored.listing.name, stored.listing.options)
            finally:
                for each in self._opening.pop(room):
                    self.clock.callLater(0, each.callback, None)  # after who came first
        return self.hosts.get(room)

    def ask(self, room: str, command: Command) -> Deferred[Any]:
        async def ask() -> Any:
            host = await self._ownerOf(room)
            if host is None:
                raise RoomError(ErrorCode.NO_SUCH_ROOM)
            return crossed(await host.ask(crossed(command)), Any)

        outcome: Deferred[Any] = Deferred()
        self._later(lambda: self._delayed(Deferred.fromCoroutine(ask())).chainDeferred(outcome))
        return outcome

    def claim(self, room: str, owner: Any) -> Deferred[Any]:
        self.stored.setdefault(room, Stored(self.clock))
        return self._delayed(succeed(LaggingJournal(self, room, owner)))

    def publish(self, listing: Listing) -> None:
        self._age += 1
        before = self._listings.get(listing.room)
        age = self._age if before is None else before.age
        way = self._ways.setdefault(listing.room, self.channel())
        way.deliver(self._published, crossed(msgspec.structs.replace(listing, age=age)))

    def _published(self, listing: Listing) -> None:
        if listing.room in self.stored:
            self._listings[listing.room] = listing

    def ended(self, room: str, host: Host) -> None:
        stored = self.stored.pop(room, None)
        if stored is not None:
            stored.owner = None
        self.hosts.pop(room, None)
        self._listings.pop(room, None)
        self._factory.hostEnded(host)

    # -- what goes wrong

    def loseOwner(self, room: str, isApplied: bool, isTold: bool = True) -> None:
        """
        The room's owner is cut off; it learns of it when it next commits, or soon if it `isTold`.

        `isApplied`: its last batch is committed, and only that it doesn't hear of it.
        """
        journal = self.stored[room].owner
        if journal is None:
            return
        journal._close()
        if isApplied:
            journal.applyNext()
        journal.pending.clear()
        journal.stored.owner = None
        if self.hosts.get(room) is journal.host:
            del self.hosts[room]
            self._factory.hostEnded(journal.host)
        if isTold:
            self._later(journal.host.lost, CloseCode.ROOM_MOVED)

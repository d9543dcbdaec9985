"""The journals of `LaggingEngine`: what is stored of each room, and how its owner writes to it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from random import Random
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from txroom.core.codes import CloseCode
from txroom.rooms.contract.listing import Listing
from txroom.rooms.contract.records import (
    Answered,
    AnswersForgotten,
    Checkpoint,
    CreatedBy,
    Entry,
    Handled,
    HistoryKept,
    Loaded,
    MemberRecord,
    MemberRemoved,
    SeatReserved,
)
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

    def stall(self, seconds: float) -> None:
        """Deliver nothing for a while of what is given from now on."""
        self._last = max(self._last, self._clock.seconds() + seconds)


class Stored:
    """The records of a room, which outlive its owners."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.owner: LaggingJournal | None = None
        self.generation = 0
        #: All that was ever committed, for tests.
        self.entries: list[Entry] = []
        self.restart()

    def restart(self) -> None:
        """All is lost."""
        self.epoch = secrets.token_urlsafe(6)
        self.log: list[Entry] = []
        self.apart: list[Entry] = []
        self.offset = 0
        self.members: dict[str, MemberRecord] = {}
        self.handled: dict[str, list[Handled]] = {}
        self.reserved: dict[bytes, SeatReserved] = {}
        self.listing: Listing | None = None
        self.removed: dict[str, MemberRemoved] = {}
        self.removedAt: dict[str, float] = {}
        self.checkpoint: Checkpoint | None = None
        self.answered: dict[str, Answered] = {}
        self.createdBy: CreatedBy | None = None

    def apply(self, record: Any) -> None:
        if isinstance(record, Entry):
            self.entries.append(record)
            self.log.append(record)
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
        elif isinstance(record, Answered):
            self.answered[record.key] = record
        elif isinstance(record, CreatedBy):
            self.createdBy = record
        elif isinstance(record, AnswersForgotten):
            for key in record.keys:
                self.answered.pop(key, None)
        elif isinstance(record, Listing):
            self.listing = record
        elif isinstance(record, HistoryKept):
            self.apart = [entry for entry in self.apart if entry.offset not in record.gone]
            self.apart += record.entries
        elif isinstance(record, Loaded):
            self._found(record)
        else:
            self.log = [entry for entry in self.log if entry.offset > record]

    def _found(self, everything: Loaded) -> None:
        """The owner still had everything."""
        self.log = list(everything.entries)
        self.apart = []
        self.offset = everything.offset
        for records in (everything.members, everything.handled, everything.reserved, everything.removed):
            for record in records:
                self.apply(record)
        for answered in everything.answered:
            self.apply(answered)
        self.listing = everything.listing
        self.checkpoint = everything.checkpoint
        self.createdBy = everything.createdBy

    def _removed(self) -> tuple[MemberRemoved, ...]:
        """The members that were expelled, with the time that is left."""
        now = self._clock.seconds()
        return tuple(
            replace(each, seconds=each.seconds - (now - self.removedAt[each.member]))
            for each in self.removed.values()
        )

    def loaded(self) -> Loaded:
        return crossed(
            Loaded(
                self.offset,
                (*(entry for entry in self.apart if entry not in self.log), *self.log),
                tuple(self.members.values()),
                tuple(record for records in self.handled.values() for record in records),
                tuple(self.reserved.values()),
                self.listing,
                self._removed(),
                self.checkpoint,
                tuple(self.answered.values()),
                self.createdBy,
                tuple(entry.offset for entry in self.apart),
            )
        )


class JournalEngine(Protocol):
    """What a journal needs of its engine."""

    clock: IReactorTime

    def channel(self) -> Channel: ...
    def ended(self, room: str, host: Host) -> None: ...
    def freed(self, journal: LaggingJournal) -> None: ...


class LaggingJournal:
    """Commits what was written in one turn together, some time later."""

    isKept = True

    def __init__(self, engine: JournalEngine, room: str, host: Host, stored: Stored) -> None:
        self._engine = engine
        self.room = room
        self.host = host
        self.stored = stored
        stored.owner = self
        stored.generation += 1
        self.generation = stored.generation
        self.epoch = stored.epoch
        self.loaded = stored.loaded()
        self.channel = engine.channel()
        self.written = 0
        self.isHandedOver = False
        self.batch: list[Any] = []
        #: What is to be committed, and how many records are committed then.
        self.pending: list[tuple[list[Any], int]] = []

    def write(self, record: Any) -> None:
        if not self.isHandedOver:
            self.written += 1
            self._add(crossed(record))

    def forget(self, offset: int) -> None:
        self._add(offset)

    def _add(self, record: Any) -> None:
        if not self.batch:
            self._engine.clock.callLater(0, self.close)
        self.batch.append(record)

    def close(self) -> None:
        """The turn is over."""
        if self.batch:
            batch, self.batch = self.batch, []
            self.pending.append((batch, self.written))
            self.channel.deliver(self._commit)

    def _commit(self) -> None:
        if self.stored.owner is not self:
            self.host.lost(CloseCode.ROOM_MOVED)
        elif self.pending:
            self.host.committed(self.applyNext())

    def applyNext(self) -> int:
        """One batch is safe; whether its owner hears of it is another matter."""
        batch, count = self.pending.pop(0)
        for record in batch:
            self.stored.apply(record)
        return count

    @property
    def isFounding(self) -> bool:
        """Whether nothing is stored of the room, since it is being founded again."""
        return any(isinstance(record, Loaded) for batch, _ in self.pending for record in batch)

    @property
    def isRead(self) -> bool:
        """Whether the owner has the journal, and not handed it over."""
        return self.host._journal is not None and not self.isHandedOver

    def refound(self) -> None:
        """What was stored is lost; the owner still has it, and founds the room again."""
        self.close()
        stored = self.stored
        stored.restart()
        self.epoch = stored.epoch
        self.host.refounded(self.epoch)
        everything = crossed(self.host.everything())
        # What was written until now is contained in it.
        batches = [*(batch for batch, _ in self.pending), self.batch]
        stored.entries += [record for batch in batches for record in batch if isinstance(record, Entry)]
        self.batch = []
        self.pending = [([everything], self.written)]
        self.channel.deliver(self._commit)

    def handOver(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.close()
        self.isHandedOver = True
        self.channel.deliver(self._handedOver, done)
        return done

    def _handedOver(self, done: Deferred[None]) -> None:
        if self.stored.owner is self:
            while self.pending:
                self.host.committed(self.applyNext())
            self._engine.freed(self)
        self.host.lost(CloseCode.ROOM_MOVED, "handed over")
        done.callback(None)

    def release(self) -> Deferred[bool]:
        isOwner = self.stored.owner is self
        if isOwner:
            self._engine.ended(self.room, self.host)
        return succeed(isOwner)

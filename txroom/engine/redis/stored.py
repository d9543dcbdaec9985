"""
How the records of a room are stored, version 1.

The hash of a room has these fields (`KEYS` of `txroom.engine.redis.keys`):

=======================  =============================================================================
``tok node gen``         the owner's token and node, and how many owners the room has had
``epoch run``            the epoch, and the identity of the data that the owner wrote to
``seq off``              how many records the room has, and the offset of the newest entry
``app name age v``       the application, name and age of the room, and the version of its data
``counted died``         of owners that died: the last one's token, when they died,
``level until``          and for how long nobody may own the room
``stranded tried``       since when no node could open the room, if that is so, and the last attempt
``m:<member>``           `MemberRecord`
``h:<member>``           the number of the member's last handled frame
``r:<member>:<n % 64>``  `Handled` with its reply
``k:<member>``           when a member was expelled, by Redis's clock, and `MemberRemoved`
``s:<digest>``           `SeatReserved`
``l``                    `Listing`
``c``                    `Checkpoint`
``o:<key>``              `Answered`, with the time by Redis's clock
``b``                    `CreatedBy`
``e:<offset>``           an entry of `HistoryKept`, as an array of one
=======================  =============================================================================

The stream has an item for each turn in which messages were logged. Its id is the offset of the last of them,
and its field ``e`` is the array of the entries.

Records are arrays in MessagePack: the name of the struct, then its fields in their order. A later version
may add fields at the end, with defaults: then both versions read the data of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import msgpack
from msgspec.structs import replace

from ...protocol.limits import WINDOW
from ...rooms.contract.listing import Listing
from ...rooms.contract.records import (
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
    Record,
    SeatReserved,
)
from .ending import ENDED, GRAVE_MILLISECONDS, KEYED_MILLISECONDS
from .scripts import Argument

#: The version of the data; nodes of neighbouring versions may work together.
VERSION = 1

#: How many entries one part of the log has when a room is founded again.
PART = 100

encode = msgpack.Encoder().encode

_readMember = msgpack.Decoder(MemberRecord).decode
_readHandled = msgpack.Decoder(Handled).decode
_readSeat = msgpack.Decoder(SeatReserved).decode
_readListing = msgpack.Decoder(Listing).decode
_readCheckpoint = msgpack.Decoder(Checkpoint).decode
_readCreatedBy = msgpack.Decoder(CreatedBy).decode
_readAnswered = msgpack.Decoder(Answered).decode
_readRemoved = msgpack.Decoder(tuple[float, MemberRemoved]).decode
_readEntries = msgpack.Decoder(tuple[Entry, ...]).decode


class Changes:
    """
    What the records of one turn change in Redis.

    Args:
        shift: Redis's clock minus the clock of this process, in seconds.
    """

    __slots__ = ("entries", "gone", "set", "shift")

    def __init__(self, shift: float) -> None:
        self.shift = shift
        self.entries: list[tuple[Any, ...]] = []
        #: The fields that are set; the names of those that are removed.
        self.set: dict[str | bytes, bytes] = {}
        self.gone: dict[str | bytes, None] = {}

    def put(self, name: str | bytes, value: bytes) -> None:
        """Set a field."""
        self.gone.pop(name, None)
        self.set[name] = value

    def remove(self, name: str | bytes) -> None:
        """Remove a field."""
        self.set.pop(name, None)
        self.gone[name] = None


class RoomForm:
    """
    Translates the records of one room. It knows which fields of a member there are, so that they can be
    removed with it.
    """

    __slots__ = ("_expelled", "_replies", "isKeyed")

    def __init__(self) -> None:
        #: The slots of the replies to each member's calls.
        self._replies: dict[str, set[int]] = {}
        #: The fields of expelled members, and until when they are needed, by Redis's clock.
        self._expelled: dict[str, float] = {}
        #: Whether the room was created by a request with a key.
        self.isKeyed = False

    @property
    def grave(self) -> tuple[Argument, ...]:
        """What the script `release` gets for the grave of the room."""
        return (KEYED_MILLISECONDS, ENDED) if self.isKeyed else (GRAVE_MILLISECONDS,)

    def add(self, changes: Changes, record: Record, now: float) -> None:
        """Add a record to the changes; `now` is by Redis's clock. Called for every message."""
        kind = type(record)
        if kind is Entry:
            changes.entries.append(_entryArray(record, changes.shift))  # type: ignore[arg-type]
        elif isinstance(record, Handled):
            changes.put(f"h:{record.member}", b"%d" % record.n)
            if record.reply is not None:
                slot = record.n % WINDOW
                changes.put(f"r:{record.member}:{slot}", encode(record))
                self._replies.setdefault(record.member, set()).add(slot)
        elif isinstance(record, MemberRecord):
            changes.put(f"m:{record.member}", encode(record))
        elif isinstance(record, MemberRemoved):
            self._remove(changes, record, now)
        elif isinstance(record, SeatReserved):
            name = b"s:" + record.seat
            if record.seconds:
                changes.put(name, encode(record))
            else:
                changes.remove(name)
        elif isinstance(record, Listing):
            changes.put("l", encode(record))
        elif isinstance(record, Checkpoint):
            changes.put("c", encode(record))
        elif isinstance(record, Answered):
            changes.put(f"o:{record.key}", encode(replace(record, at=record.at + changes.shift)))
        elif isinstance(record, HistoryKept):
            for entry in record.entries:
                changes.put(f"e:{entry.offset}", encode([_entryArray(entry, changes.shift)]))
            for offset in record.gone:
                changes.remove(f"e:{offset}")
        elif isinstance(record, CreatedBy):
            changes.put("b", encode(record))
            self.isKeyed = True
        elif isinstance(record, AnswersForgotten):
            for key in record.keys:
                changes.remove(f"o:{key}")

    def _remove(self, changes: Changes, record: MemberRemoved, now: float) -> None:
        changes.remove(f"m:{record.member}")
        changes.remove(f"h:{record.member}")
        for slot in sorted(self._replies.pop(record.member, ())):
            changes.remove(f"r:{record.member}:{slot}")
        if record.tokens and record.seconds > 0:
            name = f"k:{record.member}"
            changes.put(name, encode((now, record)))
            self._expelled[name] = now + record.seconds
        self.expire(changes, now)

    def expire(self, changes: Changes, now: float) -> None:
        """Remove what was remembered of expelled members long enough."""
        for name in [name for name, until in self._expelled.items() if until <= now]:
            del self._expelled[name]
            changes.remove(name)

    def load(
        self, state: Mapping[bytes, bytes], log: Iterable[Sequence[Any]], shift: float, now: float
    ) -> Loaded:
        """
        Read a room.

        Args:
            state: The fields of the room.
            log: The items of its stream.
            shift: Redis's clock minus the clock of this process, in seconds.
            now: Redis's clock.

        Raises:
            ValueError: This is not the data of a room, or that of a later version.
        """
        found = _Found()
        try:
            for name, value in state.items():
                found.read(name, value)
            entries = [each for _, item in log for each in entriesOf(item[1], shift)]
            apart = [each for data in found.history for each in entriesOf(data, shift)]
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise ValueError(f"the data of the room can't be read: {error}") from error
        self._replies = found.slots
        self.isKeyed = found.createdBy is not None
        removed = []
        for at, record in found.removed:
            self._expelled[f"k:{record.member}"] = at + record.seconds
            if at + record.seconds > now:
                removed.append(replace(record, seconds=min(record.seconds, at + record.seconds - now)))
        known = {each.offset: each for each in (*apart, *entries)}
        return Loaded(
            offset=int(state.get(b"off", 0)),
            entries=tuple(known[offset] for offset in sorted(known)),
            members=tuple(found.members),
            handled=found.allHandled(),
            reserved=tuple(found.seats),
            listing=found.listing,
            removed=tuple(removed),
            checkpoint=found.checkpoint,
            answered=tuple(replace(each, at=each.at - shift) for each in found.answered),
            createdBy=found.createdBy,
            apart=tuple(sorted(entry.offset for entry in apart)),
        )

    def everything(self, loaded: Loaded, shift: float, now: float) -> Changes:
        """Return the changes that store a whole room anew."""
        self._replies.clear()
        self._expelled.clear()
        changes = Changes(shift)
        singles = [each for each in (loaded.listing, loaded.checkpoint, loaded.createdBy) if each is not None]
        records = (*loaded.removed, *loaded.members, *loaded.handled, *loaded.reserved, *singles)
        for record in (*loaded.entries, *records, *loaded.answered):
            self.add(changes, record, now)
        changes.gone.clear()
        return changes


class _Found:
    """What was found in the fields of a room."""

    def __init__(self) -> None:
        self.members: list[MemberRecord] = []
        self.handled: dict[str, int] = {}
        self.replies: dict[str, dict[int, Handled]] = {}
        self.slots: dict[str, set[int]] = {}
        self.seats: list[SeatReserved] = []
        self.removed: list[tuple[float, MemberRemoved]] = []
        self.listing: Listing | None = None
        self.checkpoint: Checkpoint | None = None
        self.answered: list[Answered] = []
        self.createdBy: CreatedBy | None = None
        self.history: list[bytes] = []

    def read(self, name: bytes, value: bytes) -> None:
        """Read a field."""
        kind = name[:2]
        if kind == b"m:":
            self.members.append(_readMember(value))
        elif kind == b"h:":
            self.handled[name[2:].decode()] = int(value)
        elif kind == b"r:":
            record = _readHandled(value)
            self.replies.setdefault(record.member, {})[record.n] = record
            self.slots.setdefault(record.member, set()).add(record.n % WINDOW)
        elif kind == b"s:":
            self.seats.append(_readSeat(value))
        elif kind == b"k:":
            self.removed.append(_readRemoved(value))
        elif name == b"l":
            self.listing = _readListing(value)
        elif name == b"c":
            self.checkpoint = _readCheckpoint(value)
        elif name == b"b":
            self.createdBy = _readCreatedBy(value)
        elif kind == b"o:":
            self.answered.append(_readAnswered(value))
        elif kind == b"e:":
            self.history.append(value)

    def allHandled(self) -> tuple[Handled, ...]:
        """Return the last handled frame of each member, and its last replies, in order."""
        found: list[Handled] = []
        for member, last in self.handled.items():
            replies = self.replies.get(member, {})
            found += [reply for n, reply in sorted(replies.items()) if last - WINDOW < n <= last]
            if last not in replies:
                found.append(Handled(member, last))
        return tuple(found)


def _entryArray(entry: Entry, shift: float) -> tuple[Any, ...]:
    """Return an entry as it is encoded, with its time by Redis's clock. Called for every message."""
    return (
        "Entry",
        entry.offset,
        entry.type,
        entry.data,
        entry.to,
        entry.exclude,
        round(entry.at + shift, 3),
    )


def entriesOf(data: bytes, shift: float) -> list[Entry]:
    """Return the entries of one item of the stream, with their times by the clock of this process."""
    return [
        Entry(each.offset, each.type, each.data, each.to, each.exclude, each.at - shift)
        for each in _readEntries(data)
    ]


class Part(NamedTuple):
    """Some entries of the log, as they are stored."""

    offset: int
    data: bytes


def partsOf(entries: Sequence[tuple[Any, ...]]) -> list[Part]:
    """Return a whole log in parts."""
    return [
        Part(entries[min(at + PART, len(entries)) - 1][1], encode(entries[at : at + PART]))
        for at in range(0, len(entries), PART)
    ]

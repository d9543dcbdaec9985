"""How rooms are stored: the bytes of version 1, and that everything comes back."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.stored import VERSION, Changes, RoomForm, encode, entriesOf, partsOf
from txroom.protocol.limits import WINDOW
from txroom.rooms.contract.items import Error, Reply
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

#: One record of each kind.
RECORDS: tuple[Any, ...] = (
    Entry(1, "said", b"\xa2hi", None, (), 5.25),
    Entry(2, "told", b"\xc0", ("m1",), ("m2",), 6.5),
    MemberRecord("m1", {"id": 7}, "7", (b"t" * 4,), ("red",), {"x": 1}, {"mode": "a"}, "7", 1, 3),
    Handled("m1", 1, Reply(4, b"\x2a")),
    Handled("m1", 2, Error(5, "r", "full", "no seat", {"n": 1})),
    Handled("m1", 3),
    MemberRemoved("m0", (b"k" * 4,), 60.0),
    SeatReserved(b"s" * 4, "7", 15.0),
    Listing("r", "chat", 1, 2, False, True, {"t": 1}, {"mode": "a"}, {"o": 2}, 9),
    Checkpoint(1, b"data"),
    Answered("key", b"digest", 7, 8.5),
    CreatedBy(b"digest"),
)

#: What version 1 makes of them. These bytes are in the Redis of users: never change them, but add those of a
#: later version, which has to read both.
FIELDS = {
    b"m:m1": (
        "9bac4d656d6265725265636f7264a26d3181a2696407a13791c4047474747491a372656481a1780181a4"
        "6d6f6465a161a1370103"
    ),
    b"h:m1": ("33"),
    b"r:m1:1": ("94a748616e646c6564a26d310193a55265706c7904c4012a"),
    b"r:m1:2": ("94a748616e646c6564a26d310296a54572726f7205a172a466756c6ca76e6f207365617481a16e01"),
    b"k:m0": ("92cb408f40000000000094ad4d656d62657252656d6f766564a26d3091c4046b6b6b6bcb404e000000000000"),
    b"s:ssss": ("94ac536561745265736572766564c40473737373a137cb402e000000000000"),
    b"l": ("9ba74c697374696e67a172a4636861740102c2c381a1740181a46d6f6465a16181a16f0209"),
    b"c": ("93aa436865636b706f696e7401c40464617461"),
    b"b": ("92a9437265617465644279c406646967657374"),
    b"o:key": ("95a8416e737765726564a36b6579c40664696765737407cb405b200000000000"),
}
#: What this version writes: fields that were added to version 1 since, which have defaults.
WRITTEN = FIELDS | {
    b"m:m1": (
        "9dac4d656d6265725265636f7264a26d3181a2696407a13791c4047474747491a372656481a1780181a4"
        "6d6f6465a161a1370103a0c0"
    ),
    b"s:ssss": ("95ac536561745265736572766564c40473737373a137cb402e000000000000c0"),
    b"c": ("94aa436865636b706f696e7401c40464617461c400"),
}
#: What it makes of a `HistoryKept`; version 1 ignored it at first.
HISTORY = {
    b"e:1": bytes.fromhex("9197a5456e74727901a473616964c403a26869c090cb405a500000000000"),
    b"e:4": bytes.fromhex("9197a5456e74727904a178c401c0c090cb4059000000000000"),
}
#: The entries.
LOG = (
    "9297a5456e74727901a473616964c403a26869c090cb405a50000000000097a5456e74727902a4746f6c"
    "64c401c091a26d3191a26d32cb405aa00000000000"
)
#: What is loaded ten seconds later.
LOADED = Loaded(
    offset=2,
    entries=RECORDS[0:2],
    members=(RECORDS[2],),
    handled=RECORDS[3:6],
    reserved=(RECORDS[7],),
    listing=RECORDS[8],
    removed=(MemberRemoved("m0", (b"k" * 4,), 50.0),),
    checkpoint=RECORDS[9],
    answered=(RECORDS[10],),
    createdBy=RECORDS[11],
)


def stored(records: Any, shift: float = 100.0, now: float = 1000.0) -> tuple[RoomForm, Changes]:
    """The changes of one turn."""
    form, changes = RoomForm(), Changes(shift)
    for record in records:
        form.add(changes, record, now)
    return form, changes


def fieldsOf(changes: Changes) -> dict[bytes, bytes]:
    """The fields that are set."""
    return {name.encode() if isinstance(name, str) else name: data for name, data in changes.set.items()}


class BytesTests(SynchronousTestCase):
    """Recorded bytes."""

    maxDiff = None

    def test_fields(self) -> None:
        """Each record has the recorded bytes."""
        _, changes = stored(RECORDS)
        self.assertEqual({name: data.hex() for name, data in fieldsOf(changes).items()}, WRITTEN)

    def test_log(self) -> None:
        """The entries of a turn have the recorded bytes."""
        _, changes = stored(RECORDS)
        self.assertEqual(encode(changes.entries).hex(), LOG)

    def test_read(self) -> None:
        """The recorded bytes are read, and those that are written now."""
        for fields in (FIELDS, WRITTEN):
            state = {name: bytes.fromhex(data) for name, data in fields.items()}
            log = [[b"2-0", [b"e", bytes.fromhex(LOG)]]]
            loaded = RoomForm().load({**state, b"off": b"2", b"seq": b"10"}, log, 100.0, 1010.0)
            self.assertEqual(loaded, LOADED)

    def test_history(self) -> None:
        """What is kept apart of the history has the recorded bytes, which are read together with the log."""
        kept = HistoryKept((Entry(1, "said", b"\xa2hi", at=5.25), Entry(4, "x", b"\xc0")), (3,))
        _, changes = stored([kept])
        self.assertEqual(fieldsOf(changes), HISTORY)
        self.assertEqual(list(changes.gone), ["e:3"])
        log = [[b"9-0", [b"e", encode([("Entry", 9, "y", b"", None, (), 7.0)])]]]
        loaded = RoomForm().load({**HISTORY, b"off": b"9"}, log, 100.0, 1000.0)
        self.assertEqual(loaded.entries, (*kept.entries, Entry(9, "y", b"", at=-93.0)))
        self.assertEqual(loaded.apart, (1, 4))

    def test_historyTwice(self) -> None:
        """The log may have the same entries still."""
        entries = [("Entry", offset, "y", b"", None, (), 100.0) for offset in range(2, 10)]
        log = [[b"9-0", [b"e", encode(entries)]]]
        loaded = RoomForm().load({**HISTORY, b"off": b"9"}, log, 100.0, 1000.0)
        self.assertEqual([entry.offset for entry in loaded.entries], list(range(1, 10)))

    def test_joinedBy(self) -> None:
        """How a member has joined is stored and read."""
        member = MemberRecord("m1", None, "u", (), joinLink="l", usedSeat=SeatReserved(b"s", None, 4.0))
        loaded = RoomForm().load({**fieldsOf(stored([member])[1]), b"off": b"0"}, [], 0.0, 0.0)
        self.assertEqual(loaded.members, (member,))

    def test_later(self) -> None:
        """A later version may add fields at the end of records: this one reads what it knows."""
        self.assertEqual(VERSION, 1)
        array: list[Any] = ["MemberRecord", "m1", None, "u", [], [], None, {}, "", 0, 0, "", None, "new", 5]
        loaded = RoomForm().load({b"m:m1": encode(array), b"off": b"0"}, [], 0.0, 0.0)
        self.assertEqual(loaded.members, (MemberRecord("m1", None, "u", ()),))

    def test_earlier(self) -> None:
        """Fields that an earlier version didn't have get their defaults."""
        array: list[Any] = ["MemberRecord", "m1", None, "u", []]
        loaded = RoomForm().load({b"m:m1": encode(array), b"off": b"0"}, [], 0.0, 0.0)
        self.assertEqual(loaded.members, (MemberRecord("m1", None, "u", ()),))

    def test_unknownField(self) -> None:
        """Fields of a kind that this version doesn't know are left alone."""
        loaded = RoomForm().load({b"z:1": b"\xc1", b"off": b"0"}, [], 0.0, 0.0)
        self.assertEqual(loaded, Loaded())

    def test_garbage(self) -> None:
        """Other bytes are an error."""
        for state in ({b"m:m": b"\xc1"}, {b"h:m": b"x"}, {b"h:\xff": b"1"}, {b"off": b"x"}):
            self.assertRaises(ValueError, RoomForm().load, state, [], 0.0, 0.0)
        self.assertRaises(ValueError, RoomForm().load, {}, [[b"1-0", [b"e", b"\x91\x01"]]], 0.0, 0.0)


class FormTests(SynchronousTestCase):
    """What a room's records become."""

    def test_lastWins(self) -> None:
        """Of several records for one field in a turn the last one counts."""
        _, changes = stored([SeatReserved(b"s", None, 9.0), SeatReserved(b"s")])
        self.assertEqual((changes.set, list(changes.gone)), ({}, [b"s:s"]))
        _, changes = stored([SeatReserved(b"s"), SeatReserved(b"s", None, 9.0)])
        self.assertEqual((list(changes.set), changes.gone), ([b"s:s"], {}))
        _, changes = stored([Answered("a", b"d"), Answered("b", b"d"), AnswersForgotten(("a", "c"))])
        self.assertEqual((list(changes.set), list(changes.gone)), (["o:b"], ["o:a", "o:c"]))

    def test_replies(self) -> None:
        """A member's last replies are kept, in as many fields as the window has places."""
        _, changes = stored([Handled("m", n, Reply(n, b"\xc0")) for n in range(1, 3 * WINDOW + 1)])
        self.assertEqual(len(changes.set), WINDOW + 1)
        handled = RoomForm().load({**fieldsOf(changes), b"off": b"0"}, [], 0.0, 0.0).handled
        self.assertEqual([each.n for each in handled], list(range(2 * WINDOW + 1, 3 * WINDOW + 1)))

    def test_oldReplies(self) -> None:
        """A reply that is older than the window is left out, though nothing has replaced it."""
        _, changes = stored([Handled("m", 1, Reply(1, b"\xc0")), Handled("m", WINDOW + 2)])
        handled = RoomForm().load({**fieldsOf(changes), b"off": b"0"}, [], 0.0, 0.0).handled
        self.assertEqual(handled, (Handled("m", WINDOW + 2),))

    def test_everything(self) -> None:
        """A room that is stored anew is loaded as it was."""
        loaded = RoomForm().load({**fieldsOf(stored(RECORDS)[1]), b"off": b"2"}, [], 100.0, 1000.0)
        changes = RoomForm().everything(loaded, 50.0, 1000.0)
        again = RoomForm().load({**fieldsOf(changes), b"off": b"2"}, [], 50.0, 1000.0)
        self.assertEqual(again, loaded)

    def test_parts(self) -> None:
        """A whole log is stored in parts, each named by the offset of its last entry."""
        entries = tuple(Entry(n, "said", b"\xc0", at=1.5) for n in range(1, 251))
        changes = RoomForm().everything(Loaded(250, entries), 10.0, 0.0)
        parts = partsOf(changes.entries)
        self.assertEqual([part.offset for part in parts], [100, 200, 250])
        found = [entry for part in parts for entry in entriesOf(part.data, 10.0)]
        self.assertEqual(tuple(found), entries)

"""The log of a room, and what all logs together may weigh."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom import History, RoomApplication
from txroom.rooms.contract.records import Entry, HistoryKept
from txroom.rooms.owner import messagelog
from txroom.rooms.owner.budget import Budget
from txroom.rooms.owner.logwindow import ID, OVERHEAD
from txroom.rooms.owner.messagelog import MessageLog


class LogTests(SynchronousTestCase):
    """History and the recovery log don't trim one another."""

    def test_caps(self) -> None:
        """By number, age and bytes, each of the two by its own."""
        log = MessageLog(History(limit=2, seconds=10, onJoin=5), seconds=5, limit=4, size=100)
        for offset in range(1, 7):
            log.append(Entry(offset, "x", b"x"))
        self.assertEqual([entry.offset for entry in log.history(0.0)], [5, 6])
        self.assertIsNone(log.missed(1, "m"))
        self.assertEqual([entry.offset for entry in log.missed(2, "m") or ()], [3, 4, 5, 6])
        log.append(Entry(7, "x", b"x" * 90, at=6.0))
        self.assertEqual([entry.offset for entry in log.history(6.0)], [6, 7])
        self.assertEqual([entry.offset for entry in log.missed(6, "m") or ()], [7])
        self.assertIsNone(log.missed(5, "m"))
        self.assertEqual([entry.offset for entry in log.history(11.0)], [7])

    def test_floor(self) -> None:
        """What somebody is about to read is kept, and no more."""
        log = MessageLog(None, 0, 1, 0, lambda: 2)
        for offset in range(1, 7):
            log.append(Entry(offset, "x", b"x"))
        self.assertIsNone(log.missed(1, "m"))
        self.assertEqual([entry.offset for entry in log.missed(2, "m") or ()], [3, 4, 5, 6])

    def test_load(self) -> None:
        """It goes on where an earlier owner had stopped."""
        log = MessageLog(None, 0, 0, 0)
        log.load((Entry(5, "x", b"x"), Entry(6, "x", b"x")), 6, 0.0)
        self.assertIsNone(log.missed(3, "m"))
        self.assertEqual([entry.offset for entry in log.missed(4, "m") or ()], [5, 6])
        empty = MessageLog(None, 0, 0, 0)
        empty.load((), 6, 0.0)
        self.assertEqual((empty.offset, empty.missed(5, "m"), empty.missed(6, "m")), (6, None, []))

    def test_loadTimes(self) -> None:
        """The age of messages goes on with the next owner; times that are still to come count as now."""
        log = MessageLog(History(limit=9, seconds=10, onJoin=9), 0, 0, 0)
        loaded = (Entry(5, "x", b"x", at=93.0), Entry(6, "x", b"x", at=96.0), Entry(7, "x", b"x", at=4000.0))
        log.load(loaded, 7, 100.0)
        self.assertEqual([entry.offset for entry in log.history(100.0)], [5, 6, 7])
        self.assertEqual([entry.offset for entry in log.history(103.5)], [6, 7])
        self.assertEqual([entry.offset for entry in log.history(106.5)], [7])
        self.assertEqual([entry.offset for entry in log.history(110.5)], [])

    def test_loadMore(self) -> None:
        """
        What an earlier owner has left is kept until `onCreate` has set the bounds. Until then the history
        shows what it may have so far.
        """
        for shown in (None, History(limit=1)):
            log = MessageLog(shown, 0, 1, 0)
            log.load([Entry(offset, "x", b"x") for offset in (1, 4, 5, 6)], 6, 0.0)
            self.assertEqual([entry.offset for entry in log.history(0.0)], [6] if shown else [])
            log.append(Entry(7, "x", b"x"))
            log.bound(History(limit=4), 0, 3, 0, 0.0)
            self.assertEqual([entry.offset for entry in log.history(0.0)], [4, 5, 6, 7])
            self.assertIsNone(log.missed(3, "m"))
            self.assertEqual([entry.offset for entry in log.missed(4, "m") or ()], [5, 6, 7])
            self.assertEqual(log.weight, 4 * (OVERHEAD + 2))

    def test_gap(self) -> None:
        """Messages before a gap are history, and nobody can resume with them."""
        log = MessageLog(History(limit=9), 0, 0, 0)
        log.load([Entry(offset, "x", b"x") for offset in (1, 4, 5)], 5, 0.0)
        log.bound(History(limit=9), 0, 0, 0, 0.0)
        self.assertIsNone(log.missed(2, "m"))
        self.assertEqual((log.trimmed, [entry.offset for entry in log.after(0)]), (3, [4, 5]))
        log.bound(None, 0, 0, 0, 0.0)
        self.assertEqual(log.weight, 2 * (OVERHEAD + 2))

    def test_size(self) -> None:
        """What is forgotten weighs nothing any more."""
        log = MessageLog(None, 0, 0, 10)
        for offset in range(1, 100):
            log.append(Entry(offset, "x", b"xxx"))
        self.assertEqual((log.trimmed, log.weight), (96, 3 * OVERHEAD + 2 * 9))

    def test_options(self) -> None:
        """Out of range is an error that names it."""
        self.assertIn("limit=-1", str(self.assertRaises(ValueError, History, limit=-1)))
        self.assertIn("seconds", str(self.assertRaises(ValueError, History, seconds="x")))


class JournalledTests(SynchronousTestCase):
    """What a journal keeps of a log."""

    def setUp(self) -> None:
        self.patch(messagelog, "LEAST_KEPT", 4)
        self.log = MessageLog(History(limit=3), 0, 2, 0)

    def add(self, *kinds: str) -> list[Entry]:
        """Log messages: `a` for all members, `m` for one."""
        entries = [
            Entry(offset, kind, b"x", None if kind == "a" else ("m",))
            for offset, kind in enumerate(kinds, self.log.offset + 1)
        ]
        for entry in entries:
            self.log.append(entry)
        return entries

    def test_dense(self) -> None:
        """A history of the newest messages is in the journal's log. Nothing has to be kept apart."""
        self.add(*"aaaaaaaa")
        self.assertEqual(self.log.needless, 5)
        self.assertIsNone(self.log.keepApart(5))

    def test_sparse(self) -> None:
        """Otherwise its oldest messages are kept apart, each once, until the history forgets them."""
        first, *_ = self.add("a", *"m" * 50)
        upTo = self.log.needless
        self.assertEqual(upTo, 51 - 8 * 3)
        self.assertEqual(self.log.keepApart(upTo), HistoryKept((first,)))
        self.assertIsNone(self.log.keepApart(upTo))
        more = self.add(*"aa", *"m" * 50)
        upTo = self.log.needless
        self.assertEqual(self.log.keepApart(upTo), HistoryKept(tuple(more[:2]), ()))
        self.add("a")
        self.assertEqual(self.log.keepApart(upTo), HistoryKept((), (1,)))
        self.assertIsNone(self.log.keepApart(upTo))

    def test_most(self) -> None:
        """The journal's log has at most `MOST_KEPT` messages, unless clients may resume with more."""
        self.patch(messagelog, "MOST_KEPT", 10)
        self.add("a", *"m" * 50)
        self.assertEqual(self.log.needless, 41)
        self.log.bound(History(limit=3), 0, 0, 0, 0.0)
        self.add(*"m" * 50)
        self.assertEqual(self.log.needless, 49)

    def test_noHistory(self) -> None:
        """Without a history it is what clients need that resume."""
        self.log.bound(None, 0, 2, 0, 0.0)
        self.add(*"aaaaaa")
        self.assertEqual((self.log.needless, self.log.keepApart(4)), (4, None))

    def test_next(self) -> None:
        """The next owner knows what is kept apart, and what of it isn't needed any more."""
        entries = [Entry(offset, "a", b"x") for offset in (2, 5, 7, 90, 91)]
        self.log.load(entries, 91, 0.0, (1, 2, 5, 7))
        self.log.bound(History(limit=3), 0, 2, 0, 0.0)
        self.assertEqual(self.log.keepApart(89), HistoryKept((), (1, 2, 5)))
        self.add(*"m" * 50)
        self.assertEqual(self.log.keepApart(120), HistoryKept(tuple(entries[3:]), ()))

    def test_leftOver(self) -> None:
        """Redis may still have messages that the history has forgotten. They don't come back."""
        entries = [Entry(offset, "a", b"x") for offset in (1, 2, 5, 90, 91)]
        self.log.load(entries, 91, 0.0, (2, 5))
        self.log.bound(History(limit=9), 0, 2, 0, 0.0)
        self.assertEqual([entry.offset for entry in self.log.history(0.0)], [2, 5, 90, 91])
        self.add(*"m" * 50)
        self.assertEqual(self.log.keepApart(120), HistoryKept(tuple(entries[3:])))

    def test_newEpoch(self) -> None:
        """If the room is founded again, all of it is in the new log."""
        entry, *_ = self.add("a", *"m" * 50)
        self.log.keepApart(20)
        self.log.restart("new")
        self.assertEqual(self.log.keepApart(20), HistoryKept((entry,), ()))


class BudgetTests(SynchronousTestCase):
    """Row 78: who forgets when all logs together are too large."""

    def setUp(self) -> None:
        self.budget = Budget(10 * (OVERHEAD + 2 * 10))
        self.floors: dict[str, int | None] = {}
        self.logs = {name: self.log(name) for name in "abc"}

    def log(self, name: str) -> MessageLog:
        return MessageLog(None, 0, 0, 0, lambda: self.floors.get(name), self.budget)

    def say(self, name: str, count: int, size: int = 10) -> None:
        for _ in range(count):
            log = self.logs[name]
            log.append(Entry(log.offset + 1, "x", b"x" * size))

    def trimmed(self) -> list[int]:
        self.assertLessEqual(self.budget.used, self.budget.size)
        self.assertEqual(self.budget.used, sum(log.weight for log in self.logs.values()))
        return [log.trimmed for log in self.logs.values()]

    def test_idlest(self) -> None:
        """The longest idle forgets, and no more than is needed; then the next."""
        self.say("a", 4)
        self.say("b", 4)
        self.say("a", 1)
        self.say("c", 1)
        self.assertEqual(self.trimmed(), [0, 0, 0])
        self.say("c", 1)
        self.assertEqual(self.trimmed(), [0, 1, 0])
        self.say("c", 4)
        self.assertEqual(self.trimmed(), [1, 4, 0])
        self.say("c", 5)
        self.assertEqual(self.trimmed(), [5, 4, 1])

    def test_named(self) -> None:
        """Those whom a message is for, or not for, weigh as well, until it is forgotten."""
        log = self.logs["a"]
        ids = tuple(str(n) for n in range(300))
        for offset in range(1, 101):
            to, exclude = (ids, ()) if offset % 2 else (None, ids)
            log.append(Entry(offset, "x", b"x" * 10, to, exclude))
        self.assertEqual(log.weight, 2 * (OVERHEAD + 2 * 10 + 300 * ID))
        self.assertEqual(self.trimmed(), [98, 0, 0])
        self.say("a", 2)
        log.shrink(2 * (OVERHEAD + 2 * 10))
        self.assertEqual(log.weight, 2 * (OVERHEAD + 2 * 10))

    def test_floor(self) -> None:
        """Not what somebody is about to read."""
        self.say("a", 5)
        self.say("b", 5)
        self.floors["a"] = 2
        self.say("c", 3)
        self.assertEqual(self.trimmed(), [2, 1, 0])
        self.floors.update(b=1, c=0)
        self.say("c", 3)
        self.assertEqual([log.trimmed for log in self.logs.values()], [2, 1, 0])
        self.floors.clear()
        self.say("c", 1)
        self.assertEqual(sum(self.trimmed()), 7)

    def test_large(self) -> None:
        """A message that is larger than all of it is forgotten at once."""
        self.say("a", 2)
        self.say("b", 1, 10 * OVERHEAD)
        self.assertEqual(self.trimmed(), [2, 1, 0])
        self.assertEqual(self.budget.used, 0)

    def test_option(self) -> None:
        """It is an option of the application."""
        for wrong in (-1, 1.5, True, None):
            self.assertRaises(ValueError, RoomApplication, totalRecoverySize=wrong)

"""Reading the log of a room."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.case import fired
from tests.rooms.case import NotingRoom, RoomTestCase, hostOf, onBothEngines
from txroom import Client, History, LeaveReason, RoomError
from txroom.protocol import payload
from txroom.rooms.contract.asks import READ_DATA, READ_SIZE, Dispose, ReadLog, SendTo
from txroom.rooms.contract.records import Entry
from txroom.rooms.owner.reading import Reading


@onBothEngines
class ReadLogTests(RoomTestCase):
    """On each engine."""

    def begin(self, *classes: Any, **options: Any) -> None:
        """A room without members that stays."""
        self.rooms(*classes, autoDispose=False, **options)
        self.result(self.app.createRoom("chat"))

    def read(self, after: int = 0, *rest: Any, **more: Any) -> Any:
        """What the room answers."""
        return self.result(self.engine.ask(self.room().id, ReadLog(after, *rest, **more)))

    def reading(self, after: int = 0, seconds: float = 4.0, epoch: str = "") -> list[Any]:
        """The answer, when there is one."""
        command = ReadLog(after, seconds=seconds, epoch=epoch)
        answers = fired(self.engine.ask(self.room().id, command))
        self.settle()
        return answers

    def offsets(self, answer: Any) -> list[int]:
        """The offsets of the entries."""
        return [entry["offset"] for entry in answer["entries"]]

    def test_entries(self) -> None:
        """All messages, with their recipients."""
        self.begin()
        room = self.room()
        ada, bob = self.player(), self.player()
        for player in (ada, bob):
            player.ask("joinById", room.id, {})
        one, two = (player.joined["member"] for player in (ada, bob))
        room.broadcast("all", {"text": "hi"})
        room.client(one).send("one", 2)
        room.broadcast("others", None, exclude=room.client(one))
        room.broadcast("seen", 4, volatile=True)
        answer = self.read()
        self.assertEqual((answer["epoch"], answer["first"], answer["last"]), (room.epoch, 1, 3))
        for entry in answer["entries"]:
            self.assertLess(abs(entry.pop("at") - time.time()), 3600)
        everyone: dict[str, Any] = {"to": None, "toCount": None, "exclude": [], "excludeCount": 0}
        self.assertEqual(
            answer["entries"],
            [
                {"offset": 1, "type": "all", "data": {"text": "hi"}, "size": 9, **everyone},
                {"offset": 2, "type": "one", "data": 2, "size": 1, **everyone, "to": [one], "toCount": 1},
                {
                    **{"offset": 3, "type": "others", "data": None, "size": 1},
                    **{**everyone, "exclude": [one], "excludeCount": 1},
                },
            ],
        )
        self.assertEqual([self.offsets(self.read(after)) for after in (2, 3, 9)], [[3], [], []])
        self.assertNotEqual(one, two)

    def test_times(self) -> None:
        """The times are those of day, also if the room's clock counts from elsewhere or the day's was set."""
        self.begin()
        room = self.room()
        room.broadcast("said", 1)
        self.advance(7)
        room.broadcast("said", 2)
        self.advance(3)
        now = 0.0
        reading = Reading(hostOf(room)._parts.reading._context, lambda: now)
        for now in (1_800_000_000.0, 1_900_000_000.0):
            entries = self.result(Deferred.fromCoroutine(reading.read(ReadLog())))["entries"]
            for entry, ago in zip(entries, (10, 3), strict=True):
                self.assertLess(abs(entry["at"] - (now - ago)), 1)

    def test_pages(self) -> None:
        """A page has at most so many messages, and 256 KiB of data, but at least one message."""
        self.begin()
        room = self.room()
        for number in range(1100):
            room.broadcast("said", number)
        pages = [self.offsets(self.read(after, limit)) for after, limit in ((0, 3), (3, 2), (1099, 3))]
        self.assertEqual(pages, [[1, 2, 3], [4, 5], [1100]])
        self.assertEqual([len(self.read(0, limit)["entries"]) for limit in (0, -1, 5000)], [1, 1, 1000])
        self.assertEqual(len(self.read()["entries"]), 100)
        for size in (200_000, 60_000, 300_000, 10):
            room.broadcast("big", "x" * size)
        self.assertEqual(self.offsets(self.read(1100)), [1101, 1102])
        self.assertEqual(self.offsets(self.read(1102)), [1103])

    def test_recipients(self) -> None:
        """
        Of very many recipients the first are told, and how many they are; and they count in the size of a
        page, so that no answer is larger than the data of its messages by much.
        """
        self.begin()
        log = hostOf(self.room()).log
        ids = tuple(f"{number:016}" for number in range(5000))
        for offset in range(1, 301):
            to, exclude = (ids, ()) if offset % 2 else (None, ids)
            log.append(Entry(offset, "said", b"\xc0", to, exclude, self.harness.clock.seconds()))
        self.room().broadcast("said", 1)
        answer = self.read(0, 1000)
        self.assertLess(len(msgspec.msgpack.encode(answer)), READ_SIZE + 50_000)
        first, second = answer["entries"][:2]
        self.assertEqual((first["to"], first["toCount"]), (list(ids[:100]), 5000))
        self.assertEqual((second["exclude"], second["excludeCount"]), (list(ids[:100]), 5000))
        last = self.offsets(answer)[-1]
        self.assertGreater(last, 100)
        self.assertLess(last, 300)
        self.assertEqual(self.offsets(self.read(last, 1000))[-1], 301)

    def test_largeData(self) -> None:
        """Data that is too large for a link between nodes is left out, so that what follows can be read."""

        class Chat(NotingRoom):
            recoverySize = 16 << 20

        self.begin(Chat)
        for size in (READ_DATA - 10, READ_DATA, 1):
            self.room().broadcast("said", "x" * size)
        entries = [self.read(after)["entries"][0] for after in range(3)]
        self.assertEqual([each["data"] and len(each["data"]) for each in entries], [READ_DATA - 10, None, 1])
        self.assertEqual(entries[1]["size"], READ_DATA + 5)

    def test_history(self) -> None:
        """The history is read page by page, also what clients that resume can't get any more."""

        class Chat(NotingRoom):
            history = History(limit=4, onJoin=1)
            recoveryLimit = 2

        self.begin(Chat)
        room = self.room()
        for number in range(6):
            room.broadcast("said", number)
        room.broadcast("some", 7, to=())
        answer = self.read(history=True)
        self.assertEqual((answer["first"], answer["last"], self.offsets(answer)), (3, 7, [3, 4, 5, 6]))
        self.assertEqual([entry["data"] for entry in answer["entries"]], [2, 3, 4, 5])
        self.assertTrue(answer["history"])
        self.assertEqual(self.offsets(self.read(0, 3, history=True)), [3, 4, 5])
        self.assertEqual(self.offsets(self.read(5, 3, history=True)), [6])
        self.assertEqual(self.read(6, seconds=4.0, history=True)["entries"], [])
        self.assertEqual(self.offsets(self.read()), [6, 7])
        self.assertNotIn("history", self.read())

    def test_noHistory(self) -> None:
        """A room that keeps none says so, at once."""
        self.begin()
        self.room().broadcast("said", 1)
        answer = self.read(1, seconds=4.0, history=True)
        self.assertEqual((answer["first"], answer["last"], answer["entries"]), (2, 1, []))

    def test_trimmed(self) -> None:
        """It begins with the first message that is kept, also if the history has earlier ones."""

        class Chat(NotingRoom):
            history = History(limit=10)
            recoveryLimit = 2

        self.begin(Chat)
        for number in range(5):
            self.room().broadcast("said", number)
        answer = self.read()
        self.assertEqual((answer["first"], answer["last"], self.offsets(answer)), (4, 5, [4, 5]))

    def test_wait(self) -> None:
        """It waits for a message that is not there yet, for so long; what else comes doesn't end that."""
        self.begin()
        room = self.room()
        room.broadcast("said", 1)
        answers = self.reading(1)
        two = self.reading(1)
        self.advance(1)
        room.broadcast("seen", 0, volatile=True)
        self.settle()
        self.assertEqual((answers, two), ([], []))
        room.broadcast("said", 2)
        room.broadcast("said", 3)
        self.settle()
        self.assertEqual([self.offsets(each[0]) for each in (answers, two)], [[2, 3]] * 2)
        for seconds, waited in ((2.0, 1.2), (60.0, 3.2)):
            answers = self.reading(3, seconds)
            self.advance(waited)
            self.assertEqual(answers, [])
            self.advance(1)
            self.assertEqual((answers[0]["last"], answers[0]["entries"]), (3, []))
        room.broadcast("said", 4)
        self.settle()
        self.assertEqual(self.offsets(self.read(3)), [4])

    def test_noWait(self) -> None:
        """It doesn't wait for messages after an offset that isn't the last one, or is of another epoch."""
        self.begin()
        self.room().broadcast("said", 1)
        for after, epoch, offsets in ((0, "", [1]), (2, "", []), (1, "other", []), (0, "other", [1])):
            (answer,) = self.reading(after, epoch=epoch)
            self.assertEqual(self.offsets(answer), offsets)
        self.assertEqual(self.reading(1, 0.0)[0]["entries"], [])
        self.assertEqual(self.reading(1, epoch=self.room().epoch), [])

    def test_onlyCommitted(self) -> None:
        """What isn't committed isn't shown."""
        self.begin()
        host = hostOf(self.room())
        answers = fired(host.ask(ReadLog(seconds=4.0)))
        self.room().broadcast("said", 1)
        early = fired(host.ask(ReadLog()))
        if not self.isLagging:
            self.assertEqual(self.offsets(early[0]), [1])
            return
        self.assertEqual((answers, early), ([], []))
        self.engine.loseOwner(host.id, False)
        self.settle()
        for each in (answers, early):
            self.assertEqual(each[0].value.details, {"mayHaveHappened": False})
        answer = self.result(self.engine.ask(host.id, ReadLog()))
        self.assertEqual((answer["last"], answer["entries"]), (0, []))

    def test_nextOwner(self) -> None:
        """The next owner has the same messages."""
        if not self.isLagging:
            return
        self.begin()
        room = self.room()
        for number in range(3):
            room.broadcast("said", number)
        before = self.read()
        self.engine.loseOwner(room.id, True)
        self.settle()
        after = self.result(self.engine.ask(room.id, ReadLog()))
        self.assertEqual({**before, "entries": 0}, {**after, "entries": 0})
        for one, other in zip(before["entries"], after["entries"], strict=True):
            self.assertLess(abs(one.pop("at") - other.pop("at")), 60)
            self.assertEqual(one, other)

    def test_refounded(self) -> None:
        """A room that is founded again has another epoch, and its log begins anew, without a gap."""

        class Chat(NotingRoom):
            history = History(limit=10)

        self.begin(Chat)
        room = self.room()
        room.broadcast("said", 1)
        room.broadcast("said", 2, to=())
        room.broadcast("said", 3)
        self.settle()
        answers = self.reading(3, epoch=room.epoch)
        host = hostOf(room)
        if self.isLagging and not self.isOnRedis:
            self.engine.refound(host.id)
        else:
            host.refounded("another")
        self.settle()
        self.assertEqual((answers[0]["epoch"], answers[0]["entries"]), (room.epoch, []))
        room.broadcast("said", 4)
        answer = self.read()
        self.assertEqual((answer["first"], self.offsets(answer)), (4, [4]))
        if self.isLagging and not self.isOnRedis:
            self.engine.loseOwner(host.id, True)
            self.settle()
            answer = self.result(self.engine.ask(host.id, ReadLog()))
        else:
            everything = host.everything()
            self.assertEqual([entry.offset for entry in everything.entries], [1, 3, 4])
            host.log.load(everything.entries, everything.offset, 0.0)
            answer = self.read()
        self.assertEqual((answer["first"], self.offsets(answer)), (3, [3, 4]))

    def test_refoundedMeanwhile(self) -> None:
        """What was not committed in an epoch that has ended isn't shown as if it had been."""
        if not self.isLagging or self.isOnRedis:
            return
        self.begin()
        room = self.room()
        room.broadcast("said", 1)
        answers = fired(hostOf(room).ask(ReadLog()))
        former = room.epoch
        self.engine.refound(room.id)
        self.settle()
        self.assertEqual((answers[0]["epoch"], answers[0]["entries"]), (room.epoch, []))
        self.assertNotEqual(room.epoch, former)

    def test_end(self) -> None:
        """Those that wait get what the room says at its end, and then that there is no such room."""
        case = self

        class Chat(NotingRoom):
            async def onLeave(self, client: Client, reason: LeaveReason) -> None:
                await deferLater(case.harness.clock, 1)
                self.broadcast("said", "farewell")
                await deferLater(case.harness.clock, 1)

        self.begin(Chat)
        room = self.room()
        self.player().ask("joinById", room.id, {})
        answers = self.reading()
        disposed = fired(self.engine.ask(room.id, Dispose()))
        self.settle()
        self.assertEqual((answers, disposed), ([], []))
        self.advance(1)
        self.assertEqual(answers[0]["entries"][0]["data"], "farewell")
        answers = self.reading(1)
        self.advance(1.2)
        self.assertEqual((answers[0].type, answers[0].value.code), (RoomError, "noSuchRoom"))
        self.assertEqual((len(self.named("dispose")), disposed), (1, [None]))

    def test_cost(self) -> None:
        """Nothing is left in the log when nobody waits any more."""
        self.begin()
        log = hostOf(self.room()).log
        budget = log._budget
        answers = self.reading()
        self.assertIsNot(log._budget, budget)
        self.result(self.engine.ask(self.room().id, SendTo("news", payload.encode(1))))
        self.assertEqual(len(answers), 1)
        self.assertIs(log._budget, budget)

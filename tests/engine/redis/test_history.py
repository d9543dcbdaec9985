"""The history of a room goes on with its next owner, however many other messages the room has sent."""

from __future__ import annotations

from random import Random
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis.nodes import NodesTestCase, TestNode
from txroom import Client as Member
from txroom import History, Room, message
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.stored import Changes, RoomForm, encode, partsOf
from txroom.rooms.contract.asks import Dispose
from txroom.rooms.contract.records import Entry, Loaded
from txroom.rooms.owner import broadcaster, messagelog
from txroom.rooms.owner.logwindow import OVERHEAD
from txroom.rooms.owner.messagelog import MessageLog


class Lines(Room):
    """A chat that also sends many messages to single members."""

    history: History | None = History(limit=10, onJoin=10)
    resumeSeconds = 60.0
    linger = 60.0
    recoveryLimit = 20

    @message("line")
    def line(self, client: Member, number: int) -> None:
        self.broadcast("line", number)
        for index in range(150):
            client.send("whisper", index)


class Late(Lines):
    """The same, but it sets its history in `onCreate`."""

    history = None

    def onCreate(self, options: Any) -> None:
        self.history = Lines.history


class Redis:
    """What Redis has of the log of a room."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.form = RoomForm()
        self.offset = 0
        self.fields: dict[bytes, bytes] = {}
        self.items: list[tuple[int, bytes]] = []

    def apply(self, records: list[Any], needless: int) -> None:
        """As the script `append` does it. A real Redis forgets only blocks of items."""
        changes = Changes(0.0)
        for record in records:
            self.form.add(changes, record, 0.0)
        if changes.entries:
            self.offset = changes.entries[-1][1]
            self.items.append((self.offset, encode(changes.entries)))
        if self._random.random() < 0.5:
            self.items = [item for item in self.items if item[0] > needless]
        for name in changes.gone:
            self.fields.pop(str(name).encode(), None)
        self.fields.update({str(name).encode(): data for name, data in changes.set.items()})

    def found(self, log: MessageLog) -> None:
        """As the script `found` does it."""
        changes = self.form.everything(Loaded(log.offset, tuple(log.kept())), 0.0, 0.0)
        self.fields = {}
        self.items = [(part.offset, part.data) for part in partsOf(changes.entries)]

    def load(self) -> Loaded:
        """As the next owner does it."""
        self.form = RoomForm()
        items = [[b"%d-0" % offset, [b"e", data]] for offset, data in self.items]
        return self.form.load({**self.fields, b"off": b"%d" % self.offset}, items, 0.0, 0.0)


class OwnersTests(SynchronousTestCase):
    """Any owners, one after another."""

    def check(self, seed: int) -> None:
        random = Random(seed)
        redis = Redis(random)
        bounds = (History(limit=random.randrange(1, 9)), 0.0, random.randrange(1, 9), 0)
        log = MessageLog(*bounds)
        lines: list[int] = []
        for _ in range(random.randrange(60)):
            what = random.random()
            if what < 0.1:
                loaded = redis.load()
                log = MessageLog(None, 0, 1, 0)
                log.load(loaded.entries, loaded.offset, 0.0, loaded.apart)
                log.bound(*bounds, 0.0)
            elif what < 0.15:
                log.restart("new")
                redis.found(log)
            else:
                records: list[Any] = []
                for _ in range(random.choice((1, 3, 30))):
                    to = None if random.random() < 0.1 else ("m",)
                    entry = Entry(log.offset + 1, "x", b"x", to)
                    log.append(entry)
                    records.append(entry)
                    if to is None:
                        lines.append(entry.offset)
                needless = log.needless
                kept = log.keepApart(needless)
                redis.apply([*records, *([kept] if kept is not None else [])], needless)
                self.assertLessEqual(len(redis.fields), bounds[0].limit)
            self.assertEqual([entry.offset for entry in log.history(0.0)], lines[-bounds[0].limit :])
            self.assertEqual(log.weight, sum(OVERHEAD + 2 + 8 * bool(entry.to) for entry in log.kept()))

    def test_history(self) -> None:
        """The history is the same for each owner, and Redis has no more of it apart than there is."""
        self.patch(messagelog, "LEAST_KEPT", 4)
        self.patch(messagelog, "KEPT", 1)
        for seed in range(300):
            try:
                self.check(seed)
            except Exception as error:
                raise AssertionError(f"seed {seed}: {error}") from error


class HistoryTests(NodesTestCase):
    """Three nodes, one after another."""

    roomClass = Lines

    def setUp(self) -> None:
        super().setUp()
        self.patch(broadcaster, "FORGETTING", 8 << 10)
        self.patch(messagelog, "LEAST_KEPT", 50)

    def say(self, node: TestNode, *lines: int) -> str:
        """A newcomer says something, and stays."""
        joined = node.join()
        for line in lines:
            joined.send("line", line)
            self.settle()
        return joined.id

    def check(self, node: TestNode, *lines: int) -> None:
        """A newcomer sees these lines."""
        joined = node.join()
        found = [data for kind, data in joined.messages if kind == "line"]
        self.assertEqual(found, list(lines))
        (owned,) = (owned for each in self.nodes if each.isRunning for owned in each.node.here)
        self.assertEqual([each.data for each in cast(Any, owned.host).room.messages], list(lines))
        joined.leave()
        self.settle()

    def stored(self, room: str) -> tuple[int, int]:
        """How many messages Redis has apart, and in the log."""
        keys = Keys().room(room)
        fields = self.redis.fields(keys.fields)
        offset = int(fields[b"off"])
        (item,) = self.redis.store.execute("XRANGE", keys.log, "-", "+", "COUNT", 1)
        first = int(item[0].partition(b"-")[0])
        return sum(name[:2] == b"e:" for name in fields), offset - first

    def test_owners(self) -> None:
        """Each owner goes on with the whole history, and Redis has no more of it than there is."""
        first, second, third = self.start(3)
        room = self.say(first, *range(14))
        self.check(second, *range(4, 14))
        first.kill()
        self.advance(15)
        self.check(second, *range(4, 14))
        self.say(second, *range(14, 20))
        self.check(third, *range(10, 20))
        apart, log = self.stored(room)
        self.assertTrue(5 < apart <= 10, apart)
        self.assertLess(log, 8 * 30 + 200)
        for node in self.whereIs(room):
            node.kill()
        self.advance(15)
        (last,) = (node for node in self.nodes if node.isRunning)
        self.check(last, *range(10, 20))

    def test_lost(self) -> None:
        """Nor is it lost if Redis loses its data, and the next owner comes after that."""
        first, second = self.start()
        room = self.say(first, *range(14))
        self.redis.store.flush()
        self.say(first, 14)
        self.advance(2)
        self.check(first, *range(5, 15))
        (owner,) = self.whereIs(room)
        owner.kill()
        self.advance(15)
        self.check(second if owner is first else first, *range(5, 15))

    def test_ended(self) -> None:
        """When the room ends, Redis forgets all of it."""
        first, _ = self.start()
        room = self.say(first, *range(14))
        self.assertGreater(self.stored(room)[0], 0)
        self.assertEqual(first.ask(room, Dispose()), [None])
        self.advance(1)
        names = [key for key in self.redis.store.keys if room.encode() in key]
        self.assertEqual([name for name in names if not name.endswith(b":grave")], [])


class LateHistoryTests(HistoryTests):
    """The same if the room sets its history in `onCreate`."""

    roomClass = Late

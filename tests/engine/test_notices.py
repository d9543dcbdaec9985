"""The queues of notifications, in memory and in Redis: the same tests for both."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from tests.engine.redis.fakeredis import FakeRedis
from txroom.engine import noticequeue
from txroom.engine.memory import MemoryEngine
from txroom.engine.notices import TOTAL_SIZE, MemoryNotices
from txroom.engine.redis import RedisEngine, notices
from txroom.protocol.errors import RoomError
from txroom.rooms.contract.asks import Once
from txroom.rooms.contract.notices import KEPT_SECONDS, KEY_SECONDS, OVERHEAD, NewNotice, Notices, Page, Place
from txroom.testing import MemoryReactor


class Watching:
    """A watcher that counts how often it was woken."""

    def __init__(self) -> None:
        self.woken = 0
        self.told: list[tuple[str, bytes]] = []

    def wake(self) -> None:
        self.woken += 1

    def tell(self, type: str, data: bytes) -> None:
        self.told.append((type, data))


class NoticesTests(SynchronousTestCase):
    """`MemoryNotices`."""

    notices: Notices

    def setUp(self) -> None:
        self.clock = MemoryReactor()
        self.engines: list[Any] = []
        self.notices = self.startEngine().notices
        self.other = self.notices

    def startEngine(self) -> Any:
        """Start one more engine."""
        engine = self.makeEngine()
        self.engines.append(engine)
        started = fired(engine.start(self.clock, self.fail))
        self.settle()
        self.assertEqual(started, [None])
        return engine

    def makeEngine(self) -> Any:
        return MemoryEngine()

    def tearDown(self) -> None:
        for engine in self.engines:
            fired(engine.stop())
        self.settle()

    def settle(self) -> None:
        """Let everything happen that is under way."""
        self.clock.advance(0.1)

    def wait(self, seconds: float) -> None:
        """Let days pass."""
        self.clock.advance(seconds)

    def live(self, seconds: float) -> None:
        """Let days pass, in which the nodes live."""
        self.clock.advance(seconds)

    def result(self, deferred: Deferred[Any]) -> Any:
        """What a Deferred fires with, soon."""
        results = fired(deferred)
        for _ in range(60):
            if results:
                break
            self.settle()
        self.assertTrue(results, "still pending")
        return results[0]

    def error(self, deferred: Deferred[Any]) -> RoomError:
        """The error that a Deferred fails with, soon."""
        failure = self.result(deferred)
        self.assertIsInstance(failure, Failure)
        self.assertIsInstance(failure.value, RoomError)
        error: RoomError = failure.value
        return error

    def send(self, *texts: str, user: str = "ann", once: Once | None = None, **more: Any) -> Any:
        """Send notifications; the result of the last one."""
        for text in texts:
            result = self.result(self.notices.notify(user, NewNotice("t", text.encode(), **more), once))
        return result

    def open(self, device: str = "", place: Place | None = None, count: int = 99, **more: Any) -> Page:
        """Open the queue."""
        user, size = more.get("user", "ann"), more.get("size", 1 << 20)
        page: Page = self.result(self.other.open(user, device, place, count, size))
        return page

    def acknowledge(self, device: str, place: Place) -> None:
        self.result(self.notices.acknowledge("ann", device, place))

    def textsOf(self, page: Page) -> list[str]:
        return [notice.data.decode() for notice in page.notices]

    # -- for operators

    def test_describe(self) -> None:
        """What is queued, and for which devices; asking makes no queue."""
        self.assertIsNone(self.result(self.notices.describe("ann")))
        self.assertIsNone(self.result(self.notices.describe("ann")))
        for text in "abcd":
            result = self.send(text, limit=3)
        page = self.open("phone")
        self.open("laptop")
        self.acknowledge("phone", Place(page.epoch, 2))
        info = self.result(self.other.describe("ann"))
        self.assertEqual((info.epoch, info.kept, info.last, info.acknowledged), (result.epoch, 3, 4, 2))
        self.assertEqual(info.size, 3 * (2 + OVERHEAD))
        self.assertEqual(dict(info.devices), {"phone": 2, "laptop": 3})
        self.acknowledge("phone", Place(page.epoch, 4))
        self.assertEqual(dict(self.result(self.other.describe("ann")).devices)["phone"], 0)

    # -- order and places

    def test_order(self) -> None:
        """Notifications have numbers without gaps, and are read in their order."""
        first, second = self.send("a"), self.send("b")
        self.assertEqual((first.n, second.n, first.epoch), (1, 2, second.epoch))
        self.assertFalse(first.isListening or first.isRepeated)
        page = self.open()
        self.assertEqual((page.epoch, page.after, page.last, page.isLost), (first.epoch, 0, 2, False))
        self.assertEqual(
            [(each.n, each.type, each.data) for each in page.notices], [(1, "t", b"a"), (2, "t", b"b")]
        )

    def test_users(self) -> None:
        """Each user has a queue; ids may have any characters."""
        for index, user in enumerate(("ann", "{ann}", "ann:log", "ä b", "a/b", "%7Bann%7D")):
            self.assertEqual(self.send(str(index), user=user).n, 1)
            self.assertEqual(self.textsOf(self.open(user=user)), [str(index)])

    def test_empty(self) -> None:
        """An empty queue has an epoch, in which the first notification is number 1."""
        page = self.open()
        self.assertEqual((page.after, page.last, page.isLost, page.notices), (0, 0, False, ()))
        self.assertEqual(self.send("a")[:2], (page.epoch, 1))

    def test_read(self) -> None:
        """One reads on from a place, in parts of any size; at least one notification is returned."""
        epoch = self.send("aaa", "bbb", "ccc").epoch
        read = self.notices.read
        self.assertEqual(self.textsOf(self.result(read("ann", Place(epoch, 1), 99, 999))), ["bbb", "ccc"])
        self.assertEqual(self.textsOf(self.result(read("ann", Place(epoch, 0), 2, 999))), ["aaa", "bbb"])
        self.assertEqual(self.textsOf(self.result(read("ann", Place(epoch, 0), 99, 6))), ["aaa", "bbb"])
        self.assertEqual(self.textsOf(self.result(read("ann", Place(epoch, 0), 99, 1))), ["aaa"])
        self.assertEqual(self.textsOf(self.result(read("ann", Place(epoch, 3), 99, 999))), [])

    def test_tooFar(self) -> None:
        """A place that is ahead of the queue, which no client can have, is its end."""
        epoch = self.send("a").epoch
        page = self.result(self.notices.read("ann", Place(epoch, 9), 99, 999))
        self.assertEqual((page.after, page.last, page.notices), (1, 1, ()))

    def test_unknown(self) -> None:
        """A place of an unknown epoch is before the oldest notification, and something may be lost."""
        self.send("a", "b", "c", limit=2)
        page = self.open("phone", Place("unknown", 7))
        self.assertEqual((page.after, page.last, page.isLost, self.textsOf(page)), (1, 3, True, ["b", "c"]))

    # -- what is dropped

    def test_limit(self) -> None:
        """The oldest are dropped if there are too many; the numbers tell how many."""
        self.send(*"abcde", limit=3)
        page = self.open()
        self.assertEqual((page.after, [each.n for each in page.notices]), (0, [3, 4, 5]))
        self.send("f", limit=1)
        self.assertEqual([each.n for each in self.open().notices], [6])

    def test_size(self) -> None:
        """A queue has at most 1 MiB."""
        self.send(*["x" * (64 << 10)] * 20)
        found = [each.n for each in self.open(count=99, size=9 << 20).notices]
        self.assertEqual(found, list(range(6, 21)))

    def test_expired(self) -> None:
        """Expired notifications aren't read; they don't hold up those behind them."""
        self.send("a", seconds=10.0)
        self.send("b")
        self.send("c", "d", seconds=10.0)
        self.send("e", seconds=60.0)
        self.clock.advance(11)
        self.assertEqual(self.textsOf(self.open()), ["b", "e"])
        self.assertEqual(self.textsOf(self.open(count=1)), ["b"])
        self.clock.advance(60)
        page = self.open()
        self.assertEqual((self.textsOf(page), page.last), (["b"], 5))

    def test_expiredSoon(self) -> None:
        """A notification that is kept for less than a millisecond expires, as others do."""
        for seconds in (5e-324, 0.0005, 0.0015):
            self.send("a", seconds=seconds)
        self.send("b", seconds=1e300)
        self.clock.advance(1)
        self.assertEqual(self.textsOf(self.open()), ["b"])

    def test_kept(self) -> None:
        """A queue is kept for seven days after it was used last, and then begins anew."""
        epoch = self.send("a").epoch
        self.wait(KEPT_SECONDS - 60)
        self.assertEqual(self.open().epoch, epoch)
        self.wait(KEPT_SECONDS - 60)
        self.assertEqual(self.textsOf(self.open()), ["a"])
        self.wait(KEPT_SECONDS + 60)
        page = self.open()
        self.assertEqual((page.last, page.notices), (0, ()))
        self.assertNotEqual(page.epoch, epoch)

    # -- devices

    def test_devices(self) -> None:
        """Each device begins after what it has acknowledged, a new one after what any has."""
        epoch = self.send(*"abcd").epoch
        self.assertEqual(self.textsOf(self.open("phone")), ["a", "b", "c", "d"])
        self.acknowledge("phone", Place(epoch, 3))
        self.assertEqual(self.textsOf(self.open("phone")), ["d"])
        self.assertEqual(self.textsOf(self.open("laptop")), ["d"])
        self.assertEqual(self.textsOf(self.open("")), ["d"])
        self.acknowledge("phone", Place(epoch, 4))
        self.assertEqual(self.textsOf(self.open("laptop")), ["d"])  # it was there before
        self.assertEqual(self.textsOf(self.open("watch")), [])
        self.acknowledge("phone", Place(epoch, 1))
        self.assertEqual(self.textsOf(self.open("phone")), [])

    def test_openAcknowledges(self) -> None:
        """A page that comes with its place has handled everything before it."""
        epoch = self.send(*"abc").epoch
        self.assertEqual(self.textsOf(self.open("phone", Place(epoch, 2))), ["c"])
        self.assertEqual(self.textsOf(self.open("phone")), ["c"])
        self.assertEqual(self.textsOf(self.open("phone", Place(epoch, 1))), ["b", "c"])  # an older tab
        self.assertEqual(self.textsOf(self.open("phone")), ["c"])

    def test_acknowledgeUnknown(self) -> None:
        """A place of an unknown epoch acknowledges nothing, and one too far no more than there is."""
        epoch = self.send("a").epoch
        self.acknowledge("phone", Place("unknown", 1))
        self.assertEqual(self.textsOf(self.open("phone")), ["a"])
        self.acknowledge("phone", Place(epoch, 9))
        self.send("b")
        self.assertEqual(self.textsOf(self.open("phone")), ["b"])

    def test_manyDevices(self) -> None:
        """Of more than 16 devices the one is forgotten that was not used for the longest time."""
        epoch = self.send("a", "b").epoch
        for index in range(16):
            self.open(f"d{index}")
        self.acknowledge("d0", Place(epoch, 1))
        self.open("d16")
        self.acknowledge("d16", Place(epoch, 2))
        # d1 is new again, and begins after what d16 has acknowledged; d0 is known.
        self.assertEqual(self.textsOf(self.open("d1")), [])
        self.assertEqual(self.textsOf(self.open("d0")), ["b"])

    # -- watching

    def test_watch(self) -> None:
        """A watcher is woken when it is heard, and for each notification; until it is removed."""
        watcher, second = Watching(), Watching()
        self.other.watch("ann", watcher)
        self.settle()
        self.assertEqual(watcher.woken, 1)
        self.assertTrue(self.send("a").isListening)
        self.settle()
        self.assertEqual(watcher.woken, 2)
        self.other.watch("ann", second)
        self.settle()
        self.assertEqual(second.woken, 1)
        self.assertFalse(self.send("b", user="bob").isListening)
        self.other.unwatch("ann", watcher)
        self.other.unwatch("ann", watcher)
        self.settle()
        before = watcher.woken
        self.assertTrue(self.send("c").isListening)
        self.settle()
        self.assertEqual((watcher.woken, second.woken), (before, 2))
        self.other.unwatch("ann", second)
        self.settle()
        self.assertFalse(self.send("d").isListening)

    def test_unqueued(self) -> None:
        """A notification that isn't queued is passed to those who watch, and is in no queue."""
        watcher, bobs = Watching(), Watching()
        self.assertEqual(self.send("a", isQueued=False), (None, 0, False, False))
        self.other.watch("ann", watcher)
        self.other.watch("bob", bobs)
        self.settle()
        self.assertEqual(self.send("b", isQueued=False), (None, 0, True, False))
        self.result(self.notices.notifyAll("all", b"c"))
        self.settle()
        self.assertEqual((watcher.told, bobs.told), ([("t", b"b"), ("all", b"c")], [("all", b"c")]))
        self.assertEqual(self.open().last, 0)

    # -- idempotency keys

    def test_once(self) -> None:
        """A key sends once, and the same result is given again; another digest is refused."""
        once = Once("key", b"\x00digest \xff")
        first = self.send("a", once=once)
        self.send("b")
        again = self.send("a", once=once)
        self.assertEqual(again, first._replace(isRepeated=True))
        self.assertEqual(self.textsOf(self.open()), ["a", "b"])
        self.assertEqual(self.send("a", once=once, user="bob").isRepeated, False)
        notice = NewNotice("t", b"x")
        error = self.error(self.notices.notify("ann", notice, Once("key", b"other")))
        self.assertEqual((error.code, error.details), ("badRequest", {"idempotency": "reused"}))
        self.assertEqual(self.send("c", once=Once("another", b"digest")).n, 3)

    def test_onceUnqueued(self) -> None:
        """A notification that isn't queued is sent once too."""
        watcher, once = Watching(), Once("key", b"digest")
        self.other.watch("ann", watcher)
        self.settle()
        for isRepeated in (False, True):
            result = self.send("a", once=once, isQueued=False)
            self.assertEqual(result, (None, 0, True, isRepeated))
        self.settle()
        self.assertEqual(watcher.told, [("t", b"a")])

    def test_onceForgotten(self) -> None:
        """A key is remembered for a day."""
        once = Once("key", b"digest")
        self.send("a", once=once)
        self.wait(KEY_SECONDS - 60)
        self.assertTrue(self.send("a", once=once).isRepeated)
        self.wait(120)
        self.assertEqual(self.send("a", once=once)[1:], (2, False, False))
        self.assertTrue(self.send("a", once=once).isRepeated)

    def test_onceCounted(self) -> None:
        """However often the keys of a user are forgotten, they count once."""
        each = len("0 0") + len("d") + OVERHEAD
        self.patch(noticequeue, "MAX_KEYS_SIZE", 6 * each)
        self.patch(notices, "MAX_KEYS_SIZE", 6 * each)
        for day in range(6):
            for index in range(5):
                once = Once(f"{day} {index}", b"d")
                sent = self.send("a", once=once)
                self.assertFalse(sent.isRepeated)
                self.assertTrue(self.send("a", once=once).isRepeated)
            self.wait(KEY_SECONDS + 60)
        self.assertEqual((sent.n, self.open().last), (30, 30))

    # -- for how long queues are kept

    def test_watchedForLong(self) -> None:
        """The queue of a user who is connected is kept, and for seven days after that."""
        watcher = Watching()
        self.other.watch("ann", watcher)
        place = Place(*self.send("a")[:2])
        self.acknowledge("phone", place)
        for _ in range(9):
            self.live(KEPT_SECONDS / 7)
            self.send("x", user="bob")
        page = self.open("phone", place)
        self.assertEqual((page.epoch, page.after, page.isLost), (place.epoch, 1, False))
        for _ in range(9):
            self.live(KEPT_SECONDS / 7)
        self.other.unwatch("ann", watcher)
        self.live(KEPT_SECONDS * 5 / 7)
        self.send("x", user="bob")
        self.assertEqual(self.open("phone", place).epoch, place.epoch)
        self.live(KEPT_SECONDS + 120)
        self.send("x", user="bob")
        self.assertTrue(self.open("phone", place).isLost)


class MemoryTests(SynchronousTestCase):
    """What only `MemoryNotices` does."""

    def setUp(self) -> None:
        self.clock = MemoryReactor()
        self.notices = MemoryNotices()
        self.notices.begin(self.clock)

    def test_total(self) -> None:
        """Of more than 256 MiB the queues are dropped that were not used for the longest time."""
        notice = NewNotice("t", b"x" * (64 << 10))
        users = [f"user{index}" for index in range(TOTAL_SIZE // (64 << 10))]
        for user in users:
            self.notices.notify(user, notice)
        self.assertLessEqual(self.notices._size, TOTAL_SIZE)
        self.assertEqual(self.successResultOf(self.notices.open("user0", "", None, 9, 999)).last, 0)
        last = self.successResultOf(self.notices.open(users[-1], "", None, 9, 999))
        self.assertEqual(last.last, 1)

    def test_manyQueues(self) -> None:
        """Empty queues count too, and what was counted is subtracted when they are dropped."""
        for index in range(3000):
            self.notices.open(f"user{index}", "", None, 9, 999)
        self.assertGreater(self.notices._size, 3000 * 1000)
        self.clock.advance(KEPT_SECONDS + 1)
        self.notices.notify("ann", NewNotice("t", b"x" * 1000))
        self.assertLess(self.notices._size, 4000)

    def test_keys(self) -> None:
        """Of more than 8 MiB of keys, or 10 000 keys, the oldest are forgotten, and count no more."""
        for text, most in (("\U0001f600" * 250, 8000), ("", 10_000)):
            keys = [f"{index:05}{text}" for index in range(most + 100)]
            for key in keys:
                self.notices.notify("ann", NewNotice("t", b"", False), Once(key, b"d" * 64))
            self.assertLess(self.notices._size, 9 << 20)
            for key, isRepeated in ((keys[0], False), (keys[-1], True)):
                sent = self.notices.notify("ann", NewNotice("t", b"", False), Once(key, b"d" * 64))
                self.assertEqual(self.successResultOf(sent).isRepeated, isRepeated)
        self.assertLess(self.notices._size, 2 << 20)


class RedisNoticesTests(NoticesTests):
    """`RedisNotices`, of two nodes: one sends, and another one reads."""

    def setUp(self) -> None:
        self.patch(notices, "KEEP_SECONDS", 1.0)
        self.clock = MemoryReactor()
        self.redis = FakeRedis(self.clock, Random(1), 0.001)
        self.engines = []
        self.notices = self.startEngine().notices
        self.other = self.startEngine().notices

    def makeEngine(self) -> Any:
        connect: Any = lambda clock: self.redis.connect()  # noqa: E731
        return RedisEngine("redis://fake", connect=connect)

    def wait(self, seconds: float) -> None:
        """Let days pass in Redis only, since nodes renew their leases each second."""
        self.redis.store.ahead += seconds
        self.clock.advance(1)

    def live(self, seconds: float) -> None:
        """Days pass as seconds: in each of them the clock of Redis goes on by half a day at most."""
        while seconds > 0:
            self.redis.store.ahead += min(seconds, 43_200.0)
            seconds -= 43_200
            self.clock.advance(notices.KEEP_SECONDS)

    def test_restarted(self) -> None:
        """
        If Redis may have lost the newest notifications, the queue gets another epoch. Places of the former
        one are understood, also those of lost notifications.
        """
        epoch = self.send(*"abc").epoch
        self.acknowledge("phone", Place(epoch, 1))
        self.redis.restart(forgotten=2)  # the acknowledgement, and "c"
        self.clock.advance(5)
        fresh = self.send("d")
        self.assertEqual(fresh.n, 3)
        self.assertNotEqual(fresh.epoch, epoch)
        page = self.open("phone", Place(epoch, 3))
        self.assertEqual((page.after, page.last, page.isLost, self.textsOf(page)), (2, 3, False, ["d"]))
        self.acknowledge("phone", Place(epoch, 3))
        self.assertEqual(self.textsOf(self.open("phone")), ["d"])

    def test_restartedOften(self) -> None:
        """The places of the last eight epochs are understood."""
        epochs = []
        for _ in range(10):
            epochs.append(self.send("x").epoch)
            self.redis.restart()
            self.clock.advance(5)
        self.send("y")
        self.assertEqual(len(set(epochs)), 10)
        lost = [self.open("", Place(epoch, 1)).isLost for epoch in epochs]
        self.assertEqual(lost, [True] * 2 + [False] * 8)

    def test_lost(self) -> None:
        """If Redis has lost everything, places aren't known, and numbers begin anew."""
        epoch = self.send("a").epoch
        self.redis.store.flush()
        self.assertEqual(self.send("b").n, 1)
        page = self.open("", Place(epoch, 1))
        self.assertEqual((page.isLost, self.textsOf(page)), (True, ["b"]))

    def test_watchedBefore(self) -> None:
        """A watcher from before the start of the engine hears what is sent to the user, and to all."""
        watcher, late = Watching(), self.makeEngine()
        late.notices.watch("ann", watcher)
        self.engines.append(late)
        fired(late.start(self.clock, self.fail))
        self.settle()
        self.result(self.notices.notifyAll("all", b"c"))
        self.send("a", isQueued=False)
        self.settle()
        self.assertEqual(watcher.told, [("all", b"c"), ("t", b"a")])
        self.assertGreaterEqual(watcher.woken, 1)

    def test_keptInParts(self) -> None:
        """The queues of many users are kept one after another, each once a day."""
        self.patch(notices, "KEEP_PARTS", 4)
        for index in range(10):
            self.other.watch(f"user{index}", Watching())
        self.settle()
        before = len(self.redis.log)
        for _ in range(4):
            self.clock.advance(notices.KEEP_SECONDS)
            self.settle()
        kept = [args[1] for name, args in self.redis.log[before:] if name == "PEXPIRE"]
        queues = [key for key in kept if key.endswith(b"}")]
        self.assertEqual((len(queues), len(set(queues)), len(kept)), (10, 10, 30))

    def test_missed(self) -> None:
        """Watchers are woken when the connection is made again, since something may have been missed."""
        watcher = Watching()
        self.other.watch("ann", watcher)
        self.settle()
        self.redis.cut()
        self.clock.advance(1)
        before = watcher.woken
        self.assertGreater(before, 1)
        self.send("a")
        self.settle()
        self.assertEqual(watcher.woken, before + 1)

    def test_watchedWhileDown(self) -> None:
        """A watcher that comes while Redis is away is woken when it is back."""
        self.redis.down()
        watcher = Watching()
        self.other.watch("ann", watcher)
        self.clock.advance(2)
        self.assertEqual(watcher.woken, 0)
        self.redis.up()
        self.clock.advance(2)
        self.assertGreaterEqual(watcher.woken, 1)

    def test_down(self) -> None:
        """While Redis is away for a moment, one waits; if it stays away, nothing has happened."""
        self.redis.down()
        sending = fired(self.notices.notify("ann", NewNotice("t", b"a")))
        self.clock.advance(2)
        self.assertEqual(sending, [])
        self.redis.up()
        self.clock.advance(1)
        self.assertEqual(sending[0].n, 1)
        self.redis.down()
        error = self.error(self.notices.notify("ann", NewNotice("t", b"b")))
        self.assertEqual((error.code, error.details), ("unavailable", {"mayHaveHappened": False}))

    def test_cut(self) -> None:
        """If the answer is lost, a notification may have been sent; with a key it is sent again, once."""
        for executed in (0, 1):
            sending = self.notices.notify("ann", NewNotice("t", b"a"))
            self.redis.cut(executed)
            self.assertEqual(self.error(sending).details, {"mayHaveHappened": True})
            self.clock.advance(1)
        self.assertEqual(self.open().last, 1)
        for executed in (0, 1):
            once = Once(f"key{executed}", b"digest")
            sending = self.notices.notify("ann", NewNotice("t", b"b"), once)
            self.redis.cut(executed)
            self.assertEqual(self.result(sending).n, 2 + executed)
            self.clock.advance(1)
        self.assertEqual(self.open().last, 3)

    def test_full(self) -> None:
        """If the memory of Redis is full, nothing has happened."""
        self.redis.store.isFull = True
        error = self.error(self.notices.notify("ann", NewNotice("t", b"a")))
        self.assertEqual(error.details, {"mayHaveHappened": False})

    def test_refused(self) -> None:
        """Another error is logged."""
        self.redis.fail("WRONGTYPE it is a list", "notify")
        self.assertEqual(self.error(self.notices.notify("ann", NewNotice("t", b"a"))).code, "internal")
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_stopped(self) -> None:
        """An engine that doesn't run sends nothing."""
        stopped = self.makeEngine().notices
        error = self.error(stopped.notify("ann", NewNotice("t", b"a")))
        self.assertEqual(error.details, {"mayHaveHappened": False})

    def test_garbage(self) -> None:
        """What can't be read on the channel of a user is logged, and nothing else."""
        watcher = Watching()
        self.other.watch("ann", watcher)
        self.settle()
        self.redis.run(("PUBLISH", "txr:user:{ann}", b"\xc1"))
        self.settle()
        self.assertEqual((watcher.woken, watcher.told), (1, []))

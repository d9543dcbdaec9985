"""Tests for the listings of all nodes: how they are found, written and read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom.engine.redis.finding import DOUBT, MANY, REREAD, Finder
from txroom.engine.redis.here import Here, Owned
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.listed import Change, Changes, Listed, encode, readChanges, readListed
from txroom.engine.redis.resp import Lost, RedisError
from txroom.engine.redis.waiting import Waits
from txroom.rooms.contract.listing import Listing

KEY = b"txr:list:/rooms:chat"


class StubRedis:
    """A connection whose replies the test gives."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.replies: list[Callable[[Any], object]] = []
        self.stored: dict[bytes, bytes] = {}

    def send(self, reply: Callable[[Any], object], *args: Any) -> None:
        self.sent.append(args)
        self.replies.append(reply)

    def ask(self, *args: Any) -> Deferred[Any]:
        self.sent.append(args)
        answer: Deferred[Any] = Deferred()

        def answered(reply: Any) -> None:
            (answer.errback if isinstance(reply, Exception) else answer.callback)(reply)

        self.replies.append(answered)
        return answer

    def take(self, command: str) -> list[tuple[Any, ...]]:
        """The commands with that name that were sent since; their replies come."""
        found = [args[1:] for args in self.sent if args[0] == command]
        self.answer()
        return found

    def answer(self, reply: Any = 1) -> None:
        """Answer all commands."""
        self.sent = []
        replies, self.replies = self.replies, []
        for each in replies:
            each(reply)


class Host:
    """An owner, as far as the finder looks at it."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.name = "chat"


class FinderTests(SynchronousTestCase):
    """`Finder`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.redis = StubRedis()
        redis: Any = self.redis
        self.here = Here()
        self.isFresh = True
        self.woken = 0
        self.finder = Finder(
            Waits(self.clock), redis, Keys(), "me", self.here, self.wake, lambda: self.isFresh
        )

    def wake(self) -> None:
        self.woken += 1

    def load(self, **rooms: Listed) -> None:
        """Read the listings; Redis has these."""
        loaded = fired(self.finder.load("/rooms", "chat"))
        self.redis.answer({room.encode(): encode(listed) for room, listed in rooms.items()})
        self.clock.advance(0)
        self.assertEqual(loaded, [None])

    def own(self, room: str, generation: int = 1) -> Any:
        """A room of this node."""
        host: Any = Host(room)
        owned = Owned(host, "/rooms", 7)
        owned.generation = generation
        self.here.add(owned)
        return host

    def listed(self, node: str, room: str, generation: int = 1, **more: Any) -> Listed:
        return Listed(node, generation, Listing(room, "chat", 1, 0, **more))

    def hear(self, node: str, room: str, listed: Listed | None) -> None:
        self.finder.heard(encode(Changes(node, (Change("/rooms", "chat", room, listed),))))

    def found(self, **filter: Any) -> list[str]:
        (found,) = fired(self.finder.find("/rooms", "chat", filter))
        return sorted(listing.room for listing in found)

    def test_load(self) -> None:
        """The listings of a name are read once, when they are needed first."""
        found = fired(self.finder.find("/rooms", "chat", {}))
        self.assertEqual(self.redis.sent, [("HGETALL", KEY)])
        more = fired(self.finder.find("/rooms", "chat", {}))
        self.redis.answer({b"r": encode(self.listed("other", "r"))})
        self.assertEqual([listing.room for listing in found[0]], ["r"])
        self.assertEqual(len(more[0]), 1)
        self.assertEqual((self.found(), self.redis.sent), (["r"], []))

    def test_taken(self) -> None:
        """If a room of this node is listed at another one, that is told, however this node learns of it."""
        taken: list[str] = []
        self.finder.onTaken = taken.append
        for room in "rst":
            self.own(room)
        self.load(r=self.listed("other", "r", 2), s=self.listed("me", "s"))
        self.hear("other", "t", self.listed("other", "t", 2))
        self.assertEqual(taken, ["r", "t"])

    def test_opened(self) -> None:
        """Those that wait for a room are told that it is open also if that is read, and not heard."""
        told, later = [fired(self.finder.whenListed(room, "other")) for room in "rs"]
        self.load(r=self.listed("other", "r"), s=Listed("other"))
        self.assertEqual((told, later), ([True], []))

    def test_refreshInDoubt(self) -> None:
        """While Redis may have lost listings, those that are written again are published too."""
        self.load()
        self.own("r")
        self.finder.publish("/rooms", Listing("r", "chat", 1, 0))
        self.finder.flush()
        self.redis.answer()
        self.finder.refresh()
        self.finder.flush()
        self.assertEqual([args[0] for args in self.redis.sent], ["HSET"])
        self.redis.answer()
        self.finder.doubt()
        self.finder.refresh()
        self.finder.flush()
        self.assertEqual([args[0] for args in self.redis.sent], ["HSET", "PUBLISH"])

    def test_needed(self) -> None:
        """Listings that this node needs and that could not be read are read with the next ones."""
        self.finder.loadAgain([("/rooms", "chat")])
        self.redis.answer(Lost("gone"))
        self.finder.loadAgain(())
        self.assertEqual(self.redis.sent, [("HGETALL", KEY)])

    def test_many(self) -> None:
        """Very many listings are read some at a time."""
        rooms = {f"r{index}": self.listed("other", f"r{index}") for index in range(2 * MANY + 1)}
        loaded = fired(self.finder.load("/rooms", "chat"))
        self.redis.answer({room.encode(): encode(listed) for room, listed in rooms.items()})
        self.assertEqual((loaded, len(self.finder.index)), ([], MANY))
        self.hear("other", "r0", None)
        self.clock.pump([0, 0])
        self.assertEqual((loaded, len(self.found())), ([None], 2 * MANY))

    def test_unavailable(self) -> None:
        """Without Redis rooms can't be found if their listings were never read."""
        found = fired(self.finder.find("/rooms", "chat", {}))
        self.redis.answer(Lost("gone"))
        self.assertEqual(found[0].value.code, "unavailable")

    def test_unreadable(self) -> None:
        """A listing that can't be read is left out."""
        loaded = fired(self.finder.load("/rooms", "chat"))
        self.redis.answer({b"r": b"?", b"s": encode(self.listed("other", "s"))})
        self.assertEqual((loaded, self.found()), ([None], ["s"]))

    def test_heard(self) -> None:
        """The changes of other nodes are taken over, those of an earlier owner are not."""
        self.load(r=self.listed("a", "r", 1))
        self.hear("b", "r", self.listed("b", "r", 2, metadata={"level": 2}))
        self.hear("a", "r", self.listed("a", "r", 1, metadata={"level": 1}))
        self.assertEqual((self.found(level=2), self.found(level=1)), (["r"], []))
        self.hear("a", "r", None)
        self.assertEqual(self.found(), ["r"])
        self.hear("b", "r", None)
        self.assertEqual(self.found(), [])

    def test_publish(self) -> None:
        """The listings that have changed in a turn are written and published together."""
        self.load()
        for room in ("r", "s"):
            self.own(room)
            for clients in range(3):
                self.finder.publish("/rooms", Listing(room, "chat", clients, 0))
        self.assertEqual((self.found(), self.redis.sent), (["r", "s"], []))
        self.finder.flush()
        (written,), (published,) = self.redis.take("HSET"), self.redis.sent or [()]
        self.assertEqual((written[0], written[1], written[3]), (KEY, "r", "s"))
        listing = readListed(written[2]).listing
        assert listing is not None
        self.assertEqual((listing.clients, listing.age), (2, 7))
        self.assertEqual(published, ())
        self.finder.flush()
        self.assertEqual(self.redis.sent, [])

    def test_unsendable(self) -> None:
        """A listing that can't be encoded is not published, and that holds up no other."""
        self.load()
        self.own("r")
        self.own("s")
        self.finder.publish("/rooms", Listing("r", "chat", 0, 0, metadata={"title": "\ud800"}))
        self.finder.publish("/rooms", Listing("s", "chat", 0, 0))
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.finder.flush()
        self.assertEqual([args[1] for args in self.redis.take("HSET")], ["s"])

    def test_ended(self) -> None:
        """The listing of a room that has ended is removed, and so is what others know."""
        self.load()
        host = self.own("r")
        self.finder.publish("/rooms", Listing("r", "chat", 0, 0))
        self.finder.flush()
        self.redis.answer()
        self.here.remove(host)
        self.finder.ended("/rooms", "chat", "r")
        self.finder.flush()
        published = readChanges(self.redis.sent[1][2])
        self.assertEqual(published.changes, (Change("/rooms", "chat", "r", None),))
        self.assertEqual(self.redis.take("HDEL"), [(KEY, "r")])

    def test_stale(self) -> None:
        """A node whose lease isn't fresh writes nothing: its rooms may have other owners."""
        self.load()
        self.own("r")
        self.isFresh = False
        self.finder.publish("/rooms", Listing("r", "chat", 0, 0))
        self.finder.flush()
        self.finder.refresh()
        self.assertEqual(self.redis.sent, [])
        self.isFresh = True
        self.finder.flush()
        self.assertEqual(len(self.redis.take("HSET")), 1)

    def test_lostTwice(self) -> None:
        """If the replies to a listing and to its removal are both lost, the removal is written again."""
        self.load()
        host = self.own("r")
        self.finder.publish("/rooms", Listing("r", "chat", 0, 0))
        self.finder.flush()
        self.here.remove(host)
        self.finder.ended("/rooms", "chat", "r")
        self.finder.flush()
        self.redis.answer(Lost("cut"))
        self.finder.refresh()
        self.finder.flush()
        self.assertEqual([args[0] for args in self.redis.sent], ["HDEL", "PUBLISH"])
        self.redis.answer()
        self.finder.refresh()
        self.finder.flush()
        self.assertEqual(self.redis.sent, [])

    def test_lostRoom(self) -> None:
        """A listing that may not have been written is not written again when the room is another node's."""
        self.load()
        host = self.own("r")
        self.finder.publish("/rooms", Listing("r", "chat", 0, 0))
        self.finder.flush()
        self.here.remove(host)
        self.finder.lost("r")
        self.redis.answer(Lost("cut"))
        self.finder.refresh()
        self.finder.flush()
        self.assertEqual(self.redis.sent, [])

    def test_refresh(self) -> None:
        """Some listings are written again at each renewal, and all are read again from time to time."""
        self.load()
        self.own("r")
        self.finder.publish("/rooms", Listing("r", "chat", 0, 0))
        self.finder.flush()
        self.redis.answer()
        for _ in range(REREAD - 1):
            self.finder.refresh()
            self.assertEqual(len(self.redis.take("HSET")), 1)
        self.finder.refresh()
        self.assertIn(("HGETALL", KEY), self.redis.sent)

    def test_unread(self) -> None:
        """Listings that this node needs and that could not be read are read again at the next renewal."""
        self.finder.loadAgain([("/rooms", "chat")])
        self.redis.answer(RedisError("BUSY script"))
        self.finder.refresh()
        self.assertEqual(self.redis.sent, [("HGETALL", KEY)])
        self.redis.answer({b"r": encode(self.listed("other", "r"))})
        self.assertEqual(self.found(), ["r"])
        self.finder.refresh()
        self.assertEqual(self.redis.sent, [])

    def test_missing(self) -> None:
        """A listing that Redis has lost is kept for some seconds, and then forgotten."""
        self.load(r=self.listed("other", "r"))
        self.load()
        self.assertEqual(self.found(), ["r"])
        self.clock.advance(DOUBT)
        self.finder.refresh()
        self.assertEqual(self.found(), [])

    def test_missingIsBack(self) -> None:
        """It stays if its node publishes it again."""
        self.load(r=self.listed("other", "r"))
        self.load()
        self.hear("other", "r", self.listed("other", "r"))
        self.clock.advance(DOUBT)
        self.finder.refresh()
        self.assertEqual(self.found(), ["r"])

    def test_missedWhileReading(self) -> None:
        """
        This node may have missed changes while it was reading: it reads once more, and what it heard before
        does not keep a room that has ended.
        """
        self.load(r=self.listed("other", "r"))
        first = fired(self.finder.load("/rooms", "chat"))
        self.hear("other", "r", self.listed("other", "r"))
        again = fired(self.finder.loadAgain(()))
        self.redis.answer({})
        self.assertEqual((first, again, self.redis.sent), ([], [], [("HGETALL", KEY)]))
        self.hear("other", "s", self.listed("other", "s"))
        self.redis.answer({})
        self.assertEqual((first, len(again), self.redis.sent), ([None], 1, []))
        self.clock.advance(DOUBT)
        self.finder.refresh()
        self.assertEqual(self.found(), ["s"])

    def test_missedBeforeFailure(self) -> None:
        """If the reading fails during which changes were missed, it is tried once more, and then fails."""
        first = fired(self.finder.load("/rooms", "chat"))
        self.finder.loadAgain([("/rooms", "chat")])
        self.redis.answer(Lost("gone"))
        self.assertEqual((first, self.redis.sent), ([], [("HGETALL", KEY)]))
        self.redis.answer(Lost("gone"))
        self.assertEqual((len(first), self.redis.sent), (1, []))

    def test_whenListed(self) -> None:
        """Those that wait for a room are told when it is open, and when it could not be created."""
        self.load()
        opened, failed = [fired(self.finder.whenListed(room, "other")) for room in "rs"]
        self.hear("other", "r", self.listed("other", "r"))
        self.hear("other", "s", None)
        again = fired(self.finder.whenListed("r", "other"))
        self.assertEqual((opened, failed, again), ([True], [False], [True]))

    def test_removedByAnother(self) -> None:
        """That another node removes what is left of a room doesn't mean that it could not be created."""
        self.load()
        waiting = self.finder.whenListed("r", "other")
        told = fired(waiting)
        self.hear("third", "r", None)
        self.finder.ended("/rooms", "chat", "r")
        self.finder.flush()
        self.assertEqual(told, [])
        self.hear("third", "r", self.listed("third", "r"))
        self.assertEqual(told, [True])

    def test_waitNoMore(self) -> None:
        """Nothing is left of those that wait no more."""
        waiter = self.finder.whenListed("x", "other")
        waiter.addErrback(lambda failure: None)
        waiter.cancel()
        self.assertEqual(self.finder._waiting, {})

    def test_count(self) -> None:
        """The rooms of a name are counted, those too that are being created."""
        self.load(r=self.listed("other", "r"), s=Listed("other"))
        index = self.finder.index
        self.assertEqual((index.count("/rooms", "chat"), index.count("/rooms", "x")), (2, 0))
        self.hear("other", "r", self.listed("other", "r", isLocked=True))
        self.hear("other", "s", None)
        self.assertEqual(index.count("/rooms", "chat"), 1)

    def test_older(self) -> None:
        """
        An older copy of Redis's data knows a room in an earlier generation. What its owner says is believed
        when the owner that was known is gone, or if Redis names the new one.
        """
        self.load(r=self.listed("other", "r", 5), s=self.listed("other", "s", 5))
        for room in ("r", "s"):
            self.hear("new", room, self.listed("new", room, 2))
        self.assertEqual(len(self.finder.index.roomsOf("other")), 2)
        self.finder.correct("r", "new")
        self.hear("new", "r", self.listed("new", "r", 2, isLocked=True))
        known = self.finder.index.get("r")
        assert known is not None and known.listed.listing is not None
        self.assertEqual((known.listed.node, known.listed.listing.isLocked), ("new", True))
        self.finder.index.mayBeOlder("other")
        self.hear("new", "s", self.listed("new", "s", 2))
        self.assertEqual(sorted(self.finder.index.roomsOf("new")), ["r", "s"])
        self.assertEqual(self.finder.index.nodes, ["new"])

"""Tests for creating rooms, and for the requests that wait for a room that another one creates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from tests.engine.redis.fakeredis import FakeRedis
from txroom import RoomError
from txroom.core.codes import ErrorCode
from txroom.engine.redis.creating import LOOK, PAUSE, REMEMBERED, Creating
from txroom.engine.redis.finding import Finder
from txroom.engine.redis.here import Here, Owned
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.lease import NodeState
from txroom.engine.redis.resp import Commands
from txroom.engine.redis.scripts import Scripts
from txroom.engine.redis.waiting import Waits
from txroom.rooms.contract.listing import Listing
from txroom.rooms.contract.ports import MAKING_SECONDS, Made

KEYS = Keys()
LISTINGS = KEYS.listings("/rooms", "chat")


class StubHost:
    """The owner of a room."""

    def __init__(self, room: str) -> None:
        self.id = room
        self.name = "chat"


class Node:
    """The parts of a node that create rooms. What opens them is the test."""

    def __init__(self, case: CreatingTests, name: str) -> None:
        self.id = name
        self.case = case
        self.redis = case.server.connect()
        self.scripts = Scripts()
        self.redis.onUp = self.up
        self.redis.onPush = lambda message: self.finder.heard(message[2])
        self.waits = Waits(case.clock)
        self.here = Here()
        self.isFresh = True
        self.most = 0
        #: Fires when this node may create rooms.
        self.isStaying = True
        #: The requests that are held until it stays.
        self.staying: list[Deferred[None]] = []
        #: The rooms that are being opened, and their ages.
        self.opening: dict[str, Deferred[None]] = {}
        self.ages: list[int] = []
        this: Any = self
        self.finder = Finder(self.waits, self.redis, KEYS, name, self.here, self.wake, lambda: self.isFresh)
        self.creating = Creating(self.waits, self.redis, self.scripts, KEYS, name, self.finder, this, this)
        self.redis.start()

    async def up(self, redis: Commands) -> None:
        await self.scripts.load(redis)
        await redis.subscribe(KEYS.changed)
        self.finder.loadAgain([("/rooms", "chat")])

    def wake(self) -> None:
        self.case.clock.callLater(0, self.finder.flush)

    # -- its lease, its rooms, and its application

    def stateOf(self, node: str) -> NodeState:
        return NodeState.GONE if node in self.case.gone else NodeState.ALIVE

    def whenStaying(self) -> Deferred[None]:
        if self.isStaying:
            return succeed(None)
        self.staying.append(Deferred(self.staying.remove))
        return self.staying[-1]

    async def openNew(
        self, room: str, application: str, name: str, options: Mapping[str, Any], age: int, once: Any
    ) -> None:
        self.ages.append(age)
        self.opening[room] = Deferred()
        await self.opening[room]

    def maxRooms(self, name: str) -> int:
        return self.most

    # -- what the test does

    def open(self, **fields: Any) -> str:
        """The only room that is being opened is open. Its id."""
        ((room, opening),) = self.opening.items()
        del self.opening[room]
        host: Any = StubHost(room)
        owned = Owned(host, "/rooms", 1)
        owned.generation = 1
        self.here.add(owned)
        self.finder.publish("/rooms", Listing(room, "chat", 1, 0, **fields))
        opening.callback(None)
        self.case.settle()
        return room

    def fail(self) -> None:
        """The only room that is being opened can't be opened."""
        ((_, opening),) = self.opening.items()
        self.opening.clear()
        opening.errback(RoomError(ErrorCode.INTERNAL))
        self.case.settle()

    def create(self) -> list[Any]:
        """Create a room."""
        factory: Any = self
        result = fired(Deferred.fromCoroutine(self.creating.create("/rooms", factory, "chat", {})))
        self.case.settle()
        return result

    def make(
        self,
        key: str | None = "key",
        seats: int = 0,
        tried: tuple[str, ...] = (),
        mayCreate: Callable[[], None] = lambda: None,
    ) -> list[Any]:
        """Create a room for a client, or wait for one."""
        factory: Any = self
        making = self.creating.make("/rooms", factory, "chat", {}, key, seats, mayCreate, tried)
        result = fired(Deferred.fromCoroutine(making))
        self.case.settle()
        return result


class CreatingTests(SynchronousTestCase):
    """`Creating`, on two nodes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeRedis(self.clock)
        #: The nodes that are gone.
        self.gone: set[str] = set()
        self.a, self.b = Node(self, "a"), Node(self, "b")
        self.settle()
        self.settle()

    def settle(self) -> None:
        """Let everything happen that is under way."""
        for _ in range(8):
            self.clock.advance(0)

    def listed(self) -> int:
        """How many rooms are counted."""
        return len(self.server.fields(LISTINGS))

    def codeOf(self, result: list[Any]) -> str:
        """The code of the error that a request has ended with."""
        (failure,) = result
        code: str = failure.value.code
        return code

    # -- creating

    def test_create(self) -> None:
        """A room is counted before it is open; its id comes when it is open."""
        created = self.a.create()
        self.assertEqual((created, self.listed()), ([], 1))
        room = self.a.open()
        self.assertEqual((created, self.listed()), ([room], 1))

    def test_ages(self) -> None:
        """The ages of rooms grow on all nodes, though Redis may have forgotten how many there were."""
        for node in (self.a, self.b, self.a):
            node.create()
            node.open()
        self.assertEqual((self.a.ages, self.b.ages), ([1, 3], [2]))
        self.b.finder.index.greatestAge = 10
        self.server.store.flush()
        self.b.create()
        self.assertEqual(self.b.ages, [2, 11])

    def test_full(self) -> None:
        """The rooms of all nodes count together, those that are being opened too; one that failed doesn't."""
        self.a.most = self.b.most = 2
        self.a.create()
        self.b.create()
        self.assertEqual(self.codeOf(self.b.create()), "full")
        self.a.fail()
        self.assertEqual(self.listed(), 1)
        self.assertEqual((self.b.create(), len(self.b.opening)), ([], 2))

    def test_fails(self) -> None:
        """If the room can't be opened, that is the error."""
        created = self.a.create()
        self.a.fail()
        self.assertEqual(self.codeOf(created), "internal")

    def test_stale(self) -> None:
        """A node whose lease isn't fresh creates nothing, and asks Redis nothing."""
        self.a.isFresh = False
        self.assertEqual(self.codeOf(self.a.create()), "unavailable")
        self.assertEqual(self.server.count("create"), 0)

    def test_leaving(self) -> None:
        """A node that hands its rooms over creates none until it is known whether it stays."""
        self.a.isStaying = False
        created, made = self.a.create(), self.a.make()
        self.assertEqual((self.server.count("create"), self.server.count("make")), (0, 0))
        self.a.isStaying = True
        for each in self.a.staying:
            each.callback(None)
        self.settle()
        self.assertEqual((created, made, len(self.a.opening)), ([], [], 2))

    def test_leavingForLong(self) -> None:
        """If that takes too long, the requests fail, and wait no longer."""
        self.a.isStaying = False
        created, made = self.a.create(), self.a.make()
        self.clock.advance(MAKING_SECONDS)
        self.assertEqual(self.a.staying, [])
        self.assertEqual((self.codeOf(created), self.codeOf(made)), ("unavailable", "unavailable"))
        self.assertEqual((self.server.count("create"), self.server.count("make")), (0, 0))

    def test_unreachable(self) -> None:
        """If Redis doesn't answer, the room may have been counted, so it is taken off again."""
        created = self.a.creating.create("/rooms", self.a, "chat", {})  # type: ignore[arg-type]
        result = fired(Deferred.fromCoroutine(created))
        self.server.cut(1)
        self.assertEqual((self.codeOf(result), self.listed()), ("unavailable", 1))
        self.clock.advance(1)
        self.settle()
        self.a.finder.refresh()
        self.settle()
        self.assertEqual((self.listed(), self.a.opening), (0, {}))

    def test_lost(self) -> None:
        """If Redis has lost the listings, the rooms count that the node knows."""
        self.a.most = 1
        self.b.create()
        self.b.open()
        self.server.store.flush()
        self.assertEqual(self.codeOf(self.a.create()), "full")
        self.assertEqual(self.server.count("create"), 1)

    # -- making

    def test_alone(self) -> None:
        """Without a key each request creates a room, if the client may."""
        first, second = self.a.make(key=None), self.b.make(key=None)
        rooms = [self.a.open(), self.b.open()]
        self.assertEqual([first, second], [[Made(rooms[0], True)], [Made(rooms[1], True)]])

        def forbidden() -> None:
            raise RoomError(ErrorCode.FORBIDDEN)

        for key in (None, "key"):
            self.assertEqual(self.codeOf(self.a.make(key, mayCreate=forbidden)), "forbidden")
        self.assertEqual((self.a.opening, self.server.fields(KEYS.making("/rooms", "chat", "key"))), ({}, {}))

    def test_together(self) -> None:
        """Requests of all nodes for one key wait for the first one's room."""
        first, *others = [node.make() for node in (self.a, self.b, self.a, self.b)]
        self.assertEqual(self.b.opening, {})
        room = self.a.open()
        self.assertEqual((first, others), ([Made(room, True)], [[Made(room, False)]] * 3))

    def test_otherKey(self) -> None:
        """A request for another key doesn't wait."""
        self.a.make()
        other = self.b.make("other")
        room = self.b.open()
        self.assertEqual(other, [Made(room, True)])

    def test_seats(self) -> None:
        """Not more requests wait than the room has seats, and the next one creates the next room."""
        first, second, third = self.a.make(seats=2), self.b.make(seats=2), self.b.make(seats=2)
        rooms = [self.a.open(), self.b.open()]
        self.assertEqual(
            [first, second, third], [[Made(rooms[0], True)], [Made(rooms[0], False)], [Made(rooms[1], True)]]
        )

    def test_slowly(self) -> None:
        """Those that wait go on to wait if it takes long, also while the next room is being created."""
        first, second = self.a.make(seats=2), self.b.make(seats=2)
        self.b.make(seats=2)
        for _ in range(5):
            self.clock.advance(LOOK)
            self.settle()
        self.assertEqual((second, len(self.b.opening)), ([], 1))
        room = self.a.open()
        self.assertEqual((first, second), ([Made(room, True)], [Made(room, False)]))

    def test_makerFails(self) -> None:
        """If the room can't be opened, those that wait are told, and the next request creates a room."""
        first, second = self.a.make(), self.b.make()
        self.a.fail()
        self.assertEqual((self.codeOf(first), second), ("internal", [Made(None, False)]))
        third = self.b.make()
        self.assertEqual(third, [])
        room = self.b.open()
        self.assertEqual(third, [Made(room, True)])

    def test_makerGone(self) -> None:
        """If the node is gone, one of those that wait creates the room for the others."""
        self.a.make()
        others = [self.b.make(), self.b.make()]
        self.gone.add("a")
        self.clock.advance(LOOK)
        self.clock.advance(PAUSE)
        self.settle()
        room = self.b.open()
        self.assertEqual(sorted(others), [[Made(room, False)], [Made(room, True)]])

    def test_forgotten(self) -> None:
        """If Redis has lost that the room is being created, those that wait look for it a little longer."""
        first, second = self.a.make(), self.b.make()
        self.server.store.flush()
        self.clock.advance(LOOK)
        self.settle()
        self.assertEqual((second, self.b.opening), ([], {}))
        room = self.a.open()
        self.assertEqual((first, second), ([Made(room, True)], [Made(room, False)]))

    def test_remembered(self) -> None:
        """For a moment a request gets a room that was created, though it hasn't found its listing."""
        self.a.make()
        room = self.a.open()
        self.assertEqual(self.b.make(), [Made(room, False)])
        self.clock.advance(REMEMBERED)
        self.assertEqual((self.b.make(), len(self.b.opening)), ([], 1))

    def test_tried(self) -> None:
        """A client that has tried the room already gets the next one."""
        self.a.make()
        room = self.a.open()
        self.assertEqual((self.b.make(tried=(room,)), len(self.b.opening)), ([], 1))

    def test_locked(self) -> None:
        """A room that is known to be closed again counts as tried."""
        self.a.make()
        self.a.open(isLocked=True)
        self.assertEqual((self.b.make(), len(self.b.opening)), ([], 1))

    def test_tooLong(self) -> None:
        """If it takes too long, those that wait are told that there is no room."""
        self.a.make()
        second = self.b.make()
        for _ in range(int(MAKING_SECONDS)):
            self.assertEqual(second, [])
            self.clock.advance(1)
            self.settle()
        self.clock.advance(LOOK)
        self.clock.advance(PAUSE)
        self.settle()
        self.assertEqual(second, [Made(None, False)])

    def test_notBegun(self) -> None:
        """If Redis doesn't answer, the request may have begun to create a room, so that is ended."""
        making = self.a.creating.make("/rooms", self.a, "chat", {}, "key", 0, lambda: None, ())  # type: ignore[arg-type]
        result = fired(Deferred.fromCoroutine(making))
        self.server.cut(1)
        self.assertEqual(self.codeOf(result), "unavailable")
        place = KEYS.making("/rooms", "chat", "key")
        self.assertIn(b"tok", self.server.fields(place))
        self.clock.advance(1)
        self.settle()
        self.assertEqual(self.server.fields(place), {})

    def test_stopped(self) -> None:
        """With the node all waits end."""
        self.a.make()
        second = self.b.make()
        self.b.waits.stop()
        self.settle()
        self.assertEqual(second, [Made(None, False)])

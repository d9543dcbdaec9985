"""Tests for the rooms of nodes that are gone."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.adoption import BATCH, INTERVAL, LOOK, PATIENCE, Adoption, rankOf
from txroom.engine.redis.lease import NodeState
from txroom.engine.redis.listed import ClusterIndex, Listed
from txroom.engine.redis.locating import AtNode, Orphan, Where
from txroom.rooms.contract.listing import Listing


class Stub:
    """The parts that adoption uses."""

    def __init__(self) -> None:
        self.index = ClusterIndex()
        self.isFresh = True
        self.others: tuple[str, ...] = ()
        self.gone: set[str] = set()
        self.taken: list[str] = []
        self.held: set[str] = set()
        self.lost: list[str] = []
        self.place: Any = None
        #: The rooms without a listing.
        self.rooms: list[str] = []
        self.reads = 0
        #: The rooms that nobody may have.
        self.refused: set[str] = set()
        self.onFound: Any = None

    def read(self) -> None:
        self.reads += 1

    def goOn(self) -> None:
        """Nothing was to be read."""

    def forget(self, room: str) -> None:
        self.rooms.remove(room)

    def stateOf(self, node: str) -> NodeState:
        return NodeState.GONE if node in self.gone else NodeState.ALIVE

    def lostRooms(self) -> list[str]:
        return self.lost

    async def ask(self, room: str) -> Any:
        if self.place is not None:
            return self.place
        return Orphan(room, "/rooms", "chat", 1, "t", True, Listing(room, "chat", 0, 0))

    def isQuarantined(self, room: str) -> bool:
        return room in self.held

    def take(self, room: str, place: Any, isAsked: bool = True) -> Deferred[bool]:
        assert not isAsked
        self.taken.append(room)
        if room in self.refused:
            return succeed(False)
        self.index.remove(room)
        self.rooms = [each for each in self.rooms if each != room]
        return succeed(True)


class AdoptionTests(SynchronousTestCase):
    """`Adoption`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.stub = Stub()
        stub: Any = self.stub
        self.adoption = Adoption(self.clock, "me", stub, stub, stub, stub, stub)

    def rooms(self, node: str, number: int) -> set[str]:
        """Rooms of a node."""
        rooms = {f"{node}{index}" for index in range(number)}
        for room in rooms:
            self.stub.index.put("/rooms", "chat", room, Listed(node, 1, Listing(room, "chat", 0, 0)))
        return rooms

    def test_gone(self) -> None:
        """A node alone takes all rooms of one that is gone, and none of the others."""
        self.adoption.start()
        rooms = self.rooms("a", 10)
        self.rooms("b", 10)
        self.stub.gone.add("a")
        self.adoption.nodeGone("a")
        self.assertEqual(set(self.stub.taken), rooms)

    def test_rate(self) -> None:
        """Not more than so many are taken in an interval."""
        self.adoption.start()
        self.rooms("a", 3 * BATCH)
        self.adoption.nodeGone("a")
        self.assertEqual(len(self.stub.taken), BATCH)
        self.adoption.nodeGone("a")
        self.assertEqual(len(self.stub.taken), BATCH)
        self.clock.advance(INTERVAL)
        self.assertEqual((len(self.stub.taken), self.adoption.waiting), (2 * BATCH, BATCH))
        self.clock.advance(INTERVAL)
        self.assertEqual((len(self.stub.taken), self.adoption.waiting), (3 * BATCH, 0))

    def test_share(self) -> None:
        """Each node takes its share; what another one doesn't take is taken some seconds later."""
        rooms = self.rooms("a", 40)
        self.stub.gone.add("a")
        self.stub.others = ("b",)
        own = {room for room in rooms if rankOf("me", room, ("b",)) == 0}
        self.adoption.start()
        self.assertEqual(set(self.stub.taken), own)
        self.assertTrue(5 < len(own) < 35, len(own))
        self.clock.advance(PATIENCE - 1)
        self.assertEqual(set(self.stub.taken), own)
        self.clock.pump([LOOK] * 2)
        self.assertEqual(set(self.stub.taken), rooms)
        self.adoption.stop()

    def test_ranks(self) -> None:
        """All nodes have the same order for a room, and each node is first for some."""
        nodes = ["a", "b", "c", "d"]
        first = set()
        for index in range(50):
            ranks = [rankOf(node, f"r{index}", [one for one in nodes if one != node]) for node in nodes]
            self.assertEqual(sorted(ranks), [0, 1, 2, 3])
            first.add(nodes[ranks.index(0)])
        self.assertEqual(first, set(nodes))

    def test_look(self) -> None:
        """It looks again from time to time: also for nodes that were gone before, and for rooms given up."""
        self.adoption.start()
        rooms = self.rooms("a", 3)
        self.rooms("me", 1)
        self.stub.gone.add("a")
        self.stub.lost = ["me0"]
        self.clock.advance(LOOK)
        self.assertEqual(set(self.stub.taken), rooms | {"me0"})
        self.adoption.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stale(self) -> None:
        """A node whose lease isn't fresh takes nothing."""
        self.rooms("a", 3)
        self.stub.gone.add("a")
        self.stub.isFresh = False
        self.adoption.look()
        self.assertEqual(self.stub.taken, [])

    def test_heldBack(self) -> None:
        """A room that must not be taken now is tried again later."""
        self.rooms("a", 1)
        self.stub.gone.add("a")
        self.stub.held.add("a0")
        self.adoption.start()
        self.assertEqual(self.stub.taken, [])
        self.stub.held.clear()
        self.clock.advance(LOOK)
        self.assertEqual(self.stub.taken, ["a0"])
        self.adoption.stop()

    def test_logged(self) -> None:
        """It is logged how many rooms were taken, when that is known; nothing if none was."""
        self.adoption.start()
        self.rooms("a", 5)
        self.rooms("b", 1)
        self.stub.refused = {"a0", "b0"}
        with capturedLogs() as events:
            self.adoption.nodeGone("a")
            self.adoption.nodeGone("b")
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["node a is gone; rooms that this node has taken: 4"],
        )
        self.adoption.stop()

    def test_notOrphaned(self) -> None:
        """A room that has a node by now is left alone."""
        self.adoption.start()
        self.rooms("a", 1)
        self.stub.place = Where.UNKNOWN
        self.adoption.nodeGone("a")
        self.assertEqual((self.stub.taken, self.adoption.waiting), ([], 0))

    def test_stopped(self) -> None:
        """When it has been stopped, no room is taken, until it is started again. It starts once."""
        self.adoption.start()
        self.adoption.start()
        self.assertEqual(self.stub.reads, 1)
        self.adoption.stop()
        rooms = self.rooms("a", 2)
        self.stub.gone.add("a")
        self.adoption.nodeGone("a")
        self.adoption.look()
        self.assertEqual((self.stub.taken, self.clock.getDelayedCalls()), ([], []))
        self.adoption.start()
        self.assertEqual(set(self.stub.taken), rooms)
        self.adoption.stop()

    def test_unlisted(self) -> None:
        """
        Rooms without a listing are looked for at the start and when a node is gone. Each node takes its
        share, and leaves alone those that have a node.
        """
        self.stub.others = ("b",)
        self.adoption.start()
        self.adoption.nodeGone("a")
        self.assertEqual(self.stub.reads, 2)
        self.stub.rooms = rooms = [f"r{index}" for index in range(10)]
        own = [room for room in rooms if rankOf("me", room, ("b",)) == 0]
        self.stub.onFound()
        self.assertEqual(self.stub.taken, own)
        self.clock.pump([LOOK] * 2)
        self.assertEqual(self.stub.taken, own)
        self.clock.advance(LOOK)
        self.assertEqual(set(self.stub.taken), set(rooms))
        for self.stub.place, left in ((Where.UNKNOWN, ["r9"]), (AtNode("b"), [])):
            self.stub.rooms = ["r9"]
            self.clock.pump([LOOK] * 4)
            self.assertEqual((len(self.stub.taken), self.stub.rooms), (10, left))
        self.assertEqual(self.stub.reads, 2)
        self.adoption.stop()

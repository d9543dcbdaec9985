"""Tests for finding out which node has a room."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom.engine.redis.here import Here, Owned
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.lease import NodeState
from txroom.engine.redis.listed import ClusterIndex, Listed
from txroom.engine.redis.locating import AtNode, Locator, Orphan, Where
from txroom.engine.redis.resp import Lost
from txroom.rooms.contract.listing import Listing

LISTING = Listing("r", "chat", 2, 0, options={"topic": "tea"}, age=7)


class StubRedis:
    """A connection whose replies the test gives."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers: list[Deferred[Any]] = []

    def ask(self, *args: Any) -> Deferred[Any]:
        self.asked.append(args)
        self.answers.append(Deferred())
        return self.answers[-1]


class StubFinder:
    """The listings of all nodes."""

    def __init__(self) -> None:
        self.index = ClusterIndex()
        self.corrected: list[tuple[str, str]] = []
        self.removed: list[str] = []

    def correct(self, room: str, node: str) -> None:
        self.corrected.append((room, node))

    def vanished(self, room: str) -> None:
        self.removed.append(room)


class StubLease:
    """The lease, which knows the states of other nodes."""

    def __init__(self) -> None:
        self.states: dict[str, NodeState] = {}
        self.renewals = 0

    def stateOf(self, node: str) -> NodeState:
        return self.states[node]

    def renewNow(self) -> None:
        self.renewals += 1


class StubHost:
    """An owner at this node."""

    id = "r"


class LocatorTests(SynchronousTestCase):
    """`Locator`."""

    def setUp(self) -> None:
        self.redis = StubRedis()
        self.finder = StubFinder()
        self.lease = StubLease()
        self.here = Here()
        redis, finder, lease = cast(Any, (self.redis, self.finder, self.lease))
        self.locator = Locator(redis, Keys(), "me", self.here, finder, lease)

    def list(self, node: str, state: NodeState = NodeState.ALIVE) -> None:
        """The room is listed at a node."""
        self.lease.states[node] = state
        self.finder.index.put("/rooms", "chat", "r", Listed(node, 1, LISTING))

    def open(self) -> None:
        """The room is at this node."""
        host: Any = StubHost()
        self.here.add(Owned(host, "/rooms", 7))

    def ask(self, *reply: bytes | None, notAt: str = "") -> Any:
        """Where the room is, by that reply of Redis."""
        places = fired(Deferred.fromCoroutine(self.locator.ask("r", notAt)))
        self.redis.answers.pop().callback(list(reply) if reply else [None] * 7)
        return places[0]

    def owned(
        self, node: str, isOpen: bool = True, stranded: bytes | None = None
    ) -> tuple[bytes | None, ...]:
        """The fields of the room as its owner has left them."""
        listing = msgspec.msgpack.encode(LISTING) if isOpen else None
        return b"token", node.encode(), b"/rooms", b"chat", b"7", listing, stranded

    def test_guess(self) -> None:
        """Without asking Redis, a room is known that is here, or listed at a node that is alive."""
        self.assertIsNone(self.locator.guess("r"))
        self.list("a")
        self.assertEqual(self.locator.guess("r"), AtNode("a"))
        self.open()
        self.assertEqual(self.locator.guess("r"), Where.HERE)
        self.assertEqual(self.redis.asked, [])

    def test_noGuess(self) -> None:
        """A listing says nothing if its node isn't alive, or is this one, which doesn't have the room."""
        for state in (NodeState.WAITED, NodeState.GONE):
            self.list("a", state)
            self.assertIsNone(self.locator.guess("r"))
        self.list("me")
        self.assertIsNone(self.locator.guess("r"))

    def test_atNode(self) -> None:
        """The fields of the room name its node, and a listing that says otherwise is corrected."""
        self.list("a")
        self.lease.states["b"] = NodeState.ALIVE
        self.assertEqual(self.ask(*self.owned("b")), AtNode("b"))
        self.assertEqual(self.finder.corrected, [("r", "b")])
        names = ("HMGET", b"txr:{r}", "tok", "node", "app", "name", "age", "l", "stranded")
        self.assertEqual(self.redis.asked, [names])

    def test_waited(self) -> None:
        """If the node may be gone, that is found out, and until then nobody knows."""
        self.lease.states["b"] = NodeState.WAITED
        self.assertEqual(self.ask(*self.owned("b")), Where.UNKNOWN)
        self.assertEqual(self.lease.renewals, 1)

    def test_dead(self) -> None:
        """The room of a node that is gone is an orphan; that its owner died is counted later."""
        self.lease.states["b"] = NodeState.GONE
        orphan = Orphan("r", "/rooms", "chat", 7, "token", True, LISTING)
        self.assertEqual(self.ask(*self.owned("b")), orphan)

    def test_left(self) -> None:
        """A room that was handed over, or that this node has given up, is one whose owner did not die."""
        orphan = Orphan("r", "/rooms", "chat", 7, "token", False, LISTING)
        for node in ("", "me"):
            self.assertEqual(self.ask(*self.owned(node)), orphan)

    def test_stranded(self) -> None:
        """It says since when no node could open the room, in seconds."""
        orphan = Orphan("r", "/rooms", "chat", 7, "token", False, LISTING, 12.5)
        self.assertEqual(self.ask(*self.owned("", stranded=b"12500")), orphan)

    def test_neverOpen(self) -> None:
        """A room that was never open has no listing."""
        orphan = Orphan("r", "/rooms", "chat", 7, "token", False, None)
        self.assertEqual(self.ask(*self.owned("", isOpen=False)), orphan)

    def test_unreadable(self) -> None:
        """A room whose listing can't be read is not one that was never open."""
        place = self.ask(b"token", b"", None, b"\xff", b"x", b"\xc1", None)
        assert isinstance(place, Orphan)
        self.assertIn("its listing can't be read", place.unreadable)
        self.assertEqual((place.application, place.age, place.listing), ("", 0, None))

    def test_unreachable(self) -> None:
        """If Redis can't be asked, nobody knows, and nothing is changed."""
        self.list("a")
        places = fired(Deferred.fromCoroutine(self.locator.ask("r")))
        self.redis.answers[0].errback(Lost("cut"))
        self.assertEqual((places, self.finder.removed), ([Where.UNKNOWN], []))

    def test_meanwhile(self) -> None:
        """A room that has come to this node while Redis was asked is here."""
        places = fired(Deferred.fromCoroutine(self.locator.ask("r")))
        self.open()
        self.redis.answers[0].callback([None] * 7)
        self.assertEqual((places, self.finder.removed), ([Where.HERE], []))

    def test_nowhere(self) -> None:
        """A room that Redis doesn't have is nowhere, and its listing is removed."""
        self.assertEqual(self.ask(), Where.NOWHERE)
        for node, state in (("me", NodeState.ALIVE), ("a", NodeState.GONE)):
            self.list(node, state)
            self.assertEqual(self.ask(), Where.NOWHERE)
        self.assertEqual(self.finder.removed, ["r"] * 3)

    def test_lost(self) -> None:
        """If Redis may have lost the room, its node is asked, unless that has said that it isn't there."""
        for state in (NodeState.ALIVE, NodeState.WAITED):
            self.list("a", state)
            self.assertEqual(self.ask(), AtNode("a"))
            self.assertEqual(self.finder.removed, [])
        self.assertEqual(self.ask(notAt="b"), AtNode("a"))
        self.assertEqual(self.ask(notAt="a"), Where.NOWHERE)
        self.assertEqual(self.finder.removed, ["r"])

"""Tests for what the nodes say of themselves."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis.fakeredis import FakeRedis
from txroom.engine.redis.announcing import REMEMBERED, About, Announcing, differences
from txroom.engine.redis.keys import Keys

ROOMS = {"/rooms": {"chat": 0, "game": 5}}


class AnnouncingTests(SynchronousTestCase):
    """`Announcing`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeRedis(self.clock, Random(1))
        self.first = self.make("a", About("red", 1, False, ROOMS))

    def make(self, node: str, about: About) -> Announcing:
        """What a node that says this of itself knows of the others."""
        client: Any = self.server.connect()
        client.start()
        self.addCleanup(client.stop)
        self.clock.advance(0)
        return Announcing(client, Keys(), node, lambda: about)

    def refresh(self, announcing: Announcing, *others: str) -> list[tuple[Any, str]]:
        """Refresh; return the levels and texts of what is logged."""
        with capturedLogs() as events:
            announcing.refresh(others)
            self.clock.advance(0)
        return [(event["log_level"], formatEvent(event)) for event in events]

    def test_told(self) -> None:
        """Each node knows itself, and the others as soon as they have announced themselves."""
        self.assertEqual(self.first.about("a"), About("red", 1, False, ROOMS))
        self.assertEqual((self.refresh(self.first, "b"), self.first.about("b")), ([], About()))
        second = self.make("b", About("blue", 2, False, ROOMS))
        self.refresh(second)
        said = [(LogLevel.info, "node b is in the cluster: process 2 on blue")]
        self.assertEqual((self.refresh(self.first, "b"), self.first.about("b").host), (said, "blue"))
        self.assertEqual(self.refresh(self.first, "b"), [])

    def test_leaving(self) -> None:
        """The others learn that a node is leaving, and that it stays after all; that isn't logged."""
        for count, isLeaving in enumerate((False, True, False)):
            self.refresh(self.make("b", About("blue", 2, False, ROOMS, isLeaving)))
            said = self.refresh(self.first, "b")
            self.assertEqual((len(said), self.first.about("b").isLeaving), (0 if count else 1, isLeaving))

    def test_forgotten(self) -> None:
        """A node that has ended is forgotten, by the other nodes and by Redis."""
        second = self.make("b", About("blue", 2))
        self.refresh(second)
        self.refresh(self.first, "b")
        self.refresh(self.first)
        self.assertEqual(self.first.about("b"), About())
        self.clock.advance(REMEMBERED / 1000)
        self.refresh(self.first)
        self.assertEqual(self.server.store.doKEYS(b"txr:about:*"), [b"txr:about:a"])
        self.first.withdraw()
        self.clock.advance(0)
        self.assertEqual(self.server.store.doKEYS(b"txr:about:*"), [])

    def test_different(self) -> None:
        """What is different is logged once, whichever nodes it is about."""
        for name in ("b", "c"):
            self.refresh(self.make(name, About("blue", 2, False, {"/rooms": {"chat": 0}})))
        (said, warned), other = self.refresh(self.first, "b"), self.refresh(self.first, "b", "c")
        self.assertEqual((said[0], warned[0]), (LogLevel.info, LogLevel.warn))
        self.assertIn("node b (process 2 on blue)", warned[1])
        self.assertIn("only this node has the rooms 'game' of '/rooms'", warned[1])
        self.assertEqual([level for level, _ in other], [LogLevel.info])

    def test_unreadable(self) -> None:
        """What can't be read is logged once; a later version may say more."""
        self.server.store.execute("SET", "txr:about:b", b"\xc1")
        self.server.store.execute(
            "SET", "txr:about:c", msgspec.msgpack.encode(["green", 3, True, ROOMS, False, "new"])
        )
        levels = [level for level, _ in self.refresh(self.first, "b", "c")]
        self.assertEqual(levels, [LogLevel.error, LogLevel.info, LogLevel.warn])
        self.assertEqual(self.first.about("c"), About("green", 3, True, ROOMS))
        self.assertEqual(self.refresh(self.first, "b", "c"), [])

    def test_oneCommand(self) -> None:
        """However many nodes there are, a node reads what they say by one command."""
        nodes = [f"n{number}" for number in range(20)]
        for number, node in enumerate(nodes[:15]):
            self.refresh(self.make(node, About("blue", number)))
        before = len(self.server.log)
        self.refresh(self.first, *nodes)
        self.assertEqual([name for name, _ in self.server.log[before:]], ["SET", "MGET"])
        self.assertEqual([self.first.about(node).pid for node in nodes], [*range(15), *[0] * 5])
        self.server.fail("ERR", "MGET")
        self.refresh(self.first, *nodes)
        self.assertEqual(self.first.about("n3").pid, 3)
        self.refresh(self.first)
        self.assertEqual(self.server.log[-1][0], "SET")

    def test_differences(self) -> None:
        """Names, limits and durability have to be the same."""
        own = About("red", 1, False, ROOMS)
        self.assertEqual(list(differences(own, About("blue", 2, False, ROOMS))), [])
        rooms = {"/rooms": {"chat": 3, "quiz": 0}, "/play": {"game": 5}}
        self.assertEqual(
            list(differences(own, About("blue", 2, True, rooms))),
            [
                "only the other node has the rooms 'game' of '/play'",
                "the rooms 'chat' of '/rooms' have maxRooms=3 there and maxRooms=0 here",
                "only this node has the rooms 'game' of '/rooms'",
                "only the other node has the rooms 'quiz' of '/rooms'",
                "it has durable=True, and this one has durable=False",
            ],
        )

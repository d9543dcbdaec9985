"""Tests for finding the rooms that no listing names."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis.fakeredis import FakeRedis
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.unlisted import INTERVAL, KEYS_AT_ONCE, UnlistedRooms
from txroom.engine.redis.waiting import Waits


class UnlistedTests(SynchronousTestCase):
    """`UnlistedRooms`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeRedis(self.clock, Random(1))
        client = self.server.connect()
        client.start()
        self.addCleanup(client.stop)
        self.clock.advance(0)
        self.known: set[str] = set()
        self.waits = Waits(self.clock)
        self.keys = Keys("a.b")
        connection: Any = client
        self.unlisted = UnlistedRooms(self.waits, connection, self.keys, lambda room: room in self.known)
        self.told: list[list[str]] = []
        self.unlisted.onFound = lambda: self.told.append(self.unlisted.rooms)

    def store(self, *rooms: str) -> None:
        """Rooms in Redis, with logs and graves."""
        for room in rooms:
            keys = self.keys.room(room)
            self.server.store.execute("HSET", keys.fields, "tok", "t")
            self.server.store.execute("XADD", keys.log, "1-0", "e", "x")
            self.server.store.execute("SET", keys.grave, "")

    def read(self) -> None:
        """All keys are read."""
        self.unlisted.read()
        for _ in range(20):
            self.clock.advance(INTERVAL)

    def test_found(self) -> None:
        """The rooms of this prefix are found, except those that are known; nothing else is a room."""
        self.store("r1", "r2", "{3")
        self.server.store.execute("HSET", "axb:{r4}", "tok", "t")
        self.server.store.execute("HSET", self.keys.listings("/rooms", "chat"), "r5", "x")
        self.server.store.execute("SET", "a.b:{r6}", "no hash")
        self.known.add("r2")
        self.read()
        self.assertEqual(self.told, [["r1", "{3"]])

    def test_some(self) -> None:
        """Some keys are read at a time."""
        self.store(*(f"r{index}" for index in range(KEYS_AT_ONCE)))
        self.unlisted.read()
        self.clock.advance(0)
        self.assertEqual(len(self.told), 1)
        self.assertEqual(len(self.unlisted.rooms), KEYS_AT_ONCE // 3 + 1)
        self.read()
        self.assertEqual(len(self.unlisted.rooms), KEYS_AT_ONCE)

    def test_forgotten(self) -> None:
        """A room isn't returned any more when it is known, or is to be forgotten."""
        self.store("r1", "r2", "r3")
        self.read()
        self.unlisted.forget("r1")
        self.known.add("r2")
        self.assertEqual(self.unlisted.rooms, ["r3"])

    def test_again(self) -> None:
        """What comes while the keys are read is found too, if they are to be read again."""
        self.store(*(f"r{index}" for index in range(KEYS_AT_ONCE)))
        self.unlisted.read()
        self.clock.advance(0)
        self.unlisted.read()
        for _ in range(20):
            self.clock.advance(INTERVAL)
        self.assertEqual(self.server.count("SCAN"), 6)

    def test_lost(self) -> None:
        """If Redis can't be reached, the keys are read later."""
        self.store("r1")
        self.unlisted.read()
        self.server.cut()
        self.clock.advance(1)
        self.assertEqual(self.told, [])
        self.unlisted.goOn()
        self.clock.advance(1)
        self.assertEqual(self.told, [["r1"]])
        before = self.server.count("SCAN")
        self.unlisted.goOn()
        self.clock.advance(1)
        self.assertEqual(self.server.count("SCAN"), before)

    def test_refused(self) -> None:
        """If Redis doesn't allow it, that is logged, and nothing else happens."""
        self.server.fail("NOPERM this user has no permissions to run the 'scan' command", "SCAN")
        with capturedLogs() as events:
            self.read()
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error])
        self.unlisted.goOn()
        self.clock.advance(1)
        self.assertEqual((self.told, self.server.count("SCAN")), ([], 0))

    def test_stopped(self) -> None:
        """When the node stops, no more keys are read."""
        self.store(*(f"r{index}" for index in range(KEYS_AT_ONCE)))
        self.unlisted.read()
        self.clock.advance(0)
        self.waits.stop()
        self.clock.advance(1)
        self.unlisted.read()
        self.clock.advance(1)
        self.assertEqual(self.server.count("SCAN"), 1)

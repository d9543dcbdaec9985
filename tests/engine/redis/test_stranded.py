"""Rooms that a node can't open."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.keys import Keys
from txroom.engine.redis.scripts import Scripts
from txroom.engine.redis.stranded import LONGEST, SHORTEST, StrandedRooms
from txroom.rooms.contract.nodes import StrandedRoom


class StrandedTests(SynchronousTestCase):
    """`StrandedRooms`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[tuple[Any, ...]] = []
        self.seconds: float | None = 1000.0
        #: What Redis answers.
        self.reply: Any = None
        self.stranded = self.make(100.0)

    def make(self, orphanSeconds: float) -> StrandedRooms:
        redis: Any = self
        return StrandedRooms(self.clock, redis, Scripts(), Keys(), orphanSeconds, lambda: self.seconds)

    def send(self, reply: Any, *command: Any) -> None:
        self.sent.append(command)
        reply(self.reply)

    def fail(self, room: str = "r") -> None:  # type: ignore[override]
        self.stranded.failed(room, "/rooms", "chat", "no")

    def pause(self) -> float:
        """The time until the room may be tried again."""
        (known,) = self.stranded.list(lambda room: False)
        return known.retrySeconds

    def test_pauses(self) -> None:
        """Each failure is followed by a longer pause, up to a limit; a success begins from the start."""
        pauses = []
        for _ in range(9):
            self.assertFalse(self.stranded.isHeldBack("r"))
            self.fail()
            self.assertTrue(self.stranded.isHeldBack("r"))
            pauses.append(self.pause())
            self.clock.advance(self.pause())
        self.assertEqual(pauses, [5, 10, 20, 40, 80, 160, LONGEST, LONGEST, LONGEST])
        self.stranded.opened("r")
        self.fail()
        self.assertEqual(self.pause(), SHORTEST)

    def test_redis(self) -> None:
        """Redis remembers since when, until the room is open."""
        self.fail()
        self.stranded.opened("r")
        self.assertEqual([command[0] for command in self.sent], ["EVALSHA", "HDEL"])
        self.assertEqual(self.sent[1], ("HDEL", b"txr:{r}", "stranded", "tried"))

    def test_lost(self) -> None:
        """A room that was lost while it was opened is left alone, but Redis isn't told."""
        self.stranded.failed("r", "/rooms", "chat", "no", isLost=True)
        self.assertEqual((self.pause(), self.sent), (SHORTEST, []))

    def test_quarantined(self) -> None:
        """Redis says for how long nobody may have a room; that is no failure of this node."""
        self.stranded.quarantined("r", "/rooms", "chat", 30.0)
        self.assertEqual((self.pause(), self.sent), (30.0, []))
        self.assertFalse(self.stranded.mayEnd("r", 1.0))

    def test_list(self) -> None:
        """The rooms that no other node has."""
        self.fail()
        self.fail("s")
        self.clock.advance(2)
        self.assertEqual(
            self.stranded.list(lambda room: room == "s"),
            [StrandedRoom("r", "chat", "/rooms", "no", SHORTEST - 2)],
        )

    def test_told(self) -> None:
        """Matchmaking is told at each failure."""
        told: list[str] = []
        self.stranded.onFailed = told.append
        self.fail()
        self.stranded.quarantined("s", "/rooms", "chat", 1)
        self.assertEqual(told, ["r", "s"])

    def test_mayEnd(self) -> None:
        """A room may end if no node could open it for too long, and this node has tried it."""
        self.reply = 900_500
        self.assertFalse(self.stranded.mayEnd("r", 900.5))
        self.fail()
        self.assertFalse(self.stranded.mayEnd("r", None))
        self.assertFalse(self.stranded.mayEnd("r", 900.5))
        self.seconds = 1000.5
        self.assertTrue(self.stranded.mayEnd("r", 900.5))
        self.seconds = None
        self.assertFalse(self.stranded.mayEnd("r", 900.5))

    def test_leftOver(self) -> None:
        """A time in Redis doesn't count if Redis has not said it after the last failure here."""
        self.fail()
        self.assertFalse(self.stranded.mayEnd("r", 1.0))
        self.reply = 1000
        self.fail()
        self.assertTrue(self.stranded.mayEnd("r", 1.0))
        for reply in (ConnectionError(), 0, 999_000):
            self.reply = reply
            self.fail()
            self.assertFalse(self.stranded.mayEnd("r", 1.0), reply)

    def test_never(self) -> None:
        """With 0 seconds it never may."""
        self.reply = 1000
        self.stranded = self.make(0.0)
        self.fail()
        self.assertFalse(self.stranded.mayEnd("r", 1.0))

    def test_sweep(self) -> None:
        """A room that is not tried any more is forgotten, and so is one that has ended."""
        self.fail()
        self.clock.advance(SHORTEST + LONGEST)
        self.stranded.sweep()
        self.assertEqual(len(self.stranded.list(lambda room: False)), 1)
        self.clock.advance(1)
        self.stranded.sweep()
        self.assertEqual(self.stranded.list(lambda room: False), [])
        self.fail()
        self.stranded.ended("r")
        self.assertEqual(self.stranded.list(lambda room: False), [])

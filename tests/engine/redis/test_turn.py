"""Tests for turns: what a node sends in one turn of the reactor."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.turn import Turn


class TurnTests(SynchronousTestCase):
    """`Turn`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.flushed: list[str] = []
        self.turn = Turn(self.clock, lambda: self.flushed.append("a"), lambda: self.flushed.append("b"))

    def test_once(self) -> None:
        """Everything is flushed at the end of the turn, once and in order."""
        for _ in range(3):
            self.turn.wake()
        self.assertEqual(self.flushed, [])
        self.clock.advance(0)
        self.assertEqual(self.flushed, ["a", "b"])
        self.clock.advance(1)
        self.assertEqual(self.flushed, ["a", "b"])
        self.turn.wake()
        self.clock.advance(0)
        self.assertEqual(len(self.flushed), 4)

    def test_again(self) -> None:
        """What is sent during a flush leaves in the next turn."""

        def again() -> None:
            if len(self.flushed) < 3:
                turn.wake()

        turn = Turn(self.clock, again, lambda: self.flushed.append("x"))
        turn.wake()
        self.clock.pump([0, 0, 0, 0])
        self.assertEqual(self.flushed, ["x"] * 4)

    def test_raises(self) -> None:
        """An error in one flush holds up no other."""

        def fail() -> None:
            raise ZeroDivisionError

        turn = Turn(self.clock, fail, lambda: self.flushed.append("b"))
        turn.wake()
        self.clock.advance(0)
        self.assertEqual(self.flushed, ["b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop(self) -> None:
        """Nothing is flushed after the end, and no timer is left."""
        self.turn.wake()
        self.turn.stop()
        self.turn.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.flushed), ([], []))

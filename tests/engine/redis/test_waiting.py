"""Tests for waits that end with their node, and for requests in order."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom import RoomError
from txroom.engine.redis.waiting import InOrder, Waits


class WaitsTests(SynchronousTestCase):
    """`Waits`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.waits = Waits(self.clock)

    def test_pause(self) -> None:
        """A pause takes its time."""
        over = fired(self.waits.pause(2))
        self.clock.advance(1.9)
        self.assertEqual(over, [])
        self.clock.advance(0.1)
        self.assertEqual((over, self.clock.getDelayedCalls()), ([None], []))

    def test_either(self) -> None:
        """It fires with what it waits for, or when the time is over; the result stays."""
        waited: Deferred[int] = Deferred()
        over = fired(self.waits.either(waited, 5))
        waited.callback(7)
        self.assertEqual((over, self.successResultOf(waited)), ([None], 7))
        late: Deferred[int] = Deferred()
        over = fired(self.waits.either(late, 5))
        self.clock.advance(5)
        self.assertEqual(over, [None])
        late.callback(8)
        self.assertEqual((self.successResultOf(late), self.clock.getDelayedCalls()), (8, []))

    def test_within(self) -> None:
        """A result in time stays, and a late one is an error that says what may have happened."""
        self.assertEqual(self.successResultOf(self.waits.within(5, succeed(1))), 1)
        asked: Deferred[int] = Deferred()
        outcome = fired(self.waits.within(5, asked))
        asked.callback(2)
        self.assertEqual((outcome, self.clock.getDelayedCalls()), ([2], []))
        failing: Deferred[int] = Deferred()
        outcome = fired(self.waits.within(5, failing))
        failing.errback(RoomError("full"))
        self.assertEqual(outcome[0].value.code, "full")
        late: Deferred[int] = Deferred()
        outcome = fired(self.waits.within(5, late))
        self.clock.advance(5)
        self.assertEqual(outcome[0].value.details, {"mayHaveHappened": True})
        late.callback(3)

    def test_stop(self) -> None:
        """All waits end with the node, and no timer is left; a later one ends at once."""
        pause = fired(self.waits.pause(10))
        asked: Deferred[int] = Deferred()
        outcome = fired(self.waits.within(5, asked))
        self.waits.stop()
        self.assertEqual((pause, outcome[0].value.code), ([None], "unavailable"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        later = fired(self.waits.pause(10))
        self.clock.advance(0)
        self.assertEqual(later, [None])

    def test_stopNested(self) -> None:
        """A wait may wait for another one, and end with it."""
        for isOuterFirst in (False, True):
            waits = Waits(self.clock)
            inner: Deferred[None] = Deferred()
            if isOuterFirst:
                outer = fired(waits.either(inner, 10))
            waits.pause(5).chainDeferred(inner)
            if not isOuterFirst:
                outer = fired(waits.either(inner, 10))
            waits.stop()
            self.assertEqual((outer, self.clock.getDelayedCalls()), ([None], []))


class InOrderTests(SynchronousTestCase):
    """`InOrder`."""

    def setUp(self) -> None:
        self.requests = InOrder()
        self.gates: list[Deferred[None]] = []
        self.passed: list[int] = []

    def add(self, number: int, room: str = "r", answer: Any = None) -> list[Any]:
        gate: Deferred[None] = Deferred()
        self.gates.append(gate)

        async def passOn() -> list[Deferred[Any]]:
            await gate
            self.passed.append(number)
            return [answer or succeed(number)]

        return fired(self.requests.add(room, passOn))

    def test_order(self) -> None:
        """Requests for one room are passed on one after another, and nothing waits for the answers."""
        pending: Deferred[int] = Deferred()
        results = [self.add(1, answer=pending), self.add(2), self.add(3)]
        self.gates[1].callback(None)
        self.assertEqual(self.passed, [])
        self.gates[0].callback(None)
        self.assertEqual((self.passed, results), ([1, 2], [[], [2], []]))
        self.gates[2].callback(None)
        pending.callback(1)
        self.assertEqual((results, self.requests.isWaiting("r")), ([[1], [2], [3]], False))

    def test_rooms(self) -> None:
        """Requests for different rooms don't wait for one another."""
        self.add(1)
        other = self.add(2, "s")
        self.gates[1].callback(None)
        self.assertEqual(
            (other, self.requests.isWaiting("r"), self.requests.isWaiting("s")), ([2], True, False)
        )

    def test_fails(self) -> None:
        """A request that can't be passed on fails, and the next one goes on."""
        first, second = self.add(1), self.add(2)
        self.gates[0].errback(RoomError("unavailable"))
        self.gates[1].callback(None)
        self.assertEqual((first[0].value.code, second), ("unavailable", [2]))

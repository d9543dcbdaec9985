"""The outbox: nothing leaves before what it rests on is committed, and all in its order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom import RoomError
from txroom.rooms.contract.items import Ack, Item
from txroom.rooms.contract.records import Loaded, MemberRemoved, Record
from txroom.rooms.owner.outbox import STALL, Audience, Outbox, audienceOf


class Slow:
    """A journal that commits when the test says so, and an edge that takes notes."""

    epoch = "e"
    generation = 1
    isKept = True
    loaded = Loaded()

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def write(self, record: Record) -> None:
        """It is committed later."""

    def forget(self, offset: int) -> None:
        self.seen.append(offset)

    def handOver(self) -> Deferred[None]:
        raise NotImplementedError

    def release(self) -> Deferred[bool]:
        return succeed(True)

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        assert isinstance(item, Ack)
        self.seen.extend(f"{item.n} to {link}" for link in links)

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        self.seen.extend(f"{code} {reason} to {link}" for link in links)


class OutboxTests(SynchronousTestCase):
    """An outbox whose journal is slow."""

    def setUp(self) -> None:
        self.slow = Slow()
        self.clock = Clock()
        self.outbox = Outbox(self.clock)
        self.outbox.begin(self.slow)

    def emit(self, n: int, *links: str) -> None:
        self.outbox.emit(Ack("room", n), self.audience(*links or ("a",)))

    def audience(self, *links: str) -> Audience:
        return audienceOf((self.slow, link) for link in links)

    def record(self) -> None:
        self.outbox.record(MemberRemoved("m"))

    def taken(self) -> list[Any]:
        seen, self.slow.seen = self.slow.seen, []
        return seen

    def test_barrier(self) -> None:
        """An item waits for the records before it, and for the items before it."""
        self.emit(1, "a", "b")
        self.assertEqual(self.taken(), ["1 to a", "1 to b"])
        self.record()
        self.emit(2)
        self.record()
        self.emit(3)
        self.outbox.end(self.audience("a"), 4003, "go")
        self.assertEqual(self.taken(), [])
        self.outbox.committed(1)
        self.assertEqual(self.taken(), ["2 to a"])
        self.emit(4, "b")
        self.assertEqual(self.taken(), [])
        self.outbox.committed(2)
        self.assertEqual(self.taken(), ["3 to a", "4003 go to a", "4 to b"])

    def test_overtaking(self) -> None:
        """What is volatile waits for nothing."""
        self.record()
        self.emit(1)
        self.outbox.overtake(Ack("room", 2), self.audience("a"))
        self.assertEqual(self.taken(), ["2 to a"])

    def test_whenCommitted(self) -> None:
        """It fires after the records that were written, and what rests on them has left."""
        self.successResultOf(self.outbox.whenCommitted())
        self.record()
        first = self.outbox.whenCommitted()
        self.record()
        second = self.outbox.whenCommitted()
        self.outbox.committed(1)
        self.successResultOf(first)
        self.assertNoResult(second)
        self.outbox.committed(2)
        self.successResultOf(second)

    def test_lost(self) -> None:
        """Nothing leaves any more; waiting Deferreds fail, and links that wait for their end are named."""
        self.record()
        self.emit(1)
        self.outbox.end(self.audience("a", "b"), 4003)
        waiting = self.outbox.whenCommitted()
        self.assertEqual(self.outbox.lose(), [(self.slow, "a"), (self.slow, "b")])
        self.outbox.failWaiters()
        self.failureResultOf(waiting, RoomError)
        self.failureResultOf(self.outbox.whenCommitted(), RoomError)
        self.outbox.committed(1)
        self.emit(2)
        self.outbox.overtake(Ack("room", 3), self.audience("a"))
        self.outbox.end(self.audience("a"), 4003)
        self.assertEqual(self.taken(), [])

    def test_forget(self) -> None:
        """The journal is told once, and never of an earlier offset."""
        for offset in (0, 3, 2, 3, 7):
            self.outbox.forget(offset)
        self.assertEqual(self.taken(), [3, 7])
        self.outbox.lose()
        self.outbox.forget(9)
        self.assertEqual(self.taken(), [])

    def test_stall(self) -> None:
        """It is one if records wait and none has been committed for a while; each commit ends it."""
        self.clock.advance(100)
        self.assertFalse(self.outbox.isStalled)
        self.record()
        self.clock.advance(STALL / 2)
        self.record()
        self.assertFalse(self.outbox.isStalled)
        self.clock.advance(STALL / 2)
        self.assertTrue(self.outbox.isStalled)
        first = self.outbox.whenGoingOn()
        self.outbox.committed(1)
        self.successResultOf(first)
        self.assertFalse(self.outbox.isStalled)
        self.clock.advance(STALL)
        self.assertTrue(self.outbox.isStalled)
        second = self.outbox.whenGoingOn()
        self.outbox.lose()
        self.assertFalse(self.outbox.isStalled)
        self.assertNoResult(second)
        self.outbox.failWaiters()
        self.successResultOf(second)

    def test_noStall(self) -> None:
        """Time in which nothing waits doesn't count."""
        self.record()
        self.outbox.committed(1)
        self.clock.advance(STALL)
        self.record()
        self.assertFalse(self.outbox.isStalled)

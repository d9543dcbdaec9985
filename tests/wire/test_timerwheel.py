"""One timer for all deadlines."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom.wire.timerwheel import TICK, TimerWheel


class Item:
    """Something with a deadline, that notes when it was told."""

    slot: int | None = None

    def __init__(self, told: list[tuple[Item, float]], then: Callable[[Item], None] | None = None) -> None:
        self._told = told
        self._then = then

    def due(self, now: float) -> None:
        self._told.append((self, now))
        if self._then is not None:
            self._then(self)


class TimerWheelTests(SynchronousTestCase):
    """The wheel."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.03)
        self.wheel = TimerWheel(self.clock)
        self.told: list[tuple[Item, float]] = []

    def item(self, then: Callable[[Item], None] | None = None) -> Item:
        return Item(self.told, then)

    def advance(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.01)):
            self.clock.advance(0.01)

    def test_inTime(self) -> None:
        """Never early, and at most one look late."""
        for delay in (0.0, 0.01, 0.05, 0.07, 0.1, 0.5, 1.234, 3.999, 7.0):
            self.told.clear()
            when = self.clock.seconds() + delay
            self.wheel.schedule(self.item(), when)
            self.advance(delay + 2 * TICK)
            ((_, now),) = self.told
            self.assertGreater(now, when - 1e-6)
            self.assertLess(now, when + TICK + 0.012)

    def test_past(self) -> None:
        """A deadline that has passed is met at the next look."""
        self.wheel.schedule(self.item(), 3.0)
        self.advance(TICK + 0.02)
        self.assertEqual(len(self.told), 1)

    def test_far(self) -> None:
        """Years ahead costs nothing."""
        item = self.item()
        self.wheel.schedule(item, self.clock.seconds() + 1e9)
        self.advance(1)
        self.assertEqual(self.told, [])
        self.wheel.cancel(item)

    def test_oneTimer(self) -> None:
        """However many items, one DelayedCall; without items, none."""
        items = [self.item() for _ in range(100)]
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for index, item in enumerate(items):
            self.wheel.schedule(item, self.clock.seconds() + index)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for item in items:
            self.wheel.cancel(item)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_restsWhenDone(self) -> None:
        """After the last item is told the timer rests, and begins again with the next."""
        self.wheel.schedule(self.item(), self.clock.seconds() + 1)
        self.advance(1.3)
        self.assertEqual((len(self.told), self.clock.getDelayedCalls()), (1, []))
        self.advance(5)
        self.wheel.schedule(self.item(), self.clock.seconds() + 1)
        self.advance(1.3)
        self.assertEqual((len(self.told), self.clock.getDelayedCalls()), (2, []))

    def test_again(self) -> None:
        """The last `schedule` counts, earlier or later."""
        item = self.item()
        now = self.clock.seconds()
        self.wheel.schedule(item, now + 1)
        self.wheel.schedule(item, now + 3)
        self.advance(2)
        self.assertEqual(self.told, [])
        self.wheel.schedule(item, now + 2.5)
        self.advance(1)
        self.assertEqual(len(self.told), 1)
        self.advance(2)
        self.assertEqual(len(self.told), 1)

    def test_cancel(self) -> None:
        """Cancelled items aren't told; a second time it does nothing."""
        item = self.item()
        self.wheel.schedule(item, self.clock.seconds() + 1)
        self.wheel.cancel(item)
        self.wheel.cancel(item)
        self.advance(2)
        self.assertEqual(self.told, [])

    def test_reschedule(self) -> None:
        """An item may schedule itself again when it is told."""
        item = self.item(lambda item: self.wheel.schedule(item, self.clock.seconds() + 1))
        self.wheel.schedule(item, self.clock.seconds() + 1)
        self.advance(5.5)
        self.assertIn(len(self.told), (4, 5))
        self.wheel.cancel(item)

    def test_sameSlot(self) -> None:
        """One told may schedule itself in the same look's past, without an endless loop."""
        item = self.item(lambda item: self.wheel.schedule(item, 0.0))
        self.wheel.schedule(item, 0.0)
        self.advance(1)
        self.assertIn(len(self.told), (9, 10, 11))
        self.wheel.cancel(item)

    def test_mutual(self) -> None:
        """Two of one look may cancel and schedule one another."""
        now = self.clock.seconds()
        items: list[Item] = []

        def postpone(item: Item) -> None:
            (other,) = (each for each in items if each is not item)
            self.wheel.schedule(other, now + 3)

        items += [self.item(postpone), self.item(postpone)]
        for item in items:
            self.wheel.schedule(item, now + 1)
        self.advance(2)
        self.assertEqual(len(self.told), 1)
        for item in items:
            self.wheel.cancel(item)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_raises(self) -> None:
        """One that raises is logged, and the others of the same look are told."""

        def fail(item: Item) -> None:
            raise ZeroDivisionError

        now = self.clock.seconds()
        for then in (fail, None, fail, None):
            self.wheel.schedule(self.item(then), now + 1)
        self.advance(1.3)
        self.assertEqual(len(self.told), 4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_late(self) -> None:
        """A reactor that was stalled tells all that is overdue at its next look."""
        now = self.clock.seconds()
        for delay in range(1, 60):
            self.wheel.schedule(self.item(), now + delay)
        self.clock.advance(100)
        self.assertEqual(len(self.told), 59)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_order(self) -> None:
        """Earlier deadlines are told first, also when all are overdue."""
        now = self.clock.seconds()
        items = [self.item() for _ in range(5)]
        for delay, item in zip((5, 1, 4, 2, 3), items, strict=True):
            self.wheel.schedule(item, now + delay)
        self.clock.advance(10)
        self.assertEqual([item for item, _ in self.told], [items[1], items[3], items[4], items[2], items[0]])

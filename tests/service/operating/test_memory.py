"""Tests for the count of objects."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom import RoomError
from txroom.service.operating import memory
from txroom.service.operating.memory import CHECKED, PAUSE, SLICE, MemoryCount


class Heavy:
    """Objects to be found."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __sizeof__(self) -> int:
        if self.name == "broken":
            raise ValueError("no size")
        return 1 << (60 if self.name == "wrong" else 20)


class MemoryTests(SynchronousTestCase):
    """`MemoryCount`, from objects of the test on."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.held: Any = None
        self.now = 0.0

    def seconds(self) -> float:
        """A time that goes on by a slice each time that it is read."""
        self.now += SLICE / 2
        return self.now

    def count(self) -> MemoryCount:
        return MemoryCount(self.clock, self.seconds, lambda: [self.held])

    def largest(self, limit: int = 3) -> Any:
        found = fired(Deferred.fromCoroutine(self.count().largest(limit)))
        for _ in range(10_000):
            if found:
                return found[0]
            self.clock.advance(PAUSE)
        raise AssertionError("it doesn't end")

    def test_largest(self) -> None:
        """Types are sorted by their bytes; an object that is held twice counts once."""
        one, two = "x" * 100_000, "y" * 50_000
        self.held = {"a": [one, one], "b": (one, two)}
        use = self.largest()
        first = use.types[0]
        self.assertEqual((first.type, first.count), ("builtins.str", 4))
        self.assertEqual(first.bytes, sum(map(sys.getsizeof, (one, two, "a", "b"))))
        self.assertEqual([each.type for each in use.types[1:]], ["builtins.dict", "builtins.list"])
        self.assertEqual((use.objects, use.isComplete), (7, True))
        self.assertGreater(use.bytes, first.bytes)

    def test_slices(self) -> None:
        """Each slice ends in time, and the reactor goes on between them."""
        self.held = [[each] for each in range(20 * CHECKED)]
        found = fired(Deferred.fromCoroutine(self.count().largest(3)))
        turns = 0
        while not found:
            before = self.now
            self.clock.advance(PAUSE)
            self.assertLessEqual(self.now - before, 3 * SLICE)
            turns += 1
        self.assertGreater(turns, 10)
        self.assertTrue(found[0].isComplete)

    def test_tooMany(self) -> None:
        """Of too many objects some are visited, and the answer says so."""
        self.patch(memory, "MOST_OBJECTS", 500)
        self.held = [[each] for each in range(20 * CHECKED)]
        use = self.largest()
        self.assertFalse(use.isComplete)
        self.assertLess(use.objects, 1000)

    def test_tooLong(self) -> None:
        """After some time it ends too."""
        self.patch(memory, "MOST_SECONDS", 0.1)
        self.held = [[each] for each in range(200 * CHECKED)]
        self.assertFalse(self.largest().isComplete)

    def test_wrongSize(self) -> None:
        """An object that says that it is larger than the memory of the process counts as nothing."""
        self.assertEqual(memory.sizeOf(Heavy("wrong"), 1 << 40), 0)
        self.assertEqual(memory.sizeOf(Heavy("broken"), 1 << 40), 0)
        self.assertGreaterEqual(memory.sizeOf(Heavy("one"), 1 << 40), 1 << 20)

    def test_once(self) -> None:
        """One count at a time."""
        counting = self.count()
        self.held = [[each] for each in range(20 * CHECKED)]
        found = fired(Deferred.fromCoroutine(counting.largest(3)))
        error = self.failureResultOf(Deferred.fromCoroutine(counting.largest(3)), RoomError).value
        self.assertEqual(error.code, "unavailable")
        while not found:
            self.clock.advance(PAUSE)
        found = fired(Deferred.fromCoroutine(counting.largest(3)))
        while not found:
            self.clock.advance(PAUSE)
        self.assertTrue(found[0].isComplete)

    def test_real(self) -> None:
        """All objects of this process can be visited."""
        self.held = sys.modules["twisted"]
        self.patch(memory, "MOST_OBJECTS", 20_000)
        use = self.largest(20)
        self.assertEqual(len(use.types), 20)

"""Tests for what the memory engine remembers of rooms that have ended."""

from __future__ import annotations

from typing import Any

from tests.case import HarnessTestCase, fired
from txroom import Room, RoomError
from txroom.engine import memory
from txroom.rooms.contract.asks import Once


class Stays(Room):
    """A room that stays until it is ended."""

    autoDispose = False


class Short(Stays):
    """A room that ends while it is created."""

    def onCreate(self, options: Any) -> None:
        self.disconnect()


class GravesTests(HarnessTestCase):
    """Keys of rooms that have ended."""

    def setUp(self) -> None:
        self.harness = self.serve({"stays": Stays, "short": Short})
        self.rooms: Any = self.harness.server.rooms.engine

    def create(self, key: str, name: str = "stays") -> Any:
        """Create a room; its id, or the code of the error."""
        once = Once(key, b"digest")
        (result,) = fired(self.harness.server.cluster.create(name, {}, once))
        self.harness.advance(1.0)
        if isinstance(result, str):
            return result
        self.assertIsInstance(result.value, RoomError)
        return str(result.value.code)

    def end(self, room: str) -> None:
        self.harness.server.rooms.rooms[room].disconnect()
        self.harness.advance(1.0)
        self.assertNotIn(room, self.harness.server.rooms.rooms)

    def test_ended(self) -> None:
        """The key of a room that has ended creates no other one for a day; then it does."""
        room = self.create("k")
        self.assertEqual(self.create("k"), room)
        self.end(room)
        self.assertEqual(self.create("k"), "roomGone")
        self.harness.advance(memory.KEPT_SECONDS)
        self.assertEqual(self.create("k"), room)

    def test_short(self) -> None:
        """That is so for a room that ends while it is created."""
        self.create("k", "short")
        self.assertFalse(self.harness.server.rooms.rooms)
        self.assertEqual(self.create("k", "short"), "roomGone")
        self.assertFalse(self.rooms._keyed)

    def test_bound(self) -> None:
        """Only so many are remembered, the youngest, and none for longer than a day."""
        self.patch(memory, "MAX_GRAVES", 3)
        for key in "abcde":
            self.end(self.create(key))
        self.assertEqual((len(self.rooms._graves), len(self.rooms._keyed)), (3, 0))
        self.assertEqual([self.create(key) for key in "cde"], ["roomGone"] * 3)
        self.harness.advance(memory.KEPT_SECONDS)
        self.end(self.create("f"))
        self.assertEqual(len(self.rooms._graves), 1)

    def test_without(self) -> None:
        """Nothing is remembered of a room without a key."""
        (room,) = fired(self.harness.server.cluster.create("stays"))
        self.harness.advance(1.0)
        self.end(room)
        self.assertFalse(self.rooms._graves or self.rooms._keyed)

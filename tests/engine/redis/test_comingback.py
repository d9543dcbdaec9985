"""Rooms that save their own fields, on several nodes."""

from __future__ import annotations

from typing import Any

from tests.engine.redis.nodes import NodesTestCase
from txroom import Client, Room, message


class Counter(Room):
    """Counts exactly."""

    resumeSeconds = 60.0
    linger = 60.0
    exact = True
    count = 0
    loaded = 0

    def save(self) -> Any:
        return self.count

    def load(self, data: Any, version: int) -> None:
        self.count = data
        self.loaded += 1

    @message("add")
    def add(self, client: Client, data: int) -> int:
        self.count += data
        self.broadcast("count", self.count)
        return self.count


class ComingBackTests(NodesTestCase):
    """A room goes on at another node with its own fields."""

    roomClass = Counter

    def test_killed(self) -> None:
        """A node is killed among messages: each message counts once, and everybody hears each count once."""
        first, second = self.start()
        ada, bob = first.join(), second.join()
        for _ in range(5):
            bob.send("add", 1)
        self.advance(0.0035)
        first.kill()
        for _ in range(5):
            bob.send("add", 1)
        self.advance(15)
        (owner,) = self.whereIs(bob.id)
        room: Any = owner.app.rooms[bob.id]
        self.assertEqual((owner, room.count, room.loaded), (second, 10, 1))
        self.assertEqual(bob.messages, [("count", number) for number in range(1, 11)])
        self.assertNotIn("lost", bob.events)
        self.assertEqual(self.result(bob.calling("add", 1)), 11)
        ada.client.close()

    def test_stopped(self) -> None:
        """A node that stops saves its rooms before it gives them away."""
        first, second = self.start()
        first.join()
        bob = second.join()
        room: Any = first.app.rooms[bob.id]
        room.count = 7
        first.stop()
        self.advance(3)
        self.assertEqual(self.result(bob.calling("add", 1)), 8)

    def test_everyNode(self) -> None:
        """The last node is killed too, and started again."""
        (first,) = self.start(1)
        ada = first.join()
        self.result(ada.calling("add", 3))
        first.kill()
        (second,) = self.start(1)
        self.advance(15)
        room: Any = second.app.rooms[ada.id]
        self.assertEqual((room.count, room.isRestored, len(room.clients)), (3, True, 1))

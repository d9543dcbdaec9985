"""Tests for rooms that are being created, and for the requests that wait for them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom import RoomError
from txroom.engine.makings import Makings
from txroom.rooms.contract.ports import Made


class MakingsTests(SynchronousTestCase):
    """`Makings`."""

    def setUp(self) -> None:
        self.makings = Makings()
        self.creating: list[Deferred[str]] = []

    def create(self) -> Deferred[str]:
        created: Deferred[str] = Deferred()
        self.creating.append(created)
        return created

    def make(self, key: str | None = "k", seats: int = 0, create: Any = None) -> list[Any]:
        return fired(self.makings.make("chat", key, seats, lambda: None, create or self.create))

    def test_wait(self) -> None:
        """Requests with the same key wait; the first one is told first, and that the room is its own."""
        order: list[Made] = []
        for _ in range(3):
            self.makings.make("chat", "k", 0, lambda: None, self.create).addCallback(order.append)
        self.assertEqual((len(self.creating), order), (1, []))
        self.creating[0].callback("r")
        self.assertEqual(order, [Made("r", True), Made("r", False), Made("r", False)])

    def test_seats(self) -> None:
        """As many wait for a room as it has seats for; the next request creates another at the same time."""
        made = [self.make(seats=2) for _ in range(5)]
        self.assertEqual(len(self.creating), 3)
        for index, created in enumerate(self.creating):
            created.callback(f"r{index}")
        rooms = [(result[0].room, result[0].isCreator) for result in made]
        self.assertEqual(rooms, [("r0", True), ("r0", False), ("r1", True), ("r1", False), ("r2", True)])

    def test_keys(self) -> None:
        """Requests with other keys, or without one, don't wait."""
        for key in ("a", "b", None, None):
            self.make(key)
        self.assertEqual(len(self.creating), 4)

    def test_over(self) -> None:
        """The key names a room only while that is being created."""
        self.make()
        self.creating[0].callback("r")
        self.make()
        self.assertEqual(len(self.creating), 2)
        self.assertEqual(self.make("other", create=lambda: succeed("at once")), [Made("at once", True)])
        self.make("other")
        self.assertEqual(len(self.creating), 3)

    def test_failed(self) -> None:
        """If it can't be created, its request fails, and those that have waited are told."""
        first, second = self.make(), self.make()
        self.creating[0].errback(RoomError("internal"))
        self.assertEqual((first[0].value.code, second), ("internal", [Made(None, False)]))
        self.assertEqual(self.make(create=lambda: fail(RoomError("full")))[0].value.code, "full")
        self.make()
        self.assertEqual(len(self.creating), 2)

    def test_mayNot(self) -> None:
        """A request that may not create a room may wait for one."""

        def mayNot() -> None:
            raise RoomError("rateLimited")

        refused = fired(self.makings.make("chat", "k", 0, mayNot, self.create))
        self.assertEqual((refused[0].value.code, self.creating), ("rateLimited", []))
        self.make()
        waiting = fired(self.makings.make("chat", "k", 0, mayNot, self.create))
        self.creating[0].callback("r")
        self.assertEqual(waiting, [Made("r", False)])

"""Ending rooms by a command, while nodes and Redis fail: `Dispose`."""

from __future__ import annotations

from typing import Any

from tests.case import fired
from tests.engine.redis.nodes import NodesTestCase
from txroom.rooms.contract.asks import Dispose


class DisposeTests(NodesTestCase):
    """A room at one node, which is ended from there and from another node."""

    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = self.start()
        self.ada = self.first.join()
        self.settle()

    @property
    def isStored(self) -> bool:
        return bool(self.redis.fields(f"txr:{{{self.ada.id}}}".encode()))

    def assertUnsure(self, answers: list[Any]) -> None:
        (failure,) = answers
        self.assertEqual(failure.value.details, {"mayHaveHappened": True})

    def test_deleted(self) -> None:
        """Whoever gets the answer finds nothing of the room in Redis."""
        stored: list[bool] = []
        for each in (self.second, self.first):
            asked = each.app.engine.ask(self.ada.id, Dispose())
            asked.addCallbacks(lambda _: stored.append(self.isStored), lambda failure: None)
        self.settle()
        self.assertIn(False, stored)
        self.assertNotIn(True, stored)
        self.assertIsNotNone(self.ada.closeInfo)

    def test_killed(self) -> None:
        """
        If the room's node dies before that, the next one has the room. Those that have asked are told that it
        may have happened, and can end it there.
        """
        self.redis.fail("LOADING Redis is loading the dataset in memory", "release", 100)
        asked = fired(self.second.app.engine.ask(self.ada.id, Dispose()))
        self.advance(1)
        self.first.kill()
        self.redis.heal()
        self.second.engine.nodeEnded(self.first.node.id)
        self.advance(5)
        self.assertUnsure(asked)
        self.assertEqual(self.whereIs(self.ada.id), [self.second])
        self.assertEqual(self.result(self.second.app.engine.ask(self.ada.id, Dispose())), None)
        self.assertFalse(self.isStored)

    def test_fenced(self) -> None:
        """If another node has taken the room, it has not been ended for good."""
        self.redis.fail("FENCED the room has another owner", "release")
        asked = fired(self.second.app.engine.ask(self.ada.id, Dispose()))
        self.settle()
        self.assertUnsure(asked)
        self.assertTrue(self.isStored)

    def test_down(self) -> None:
        """While Redis can't be reached, nobody says that the room is gone."""
        self.redis.fail("LOADING Redis is loading the dataset in memory", "release", 100)
        asked = fired(self.first.app.engine.ask(self.ada.id, Dispose()))
        self.advance(4.9)
        self.assertEqual(asked, [])
        self.advance(0.2)
        self.assertUnsure(asked)
        self.redis.heal()
        self.advance(2)
        self.assertFalse(self.isStored)

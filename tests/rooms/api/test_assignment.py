"""What becomes of an attribute that somebody assigns to a room."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txroom import Room
from txroom.rooms.api.assignment import checksOf
from txroom.rooms.api.settings import SETTINGS


class AssignmentTests(SynchronousTestCase):
    """`Room.__setattr__`."""

    def test_class(self) -> None:
        """What a class of rooms inherits besides `Room` has its say in what is assigned."""
        seen: list[str] = []

        class Watched:
            def __setattr__(self, name: str, value: Any) -> None:
                seen.append(name)
                super().__setattr__(name, value)

        class Watching(Room, Watched):
            pass

        class Derived(Watching):
            pass

        for roomClass in (Watching, Derived):
            room: Any = roomClass()
            room.score = 1
            room.maxClients = 4
            self.assertRaises(ValueError, setattr, room, "maxClients", -1)
            self.assertEqual((room.score, room.maxClients), (1, 4))
        self.assertEqual(seen, ["score", "maxClients"] * 2)

    def test_descriptors(self) -> None:
        """A property of a class of rooms is one."""

        class Chat(Room):
            @property
            def score(self) -> int:
                return self._score

            @score.setter
            def score(self, score: int) -> None:
                self._score = 2 * score

        room = Chat()
        room.score = 2
        self.assertEqual((room.score, vars(room)), (4, {"_score": 4}))

    def test_beforeItRuns(self) -> None:
        """A setting may be assigned in the constructor, and is looked at there."""

        class Chat(Room):
            def __init__(self, most: Any) -> None:
                super().__init__()
                self.maxClients = most

        self.assertEqual(Chat(3).maxClients, 3)
        said = str(self.assertRaises(ValueError, Chat, "3"))
        self.assertEqual(said, "Chat.maxClients='3': must be a whole number, 0 or more")

    def test_names(self) -> None:
        """Settings, other spellings of them, and what rooms have are looked at, but nothing else."""
        checks = checksOf(Room)
        for name in (*SETTINGS, "max_clients", "maxclients", "broadcast", "onJoin", "lock", "_host"):
            self.assertIn(name, checks)
        for name in ("clients", "score", "maxRooms", "_score", "__init__"):
            self.assertNotIn(name, checks)

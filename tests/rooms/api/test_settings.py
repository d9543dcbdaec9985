"""The table of settings, and what becomes of an attribute that is assigned to a room."""

from __future__ import annotations

from typing import Any, get_type_hints

from twisted.trial.unittest import SynchronousTestCase

from txroom import Room
from txroom.rooms.api.settings import SETTINGS, RoomSettings, checkSettings, settingMeant


class TableTests(SynchronousTestCase):
    """What is made of the attributes of `RoomSettings`."""

    def test_names(self) -> None:
        """Each attribute is a setting, in the same order, and nothing else is one."""
        attributes = [name for name in vars(RoomSettings) if not name.startswith("_")]
        self.assertEqual(list(SETTINGS), attributes)
        self.assertEqual(Room.SETTINGS, set(attributes))

    def test_inherited(self) -> None:
        """Rooms have them with their types and defaults."""
        hints = get_type_hints(Room)
        for name, hint in get_type_hints(RoomSettings).items():
            self.assertEqual(hints[name], hint)
            self.assertIs(getattr(Room, name), getattr(RoomSettings, name))

    def test_defaults(self) -> None:
        """A default is what a setting may be."""
        checkSettings("Room", lambda name: getattr(Room, name))

    def test_meant(self) -> None:
        """A name that is almost that of a setting, here or elsewhere; settings mean themselves."""
        for name, setting in {
            "maxClient": "maxClients",
            "resume_seconds": "resumeSeconds",
            "reconnectionTime": "resumeSeconds",
            "maxRoom": "maxRooms",
            "maxClients": None,
            "topic": None,
        }.items():
            self.assertEqual(settingMeant(name), setting, name)


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

"""The table of settings."""

from __future__ import annotations

from typing import get_type_hints

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

"""Tests for plain data that crosses to the owners of rooms: users and options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.rooms.case import NotingRoom, RoomTestCase, onBothEngines
from txroom import Accept, RoomApplication
from txroom.rooms.edge.matchmaker import keyFor
from txroom.rooms.plain import plainOptions, plainUser


@dataclass
class User:
    """A user as an application may have it."""

    name: str
    groups: tuple[str, ...] = ()


@onBothEngines
class UserTests(RoomTestCase):
    """The user that `verifyClient` returns, as rooms see it."""

    def usersOf(self, user: Any) -> list[Any]:
        users: list[Any] = []

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> bool:
                users.append(user)
                return True

        self.rooms(Chat, app=RoomApplication(verifyClient=lambda handshake: Accept(user=user)))
        self.player().join()
        return users

    def test_plain(self) -> None:
        """It is plain data, on each engine the same, and the connection keeps what it was given."""
        user = User("ada", ("x", "y"))
        self.assertEqual(self.usersOf(user), [{"name": "ada", "groups": ["x", "y"]}])
        self.assertIs(next(iter(self.harness.server.connections)).user, user)
        for simple in ("ada", 7, True, b"\xff", {"id": 7}):
            self.assertEqual(self.usersOf(simple), [simple])

    def test_notPlain(self) -> None:
        """A user that can't cross is an error that is logged, for each way into a room."""
        self.assertEqual(self.usersOf(object()), [])
        self.assertRaised(TypeError)
        room = self.result(self.app.createRoom("chat"))
        player = self.player()
        self.assertEqual(player.ask("joinById", room, {})[3], "internal")
        self.assertEqual(player.ask("resume", room, "t", "e", 0)[3], "internal")
        self.assertRaised(TypeError, 2)
        self.assertEqual(self.player().join()[3], "internal")
        self.assertRaised(TypeError)

    def test_options(self) -> None:
        """The server's own code is told about options, and users of seats, that can't cross."""
        self.rooms()
        self.assertRaises(TypeError, self.app.createRoom, "chat", {"callback": print})
        room = self.result(self.app.createRoom("chat", {"pair": (1, 2)}))
        self.assertEqual(self.app.rooms[room].options, {"pair": [1, 2]})
        self.assertRaises(TypeError, self.app.reserveSeat, room, object())

    def test_unsendable(self) -> None:
        """A user that can't be stored is refused at the edge, so that it costs the room nothing."""
        for user, error in ((2**70, OverflowError), ("\ud800", ValueError), ({"a": "\ud800"}, ValueError)):
            self.assertRaises(error, plainUser, user)
        app = RoomApplication(
            verifyClient=lambda handshake: Accept(user="\ud800" if handshake.query else "ada")
        )
        self.rooms(app=app)
        ada = self.joined()
        self.assertEqual(self.player("/rooms?x=y").join()[3], "internal")
        self.assertRaised(UnicodeEncodeError)
        self.assertEqual(ada.call("say", "still here")[0], "reply")

    def test_registered(self) -> None:
        """Registered options don't cross: they may be anything, and aren't in the listing."""
        self.rooms(database=print)
        self.joined(mode="x", auth="secret", seat=None)
        self.assertEqual(self.room().options, {"mode": "x", "database": print})
        self.settle()
        (listing,) = self.result(self.app.query("chat"))
        self.assertEqual(listing.options, {"mode": "x"})


class PlainTests(RoomTestCase):
    """The functions."""

    def test_copies(self) -> None:
        """Options are copied; simple users are not."""
        options = {"a": [1]}
        copy = plainOptions(options)
        options["a"].append(2)
        self.assertEqual((copy, plainOptions({})), ({"a": [1]}, {}))
        text = "x" * 100
        self.assertIs(plainUser(text), text)

    def test_key(self) -> None:
        """Requests that match the same rooms have the same key, and others don't."""
        self.assertEqual(keyFor({"a": 1, "b": None}), keyFor({"b": None, "a": 1.0}))
        values = (1, True, "1", None, 1.5, 2**63, "é", "")
        self.assertEqual(len({keyFor({"a": value}) for value in values}), len(values))

"""What servers and operators ask of a room."""

from __future__ import annotations

from typing import Any

from tests.rooms.case import RoomTestCase, hostOf, onBothEngines
from txroom import RoomError
from txroom.protocol import payload
from txroom.rooms.contract.asks import Dispose, Inspect, Kick, Lock, Reserve, SendTo


@onBothEngines
class AskTests(RoomTestCase):
    """Each of the commands."""

    def ask(self, command: Any) -> Any:
        """What the room answers."""
        return self.result(self.engine.ask(self.room().id, command))

    def codeOf(self, command: Any) -> str:
        """The code of the error."""
        failure = self.ask(command)
        failure.trap(RoomError)
        return str(failure.value.code)

    def test_inspect(self) -> None:
        """The listing, the log and the members."""
        self.rooms(presence=True)
        ada, bob = self.joined(topic="x"), self.joined()
        room = self.room()
        client = room.client(ada.joined["member"])
        client.enter("red")
        client.meta = {"name": "ada"}
        bob.send("say", 1)
        bob.client.drop()
        self.settle()
        found = self.ask(Inspect())
        self.assertEqual((found["epoch"], found["offset"]), (room.epoch, 1))
        listing = found["listing"]
        self.assertEqual((listing["room"], listing["clients"]), (room.id, 2))
        first, second = found["members"]
        self.assertEqual(
            first,
            {
                "member": client.id,
                "userId": client.id,
                "user": None,
                "isConnected": True,
                "groups": ["red"],
                "meta": {"name": "ada"},
            },
        )
        self.assertEqual((second["member"], second["isConnected"]), (bob.joined["member"], False))
        self.assertEqual([len(self.ask(Inspect(limit))["members"]) for limit in (0, 1, -1)], [0, 1, 0])

    def test_kick(self) -> None:
        """One member, or those of a user."""
        self.rooms(autoDispose=False)
        ada, bob = self.joined(), self.joined()
        self.assertEqual(self.ask(Kick(ada.joined["member"], reason="go")), 1)
        self.assertEqual(ada.take("left"), [["left", ada.room, 4003, "go"]])
        self.assertEqual(self.ask(Kick(userId=bob.joined["member"])), 1)
        self.assertEqual([self.ask(Kick("nobody")), self.ask(Kick())], [0, 0])
        self.assertEqual(self.named("leave"), ["kicked", "kicked"])

    def test_lock(self) -> None:
        """No client can join, until it is unlocked."""
        self.rooms()
        ada = self.joined()
        self.assertIsNone(self.ask(Lock()))
        self.assertEqual(self.player().ask("joinById", ada.room, {})[3], "locked")
        self.ask(Lock(False))
        self.assertEqual(self.player().ask("joinById", ada.room, {})[0], "joined")

    def test_dispose(self) -> None:
        """The room ends; after that there is none."""
        self.rooms()
        ada = self.joined()
        host = hostOf(self.room())
        self.assertIsNone(self.ask(Dispose(4008, "over")))
        self.settle()
        self.assertEqual(ada.take("left"), [["left", ada.room, 4008, "over"]])
        self.assertEqual(self.kinds()[-1], "dispose")
        self.assertEqual(self.failureResultOf(host.ask(Inspect()), RoomError).value.code, "noSuchRoom")

    def test_sendTo(self) -> None:
        """A message to all members, to some, or to those of some users."""
        self.rooms(autoDispose=False)
        ada, bob = self.joined(), self.joined()
        one, two = ada.joined["member"], bob.joined["member"]
        for members, users, heard in (
            (None, None, "ab"), ((one,), None, "a"), (None, (two,), "b"), ((one,), (two,), ""),
        ):  # fmt: skip
            offset = self.ask(SendTo("told", payload.encode("x"), members, users))
            self.assertEqual(offset, self.room().offset)
            self.settle()
            for player, name in ((ada, "a"), (bob, "b")):
                self.assertEqual(player.said(), ["x"] * (name in heard), (members, users))
        self.assertIsNone(self.ask(SendTo("told", payload.encode("y"), isVolatile=True)))
        self.settle()
        self.assertEqual((ada.said(), bob.said()), (["y"], ["y"]))
        self.assertEqual(self.codeOf(SendTo("told", payload.encode(b"bytes", True))), "invalidData")

    def test_reserve(self) -> None:
        """A token, with which a client takes the seat."""
        self.rooms(autoDispose=False, maxClients=2)
        ada = self.joined()
        seat = self.ask(Reserve())
        self.assertEqual(self.codeOf(Reserve()), "full")
        self.assertEqual(self.player().ask("joinById", ada.room, {"seat": seat})[0], "joined")

    def test_lost(self) -> None:
        """If the room is lost before it has committed something, that may have happened or not."""
        if not self.isLagging:
            return
        self.rooms()
        ada = self.joined()
        host = hostOf(self.room())
        answers: list[Any] = []
        kick = Kick(ada.joined["member"])
        for command in (kick, Lock(), SendTo("told", b"\x01"), Reserve(), Dispose()):
            host.ask(command).addBoth(answers.append)
        self.assertEqual(answers, [])
        self.engine.loseOwner(host.id, False)
        self.settle()
        self.assertEqual([failure.value.details for failure in answers], [{"mayHaveHappened": True}] * 5)

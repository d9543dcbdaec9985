"""What members are told of one another, and who is meant by a broadcast."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.rooms.case import NotingRoom, RoomTestCase, onBothEngines
from txroom import Client, Room, message


def nested(levels: int) -> Any:
    """A mapping that is nested so deep."""
    data: dict[str, Any] = {}
    for _ in range(levels - 1):
        data = {"in": data}
    return data


class Text(str):
    """A text of a class of its own."""


@onBothEngines
class PresenceTests(RoomTestCase):
    """What presence tells is tried where it is set, so that nobody's coming or going can fail by it."""

    def rooms(self, *classes: type[Room], **options: Any) -> None:
        class Chat(NotingRoom):
            presence = True

            def userId(self, user: Any) -> str:
                return Text("ada")

            @message("meta")
            def setMeta(self, client: Client, data: dict[str, Any]) -> None:
                client.meta = data

            def onJoin(self, client: Client, options: Any) -> Any:
                client.meta = options.get("meta", {})
                return super().onJoin(client, options)

        super().rooms(Chat, **options)

    def test_tooDeep(self) -> None:
        """In presence a meta is nested in three more levels; too deep a one changes nothing."""
        self.rooms()
        ada, bob = self.joined(meta={"first": 1}), self.joined()
        self.assertEqual(ada.call("meta", nested(61))[0], "reply")
        for levels in (62, 63, 64):
            self.assertEqual(ada.call("meta", nested(levels))[3], "internal")
        for levels in (62, 63):
            self.assertEqual(self.player().join(meta=nested(levels))[3], "internal")
        self.assertEqual(self.room(ada).clients[0].meta, nested(61))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 5)
        self.assertEqual(len(self.room(ada).clients), 2)
        ada.write("leave", 5, ada.room)
        self.assertEqual([frame[0] for frame in bob.take("presence")][-1:], ["presence"])
        bob.write("leave", 5, bob.room)
        self.advance(2)
        self.assertEqual(self.kinds().count("leave"), 2)
        self.assertEqual((self.kinds()[-1], len(self.app.rooms)), ("dispose", 0))

    def test_texts(self) -> None:
        """Texts of classes of their own, which can't be encoded, are sent as the texts that they are."""
        self.rooms(autoDispose=False)
        ada, bob = self.joined(), self.joined()
        room = self.room(ada)
        self.assertEqual([each["user"] for each in room.members], ["ada"])
        with self.assertRaises(TypeError):
            room.broadcast(Text("said"), 1)
        room.kick(room.clients[0], Text("so"))
        self.settle()
        self.assertEqual(ada.take("left"), [["left", ada.room, 4003, "so"]])
        room.disconnect(Text("over"))
        self.settle()
        self.assertEqual(bob.take("left"), [["left", bob.room, 4008, "over"]])
        self.assertTrue(ada.client.isOpen and bob.client.isOpen)

    def test_notInYet(self) -> None:
        """A broadcast's test isn't asked about somebody whom `onAuth` has not let in."""
        asked: list[Any] = []
        gate: Deferred[bool] = Deferred()

        class Chat(NotingRoom):
            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                client.data["late"] = "late" in options
                return gate if "late" in options else True

        super().rooms(Chat)
        ada = self.joined()
        late = self.player()
        late.write("join", 1, "chat", {"late": 1})

        def isMeant(client: Client) -> bool:
            asked.append(client.data["late"])
            return True

        self.room(ada).broadcast("said", 1, to=isMeant)
        self.assertEqual(asked, [False])
        gate.callback(True)
        self.settle()
        self.room(ada).broadcast("said", 2, to=isMeant)
        self.settle()
        self.assertEqual((asked[1:], late.said()), ([False, True], [2]))

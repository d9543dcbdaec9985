"""What members are told of one another, and who is meant by a broadcast."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.rooms.case import MSGPACK, NotingRoom, Player, RoomTestCase, hostOf, onBothEngines
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
        """Strings of a subclass of `str`, which msgspec can't encode, are sent as plain strings."""
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


def membersIn(users: list[dict[str, Any]]) -> list[str]:
    """The ids of the members in a list of users."""
    return [meta["member"] for user in users for meta in user["metas"]]


class RosterTestCase(RoomTestCase):
    """What the tests below share."""

    def serveRooms(self, **options: Any) -> None:
        """Rooms with presence."""
        self.rooms(presence=True, autoDispose=False, **options)

    def changes(self, player: Player) -> list[tuple[list[str], list[str], int]]:
        """The members that joined and left, and the count, in each frame of presence that came since."""
        return [(membersIn(frame[2]), membersIn(frame[3]), frame[4]) for frame in player.take("presence")]

    def idOf(self, player: Player) -> str:
        """The id of a member."""
        return str(player.joined["member"])


class WindowTests(RosterTestCase):
    """Changes are collected, and told together."""

    def test_together(self) -> None:
        """All changes of a window are one frame; a member that joined in it saw the former members."""
        self.serveRooms()
        ada, bob = self.joined(), self.joined()
        ada.take()
        with self.harness.presenceWindow():
            self.advance(0.01)
            carol = self.joined()
            bob.write("leave", 1, bob.room)
            dora = self.joined()
            self.advance(0.08)
            self.assertEqual((ada.take("presence"), carol.take("presence")), ([], []))
            self.advance(0.02)
        a, b, c, d = map(self.idOf, (ada, bob, carol, dora))
        self.assertEqual(membersIn(carol.joined["members"]), [a, b, c])
        self.assertEqual(membersIn(dora.joined["members"]), [a, c, d])
        self.assertEqual(self.changes(ada), [([c, d], [b], 3)])
        self.assertEqual(self.changes(carol), [([d], [b], 3)])
        self.assertEqual(self.changes(dora), [])

    def test_cameAndWent(self) -> None:
        """Nobody is told of a member that came and went, but those who were shown it."""
        self.serveRooms()
        ada = self.joined()
        ada.take()
        with self.harness.presenceWindow():
            bob = self.joined()
            carol = self.joined()
            bob.write("leave", 1, bob.room)
        b, c = self.idOf(bob), self.idOf(carol)
        self.assertEqual(self.changes(ada), [([c], [], 2)])
        self.assertEqual(self.changes(carol), [([], [b], 2)])

    def test_metas(self) -> None:
        """Metas that are set one after another are one change, and none if the last is as it was."""
        self.serveRooms()
        ada, bob = self.joined(), self.joined()
        client = self.room().client(self.idOf(ada))
        ada.take()
        with self.harness.presenceWindow():
            client.meta = {"at": 1}
            client.meta = {"at": 2}
        (frame,) = bob.take("presence")
        self.assertEqual([each[0]["metas"][0].get("at") for each in frame[2:4]], [2, None])
        ada.take()
        with self.harness.presenceWindow():
            client.meta = {"at": 3}
            client.meta = {"at": 2}
        self.assertEqual((ada.take("presence"), bob.take("presence")), ([], []))

    def test_kicked(self) -> None:
        """A client that is kicked is told so at once, and nothing after that; the others when it is time."""
        self.serveRooms()
        ada, bob = self.joined(), self.joined()
        ada.take(), bob.take()
        with self.harness.presenceWindow():
            carol = self.joined()
            self.room().client(self.idOf(bob)).kick()
            self.settle()
            self.assertEqual([frame[0] for frame in bob.take()], ["left"])
            self.assertEqual(ada.take("presence"), [])
        self.assertEqual(bob.take(), [])
        self.assertEqual(self.changes(ada), [([self.idOf(carol)], [self.idOf(bob)], 2)])

    def test_atOnce(self) -> None:
        """Without a window each change is told as it happens."""
        self.serveRooms(presenceSeconds=0)
        ada = self.joined()
        with self.harness.presenceWindow():
            bob = self.joined()
            b = self.idOf(bob)
            self.assertEqual(self.changes(ada), [([b], [], 2)])
            self.room().client(b).meta = {"at": 1}
            self.settle()
            self.assertEqual(self.changes(ada), [([b], [b], 2)])
            bob.write("leave", 1, bob.room)
            self.assertEqual(self.changes(ada), [([], [b], 1)])

    def test_resumed(self) -> None:
        """A client that resumes is shown what there is; what changed before isn't told again."""
        self.serveRooms()
        ada, bob = self.joined(), self.joined()
        with self.harness.presenceWindow():
            carol = self.joined()
            again = self.player()
            again.resume(ada)
            dora = self.joined()
        a, b, c, d = map(self.idOf, (ada, bob, carol, dora))
        self.assertEqual(membersIn(again.joined["members"]), [a, b, c])
        self.assertEqual(self.changes(again), [([d], [], 4)])

    def test_joinedAgain(self) -> None:
        """A client that joins again may ignore the members then: it is told before what it doesn't know."""
        self.serveRooms()
        ada = self.joined()
        with self.harness.presenceWindow():
            bob = self.joined()
            ada.take()
            ada.write("joinById", 7, ada.room, {})
            frames = ada.take()
            self.assertEqual([frame[0] for frame in frames], ["presence", "joined"])
            self.assertEqual(membersIn(frames[0][2]), [self.idOf(bob)])
            self.assertEqual(membersIn(frames[1][3]["members"]), [self.idOf(ada), self.idOf(bob)])
        self.assertEqual(ada.take("presence"), [])

    def test_rate(self) -> None:
        """However much happens, a member gets ten frames a second."""
        self.serveRooms()
        ada, bob = self.joined(), self.joined()
        ada.take()
        client = self.room().client(self.idOf(bob))
        with self.harness.presenceWindow():
            for step in range(200):
                client.meta = {"at": step}
                self.advance(0.01)
        self.assertLessEqual(len(ada.take("presence")), 20)

    def test_closed(self) -> None:
        """A room that is closed tells nobody that the others leave."""
        self.serveRooms(presenceSeconds=0)
        ada, bob = self.joined(), self.joined()
        ada.take(), bob.take()
        self.result(self.room().disconnect())
        self.assertEqual([frame[0] for frame in [*ada.take(), *bob.take()]], ["left", "left"])


class BigRoomTests(RosterTestCase):
    """In a room of more than `presenceLimit` members the first ones are told, and the others counted."""

    def setUp(self) -> None:
        super().setUp()
        self.serveRooms(presenceLimit=3)
        self.players = [self.joined() for _ in range(3)]

    def page(self, player: Player, after: int) -> tuple[list[str], int, int]:
        """Ask for members: their ids, how many there are, and what to ask for next."""
        page = player.ask("members", player.room, after)[2]
        return membersIn(page["members"]), page["memberCount"], page["membersAfter"]

    def test_joined(self) -> None:
        """`joined` has the first members, the client itself, and how many there are."""
        ids = [self.idOf(player) for player in self.players]
        self.assertNotIn("memberCount", self.players[2].joined)
        for count in (4, 5):
            more = self.joined().joined
            self.assertEqual(membersIn(more["members"]), [*ids, more["member"]])
            self.assertEqual(more["memberCount"], count)
        again = self.player()
        again.resume(self.players[1])
        self.assertEqual(membersIn(again.joined["members"]), ids)
        self.assertEqual(again.joined["memberCount"], 5)

    def test_msgpack(self) -> None:
        """The same in MessagePack."""
        ids = [self.idOf(player) for player in self.players]
        more = self.joined(protocol=MSGPACK).joined
        self.assertEqual(membersIn(more["members"]), [*ids, more["member"]])

    def test_counted(self) -> None:
        """Members that join or leave beyond the first ones are counted; what is told is where to ask."""
        first = self.players[0]
        first.take()
        fourth, fifth = self.joined(), self.joined()
        self.assertEqual(self.changes(first), [([], [], 4), ([], [], 5)])
        self.assertEqual(self.changes(fourth), [([], [], 5)])
        fifth.write("leave", 1, fifth.room)
        self.assertEqual(self.changes(first), [([], [], 4)])
        third = self.players[2]
        third.write("leave", 1, third.room)
        self.assertEqual(self.changes(first), [([], [self.idOf(third)], 3)])
        sixth = self.joined()
        self.assertEqual(self.changes(first), [([], [], 4)])
        sixth.write("leave", 1, sixth.room)
        seventh = self.joined()
        self.assertEqual(self.changes(first), [([], [], 3), ([], [], 4)])
        self.assertIn(self.idOf(fourth), membersIn(seventh.joined["members"]))

    def test_pages(self) -> None:
        """All members are told page by page; one that was told so is told of when it leaves."""
        first = self.players[0]
        first.take()
        more = [self.joined() for _ in range(7)]
        ids = [self.idOf(player) for player in more]
        (after,) = {frame[5] for frame in first.take("presence")}
        found: list[str] = []
        while len(found) < 7:
            page, count, after = self.page(first, after)
            self.assertEqual(count, 10)
            found += page
        self.assertEqual(found, ids)
        self.assertEqual(self.page(first, after), ([], 10, after))
        more[6].write("leave", 1, more[6].room)
        self.assertEqual(self.changes(first), [([], [ids[6]], 9)])

    def test_pageInWindow(self) -> None:
        """A client is told what it doesn't know before it gets a page, and not again after it."""
        first = self.players[0]
        self.joined()
        first.take()
        with self.harness.presenceWindow():
            self.players[1].write("leave", 1, first.room)
            first.write("members", 9, first.room, 0)
            frames = first.take()
            self.assertEqual([frame[0] for frame in frames], ["presence", "reply"])
        self.assertEqual(first.take("presence"), [])

    def test_changedMeta(self) -> None:
        """Everybody is told of a meta that has changed, and then that its member has left."""
        first, more = self.players[0], self.joined()
        first.take()
        self.room().client(self.idOf(more)).meta = {"at": 1}
        self.settle()
        self.assertEqual(self.changes(first), [([self.idOf(more)], [self.idOf(more)], 4)])
        more.write("leave", 1, more.room)
        self.assertEqual(self.changes(first), [([], [self.idOf(more)], 3)])

    def test_once(self) -> None:
        """What many clients are shown who join is encoded once."""
        self.joined()
        host = hostOf(self.room())
        shown = [host.presence.shownTo(member).members for member in host.members.values()]
        self.joined()
        shown += [host.presence.shownTo(member).members for member in host.members.values()]
        self.assertEqual(len(set(map(id, shown))), 1)

    def test_refused(self) -> None:
        """Pages are requests, of which there may not be many; in a room without presence there are none."""
        first = self.players[0]
        kinds = [first.ask("members", first.room, 0)[0] for _ in range(45)]
        self.assertEqual((kinds[0], kinds[-1]), ("reply", "error"))
        self.app.register("quiet", NotingRoom)
        NotingRoom.events = self.events
        other = self.joined("quiet")
        self.assertEqual(other.ask("members", other.room, 0)[3], "badRequest")

    def test_users(self) -> None:
        """Members of one user are one user of a list; a member that resumes or joins may be told of apart."""

        class Chat(NotingRoom):
            presence = True
            presenceLimit = 2

            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                return {"id": "ada"}

        self.rooms(Chat)
        one, two, three = self.joined(), self.joined(), self.joined()
        self.assertEqual([len(user["metas"]) for user in two.joined["members"]], [2])
        self.assertEqual([len(user["metas"]) for user in three.joined["members"]], [2, 1])
        self.assertEqual(self.changes(one), [([self.idOf(two)], [], 2), ([], [], 3)])

"""Tests for the calls that are about rooms."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.msgpack import Ext
from twisted.internet.defer import Deferred

from tests.admin.builtin.case import READER, CallsTestCase
from tests.engine.redis.nodes import Chat
from txroom import Client, Room, message
from txroom.admin.builtin.rooms import RoomCalls
from txroom.admin.calls import RpcCall


class Move(Struct):
    """A move."""

    x: int


class Game(Chat):
    """A game that operators can look into."""

    gate: Deferred[Any]

    def onCreate(self, options: Any) -> None:
        self.setMetadata({"title": "Chess for two"})

    def inspect(self) -> Any:
        return {"turn": 7}

    @message("move")
    def move(self, client: Client, data: Move) -> Any:
        """
        Move a piece.

        It is the turn of the client.
        """
        return type(self).gate


class Plain(Room):
    @message("any")
    def any(self, client: Client, data: Any) -> None:
        pass

    @message("none")
    def none(self, client: Client) -> None:
        pass

    @message("odd")
    def odd(self, client: Client, data: Ext) -> None:
        pass

    def onMessage(self, client: Client, type: str, data: Any) -> None:
        pass


class RoomCallsTests(CallsTestCase):
    """Rooms of two servers."""

    roomClass = Game

    def setUp(self) -> None:
        super().setUp()
        Game.gate = Deferred()
        self.first, self.second = self.startPair()

    def tearDown(self) -> None:
        if not Game.gate.called:
            Game.gate.callback(None)
        super().tearDown()

    def test_list(self) -> None:
        """Rooms of both are listed, page by page, and found by texts, names and filters."""
        rooms = [node.join(mode=mode).id for node, mode in ((self.first, "a"), (self.second, "b"))]
        self.assertNotEqual(*(self.whereIs(room) for room in rooms))
        listed = self.call("rooms.list", caller=READER)["rooms"]
        self.assertEqual(sorted(each["room"] for each in listed), sorted(rooms))
        page = self.call("rooms.list", limit=1)
        following = self.call("rooms.list", limit=1, cursor=page["next"])
        self.assertEqual([page["rooms"][0]["room"], following["rooms"][0]["room"]], rooms)
        self.assertIsNone(following["next"])

        def found(**args: Any) -> list[str]:
            return [each["room"] for each in self.call("rooms.list", **args)["rooms"]]

        self.assertEqual(found(filter={"mode": "b"}), [rooms[1]])
        self.assertEqual(found(text="CHESS FOR"), rooms)
        self.assertEqual(found(text=rooms[0][2:]), [rooms[0]])
        self.assertEqual(found(text="nothing"), [])
        self.assertEqual(found(name="other"), [])
        self.assertEqual(found(order="-age"), rooms[::-1])
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"cursor": "x"}, "cursor"),
            ({"limit": 0}, "limit"),
            ({"order": "x"}, "order"),
            ({"filter": {"mode": []}}, "mode"),
            ({"text": "x" * 300}, "text"),
            ({"colour": 1}, "colour"),
        ]
        for args, field in wrong:
            self.assertEqual(self.call("rooms.list", **args), ("badRequest", field))

    def test_names(self) -> None:
        """The names that rooms are registered under, and what these rooms take."""
        app = self.first.harness.server.rooms
        app.register("plain", Plain, clientsMayCreate=False, maxRooms=2).filterBy("mode", level=int)
        names = {each["name"]: each for each in self.call("rooms.names", caller=READER)["names"]}
        plain = {"name": "plain", "path": "/rooms", "roomClass": "Plain"}
        self.assertEqual(names["plain"], {**plain, "clientsMayCreate": False, "maxRooms": 2})
        self.assertEqual(names["chat"]["roomClass"], "Game")

        schema = self.call("rooms.schema", name="chat", caller=READER)
        self.assertEqual(schema["description"], "A game that operators can look into.")
        self.assertFalse(schema["handlesOthers"])
        messages = {each["type"]: each for each in schema["messages"]}
        move = messages["move"]
        self.assertEqual(move["description"], "Move a piece.\n\nIt is the turn of the client.")
        self.assertEqual(move["schema"]["$defs"]["Move"]["properties"], {"x": {"type": "integer"}})

        schema = self.call("rooms.schema", name="plain")
        self.assertTrue(schema["handlesOthers"])
        self.assertEqual(
            schema["messages"],
            [
                {"type": "any", "description": "", "takesData": True, "schema": {}},
                {"type": "none", "description": "", "takesData": False, "schema": {}},
                {"type": "odd", "description": "", "takesData": True, "schema": {}},
            ],
        )
        properties = {"mode": {}, "level": {"type": "integer"}}
        self.assertEqual(schema["options"], {"type": "object", "properties": properties})
        self.assertEqual(self.call("rooms.schema", name="nix"), ("noSuchRoom", "name"))

    def test_get(self) -> None:
        """A room of another server: what it is, what is running in it, and what it says itself."""
        client = self.second.join(mode="b")
        client.send("move", {"x": 1})
        client.send("say", "behind")
        self.advance(2)
        report = self.call("rooms.get", room=client.id, caller=READER)
        self.assertEqual((report["room"], report["node"]), (client.id, self.nodeId(self.second)))
        self.assertEqual((report["stage"], report["filters"]), ("open", {"mode": "b"}))
        self.assertEqual((report["inspect"], report["inspectError"]), ({"turn": 7}, ""))
        self.assertEqual((report["members"], report["connected"], report["waiting"]), (1, 1, 1))
        (running,) = report["running"]
        self.assertEqual((running["name"], running["member"], running["waiting"]), ("move", client.member, 1))
        self.assertGreaterEqual(running["seconds"], 2.0)
        self.assertIsNone(self.call("rooms.get", room=client.id, isFull=False)["inspect"])
        self.assertEqual(self.call("rooms.get", room="nix"), ("noSuchRoom", ""))
        self.assertEqual(self.call("rooms.get"), ("badRequest", "room"))

    def test_stuck(self) -> None:
        """Of many rooms, those are found in which something waits for long, the longest first."""
        quiet = self.first.join(mode="q")
        one, two = self.first.join(mode="a"), self.second.join(mode="b")
        two.send("move", {"x": 1})
        self.advance(3)
        one.send("move", {"x": 1})
        self.advance(1.5)
        found = self.call("rooms.stuck", caller=READER)
        self.assertEqual([each["room"] for each in found["rooms"]], [two.id, one.id])
        first = found["rooms"][0]
        self.assertEqual((first["what"], first["member"], first["waiting"]), ("move", two.member, 1))
        self.assertEqual((first["node"], first["stage"]), (self.nodeId(self.second), "open"))
        self.assertNotIn(quiet.id, [each["room"] for each in found["rooms"]])
        self.assertEqual([each["room"] for each in self.call("rooms.stuck", seconds=3)["rooms"]], [two.id])
        self.assertEqual([each["room"] for each in self.call("rooms.stuck", limit=1)["rooms"]], [two.id])
        Game.gate.callback(None)
        self.settle()
        self.assertEqual(self.call("rooms.stuck", seconds=0), {"rooms": [], "unanswered": []})

    def test_members(self) -> None:
        """Members, page by page."""
        client = self.second.join()
        other = self.first.join()
        self.assertEqual(client.id, other.id)
        page = self.call("rooms.members", room=client.id, limit=1, caller=READER)
        rest = self.call("rooms.members", room=client.id, cursor=page["next"])
        members = [each["member"] for each in page["members"] + rest["members"]]
        self.assertEqual(members, sorted([client.member, other.member]))
        self.assertIsNone(rest["next"])

    def test_log(self) -> None:
        """Messages, and those that follow; only the role manage sees those for some."""
        client = self.second.join()
        for text in "ab":
            client.send("say", text)
        self.settle()
        room = self.app(client.id).rooms[client.id]
        room.clients[0].send("secret", 1)
        self.settle()
        page = self.call("rooms.log", room=client.id, limit=1)
        self.assertEqual([each["data"] for each in page["entries"]], ["a"])
        rest = self.call("rooms.log", room=client.id, after=page["next"], epoch=page["epoch"])
        self.assertEqual([each["data"] for each in rest["entries"]], ["b", 1])
        seen = self.call("rooms.log", room=client.id, caller=READER)
        self.assertEqual([each["data"] for each in seen["entries"]], ["a", "b"])
        again = self.call("rooms.log", room=client.id, after=9, epoch="former")
        self.assertEqual(len(again["entries"]), 3)

    def test_following(self) -> None:
        """A watch of a log gets what follows, and nothing twice."""
        client = self.second.join()
        (log,) = (call for call in RoomCalls(self.first.harness.server).calls() if call.name == "rooms.log")
        assert log.following is not None
        args: Any = {"room": client.id}
        seen: list[Any] = []
        for text in ("a", "b", "", "c"):
            if text:
                client.send("say", text)
                self.settle()
            answer = self.call("rooms.log", **args)
            seen.append([each["data"] for each in answer["entries"]])
            following = log.following(args, answer)
            self.assertEqual(following is None, not text)
            args = following or args
        self.assertEqual(seen, [["a"], ["b"], [], ["c"]])

    def app(self, room: str) -> Any:
        (node,) = self.whereIs(room)
        return node.app

    def test_changes(self) -> None:
        """Each change takes effect on the other server."""
        client = self.second.join()
        room = self.app(client.id).rooms[client.id]
        self.assertIsNone(self.call("rooms.lock", room=client.id))
        self.assertTrue(room.isLocked)
        self.call("rooms.lock", room=client.id, isLocked=False)
        self.assertFalse(room.isLocked)
        self.call("rooms.setPrivate", room=client.id)
        self.assertTrue(room.isPrivate)
        offset = self.call("rooms.broadcast", room=client.id, type="news", data=[1])["offset"]
        self.assertEqual(offset, room.offset)
        self.assertEqual(self.call("rooms.kick", room=client.id), ("badRequest", "member"))
        self.assertEqual(self.call("rooms.kick", room=client.id, member=client.member), {"kicked": 1})
        self.assertEqual(room.clients, [])
        self.assertIsNone(self.call("rooms.dispose", room=client.id, reason="over"))
        self.advance(1)
        self.assertEqual(self.whereIs(client.id), [])

    def test_create(self) -> None:
        """A room is created where the call is answered."""
        room = self.call("rooms.create", at=self.second, name="chat", options={"mode": "x"})["room"]
        self.assertEqual(self.whereIs(room), [self.second])
        self.assertEqual(self.call("rooms.create", name="nix")[0], "noSuchRoom")
        self.assertEqual(self.call("rooms.create", name="chat", options={"a": 2**70})[0], "invalidData")

    def test_roles(self) -> None:
        """With the role read, nothing can be changed."""
        for call in RoomCalls(self.first.harness.server).calls():
            assert isinstance(call, RpcCall)
            if call.name.partition(".")[2] in (
                "create", "lock", "setPrivate", "kick", "dispose", "broadcast",
            ):  # fmt: skip
                self.assertEqual(self.call(call.name, caller=READER)[0], "forbidden")

    def test_stranded(self) -> None:
        """Nothing is stranded."""
        self.assertEqual(self.call("rooms.stranded", caller=READER), {"rooms": [], "unanswered": []})

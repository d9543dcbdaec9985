"""Tests for the calls that are about rooms."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from msgspec import Struct
from msgspec.msgpack import Ext
from twisted.internet.defer import Deferred, succeed

from tests.admin.builtin.case import READER, CallsTestCase
from tests.engine.redis.nodes import Chat
from tests.rooms.case import hostOf
from txroom import Client, History, Room, message
from txroom.admin.builtin.rooms import RoomCalls
from txroom.admin.calls import RpcCall
from txroom.rooms.contract.nodes import StrandedRoom
from txroom.rooms.contract.records import Entry
from txroom.service.operating import stuckrooms
from txroom.state import List, State, private


class Move(Struct):
    """A move."""

    x: int


class Hand(State):
    cards: List[int]


class Board(State):
    turn: str = "white"
    secret: Hand | None = private()


class Game(Chat):
    """A game that operators can look into."""

    state: Board

    gate: Deferred[Any]
    history = History(limit=10, onJoin=1)

    def onCreate(self, options: Any) -> None:
        self.setMetadata({"title": "Chess for two"})
        self.state.secret = Hand(cards=[3])

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

    def test_listLarge(self) -> None:
        """Rooms whose options are as long as clients may choose them are listed on shorter pages."""
        rooms = [
            self.call("rooms.create", name="chat", options={"mode": str(number), "x": "x" * 16_000})["room"]
            for number in range(70)
        ]
        found: list[str] = []
        cursor: Any = ""
        while cursor is not None:
            page = self.call("rooms.list", limit=1000, cursor=cursor, caller=READER)
            self.assertLess(len(page["rooms"]), 40)
            found += [each["room"] for each in page["rooms"]]
            cursor = page["next"]
        self.assertEqual(found, rooms)

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
        self.assertEqual((report["state"], report["isStateCut"]), ({"turn": "white"}, False))
        self.assertEqual((report["members"], report["connected"], report["waiting"]), (1, 1, 1))
        (running,) = report["running"]
        self.assertEqual((running["name"], running["member"], running["waiting"]), ("move", client.member, 1))
        self.assertGreaterEqual(running["seconds"], 2.0)
        whole = self.call("rooms.get", room=client.id)
        self.assertEqual(whole["state"], {"turn": "white", "secret": {"cards": [3]}})
        brief = self.call("rooms.get", room=client.id, isFull=False)
        self.assertEqual((brief["inspect"], brief["state"]), (None, None))
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
        with patch.object(stuckrooms, "MOST_SIZE", 100):
            self.assertEqual([each["room"] for each in self.call("rooms.stuck")["rooms"]], [two.id])
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

    def test_logRecipients(self) -> None:
        """
        Messages for very many members: a caller at another node, of the role read too, gets what it may see,
        and the links between the nodes stay, as do those of clients.
        """
        client = self.second.join()
        guest = self.first.join()
        self.assertEqual((guest.id, self.whereIs(guest.id)), (client.id, [self.second]))
        log = hostOf(self.app(client.id).rooms[client.id]).log
        ids = tuple(f"{number:016}" for number in range(5000))
        for offset in range(1, 201):
            log.append(Entry(offset, "said", b"\xc0", ids, (), self.clock.seconds()))
        page = self.call("rooms.log", room=client.id, limit=1000, caller=READER)
        self.assertEqual((page["entries"], page["last"]), ([], 200))
        seen: list[int] = []
        after = 0
        while after < 200:
            page = self.call("rooms.log", room=client.id, limit=1000, after=after)
            seen += [each["offset"] for each in page["entries"]]
            after = page["next"]
        self.assertEqual(seen, [*range(1, 201)])
        entry = page["entries"][0]
        self.assertEqual((len(entry["to"]), entry["toCount"]), (100, 5000))
        guest.send("say", "still here")
        self.settle()
        self.assertEqual(guest.expect("said"), "still here")
        for node in self.nodes:
            self.assertEqual(node.node.peers.resets, 0)

    def test_logLarge(self) -> None:
        """A message that is too large for an answer is told without its data; those after it follow."""
        client = self.second.join()
        room = self.app(client.id).rooms[client.id]
        for size in (900_000, 1):
            room.broadcast("said", "x" * size)
        page = self.call("rooms.log", room=client.id, limit=1)
        (entry,) = page["entries"]
        self.assertEqual((entry["data"], entry["size"]), (None, 900_005))
        (entry,) = self.call("rooms.log", room=client.id, after=page["next"])["entries"]
        self.assertEqual((entry["data"], "size" in entry), ("x", False))

    def test_history(self) -> None:
        """The history, page by page, from another node; a node of an earlier version doesn't tell it."""
        client = self.second.join()
        room = self.app(client.id).rooms[client.id]
        for text in "abc":
            client.send("say", text)
            room.clients[0].send("secret", 1)
        self.settle()
        page = self.call("rooms.log", room=client.id, limit=2, history=True, caller=READER)
        rest = self.call("rooms.log", room=client.id, after=page["next"], epoch=page["epoch"], history=True)
        self.assertEqual([each["data"] for each in page["entries"] + rest["entries"]], ["a", "b", "c"])
        again = self.call("rooms.log", room=client.id, after=9, epoch="former", history=True)
        self.assertEqual([each["data"] for each in again["entries"]], ["a", "b", "c"])
        self.patch(self.first.harness.server.cluster, "ask", lambda room, command: succeed({"entries": []}))
        self.assertEqual(self.call("rooms.log", room=client.id, history=True)[0], "unavailable")

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
        for type in ("", "x" * 129):
            self.assertEqual(self.call("rooms.broadcast", room=client.id, type=type), ("badRequest", "type"))
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

    def test_strandedMany(self) -> None:
        """Very many rooms with long errors are told as far as they fit."""
        stranded = [StrandedRoom(f"room {n}", "chat", "/rooms", "ä" * 500, 5.0) for n in range(2000)]
        for node in self.nodes:
            self.patch(node.engine, "stranded", lambda: stranded)
        found = self.call("rooms.stranded", caller=READER)
        self.assertEqual((found["rooms"][0]["why"], found["unanswered"]), ("ä" * 250, []))
        self.assertGreater(len(found["rooms"]), 500)

"""Messages: handlers and their data, broadcasts, groups, calls, presence, limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms.case import MSGPACK, NotingRoom, Player, RoomTestCase, onBothEngines
from txroom import Client, Room, RoomError, message
from txroom.rooms import payload
from txroom.rooms.dialect import dialectOf
from txroom.rooms.errors import InvalidData
from txroom.rooms.messages import handlersOf
from txroom.rooms.seam import Entry, Send


class Move(msgspec.Struct):
    x: int
    y: int = 0


@dataclass
class Point:
    x: float


class Named(TypedDict):
    name: str


class TypedRoom(NotingRoom):
    """Takes all kinds of data."""

    @message("struct")
    def struct(self, client: Client, data: Move) -> int:
        return data.x + data.y

    @message("dataclass")
    def dataclass(self, client: Client, data: Point) -> float:
        return data.x

    @message("typeddict")
    def typeddict(self, client: Client, data: Named) -> str:
        return data["name"]

    @message("plain")
    def plain(self, client: Client, data: list[int]) -> int:
        return sum(data)

    @message("literal")
    def literal(self, client: Client, data: Literal["a", "b"]) -> str:
        return data

    @message("none")
    def none(self, client: Client) -> str:
        return "none"

    @message("coroutine")
    async def coroutine(self, client: Client, data: int) -> int:
        return data + 1


@onBothEngines
class DataTests(RoomTestCase):
    """Wrong data never reaches a handler."""

    def test_good(self) -> None:
        """Every kind of type, in both dialects."""
        self.rooms(TypedRoom)
        for protocol in (None, MSGPACK):
            ada = self.joined(protocol=protocol)
            for kind, data, expected in (
                ("struct", {"x": 1, "y": 2}, 3),
                ("dataclass", {"x": 1.5}, 1.5),
                ("typeddict", {"name": "ada"}, "ada"),
                ("plain", [1, 2], 3),
                ("literal", "b", "b"),
                ("none", "whatever", "none"),
                ("coroutine", 1, 2),
            ):
                self.assertEqual(ada.call(kind, data)[2], expected)

    def test_bad(self) -> None:
        """The error names the field."""
        self.rooms(TypedRoom)
        for protocol in (None, MSGPACK):
            for kind, data, field in (
                ("struct", {"x": "1"}, "x"),
                ("struct", {}, ""),
                ("dataclass", {"x": None}, "x"),
                ("typeddict", {"name": 1}, "name"),
                ("plain", [1, "2"], "[1]"),
                ("literal", "c", ""),
                ("coroutine", None, ""),
            ):
                ada = self.joined(protocol=protocol)
                answer = ada.call(kind, data)
                self.assertEqual((answer[3], answer[5]), ("invalidData", {"field": field}), kind)

    def test_strikes(self) -> None:
        """Three in ten seconds are misuse, not in eleven."""
        self.rooms(TypedRoom)
        ada = self.joined()
        for _ in range(5):
            self.assertEqual(ada.call("nix")[3], "unknownType")
            self.advance(5.1)
        self.assertFalse(ada.client.isClosed)
        for _ in range(2):
            ada.send("plain", "x")
        self.assertEqual(ada.client.closeCode, 4010)

    def test_fallback(self) -> None:
        """`onMessage` takes what has no handler."""

        class Chat(NotingRoom):
            def onMessage(self, client: Client, type: str, data: Any) -> Any:
                return [type, data]

        self.rooms(Chat)
        ada = self.joined()
        self.assertEqual(ada.call("nix", {"a": 1})[2], ["nix", {"a": 1}])
        self.assertEqual(ada.call("say", 1)[2], 1)

    def test_deep(self) -> None:
        """Nesting has a limit, in data and in options."""
        self.rooms()
        ada = self.joined()
        deep: Any = 0
        for _ in range(64):
            deep = [deep]
        self.assertEqual(ada.call("say", deep)[0], "reply")
        self.assertEqual(ada.call("say", [deep])[3], "invalidData")
        ada.client.send(f'["send","{ada.room}","say",{"[" * 50000}{"]" * 50000}]')
        self.settle()
        self.assertEqual(ada.take("error")[-1][3], "badRequest")

    def test_bytes(self) -> None:
        """Only where the room says so, and then only for MessagePack."""

        class Binary(NotingRoom):
            binary = True

        self.rooms(NotingRoom, Binary)
        ada = self.joined(protocol=MSGPACK)
        self.assertEqual(ada.call("say", {"a": b"x"})[3], "invalidData")
        self.assertRaises(TypeError, self.room(ada).broadcast, "said", [b"x"])
        self.assertEqual(self.player().join("Binary")[3], "badRequest")
        bob = self.joined("Binary", protocol=MSGPACK)
        bob.send("say", {"a": b"x"})
        self.assertEqual(bob.said(), [{"a": b"x"}])
        self.assertEqual(self.player().resume(bob)[3], "badRequest")

    def test_afterwards(self) -> None:
        """The data is taken as it is when it is sent."""
        self.rooms()
        ada = self.joined()
        data = {"a": [1]}
        self.room(ada).broadcast("said", data)
        data["a"].append(2)
        self.settle()
        self.assertEqual(ada.said(), [{"a": [1]}])


class HandlerTests(SynchronousTestCase):
    """The tables are built at registration."""

    def test_wrong(self) -> None:
        """What can't be checked is an error then, and named."""

        class Bad(Room):
            @message("x")
            def tooMany(self, client: Client, data: int, more: int) -> None: ...

        class Unknown(Room):
            @message("x")
            def unknown(self, client: Client, data: Nix) -> None: ...  # type: ignore[name-defined]  # noqa: F821

        self.assertIn("tooMany", str(self.assertRaises(TypeError, handlersOf, Bad)))
        self.assertIn("unknown", str(self.assertRaises(TypeError, handlersOf, Unknown)))
        self.assertRaises(TypeError, message, None)

    def test_inherited(self) -> None:
        """A subclass overrides by name."""

        class Other(TypedRoom):
            def none(self, client: Client) -> str:
                return "other"

            @message("more")
            def more(self, client: Client) -> None: ...

        self.assertEqual(set(handlersOf(Other)), (set(handlersOf(TypedRoom)) | {"more"}) - {"none"})


@onBothEngines
class BroadcastTests(RoomTestCase):
    """Who gets what."""

    def players(self, count: int = 3, **settings: Any) -> list[Player]:
        self.rooms(**settings)
        return [self.joined() for _ in range(count)]

    def clients(self, players: list[Player]) -> list[Client]:
        return [self.room().client(player.joined["member"]) for player in players]

    def heard(self, players: list[Player]) -> list[list[Any]]:
        self.settle()
        return [player.said() for player in players]

    def test_exclude(self) -> None:
        """One, or several."""
        players = self.players()
        a, b, _ = self.clients(players)
        self.room().broadcast("said", 1, exclude=a)
        self.room().broadcast("said", 2, exclude=[a, b])
        self.assertEqual(self.heard(players), [[], [1], [1, 2]])

    def test_noClients(self) -> None:
        """Ids in the place of clients, or anything else that is none."""
        self.rooms()
        ada = self.joined().joined["member"]
        room = self.room()
        for wrong in ({"to": [ada]}, {"to": 5}, {"exclude": ada}, {"exclude": [ada]}):
            error = self.assertRaises(TypeError, room.broadcast, "news", **wrong)
            [(name, given)] = wrong.items()
            each = given[0] if isinstance(given, list) else given
            self.assertEqual(
                str(error), f"{name}: {each!r} is no client; the one of an id is room.client(id)"
            )
        self.assertEqual(room.offset, 0)

    def test_to(self) -> None:
        """A group, a client, several, a test of each; offsets grow for all."""
        players = self.players()
        a, b, c = self.clients(players)
        a.enter("red")
        b.enter("red")
        room = self.room()
        offsets = [
            room.broadcast("said", 1, to="red"),
            room.broadcast("said", 2, to=c),
            room.broadcast("said", 3, to=[a, c], exclude=a),
            room.broadcast("said", 4, to=lambda client: client is b),
        ]
        b.exit("red")
        room.broadcast("said", 5, to="red")
        self.assertEqual(self.heard(players), [[1, 5], [1, 4], [2, 3]])
        self.assertEqual(offsets, [1, 2, 3, 4])
        self.assertEqual((room.group("red"), b.groups), ([a], frozenset()))

    def test_volatile(self) -> None:
        """No offset; nobody who is away gets it."""
        players = self.players()
        players[0].client.drop()
        self.settle()
        self.assertIsNone(self.room().broadcast("said", 1, volatile=True))
        self.settle()
        self.assertEqual([frame[2] for frame in players[1].take("msg")], [None])
        again = self.player()
        again.resume(players[0])
        self.assertEqual(again.said(), [])

    def test_slow(self) -> None:
        """Who doesn't read loses volatile messages, then the connection, and then nothing."""
        players = self.players(2)
        slow = players[0]
        slow.client.stall()
        big = "x" * 60000
        for _ in range(10):
            self.room().broadcast("said", big)
        self.settle()
        for _ in range(10):
            self.room().broadcast("flash", big, volatile=True)
        self.settle()
        for _ in range(10):
            self.room().broadcast("said", big)
        self.settle()
        self.assertFalse(self.clients([slow])[0].isConnected)
        slow.client.unstall()
        self.settle()
        self.assertEqual(slow.client.closeCode, 4102)
        got = slow.take("msg")
        self.assertNotIn("flash", [frame[3] for frame in got])
        again = self.player()
        self.assertTrue(again.resume(slow)[3]["recovered"])
        self.assertEqual(len(got) + len(again.said()), 20)

    def test_frameOnce(self) -> None:
        """One frame for all of a dialect."""
        players = self.players(3)
        item = self.room()._host.emitter.messageOf(Entry(1, "said", b"\x01"))
        self.assertIs(item.prepared(dialectOf(None)), item.prepared(dialectOf(None)))
        self.assertEqual(len(players), 3)

    def test_committed(self) -> None:
        """`whenCommitted` fires when it is safe."""
        self.players(1)
        self.room().broadcast("said", 1)
        fired: list[Any] = []
        self.room().whenCommitted().addCallback(fired.append)
        self.assertEqual(len(fired), 0 if self.isLagging else 1)
        self.settle()
        self.assertEqual(fired, [None])


@onBothEngines
class CallTests(RoomTestCase):
    """The room asks a client."""

    def asked(self, timeout: float = 10.0) -> tuple[Player, list[Any]]:
        self.rooms()
        ada = self.joined()
        answers: list[Any] = []
        client = self.room().clients[0]
        client.call("question", 1, timeout).addBoth(answers.append)
        self.settle()
        self.assertEqual(ada.take("call"), [["call", 1, ada.room, "question", 1]])
        return ada, answers

    def test_timeout(self) -> None:
        """In time or not at all; a late answer is ignored."""
        ada, answers = self.asked(2.0)
        self.advance(3)
        self.assertEqual(answers[0].value.code, "timeout")
        ada.write("reply", ada.room, 1, "late")
        self.assertEqual(len(answers), 1)

    def test_gone(self) -> None:
        """Who leaves doesn't answer."""
        ada, answers = self.asked()
        ada.ask("leave", ada.room)
        self.assertEqual(answers[0].value.code, "roomGone")

    def test_afterResume(self) -> None:
        """The answer may come by another connection."""
        ada, answers = self.asked()
        ada.client.drop()
        again = self.player()
        again.resume(ada)
        again.write("reply", ada.room, 1, {"a": 1})
        self.assertEqual(answers, [{"a": 1}])

    def test_inJoin(self) -> None:
        """What is asked in onJoin comes after `joined`."""

        class Chat(NotingRoom):
            def onJoin(self, client: Client, options: Any) -> None:
                client.call("question", 1).addBoth(lambda result: self.events.append(("answer", result)))

        self.rooms(Chat)
        ada = self.player()
        ada.join()
        self.assertEqual([frame[0] for frame in ada.take()], ["joined", "call"])
        ada.write("reply", ada.room, 1, 2)
        self.assertEqual(self.named("answer"), [2])


@onBothEngines
class PresenceTests(RoomTestCase):
    """Who is here."""

    def test_row65_users(self) -> None:
        """Several connections of a user are one presence with several metas."""

        class Chat(NotingRoom):
            presence = True

            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                return {"id": options["id"]}

            def onJoin(self, client: Client, options: Any) -> None:
                client.meta = {"device": options["device"]}

        self.rooms(Chat)
        ada = self.joined(id="ada", device="phone")
        more = self.joined(id="ada", device="desk")
        self.assertEqual([one["user"] for one in self.room().members], ["ada"])
        self.assertEqual([one["device"] for one in self.room().members[0]["metas"]], ["phone", "desk"])
        came = ada.take("presence")[0]
        self.assertEqual((came[2][0]["user"], came[2][0]["metas"][0]["device"], came[3]), ("ada", "desk", []))
        self.assertEqual(more.take("presence"), [])
        more.ask("leave", more.room)
        left = ada.take("presence")[0]
        self.assertEqual((left[2], left[3][0]["metas"][0]["device"]), ([], "desk"))

    def test_meta(self) -> None:
        """A change is told as one that left and one that came."""
        self.rooms(presence=True)
        ada, bob = self.joined(), self.joined()
        self.room().client(ada.joined["member"]).meta = {"away": True}
        self.settle()
        change = bob.take("presence")[-1]
        self.assertEqual([one[0]["metas"][0].get("away") for one in change[2:]], [True, None])

    def test_noMeta(self) -> None:
        """What is no mapping is refused, with an example."""
        self.rooms(presence=True)
        member = self.joined().joined["member"]
        client: Any = self.room().client(member)
        error = self.assertRaises(TypeError, setattr, client, "meta", "away")
        self.assertEqual(str(error), "meta='away': must be a mapping: client.meta = {'name': 'ada'}")


@onBothEngines
class LimitTests(RoomTestCase):
    """What is too much is refused."""

    def test_rate(self) -> None:
        """Over the room's rate: refused, and after ten seconds of it 4029."""
        self.rooms(messageRate=1.0, messageBurst=2)
        ada = self.joined()
        for _ in range(3):
            ada.client.send(f'["call",1,"{ada.room}","say",1]')
        self.settle()
        answers = [frame[0] for frame in ada.take() if frame[0] in ("reply", "error")]
        self.assertEqual(answers, ["reply", "reply", "error"])
        for _ in range(30):
            self.advance(0.4)
            if ada.client.isOpen:
                ada.client.send(f'["send","{ada.room}","say",1]')
        self.settle()
        self.assertEqual(ada.client.closeCode, 4029)

    def test_row62_mailbox(self) -> None:
        """At most 256 frames wait; what is more is refused at once, and not kept."""

        class Chat(NotingRoom):
            @message("hang")
            def hang(self, client: Client) -> Any:
                return Deferred()

        self.rooms(Chat)
        ada = self.joined()
        member = self.room()._host.members[ada.joined["member"]]
        for _ in range(300):
            self.room()._host.intake.take(member, Send("hang", b"null"))
        self.settle()
        self.assertEqual(len(member.mailbox), 256)
        self.assertEqual([frame[3] for frame in ada.take("error")], ["rateLimited"] * 43)
        member.client.kick()
        self.advance(11)
        self.flushLoggedErrors(RoomError)

    def test_row64_rooms(self) -> None:
        """At most 16 rooms on one connection."""
        self.rooms(maxClients=1)
        ada = self.player()
        for _ in range(16):
            self.assertEqual(ada.join()[0], "joined")
        self.assertEqual(ada.join()[3], "rateLimited")

    def test_row64_twice(self) -> None:
        """Joining twice is joining once."""
        self.rooms()
        ada = self.joined()
        first = ada.joined
        again = ada.ask("joinById", ada.room, {})
        self.assertEqual(again[3]["member"], first["member"])
        self.assertEqual(self.kinds(), ["create", "join"])
        self.assertEqual(ada.call("say", 1)[0], "reply")
        self.assertEqual(ada.said(), [1])

    def test_badFrames(self) -> None:
        """Three of them in ten seconds close the connection."""
        self.rooms()
        ada = self.player()
        for _ in range(4):
            ada.client.send("nonsense")
            self.advance(5.5)
        self.assertTrue(ada.client.isOpen)
        for _ in range(2):
            ada.client.send("nonsense")
        self.settle()
        self.assertEqual([frame[3] for frame in ada.take("error")], ["badRequest"] * 6)
        self.assertEqual(ada.client.closeCode, 4010)


class PayloadTests(SynchronousTestCase):
    """Encoding and decoding."""

    def test_bytes(self) -> None:
        """Found wherever they are, and not where they only seem to be."""
        self.assertFalse(payload.hasBytes(payload.encode({"Ą": "Ĉ" * 20})))
        self.assertTrue(payload.hasBytes(payload.encode({"a": [{"b": b""}]}, True)))

    def test_unreadable(self) -> None:
        """Whatever can't be read is `InvalidData`."""
        for data, isJSON in ((b"\xc1", False), (b"{", True), (b"", True), (b"[" * 100000, True)):
            self.assertRaises(InvalidData, payload.decode, data, isJSON)
        self.assertTrue(payload.isTooDeep(b"\x91" * 100 + b"\xc0", False))
        self.assertFalse(payload.isTooDeep(b"[" + b"[]," * 100 + b"[]]", True))

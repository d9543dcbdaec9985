"""Messages: handlers and their data, broadcasts, groups, calls, presence, limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms.case import MSGPACK, NotingRoom, Player, RoomTestCase, onBothEngines
from txroom import CallError, Client, Room, RoomError, message
from txroom.protocol import payload, received
from txroom.protocol.errors import InvalidData
from txroom.rooms.api.handlers import handlersOf
from txroom.rooms.contract.commands import Send
from txroom.rooms.contract.records import Entry
from txroom.rooms.edge.dialect import dialectOf
from txroom.rooms.owner.presence import Presence
from txroom.rooms.owner.runner import FAILED


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

    def test_badMessage(self) -> None:
        """If a message has wrong data, the error also names its type, as no request of the client does."""
        self.rooms(TypedRoom)
        for protocol in (None, MSGPACK):
            ada = self.joined(protocol=protocol)
            ada.send("struct", {"x": "1"})
            ada.send("nix", 1)
            invalid, unknown = ada.take("error")
            self.assertEqual(invalid[1:4:2], [None, "invalidData"])
            self.assertEqual(invalid[5], {"field": "x", "type": "struct"})
            self.assertEqual(unknown[5], {"field": "type"})

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

    def test_ownErrors(self) -> None:
        """What a handler refuses is none, at once or later, whatever it calls it."""

        class Chat(NotingRoom):
            @message("now")
            def now(self, client: Client) -> None:
                raise RoomError("invalidData")

            @message("later")
            async def later(self, client: Client) -> None:
                raise RoomError("unknownType")

        self.rooms(Chat)
        ada = self.joined()
        for _ in range(4):
            self.assertEqual(ada.call("now")[3], "invalidData")
            self.assertEqual(ada.call("later")[3], "unknownType")
        self.assertTrue(ada.client.isOpen)

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

    def test_strange(self) -> None:
        """What only MessagePack can say is refused, so that who speaks JSON misses nothing."""
        self.rooms()
        ada, bob = self.joined(protocol=MSGPACK), self.joined()
        room = self.room(ada)
        strange: list[Any] = [
            {None: 1},
            [{True: 1}],
            {(1, 2): 3},
            {1: 2},
            msgspec.msgpack.Ext(5, b"x"),
            {b"a": 1},
        ]
        for data in strange:
            self.assertEqual(ada.call("say", data)[3], "invalidData", data)
            self.assertRaises(TypeError, room.broadcast, "said", data)
            self.advance(6)
        ada.write("call", 1, room.id, "say", msgspec.Raw(b"\x92\x81\xd4\x05x\x01\xc4\x01x"))
        self.assertEqual(ada.take()[-1][3], "invalidData")
        self.assertEqual(bob.take("msg"), [])
        plain: list[Any] = [{"1": [None, True, "Ą"]}, datetime(2026, 1, 1, tzinfo=UTC), [[], {"a": [0.1]}]]
        for data in plain:
            ada.send("say", data)
        said = [{"1": [None, True, "Ą"]}, "2026-01-01T00:00:00Z", [[], {"a": [0.1]}]]
        self.assertEqual(bob.said(), said)

    def test_strangeAnswer(self) -> None:
        """Nor does it come as the answer to a call."""
        self.rooms()
        ada = self.joined(protocol=MSGPACK)
        called = self.room().clients[0].call("question")
        self.settle()
        ada.write("reply", ada.room, self.firstRef, {None: 1})
        self.assertEqual(self.failureResultOf(called, CallError).value.code, "invalidData")

    def test_afterwards(self) -> None:
        """The data is taken as it is when it is sent."""
        self.rooms()
        ada = self.joined()
        data = {"a": [1]}
        self.room(ada).broadcast("said", data)
        data["a"].append(2)
        self.settle()
        self.assertEqual(ada.said(), [{"a": [1]}])

    def test_typeLength(self) -> None:
        """A type has 1 to 128 characters, as in the protocol."""
        self.rooms()
        ada = self.joined()
        room = self.room(ada)
        for wrong in ("", "x" * 129):
            for send in (room.broadcast, room.clients[0].send, room.clients[0].call):
                self.assertRaises(ValueError, send, wrong)
        room.broadcast("x" * 128, 1)
        self.settle()
        self.assertEqual(ada.said(), [1])


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
        """A subclass overrides by name, decorated again or not; `None` takes a handler out."""

        class Other(TypedRoom):
            def none(self, client: Client) -> str:
                return "other"

            @message("more")
            def more(self, client: Client) -> None: ...

        class Without(Other):
            none = None  # type: ignore[assignment]

        self.assertEqual(set(handlersOf(Other)), set(handlersOf(TypedRoom)) | {"more"})
        self.assertIs(handlersOf(Other)["none"].function, Other.none)
        self.assertEqual(set(handlersOf(Without)), set(handlersOf(Other)) - {"none"})


@onBothEngines
class BroadcastTests(RoomTestCase):
    """The members that get a broadcast."""

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
            self.assertEqual(str(error), f"{name}: {each!r} is not a Client; for an id use room.client(id)")
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

    def test_toAsync(self) -> None:
        """A test that is async would be true of everybody: nothing is sent."""

        async def isFriend(client: Client) -> bool:
            return False

        players = self.players()
        self.assertRaises(TypeError, self.room().broadcast, "said", 1, to=isFriend)
        self.assertRaises(TypeError, self.room().broadcast, "said", 1, to=lambda client: Deferred())
        self.assertEqual((self.room().offset, self.heard(players)), (0, [[], [], []]))

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
        """A client that doesn't read loses volatile messages, then the connection, and then nothing."""
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
        item = Entry(1, "said", b"\x01").messageOf(self.room().id)
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
        self.assertEqual(ada.take("call"), [["call", self.firstRef, ada.room, "question", 1]])
        return ada, answers

    def test_timeout(self) -> None:
        """In time or not at all; a late answer is ignored."""
        ada, answers = self.asked(2.0)
        self.advance(3)
        self.assertEqual(answers[0].value.code, "timeout")
        ada.write("reply", ada.room, self.firstRef, "late")
        self.assertEqual(len(answers), 1)

    def test_wrongTimeout(self) -> None:
        """Nothing is asked, and nothing kept."""
        self.rooms()
        ada = self.joined()
        client = self.room().clients[0]
        for timeout in (None, -1, "1", float("nan"), float("inf"), True):
            self.assertRaises(ValueError, client.call, "question", 1, timeout)
        self.settle()
        self.assertEqual((client._member.calls, ada.take("call")), ({}, []))

    def test_error(self) -> None:
        """What one client answers isn't told to another."""

        class Chat(NotingRoom):
            @message("ask")
            async def ask(self, client: Client) -> Any:
                return await self.clients[0].call("question")

        self.rooms(Chat)
        ada, bob = self.joined(), self.joined()
        deep = "[" * 70 + "]" * 70
        for answer in ('["error","{}",{},"forged","text"]', '["reply","{}",{},' + deep + "]"):
            bob.write("call", 7, bob.room, "ask")
            ada.client.send(answer.format(ada.room, ada.take("call")[0][1]))
            self.settle()
            self.assertEqual(bob.take("error")[0][:5], ["error", 7, bob.room, "internal", FAILED])
        errors = [failure.value.code for failure in self.flushLoggedErrors(CallError)]
        self.assertEqual(errors, ["forged", "invalidData"])

    def test_gone(self) -> None:
        """A client that leaves doesn't answer."""
        ada, answers = self.asked()
        ada.ask("leave", ada.room)
        self.assertEqual(answers[0].value.code, "roomGone")

    def test_afterResume(self) -> None:
        """The answer may come by another connection."""
        ada, answers = self.asked()
        ada.client.drop()
        again = self.player()
        again.resume(ada)
        again.write("reply", ada.room, self.firstRef, {"a": 1})
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
        ada.write("reply", ada.room, self.firstRef, 2)
        self.assertEqual(self.named("answer"), [2])


@onBothEngines
class PresenceTests(RoomTestCase):
    """Presence."""

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
        self.assertEqual([one[0]["metas"][0].get("away") for one in change[2:4]], [True, None])

    def test_noMeta(self) -> None:
        """What is no mapping is refused, with an example."""
        self.rooms(presence=True)
        member = self.joined().joined["member"]
        client: Any = self.room().client(member)
        error = self.assertRaises(TypeError, setattr, client, "meta", "away")
        self.assertEqual(str(error), "meta='away': must be a mapping: client.meta = {'name': 'ada'}")


@onBothEngines
class RefusedValueTests(RoomTestCase):
    """What can't be told is refused where it is said; the room lives on."""

    def setUp(self) -> None:
        super().setUp()
        self.rooms(presence=True)
        self.ada = self.joined()
        self.client = self.room().clients[0]

    def assertAlive(self) -> None:
        """Somebody joins, and the room ends."""
        self.assertEqual(self.joined().call("say", 1)[2], 1)
        self.ada.ask("rooms", "chat", {})
        self.result(self.room().disconnect())
        self.assertEqual(len(self.app.rooms), 0)

    def test_meta(self) -> None:
        """What presence tells stays what it was, and is a copy."""
        name = ["ada"]
        self.client.meta = {"name": name}
        name.append(object())  # type: ignore[arg-type]
        self.client.meta["name"].append(object())
        self.room().members[0]["metas"][0]["name"].append(object())
        for meta in ({"x": object()}, {"x": b"x"}, {"x": "\ud800"}, {None: 1}):
            with self.assertRaises((TypeError, UnicodeEncodeError)):
                self.client.meta = meta
        self.assertEqual(self.client.meta, {"name": ["ada"]})
        self.assertAlive()

    def test_metadata(self) -> None:
        """Nor does a list of rooms get what it can't tell."""
        tags = ["new"]
        self.room().setMetadata({"tags": tags})
        tags.append(object())  # type: ignore[arg-type]
        for metadata in ({"x": object()}, {"x": b"x"}, {None: 1}):
            self.assertRaises(TypeError, self.room().setMetadata, metadata)
        self.assertEqual(self.room().metadata, {"tags": ["new"]})
        self.assertAlive()

    def test_texts(self) -> None:
        """Groups, reasons and types are strings, codes can be sent."""
        for wrong, error in ((1, TypeError), (ValueError("x"), TypeError), ("\ud800", UnicodeEncodeError)):
            self.assertRaises(error, self.client.enter, wrong)
            self.assertRaises(error, self.client.kick, wrong)
            self.assertRaises(error, self.room().disconnect, wrong)
            self.assertRaises(error, self.room().broadcast, wrong)
        for code in (0, 1005, 5000, "4008", True):
            self.assertRaises(ValueError, self.room().disconnect, "over", code)
        self.assertEqual(self.client.groups, frozenset())
        self.assertAlive()

    def test_errors(self) -> None:
        """The details of an error are plain data."""
        for wrong in ({"o": object()}, {None: 1}):
            self.assertRaises(TypeError, RoomError, "bad", "text", wrong)
        self.assertRaises(OverflowError, RoomError, "bad", "text", 1 << 70)
        self.assertRaises(TypeError, RoomError, "bad", ValueError("x"))
        self.assertRaises(UnicodeEncodeError, RoomError, "bad", "\ud800")

    def test_roster(self) -> None:
        """A client that can't be shown the members doesn't join, and nobody is told of it."""
        patch = self.patch(Presence, "shownTo", lambda presence, member: [object()] * 9)
        self.assertEqual(self.player().join()[3], "internal")
        patch.restore()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(len(self.room().clients), 1)
        self.assertEqual(self.ada.take("presence"), [])
        self.assertAlive()

    def test_userId(self) -> None:
        """An id of a user that is not a string is as good as none."""

        class Chat(NotingRoom):
            def userId(self, user: Any) -> Any:
                return object()

        self.app.register("nameless", Chat, presence=True)
        Chat.events = self.events
        player = self.joined("nameless")
        self.assertEqual(player.joined["members"][0]["user"], player.joined["member"])
        self.flushLoggedErrors(TypeError)


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
        self.assertEqual(ada.endings, [4029])

    def test_rateSingly(self) -> None:
        """Where nothing can be saved up, being too fast twice, with quiet between, is forgiven."""
        for burst, rate in ((1, 10.0), (0, 0.5)):
            self.rooms(messageRate=rate, messageBurst=burst)
            ada = self.joined()
            for _ in range(3):
                for _ in range(2):
                    ada.client.send(f'["call",1,"{ada.room}","say",1]')
                self.settle()
                kinds = [frame[0] for frame in ada.take() if frame[0] != "msg"]
                self.assertEqual(kinds, ["reply", "error"])
                self.advance(7)
            self.assertTrue(ada.client.isOpen)

    def test_rateSteadily(self) -> None:
        """A client that is too fast all the time isn't."""
        self.rooms(messageRate=5.0, messageBurst=1)
        ada = self.joined()
        for _ in range(550):
            self.harness.advance(0.02)
            if ada.client.isOpen:
                ada.client.send(f'["send","{ada.room}","say",1]')
        self.settle()
        self.assertEqual(ada.endings, [4029])

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
            self.room()._host._parts.inbox.take(member, Send("hang", b"null"))
        self.settle()
        self.assertEqual(len(member.mailbox), 256)
        self.assertEqual([frame[3] for frame in ada.take("error")], ["rateLimited"] * 43)
        member.client.kick()
        self.advance(11)
        self.flushLoggedErrors(RoomError)

    def test_comings(self) -> None:
        """However often a client comes and goes while its handler runs, its room is told once."""
        jobs: list[Deferred[None]] = []

        class Chat(NotingRoom):
            @message("slow")
            def slow(self, client: Client) -> Any:
                jobs.append(Deferred())
                return jobs[-1]

        self.rooms(Chat)
        ada = self.joined()
        member = self.room()._host.members[ada.joined["member"]]
        ada.send("slow")
        for _ in range(9):
            self.player().resume(ada)
        for _ in range(9):
            again = self.player()
            again.resume(ada)
            again.client.drop()
            self.settle()
        self.assertEqual(len(member.mailbox), 1)
        jobs[0].callback(None)
        self.settle()
        self.assertEqual(self.kinds()[2:], ["drop"])
        again = self.player()
        again.resume(ada)
        again.send("slow")
        again.client.drop()
        self.settle()
        self.player().resume(again)
        jobs[1].callback(None)
        self.settle()
        self.assertEqual(self.kinds()[2:], ["drop", "resume", "drop", "resume"])

    def test_row64_rooms(self) -> None:
        """At most 16 rooms on one connection."""
        self.rooms(maxClients=1)
        ada = self.player()
        for _ in range(16):
            self.assertEqual(ada.join()[0], "joined")
        self.assertEqual(ada.join()[3], "rateLimited")

    def test_requests(self) -> None:
        """Requests that are dear are bounded on each connection, whatever comes of them."""
        self.rooms()
        ada, bob = self.joined(), self.player()
        asked: list[tuple[Any, ...]] = [
            ("joinById", ada.room),
            ("rooms", "chat"),
            ("joinOnly", "nix"),
            ("create", "nix"),
            ("resume", ada.room, "x", "x", 0),
        ]
        for ref in range(50):
            kind, *rest = asked[ref % 5]
            bob.client.send(msgspec.json.encode([kind, ref, *rest]).decode())
        self.settle()
        refused = [frame for frame in bob.take("error") if frame[3] == "rateLimited"]
        expected = [["error", ref, None, "rateLimited", "too many requests", None] for ref in range(40, 50)]
        self.assertEqual(refused, expected)
        self.assertEqual(ada.ask("rooms", "chat", {})[0], "reply")
        self.assertEqual(bob.ask("ping")[0], "reply")
        self.advance(1)
        self.assertEqual([bob.ask("rooms", "chat", {})[0] for _ in range(2)], ["reply"] * 2)

    def test_comingBack(self) -> None:
        """A client in 16 rooms may resume all of them, and join all anew, at once."""
        self.rooms(maxClients=1)
        ada, again = self.player(), self.player()
        joined = [ada.ask("create", "chat", {}) for _ in range(16)]
        for frame in joined:
            resumed = again.ask("resume", frame[2], frame[3]["token"], "x", 0)
            self.assertEqual(resumed[0], "joined")
            again.ask("leave", frame[2])
        self.assertEqual([again.join()[0] for _ in range(16)], ["joined"] * 16)

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

    def test_notAFrame(self) -> None:
        """A client that sends plain text learns what a frame is."""
        self.rooms()
        for text in ("hello", '"hello"', "{}"):
            ada = self.player()
            ada.client.send(text)
            self.settle()
            expected = 'not a frame: a JSON array such as ["send", null, "say", "hi"] is expected'
            self.assertEqual([frame[3:5] for frame in ada.take("error")], [["badRequest", expected]])
            self.assertEqual(ada.client.closeCode, 4010)

    def test_badFrames(self) -> None:
        """Three of them in ten seconds close the connection."""
        self.rooms()
        ada = self.player()
        for _ in range(4):
            ada.client.send('["nonsense"]')
            self.advance(5.5)
        self.assertTrue(ada.client.isOpen)
        for _ in range(2):
            ada.client.send('["nonsense"]')
        self.settle()
        self.assertEqual([frame[3] for frame in ada.take("error")], ["badRequest"] * 6)
        self.assertEqual(ada.client.closeCode, 4010)


class PayloadTests(SynchronousTestCase):
    """Encoding and decoding."""

    def test_bytes(self) -> None:
        """Found wherever they are, and not where they only seem to be."""
        self.assertEqual(payload.decode(payload.encode({"Ą": "Ĉ" * 20})), {"Ą": "Ĉ" * 20})
        self.assertRaises(TypeError, payload.encode, {"a": [{"b": b""}]})
        self.assertEqual(payload.decode(payload.encode({"a": [{"b": b""}]}, True)), {"a": [{"b": b""}]})

    def test_unreadable(self) -> None:
        """Whatever can't be read is `InvalidData`."""
        for data, isJSON in ((b"\xc1", False), (b"{", True), (b"", True), (b"[" * 100000, True)):
            self.assertRaises(InvalidData, received.read, data, isJSON)
        self.assertRaises(InvalidData, received.read, b"\x91" * 100 + b"\xc0", False)
        self.assertEqual(len(received.read(b"[" + b"[]," * 100 + b"[]]", True)), 101)

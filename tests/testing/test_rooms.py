"""The test kit for rooms."""

from __future__ import annotations

import gc
import json
from functools import partial
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase, echo
from txroom import (
    Accept,
    Application,
    CallError,
    Client,
    Deny,
    LeaveReason,
    Room,
    RoomApplication,
    RoomError,
    Server,
    message,
)
from txroom.client import MSGPACK_PROTOCOL
from txroom.testing import JoinedRoom, MemoryReactor, RoomClient, RoomHarness


class Chat(Room):
    """A room for these tests."""

    presence = True

    def onCreate(self, options: Any) -> None:
        self.heard: list[Any] = []
        #: The Deferreds that asynchronous handlers and hooks wait for.
        self.gates: list[Deferred[Any]] = []

    def gate(self) -> Deferred[Any]:
        self.gates.append(Deferred())
        return self.gates[-1]

    def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
        client.data["auth"] = options.get("auth")
        return self.gate() if options.get("wait") else options.get("user", True)

    def onJoin(self, client: Client, options: Any) -> None:
        client.meta = {"name": options.get("name")}

    def snapshot(self, client: Client) -> Any:
        return len(self.heard)

    @message("say")
    def say(self, client: Client, text: str) -> int:
        self.heard.append(text)
        self.broadcast("said", text)
        return len(self.heard)

    @message("wait")
    def wait(self, client: Client) -> Deferred[Any]:
        return self.gate()

    @message("ask")
    async def ask(self, client: Client, question: str) -> Any:
        return await client.call("question", question)


class RoomsTestCase(HarnessTestCase):
    """Tests with a harness that serves `Chat`."""

    def setUp(self) -> None:
        self.harness = self.serve({"chat": Chat})

    def join(self, name: str | None = None, **options: Any) -> JoinedRoom:
        """Join the chat with a new client."""
        return self.harness.client(**options).join("chat", name=name)

    def chat(self) -> Any:
        """The only room, on the server's side."""
        (room,) = self.harness.rooms
        return room

    def pair(self) -> tuple[RoomClient, JoinedRoom]:
        """A client, and the room it has joined."""
        room = self.join()
        return room.client, room

    def refusal(self, function: Any, *args: Any) -> str:
        """The text of the `AssertionError` that a call raises."""
        return str(self.assertRaises(AssertionError, function, *args))


class RoomTests(RoomsTestCase):
    """What a joined room can do."""

    def test_conversation(self) -> None:
        """A message has reached all members when the call returns."""
        alice, bob = self.join("alice"), self.join("bob")
        alice.send("say", "hello")
        self.assertEqual([alice.messages, bob.messages], [[("said", "hello")]] * 2)
        self.assertEqual((bob.name, bob.id, bob.offset, bob.status), ("chat", alice.id, 1, "joined"))
        self.assertEqual(repr(bob), f"<JoinedRoom 'chat' {bob.id} joined>")
        self.assertEqual(repr(bob.client), "<RoomClient open>")

    def test_expect(self) -> None:
        """`expect` takes the next message of a type; the others stay."""
        room = self.join()
        for text in "ab":
            room.send("say", text)
        self.chat().broadcast("news", 1)
        self.harness.flush()
        self.assertEqual([room.expect("said"), room.expect("news"), room.expect("said")], ["a", 1, "b"])
        room.expectNone()
        self.assertEqual(room.messages, [])

    def test_expectFails(self) -> None:
        """If there is no such message, the error lists what has arrived."""
        room = self.join()
        self.assertEqual(
            self.refusal(room.expect, "said"),
            "no message 'said' has arrived; there is: nothing; the room is joined",
        )
        room.send("say", "a")
        room.send("say", 5)
        told = self.refusal(room.expect, "news")
        self.assertEqual(
            told,
            "no message 'news' has arrived; there is: 'said' 'a'; "
            "error: invalidData: Expected `str`, got `int`; the room is joined",
        )
        self.chat().disconnect("over")
        self.harness.flush()
        self.assertTrue(self.refusal(room.expect, "news").endswith("; the room is left (4008 over)"))

    def test_expectNone(self) -> None:
        """`expectNone` checks one type or all."""
        room = self.join()
        room.expectNone()
        room.send("say", "a")
        room.expectNone("news")
        self.assertIn("no message 'said' must have arrived", self.refusal(room.expectNone, "said"))
        self.assertIn("no message must have arrived; there is: 'said' 'a'", self.refusal(room.expectNone))

    def test_call(self) -> None:
        """`call` returns the answer, or raises the error."""
        room = self.join()
        self.assertEqual(room.call("say", "a"), 1)
        error = self.assertRaises(RoomError, room.call, "say", 5)
        self.assertEqual((error.code, room.errors), ("invalidData", []))

    def test_callTakesTime(self) -> None:
        """`call` fails if there is no answer yet; `calling` returns a Deferred."""
        room = self.join()
        self.assertIn("call('wait') of <JoinedRoom 'chat'", self.refusal(room.call, "wait"))
        answer = room.calling("wait")
        chat = self.chat()
        for text in ("no longer wanted", "now"):
            self.assertNoResult(answer)
            chat.gates[-1].callback(text)
            self.harness.flush()
        self.assertEqual(self.successResultOf(answer), "now")

    def test_callOfRoom(self) -> None:
        """A handler answers the room's calls, and may send messages itself."""
        room = self.join()

        def think(question: str) -> str:
            room.send("say", "hm")
            return question + "!"

        room.handle("question", think)
        self.assertEqual(room.call("ask", "why"), "why!")
        room.expect("said")

    def test_handlerRaises(self) -> None:
        """An exception of the test's handler is added to `errors`."""
        room = self.join()
        room.handle("question", lambda question: 1 / 0)
        self.assertEqual(self.assertRaises(RoomError, room.call, "ask", "why").code, "internal")
        self.assertEqual([type(error) for error in room.errors], [ZeroDivisionError])
        self.assertEqual(len(self.flushLoggedErrors(CallError)), 1)

    def test_presenceWindow(self) -> None:
        """Changes are sent when a call returns; those of a window are sent at its end, or when time is up."""
        alice = self.join("alice")
        with self.harness.presenceWindow():
            bob = self.join("bob")
            bob.leave()
            carol = self.join("carol")
            self.assertEqual((alice.memberCount, len(alice.presence)), (1, 1))
        self.assertEqual((alice.memberCount, len(alice.presence)), (2, 2))
        with self.harness.presenceWindow():
            carol.leave()
            self.harness.advance(0.09)
            self.assertEqual(alice.memberCount, 2)
            self.harness.advance(0.02)
            self.assertEqual(alice.memberCount, 1)

    def test_bigRoom(self) -> None:
        """Of a big room the first members are known, and the others are fetched."""

        class Hall(Chat):
            presenceLimit = 2

        harness = self.serve({"hall": Hall})
        rooms = [harness.client().join("hall", name=name) for name in "abcde"]
        known = [(len(room.members), room.memberCount) for room in rooms]
        self.assertEqual(known, [(2, 5), (2, 5), (3, 5), (3, 5), (3, 5)])
        fetched = []
        while page := rooms[0].fetchMembers():
            fetched += [each.metas[0]["member"] for each in page]
        self.assertEqual(fetched, [room.member for room in rooms[2:]])
        self.assertEqual(len(rooms[0].members), 5)

    def test_presence(self) -> None:
        """The members, and those that join and leave."""
        alice, bob = self.join("alice"), self.join("bob")
        self.assertEqual([member.metas[0]["name"] for member in bob.members], ["alice", "bob"])
        bob.leave()

        def names(members: Any) -> list[str]:
            return [member.metas[0]["name"] for member in members]

        changes = [(names(joined), names(left)) for joined, left in alice.presence]
        self.assertEqual(changes, [(["alice"], []), (["bob"], []), ([], ["bob"])])

    def test_leave(self) -> None:
        """`leave` ends the membership after the messages that were sent before."""
        room = self.join()
        room.send("say", "bye")
        room.leave()
        self.assertEqual((room.events, room.closeCode, room.status), (["left"], 1000, "left"))
        self.assertEqual(self.chat().clients, [])
        self.assertRaises(RoomError, room.send, "say", "more")

    def test_kicked(self) -> None:
        """The code and the reason of a kick are kept."""
        room = self.join()
        self.assertIsNone(room.closeCode)
        chat = self.harness.roomOf(room)
        client = chat.client(room.member)
        assert client is not None
        chat.kick(client, "spam")
        self.harness.flush()
        assert room.closeInfo is not None
        self.assertEqual((room.closeInfo.code, room.closeInfo.reason), (4003, "spam"))

    def test_volatile(self) -> None:
        """Volatile messages are not kept while the member is away."""
        client, room = self.pair()
        client.drop()
        room.send("say", "lost", volatile=True)
        room.send("say", "kept")
        self.harness.advance(1)
        self.assertEqual(self.chat().heard, ["kept"])

    def test_roomOf(self) -> None:
        """`roomOf` returns the server's room as long as it exists."""
        room = self.join()
        self.assertIs(self.harness.roomOf(room), self.chat())
        room.leave()
        self.harness.advance(2)
        self.assertRaises(LookupError, self.harness.roomOf, room)


class Saved(Room):
    """A room with a field of its own, which it may not be able to save or to load."""

    presence = True
    heard: tuple[str, ...] = ()
    fault = ""
    disposed: list[Room] = []

    def save(self) -> Any:
        return {"heard": self.heard, "fault": [self.fault][self.fault == "save"]}

    def load(self, data: Any, version: int) -> None:
        self.heard = tuple(data["heard"])
        if data["fault"]:
            raise ValueError("load")

    def onDispose(self) -> None:
        self.disposed.append(self)

    @message("say")
    def say(self, client: Client, data: str) -> None:
        self.heard += (data,)
        self.broadcast("said", data)


class RestartTests(HarnessTestCase):
    """`restart`."""

    def setUp(self) -> None:
        self.harness = self.serve({"saved": Saved, "chat": Chat})
        self.patch(Saved, "disposed", [])
        self.alice, self.bob = (self.harness.client().join("saved") for _ in range(2))

    def test_restart(self) -> None:
        """The room has its own fields and its members, also the second time; clients miss nothing."""
        alice, bob = self.alice, self.bob
        before = self.harness.roomOf(alice, Saved)
        before.setMetadata({"title": "x"})
        for number in range(2):
            room = self.harness.roomOf(alice, Saved)
            bob.send("say", f"one {number}")
            bob.client.offline()
            alice.send("say", f"two {number}")
            again = self.harness.restart(alice)
            self.assertIs(again, self.harness.roomOf(alice))
            self.assertIsNot(again, room)
            bob.client.online()
            self.harness.advance(1)
        self.assertEqual(Saved.disposed, [before, room])
        room = self.harness.roomOf(alice, Saved)
        self.assertEqual(room.heard, ("one 0", "two 0", "one 1", "two 1"))
        self.assertEqual((room.isRestored, dict(room.metadata), len(room.clients)), (True, {"title": "x"}, 2))
        for joined in (alice, bob):
            self.assertEqual([joined.expect("said") for _ in range(4)], list(room.heard))
            self.assertNotIn("lost", joined.events)

    def test_notSaved(self) -> None:
        """A room that doesn't save is created again."""
        alice = self.harness.client().join("chat")
        before = self.harness.roomOf(alice)
        room = self.harness.restart(alice)
        self.assertTrue(room.isRestored and room is not before)

    def test_fails(self) -> None:
        """If saving fails, the room goes on; if loading fails, it ends."""
        room = self.harness.roomOf(self.alice, Saved)
        room.fault = "save"
        self.assertRaises(IndexError, self.harness.restart, self.alice)
        self.assertIs(self.harness.roomOf(self.alice), room)
        room.fault = "load"
        self.assertRaises(RoomError, self.harness.restart, self.alice)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.harness.rooms, [])

    def test_otherEngine(self) -> None:
        """With another engine a room can't be restarted."""
        room: Any = self.harness.roomOf(self.alice)
        self.patch(room._host.application, "engine", None)
        self.assertRaises(TypeError, self.harness.restart, self.alice)


class ClientTests(RoomsTestCase):
    """How clients join, leave and reconnect."""

    def test_ways(self) -> None:
        """All methods that join, and the list of rooms."""
        client = self.harness.client()
        self.assertEqual(self.assertRaises(RoomError, client.joinOnly, "chat").code, "noSuchRoom")
        one, two = client.create("chat"), client.create("chat")
        self.assertNotEqual(one.id, two.id)
        other = self.harness.client()
        self.assertEqual(other.joinOnly("chat").id, one.id)
        self.assertEqual(other.joinById(two.id).id, two.id)
        self.assertEqual([each["clients"] for each in other.rooms("chat")], [2, 2])
        first, again = other.join("chat"), other.join("chat")
        self.assertIsNot(first, again)
        self.assertEqual(first.member, again.member)

    def test_refused(self) -> None:
        """A refused join raises the server's error."""
        error = self.assertRaises(RoomError, self.harness.client().join, "chat", user=False)
        self.assertEqual(error.code, "unauthorized")
        self.assertEqual(self.assertRaises(RoomError, self.harness.client().join, "x").code, "noSuchRoom")
        elsewhere = self.harness.client("/elsewhere")
        error = self.assertRaises(RoomError, elsewhere.join, "chat")
        self.assertEqual(str(error), "noSuchRoom: no rooms are served at this path")

    def test_joinTakesTime(self) -> None:
        """`join` fails if there is no answer yet; `joining` returns a Deferred."""
        client = self.harness.client()
        told = self.refusal(lambda: client.join("chat", wait=True))
        self.assertIn("join('chat') of <RoomClient open>: there is no result yet; let time pass", told)
        joining = self.harness.client().joining("chat", wait=True)
        self.assertNoResult(joining)
        for gate in self.chat().gates:
            gate.callback(True)
        self.harness.flush()
        self.assertEqual(self.successResultOf(joining).status, "joined")

    def test_request(self) -> None:
        """
        The server sees the path, the query, the headers, the address, the host and TLS; the client gets its
        options.
        """
        seen: list[Any] = []

        def verifyClient(handshake: Any) -> Any:
            seen.append(handshake)
            return Accept(user="ann") if handshake.headers.get("x-token") else Deny(401)

        app = RoomApplication(path="/games", verifyClient=verifyClient)
        app.register("chat", Chat)
        harness = self.serve({"/games": app})
        self.assertEqual(
            self.assertRaises(RoomError, harness.client("/games").join, "chat").code, "unauthorized"
        )
        room = harness.client(
            "/games?lang=en",
            {"X-Token": "1"},
            peer="198.51.100.7",
            host="play.example:99",
            tls=True,
            protocol=MSGPACK_PROTOCOL,
            auth="secret",
        ).join("chat")
        handshake = seen[-1]
        self.assertEqual((handshake.target, handshake.host), ("/games?lang=en", "play.example:99"))
        self.assertEqual((handshake.peer, handshake.secure), ("198.51.100.7", True))
        client = harness.roomOf(room).client(room.member)
        assert client is not None
        self.assertEqual((client.user, client.data["auth"]), ("ann", "secret"))
        self.assertEqual(room.call("say", "hello"), 1)
        room.client.drop()
        harness.advance(1)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_drop(self) -> None:
        """The client reconnects after a quarter of a second and misses nothing."""
        alice = self.join("alice")
        client, bob = self.pair()
        client.drop()
        self.assertEqual((bob.status, client.state), ("away", "waiting"))
        alice.send("say", "to you")
        bob.send("say", "to me")
        self.harness.advance(0.24)
        self.assertEqual(bob.status, "away")
        self.harness.advance(0.02)
        self.assertEqual((bob.status, bob.events), ("joined", ["reconnecting", "recovered"]))
        self.assertEqual(bob.messages, [("said", "to you"), ("said", "to me")])
        self.assertEqual(bob.messages, alice.messages)
        self.assertEqual(len(alice.presence), 2)

    def test_dropIdle(self) -> None:
        """`drop` does nothing before there is a connection."""
        client = self.harness.client()
        client.drop()
        client.stall()
        client.unstall()
        client.online()
        self.assertEqual(client.state, "idle")

    def test_offline(self) -> None:
        """The client stays offline as long as the test says, and then reconnects at once."""
        client, room = self.pair()
        client.offline()
        self.harness.advance(29)
        self.assertEqual(room.status, "away")
        client.online()
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_tooLate(self) -> None:
        """A client that was away for too long joins as another member, with a new snapshot."""
        client, room = self.pair()
        member = room.member
        self.join().send("say", "a")
        client.offline()
        self.harness.advance(31)
        client.online()
        self.assertEqual(room.events, ["reconnecting", "lost"])
        self.assertEqual((room.losses[0].snapshot, room.snapshot), (1, 1))
        self.assertNotEqual(room.member, member)

    def test_stall(self) -> None:
        """A client that stops reading is closed as too slow, reconnects and receives every message."""
        harness = self.serve({"chat": Chat}, maxBackpressure=10_000, highWaterMark=1000)
        slow, quick = harness.client().join("chat"), harness.client().join("chat")
        slow.client.stall()
        texts = [str(number) * 3000 for number in range(6)]
        for text in texts:
            quick.send("say", text)
        self.assertEqual(slow.messages, [])
        slow.client.unstall()
        harness.advance(1)
        self.assertEqual(slow.events, ["reconnecting", "recovered"])
        self.assertEqual([data for _, data in slow.messages], texts)

    def test_silence(self) -> None:
        """A client that receives nothing gives the connection up after its heartbeat."""
        client, room = self.pair()
        client.stall()
        self.harness.advance(36)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_close(self) -> None:
        """A client that closes leaves its rooms."""
        client, room = self.pair()
        client.close()
        self.assertEqual((room.events, self.chat().clients), (["left"], []))
        self.assertEqual(self.assertRaises(RoomError, client.join, "chat").code, "unavailable")

    def test_raw(self) -> None:
        """A test can write frames by hand."""
        client = self.harness.connect("/rooms/chat")
        client.send('["send",null,"say","hello"]')
        self.assertEqual(json.loads(str(client.received[-1]))[2:], [1, "said", "hello"])

    def test_serverRestarts(self) -> None:
        """Clients reconnect to a server that starts again."""
        client, room = self.pair()
        stopping = self.harness.server.stopService()
        self.harness.advance(2)
        self.successResultOf(stopping)
        self.assertEqual(client.state, "waiting")
        self.harness.start()
        self.harness.advance(10)
        self.assertEqual(room.events, ["reconnecting", "lost"])


class FaultTests(RoomsTestCase):
    """What the network does to frames does no harm."""

    def test_loseSend(self) -> None:
        """A message that was on its way when the connection was lost is sent again."""
        client, room = self.pair()
        client.outgoing.lose("send")
        sent = room.send("say", "a")
        self.assertEqual(self.chat().heard, [])
        client.drop()
        self.harness.advance(1)
        self.assertEqual((self.chat().heard, sent.isHandled), (["a"], True))

    def test_loseAck(self) -> None:
        """A message whose acknowledgement was lost is handled once."""
        client, room = self.pair()
        client.incoming.lose("ack")
        sent = room.send("say", "a")
        self.harness.advance(1)
        self.assertFalse(sent.isHandled)
        client.drop()
        self.harness.advance(1)
        self.assertEqual((self.chat().heard, sent.isHandled), (["a"], True))

    def test_loseReply(self) -> None:
        """A call whose answer was lost is handled once, and answered."""
        client, room = self.pair()
        client.incoming.lose("reply")
        answer = room.calling("say", "a")
        client.drop()
        self.assertNoResult(answer)
        self.harness.advance(1)
        self.assertEqual((self.successResultOf(answer), self.chat().heard), (1, ["a"]))

    def test_loseMessage(self) -> None:
        """A message of the room that was lost is sent again."""
        client, room = self.pair()
        client.incoming.lose("msg", 2)
        for text in "ab":
            self.chat().broadcast("said", text)
        self.harness.flush()
        room.expectNone()
        client.drop()
        self.harness.advance(1)
        self.assertEqual(room.messages, [("said", "a"), ("said", "b")])

    def test_loseJoined(self) -> None:
        """If the answer to a resume is lost, the client resumes again with the token that it has."""
        client, room = self.pair()
        client.incoming.lose("joined", 2)
        client.drop()
        self.chat().broadcast("said", "a")
        self.harness.advance(20)
        self.assertEqual(room.status, "resuming")
        self.harness.advance(20)
        self.assertEqual(room.events, ["reconnecting", "recovered"])
        self.assertEqual(room.messages, [("said", "a")])

    def test_loseResume(self) -> None:
        """The same if the resume itself is lost."""
        client, room = self.pair()
        client.outgoing.lose("resume")
        client.drop()
        self.harness.advance(16)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_loseFirstJoined(self) -> None:
        """If the answer to the first join is lost, the join times out and the seat becomes free."""
        client = self.harness.client()
        client.incoming.lose("joined")
        joining = client.joining("chat")
        self.harness.advance(15)
        self.assertEqual(self.failureResultOf(joining, RoomError).value.code, "timeout")
        self.assertEqual(client.state, "open")

    def test_loseSecondJoined(self) -> None:
        """
        If the answer to a second join of the same room is lost, the client resumes with the token that it
        has.
        """
        client, room = self.pair()
        client.incoming.lose("joined")
        again = client.joining("chat")
        client.drop()
        self.harness.advance(1)
        self.failureResultOf(again, RoomError)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_loseWithoutDrop(self) -> None:
        """A message that is lost while the connection lasts leaves a gap, which the server refuses."""
        client, room = self.pair()
        client.outgoing.lose("send")
        for text in "ab":
            room.send("say", text)
        self.assertEqual((room.closeCode, self.chat().heard), (4010, []))

    def test_duplicate(self) -> None:
        """A frame that arrives twice counts once, in either direction."""
        client, room = self.pair()
        client.outgoing.duplicate("send")
        client.outgoing.duplicate("call")
        client.incoming.duplicate("msg")
        client.incoming.duplicate("reply")
        room.send("say", "a")
        self.assertEqual(room.call("say", "b"), 2)
        self.assertEqual(self.chat().heard, ["a", "b"])
        self.assertEqual(room.messages, [("said", "a"), ("said", "b")])
        client.incoming.duplicate("ack")
        self.harness.advance(1)
        self.assertEqual(room.status, "joined")

    def test_duplicateJoin(self) -> None:
        """A join that arrives twice is one join, and its token remains valid."""
        client = self.harness.client()
        client.outgoing.duplicate("join")
        room = client.join("chat")
        self.assertEqual(len(self.chat().clients), 1)
        client.drop()
        self.harness.advance(1)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_delay(self) -> None:
        """A delayed frame delays those behind it, by the time that was given."""
        client, room = self.pair()
        client.outgoing.delay("send", 2.0)
        room.send("say", "a")
        self.harness.advance(1)
        room.send("say", "b")
        self.harness.advance(0.9)
        self.assertEqual(self.chat().heard, [])
        self.harness.advance(0.1)
        self.assertEqual(self.chat().heard, ["a", "b"])
        client.incoming.delay("msg", 1.0, 2)
        self.chat().broadcast("said", "c")
        self.harness.advance(0.5)
        self.chat().broadcast("said", "d")
        room.messages.clear()
        self.harness.advance(0.5)
        self.assertEqual(room.messages, [("said", "c")])
        self.harness.advance(0.5)
        self.assertEqual(room.messages, [("said", "c"), ("said", "d")])

    def test_delayedAndBroken(self) -> None:
        """Frames that are delayed when the connection ends are lost, and sent again."""
        client, room = self.pair()
        client.outgoing.delay("send", 60.0)
        sent = room.send("say", "a")
        client.drop()
        self.harness.advance(1)
        self.assertEqual((self.chat().heard, sent.isHandled), (["a"], True))

    def test_reorderSends(self) -> None:
        """The server refuses messages out of order, which txroom's clients never send."""
        client, room = self.pair()
        client.outgoing.reorder("send")
        room.send("say", "a")
        self.assertIsNone(room.closeCode)
        room.send("say", "b")
        self.assertEqual((room.closeCode, self.chat().heard), (4010, []))

    def test_reorderMessages(self) -> None:
        """An older message after a newer one is ignored, and the next resume does not bring it either."""
        client, room = self.pair()
        client.incoming.reorder("msg")
        for text in "abc":
            self.chat().broadcast("said", text)
        self.harness.flush()
        self.assertEqual(room.messages, [("said", "b"), ("said", "c")])

    def test_reorderAcks(self) -> None:
        """An acknowledgement that arrives late has no effect."""
        client, room = self.pair()
        client.incoming.reorder("ack")
        sents = []
        for text in "ab":
            sents.append(room.send("say", text))
            self.harness.advance(0.1)
        self.assertEqual([sent.isHandled for sent in sents], [True, True])
        self.assertEqual(room.call("say", "c"), 3)

    def test_sequence(self) -> None:
        """Faults of one kind apply to one frame after another; frames of other kinds are not affected."""
        client, room = self.pair()
        client.incoming.duplicate("msg")
        client.incoming.lose("msg")
        room.send("say", "a")
        room.send("say", "b")
        room.send("say", "c")
        self.assertEqual(room.messages, [("said", "a"), ("said", "c")])

    def test_binary(self) -> None:
        """Faults work with MessagePack too."""
        room = self.join(protocol=MSGPACK_PROTOCOL)
        room.client.outgoing.lose("send")
        room.send("say", "a")
        room.client.drop()
        self.harness.advance(1)
        self.assertEqual(self.chat().heard, ["a"])

    def test_wrong(self) -> None:
        """Kinds that are not sent in that direction, and wrong counts, are refused."""
        client = self.harness.client()
        error = self.assertRaises(ValueError, client.incoming.lose, "send")
        self.assertIn("kind='send': must be a kind of frame in this direction: ack, bye, call, ", str(error))
        self.assertRaises(ValueError, client.outgoing.lose, "ack")
        self.assertRaises(ValueError, client.outgoing.lose, "send", 0)

    def test_clear(self) -> None:
        """`clear` removes the faults."""
        client, room = self.pair()
        client.outgoing.lose("send")
        client.outgoing.clear()
        room.send("say", "a")
        self.assertEqual(self.chat().heard, ["a"])


class TraceTests(RoomsTestCase):
    """The recorded hooks and handlers."""

    def test_lifecycle(self) -> None:
        """All hooks from the first to the last are recorded with their client."""
        trace = self.harness.trace("chat")
        client, room = self.pair()
        chat = self.chat()
        room.send("say", "hello")
        client.drop()
        self.harness.advance(1)
        room.leave()
        self.harness.advance(2)
        alone = ["onAuth", "onJoin", "say", "onDrop", "onResume", "onLeave"]
        self.assertEqual(trace.names, ["onCreate", *alone, "onDispose"])
        self.assertEqual(trace.of(room.member), alone)
        self.assertEqual({step.room for step in trace.steps}, {chat})
        self.assertIsNone(trace.steps[0].client)
        args = {step.name: step.args for step in trace.steps}
        self.assertEqual([args["say"], args["onResume"]], [("hello",), (True,)])
        self.assertEqual(args["onLeave"], (LeaveReason.LEFT,))
        trace.clear()
        self.assertEqual(trace.names, [])

    def test_members(self) -> None:
        """`of` selects the calls about one member."""
        trace = self.harness.trace("chat")
        alice, bob = self.join(), self.join()
        bob.send("say", "hello")
        self.assertEqual([trace.of(each.member) for each in (alice, bob)][1], ["onAuth", "onJoin", "say"])
        self.assertEqual(trace.of(alice.member), ["onAuth", "onJoin"])

    def test_refused(self) -> None:
        """If `onAuth` refuses, no other hook is called; wrong data is not passed to a handler."""
        trace = self.harness.trace("chat")
        self.assertRaises(RoomError, self.harness.client().join, "chat", user=False)
        self.assertEqual(trace.names, ["onCreate", "onAuth", "onDispose"])
        room = self.join()
        trace.clear()
        room.send("say", 5)
        self.assertEqual(trace.names, [])

    def test_transparent(self) -> None:
        """A traced room has the same handlers, fallback, errors and name as before."""

        class Any_(Chat):
            def onMessage(self, client: Client, type: str, data: Any) -> Any:
                return [type, data]

            @message("fail")
            def failing(self, client: Client) -> None:
                raise ZeroDivisionError

        harness = self.serve({"chat": Chat, "any": Any_})
        traces = [harness.trace("chat"), harness.trace("any")]
        plain, wild = harness.client().join("chat"), harness.client().join("any")
        self.assertEqual(self.assertRaises(RoomError, plain.call, "dance").code, "unknownType")
        self.assertEqual(wild.call("dance", 1), ["dance", 1])
        self.assertRaises(RoomError, wild.call, "fail")
        self.assertRaised(ZeroDivisionError)
        self.assertEqual(traces[0].names, ["onCreate", "onAuth", "onJoin"])
        self.assertEqual(traces[1].names[3:], ["onMessage", "fail", "onRoomError"])
        room = harness.roomOf(wild)
        self.assertIsInstance(room, Any_)
        self.assertEqual(repr(room), f"<Any_ any {room.id}>")

    def test_unknown(self) -> None:
        """A name that is not registered is refused."""
        error = self.assertRaises(LookupError, self.harness.trace, "chatt")
        self.assertEqual(str(error), "no rooms are registered as 'chatt'; the registered names are ['chat']")


class HarnessTests(HarnessTestCase):
    """What a harness can serve, and what it checks at the end."""

    def test_mapping(self) -> None:
        """Rooms by their names and applications by their paths can be mixed."""
        harness = self.serve({"/echo": Application(onMessage=echo), "chat": Chat, "other": Chat})
        harness.client().join("other").call("say", "a")
        client = harness.connect("/echo")
        client.send("b")
        self.assertEqual(client.received, ["b"])
        self.assertEqual([room.name for room in harness.rooms], ["other"])

    def test_mistakes(self) -> None:
        """Usual mistakes raise errors that say what to pass instead."""

        class App(Application):
            pass

        def noServer(clock: object) -> None:
            pass

        def otherClock(clock: object) -> Server:
            return Server(clock=MemoryReactor())

        for wrong, told in (
            (Chat, "RoomHarness({'chat': Chat})"),
            ({"chat": Chat()}, "RoomHarness({'chat': Chat})"),
            (App, "RoomHarness(App())"),
            ({"/": App}, "RoomHarness(App())"),
            (Server, "RoomHarness(lambda clock: Server(clock=clock))"),
            (Server(clock=MemoryReactor()), "RoomHarness(lambda clock: Server(clock=clock))"),
            (noServer, "noServer must return a Server, not None"),
            (otherClock, "otherClock must make its server with the clock it is given"),
        ):
            self.assertIn(told, str(self.assertRaises(TypeError, RoomHarness, wrong)))

    def test_serverClass(self) -> None:
        """A subclass of `Server` that takes a clock serves as a function that makes the server."""

        class Game(Server):
            def __init__(self, clock: Any) -> None:
                super().__init__(clock=clock)
                self.register("chat", Chat)

        self.assertEqual(self.serve(Game).client().join("chat").call("say", "a"), 1)

    def test_stop(self) -> None:
        """All clients leave before the server stops, whatever they are doing."""
        harness = RoomHarness({"chat": Chat})
        trace = harness.trace("chat")
        rooms = [harness.client().join("chat") for _ in range(3)]
        rooms[0].client.drop()
        rooms[1].client.offline()
        harness.client()
        harness.stop()
        self.assertEqual([room.status for room in rooms], ["left"] * 3)
        self.assertEqual(trace.of(rooms[2].member)[-1], "onLeave")
        self.assertEqual(trace.names[-1], "onDispose")
        self.assertEqual(harness.rooms, [])

    def test_roomLeft(self) -> None:
        """A room that does not end is reported; when it has ended, nothing is left."""
        gate: Deferred[None] = Deferred()

        class Stays(Room):
            handlerTimeout = 100.0

            def onDispose(self) -> Any:
                return gate

        harness = RoomHarness({"stays": Stays})
        room = harness.client().join("stays")
        told = str(self.assertRaises(AssertionError, harness.stop))
        self.assertTrue(told.startswith(f"left over: room <Stays stays {room.id}> with 0 members; "), told)
        gate.callback(None)
        harness.check()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_strayMember(self) -> None:
        """A member whose connection is gone without the room being told is reported."""
        harness = RoomHarness({"chat": Chat})
        room = harness.client().join("chat")
        application = harness.server.applications[0]
        assert isinstance(application, RoomApplication)
        application.edge.attachments.clear()
        told = str(self.assertRaises(AssertionError, harness.stop))
        stray = f"member {room.member} of <Chat chat {room.id}> without a connection"
        self.assertEqual(told, f"left over: {stray}")

    def test_faultLeft(self) -> None:
        """A fault that has not happened is reported, since the test did not test it."""
        harness = RoomHarness({"chat": Chat})
        client = harness.client()
        client.join("chat")
        client.incoming.lose("ack", 3)
        client.outgoing.delay("send", 1)
        told = str(self.assertRaises(AssertionError, harness.stop))
        self.assertEqual(told, "left over: fault delay 'send' (1 left); fault lose 'ack' (3 left)")

    def test_faultOfLeaving(self) -> None:
        """Frames that the clients send and receive when they leave at the end do not use up faults."""
        harness = RoomHarness({"chat": Chat})
        client = harness.client()
        client.join("chat")
        client.outgoing.lose("leave")
        client.incoming.lose("reply")
        client.incoming.lose("left")
        told = str(self.assertRaises(AssertionError, harness.stop))
        faults = ("lose 'leave'", "lose 'reply'", "lose 'left'")
        self.assertEqual(told, "left over: " + "; ".join(f"fault {fault} (1 left)" for fault in faults))
        harness.check()

    def test_delayed(self) -> None:
        """Frames that are delayed at the end leave nothing."""
        with RoomHarness({"chat": Chat}) as harness:
            client = harness.client()
            room = client.join("chat")
            client.incoming.delay("msg", 1000)
            client.outgoing.delay("send", 1000)
            room.send("say", "a")
            harness.rooms[0].broadcast("said", "b")
            harness.flush()

    def test_resultOf(self) -> None:
        """`resultOf` returns the result of a Deferred of the server's side."""
        app = RoomApplication()
        app.register("chat", Chat)
        harness = self.serve({"/rooms": app})
        id = harness.resultOf(app.createRoom("chat"))
        self.assertEqual([room.id for room in harness.rooms], [id])
        self.assertRaises(RoomError, harness.resultOf, app.createRoom("other"))
        self.assertRaises(AssertionError, harness.resultOf, Deferred())


class FixtureTests(SynchronousTestCase):
    """The pytest fixture."""

    def test_rooms(self) -> None:
        """The fixture serves rooms too, and checks them at the end."""
        try:
            from txroom import pytestplugin
        except ModuleNotFoundError as error:
            raise SkipTest("pytest isn't here") from error
        make: Any = pytestplugin.txroomHarness
        steps = make.__wrapped__()
        client = next(steps)({"chat": Chat}).client()
        room = client.join("chat")
        self.assertEqual(room.call("say", "a"), 1)
        client.incoming.lose("joined")
        self.assertRaises(AssertionError, next, steps)
        self.assertEqual(room.status, "left")


class MakerTests(SynchronousTestCase):
    """Functions that make the server of a harness."""

    def test_clock(self) -> None:
        """They take the clock of the harness, by position or by name."""

        def byName(*, clock: Any = None) -> Server:
            return Server(clock=clock)

        for makeServer in (lambda clock: Server(clock=clock), byName, partial(byName)):
            RoomHarness(makeServer).stop()

    def test_noClock(self) -> None:
        """A function without a parameter for the clock, or with more parameters, is refused."""

        def makeServer() -> Server:
            return Server()

        def greedy(clock: Any, port: int) -> Server:
            return Server(clock=clock)

        must = "must take the clock of the harness, and no other argument: def"
        makes = "(clock): return Server(clock=clock)"
        for wrong, text in (
            (makeServer, f"makeServer() -> 'Server' {must} makeServer{makes}"),
            (greedy, f"greedy(clock: 'Any', port: 'int') -> 'Server' {must} greedy{makes}"),
        ):
            error = self.assertRaises(TypeError, RoomHarness, wrong)
            self.assertEqual(str(error), text)

    def test_roomOf(self) -> None:
        """`roomOf` checks the class."""

        class Chat(Room):
            topic = "x"

        harness = RoomHarness({"chat": Chat, "other": Room})
        self.addCleanup(harness.stop)
        alice = harness.client().join("chat")
        self.assertEqual(harness.roomOf(alice, Chat).topic, "x")
        error = self.assertRaises(TypeError, harness.roomOf, harness.client().join("other"), Chat)
        self.assertTrue(str(error).endswith(" is a Room, not a Chat"), error)
        self.assertEqual([each["name"] for each in harness.client().query()], ["chat", "other"])
